"""The deadlock campaign: four processes take from random nested budgets of one database at once.

    python -m campaigns.deadlock --seconds 600 --seed 1

Each process has many callers. A call holds amounts at some nodes (tenant, agent, run, customer,
capability), in whatever order, and claims an effect key that others want as well; then it settles,
gives back some of what it held, and now and then marks a breaker. Nodes and keys are few, so that
the processes are in each other's way all the time; some are new, and several begin them at once.

One line of JSON says what became of it: `commits` that were carried out, `blocked` ones, the
`deadlocks` that the server had to end (its own count, `pg_stat_database`), callers that were told
to try again (`busy`, on a machine that stands still for seconds), other `faults`, and
`budgets_off`, the balances that are not what the actions took. The exit code is 1 unless each
process carried out something, at most one call in a hundred was busy, and the others are 0.
"""
