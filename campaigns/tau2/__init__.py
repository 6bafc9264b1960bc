"""The tau2 campaign: a shop's written policy as rules, on tasks that others wrote.

    python -m campaigns.tau2

tau2's retail domain is a shop with a thousand orders, a policy in words for the agent that serves
its customers, and 114 tasks with the calls that solve them. Here the policy is a file of Cedar
rules (`project/policies/retail.cedar`) over facts that are read from the shop before each decision,
and the methods of tau2's own shop are governed tools. Every task is a run with a shop of its own,
on behalf of its one customer.

First the tasks: each call that tau2's shop carries out must be done through the spine, and the shop
must end as it does after the same calls without us. A call of the answers that the shop itself
refuses must be refused here by a rule, or fail in the same way if it only reads.

Then counter-examples, made from the shop's orders: for every rule calls that break it and nothing
else (`breaking.py`). Each must be refused, by that rule, before anything is called.

One line of JSON says what became of it: `tasks`, their `calls`, how many were `done`, how many of
the others the shop refuses by itself (`refused_by_both`), the `false_blocks`, how many tasks
`reached_gold`; `counter_examples`, how many were `blocked`, and how many of them the shop would
have carried out (`unchecked_by_shop`), by kind in `by_kind` (blocked, of how many, unchecked). The
exit code is 1 on any false block, missed state or counter-example that was not blocked.
"""
