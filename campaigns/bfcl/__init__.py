"""The BFCL campaign: tasks that others wrote are carried through the spine, call by call.

    python -m campaigns.bfcl --tasks 200

The Berkeley Function Calling Leaderboard (v4) has 200 `multi_turn_base` tasks, each with the calls
that solve it, and eight stateful APIs that carry such calls out. Each method of those APIs becomes
a governed tool: its schema is that of BFCL's own function documents, its function calls BFCL's own
class, and it is classified as a read only if nothing in its code changes anything (`effects.py`).
A task is a run whose grant is the tools of its APIs. Its calls go through the spine in order; at
the end the state of every API, private members included, is compared with the state after the same
calls on fresh instances without us.

Before each call come its mutants: a required argument left out, a wrong type, a field too many, a
function that does not exist, a function of an API that the task was not granted. Each must be
refused before anything is called.

BFCL is installed from PyPI into an environment of its own, and only looked at from here.

One line of JSON says what became of it: `tasks`, their `calls`, how many of these were `done` with
the `same_results` as without us, how many tasks `reached_gold`, and of the `mutants` how many were
`refused`, by kind in `by_kind` (refused, of how many), and how many `called` something all the
same. `misfits` are calls of BFCL's answers that BFCL's own documents do not allow: an integer is
asked for and text given. They must be refused too, and their tasks do not count as reached. The
exit code is 1 unless all did what they should.
"""
