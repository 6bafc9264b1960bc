"""The crash campaign: processes that refund are killed, again and again, and the books compared.

    python -m campaigns.crash --seed 1
    python -m campaigns.crash --seed 1 --store postgres

Without `--kills` they are 2,000, and 1,000 on PostgreSQL, within 13 and 25 minutes.

Several *lanes*, each a project with a database and a client of its own, share the payments
providers, one for each kind of fault (`kinds.py`). A *life* is one process: it opens its lane's
project as after any crash, keeps house, and makes a few refunds at once through `Session.act`, with
its client's own keys. SIGKILL ends it before or after a chosen call of a door (`store.commit`,
`egress.send`, `ledger.extend` and all others of `ports.World`), or at a moment of the campaign's
choice. The next life on the same database recovers, and its client sends again, under the same key,
what was never answered. In the end a life that nobody kills settles what is left.

On PostgreSQL each lane has two processes on one database, so that one begins, recovers and keeps
house while the other has calls in flight; and every so often the server's postmaster is killed and
started again. What the server cannot answer meanwhile is asked again, under the same key.

Who says what happened is never the program under test: acknowledgements are those of the client's
own log, which it syncs to disk before each call and after each answer; effects are the rows of the
providers' databases. One line of JSON says how often they disagree:

kills                        processes ended by SIGKILL before their work was done
duplicate_effects            refunds beyond the first that a client's one call led to. A provider
                             whose fault is to act twice makes a second one by itself for a single
                             request of ours: that one is its own and does not count
unrecorded_effects           refunds under one of our action ids that the database does not admit:
                             no such action, no record of an intent, or an outcome that denies it
lost_acknowledgements        answers that a client was given and that the database, or the provider,
                             does not stand by
false_found                  actions that we call done, or found after a crash, although the
                             provider has made nothing of ours; what we call contradicted is a
                             provider's yes that we do not believe, and counts only if it was found
unresolved                   actions that end as unknown: people have to find out
unresolved_where_key_settles those of them in kinds whose provider honours the key

The first four faults must be 0, and the last at most 5 % of the kills in its kinds. Each unresolved
action must stand in the in-doubt queue; the budgets must hold and have spent exactly what the
actions say; the ledger must verify, by `bailiwick_verify.py` too. Otherwise the exit code is 1.
"""
