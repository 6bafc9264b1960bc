"""What people do: every command as a function over the world, the person and its parameters.

    perform         one command, by the socket or in place: the session, the role, the command
    serve, call     the local socket between the commands and the process that owns the database
    backup, restore a copy of a project, and the drill of both
    audit, export   verify the ledger and write it out; they need nobody's leave
    examine         what a look at the installation shows
    planned, undone    how a run or an action would be undone, and undoing one in a `new_run`
    found           a new project: keys, database, agents, people, first release

Tightening takes effect at once; loosening waits for a second person as soon as there are two.
"""

from bailiwick.operations.auditing import NO_WITNESS, audit
from bailiwick.operations.backups import backup, drill, restore
from bailiwick.operations.channel import answers, call, serve, silent
from bailiwick.operations.commands import COMMANDS, READS, perform
from bailiwick.operations.examining import examine
from bailiwick.operations.founding import Founded, Newcomer, found
from bailiwick.operations.proofs import export, project, witness_state
from bailiwick.operations.rotation import retire_key
from bailiwick.operations.undoing import new_run, planned, undone

__all__ = [
    "COMMANDS",
    "NO_WITNESS",
    "READS",
    "Founded",
    "Newcomer",
    "answers",
    "audit",
    "backup",
    "call",
    "drill",
    "examine",
    "export",
    "found",
    "new_run",
    "perform",
    "planned",
    "project",
    "restore",
    "retire_key",
    "serve",
    "silent",
    "undone",
    "witness_state",
]
