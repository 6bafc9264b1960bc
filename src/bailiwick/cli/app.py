"""The root command, and the edge at which whatever went wrong becomes a message and a code."""

import os
import sys
from collections.abc import Sequence

import click

from bailiwick.cli import (
    actions,
    agents,
    backups,
    control,
    keys,
    mandates,
    people,
    proofs,
    releases,
    rules,
    serving,
    starting,
    undoing,
    upstreams,
    vault,
)
from bailiwick.cli.frame import INTERNAL, OK, Frame, Group
from bailiwick.errors import BadInput, BailiwickError

_INTERRUPTED, _CUT_OFF = 130, 141


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bailiwick", prog_name="bailiwick")
def app() -> None:
    """Govern what AI agents do: any model may propose, the rules decide, all is on record.

    \b
    Begin:    init, check, run, up, mcp, login, logout, whoami, doctor, migrate
    Decide:   approvals, standing, delegation, break-glass, reviews, in-doubt
    Look:     actions, budget, who-can, policy
    Stop:     kill, resume, stops, revoke, mode
    Undo:     undo
    Change:   release, tools, agents, token, people, changes
    Prove:    ledger
    Keep:     keys, vault, backup, restore

    Exit codes: 0 done; 1 a check found something; 2 bad input; 3 refused or not allowed; 4 it
    waits for people; 5 in doubt; 6 the action failed; 69 unavailable; 70 a fault of the program.
    """


_MODULES = (
    starting,
    serving,
    people,
    agents,
    actions,
    mandates,
    control,
    undoing,
    releases,
    rules,
    upstreams,
    proofs,
    keys,
    vault,
    backups,
)
for _command in (each for module in _MODULES for each in module.COMMANDS):
    app.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    frame = Frame()
    try:
        code = app.main(
            args=None if arguments is None else list(arguments),
            prog_name="bailiwick",
            standalone_mode=False,
            obj=frame,
        )
        return code if isinstance(code, int) else 0
    except BailiwickError as fault:
        return frame.fail(fault)
    except click.exceptions.NoArgsIsHelpError as bare:
        click.echo(bare.format_message())
        return OK
    except click.ClickException as error:
        # It may have been found before the option was read.
        given = sys.argv[1:] if arguments is None else arguments
        frame.json = frame.json or "--json" in given
        return frame.fail(_usage(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("error [interrupted]: it was interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the answer has had enough; nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CUT_OFF
    except OSError as error:
        return frame.fail(_refused(error))
    except Exception as fault:  # noqa: BLE001 - the edge: an unknown fault is never a success
        broken = BailiwickError(
            f"something inside went wrong ({type(fault).__name__})",
            code="internal",
            help="run it again with `--debug`, and report what it shows",
        )
        broken.__cause__ = fault
        frame.fail(broken)
        return INTERNAL


def _refused(error: OSError) -> BadInput:
    """What the operating system refused, and where."""
    where = f" on `{error.filename}`" if error.filename else ""
    reason = (error.strerror or type(error).__name__).lower()
    return BadInput(
        f"the operating system refused{where}: {reason}",
        code="system_refused",
        help="look at the path, its permissions and the space that is left",
    )


def _usage(error: click.ClickException) -> BadInput:
    """What click says of a command line, in the form of every other fault."""
    where = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        where = f"see `{error.ctx.command_path} --help`"
        if isinstance(error, click.MissingParameter):
            usage = " ".join(error.ctx.get_usage().split()).removeprefix("Usage: ")
            where = f"`{usage}`; {where}"
    message = " ".join(error.format_message().split()).rstrip(".")
    return BadInput(message[:1].lower() + message[1:], code="usage", help=where)
