"""The campaign of the server that is away: two processes refund, their server goes, and comes back.

    python -m campaigns.away --gone 60

Each process has callers who refund one charge after another through `Session.act`, under their own
keys. PostgreSQL is stopped under that load, without a checkpoint, and started again after `gone`
seconds. Who is refused asks again under the same key, a moment later. Nobody is restarted.

Who says what happened are the callers' log and the provider's books, as in the crash campaign
(`campaigns.crash.books`); one line of JSON says what they say:

calls               refunds that were asked for, each perhaps many times
done                those that ended as done; the others failed, with a code
refused             how often a call was refused, by the code of the refusal
longest_s           the longest that a call took which began while the server was away
longest_under_way_s the longest that a call took which was under way when the server went
goes_on_s           from the server's return until each process had done a refund again
settled_s           from the server's return until every call of before had its answer
lost                answers, and effects, that the database or the provider does not stand by
doubled             refunds beyond the first of one call
faults              whatever is wrong: those, a budget that is off, a ledger that does not verify,
                    a call that stays in doubt

The exit code is 0 if there are no faults, calls were refused and only with the codes that say so,
what began meanwhile was refused within two seconds, what was under way within 25 (a COMMIT without
an answer is asked for as long as 20), and work went on within ten.

With `--frozen` the server's processes stand still, as when its disk hangs: connections stay, and
nobody is answered. It is taken for gone after 20 seconds, so that the first are refused later.
"""
