"""The command line: `bailiwick`. Only here is click known.

    app        the root command, and the one edge at which an unknown fault becomes an exit code
    frame      what every command shares: the project, `--json`, and how a fault is told
    reaching   how a command gets to the process that owns the database, or does without it
    telling    tables, times and text of others, made safe to show

The other modules hold the commands, and do no more than ask and tell.
"""

from bailiwick.cli.app import main

__all__ = ["main"]
