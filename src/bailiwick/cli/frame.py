"""What every command shares: the project, how the answer is given, and how a fault is told.

Exit codes:

    0   done, or nothing wrong
    1   a check or a verification found something
    2   the command or its input cannot be used
    3   refused, or not allowed
    4   it waits for people
    5   in doubt: what became of it is not known (yet), or the world contradicts it
    6   the action failed, certainly not done
    69  unavailable: the database, its owner or a key cannot be used now
    70  a fault of the program itself
"""

import json
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bailiwick.cli.telling import line
from bailiwick.config import Settings, load_settings
from bailiwick.errors import (
    ApprovalError,
    BadInput,
    BailiwickError,
    CatalogError,
    ConfigError,
    ExecutionError,
    IdentityError,
    LedgerError,
    PolicyError,
    StoreError,
)
from bailiwick.operations.channel import described
from bailiwick.values import JSON, shown

OK, FOUND, USAGE, REFUSED, WAITS, DOUBT, FAILED, UNAVAILABLE, INTERNAL = 0, 1, 2, 3, 4, 5, 6, 69, 70

_BY_CODE: Mapping[str, int] = {
    "action_unknown": USAGE,
    "already_erased": REFUSED,
    "backup_damaged": FOUND,
    "backup_incomplete": FOUND,
    "already_held": REFUSED,
    "agent_key_exposed": UNAVAILABLE,
    "agent_key_malformed": UNAVAILABLE,
    "agent_key_missing": USAGE,
    "agent_key_unreadable": UNAVAILABLE,
    "agent_unknown": USAGE,
    "contended": UNAVAILABLE,
    "declined": REFUSED,
    "key_in_use": REFUSED,
    "key_newest": REFUSED,
    "key_unknown": USAGE,
    "last_admin": REFUSED,
    "name_invalid": USAGE,
    "legal_hold": REFUSED,
    "not_held": REFUSED,
    "not_sequenced": UNAVAILABLE,
    "owner_failed": UNAVAILABLE,
    "owner_silent": UNAVAILABLE,
    "payload_missing": UNAVAILABLE,
    "person_invalid": USAGE,
    "password_unfit": USAGE,
    "run_open": REFUSED,
    "run_unknown": USAGE,
    "subject_unknown": USAGE,
    "tool_file_failed": FOUND,
    "value_mistyped": USAGE,
}
_BY_KIND: Sequence[tuple[type[BailiwickError], int]] = (
    (CatalogError, FOUND),
    (PolicyError, FOUND),
    (LedgerError, FOUND),
    (IdentityError, REFUSED),
    (ApprovalError, REFUSED),
    (StoreError, UNAVAILABLE),
    (ExecutionError, UNAVAILABLE),
)


class Frame:
    """One run of the command line."""

    def __init__(self) -> None:
        self.project: Path | None = None
        self.json = False
        self.debug = False

    def enter(self) -> Settings:
        """Read the project's settings, and go into its folder, in which tools run.

        Raises `ConfigError` when there is no project here, or it cannot be read.
        """
        folder = self.project or _nearest(Path.cwd())
        settings = load_settings(folder.resolve())
        os.chdir(folder)
        return settings

    def tell(self, document: JSON, lines: Sequence[str] = ()) -> None:
        """Give the answer: the JSON document with `--json`, else the lines."""
        if self.json:
            click.echo(json.dumps(document, indent=2))
        else:
            for each in lines:
                click.echo(each)

    def warn(self, text: str) -> None:
        """Say something beside the answer."""
        click.echo(f"warning: {text}", err=True)

    def fail(self, fault: BailiwickError) -> int:
        """Tell a fault, with what to do next, and give the exit code that it means."""
        if self.debug:
            traceback.print_exception(fault)
        if self.json:
            click.echo(json.dumps({"error": described(fault)}, indent=2))
        listed = findings(fault)
        many = f"{len(listed)} findings" if len(listed) > 1 else ""
        click.echo(f"error [{fault.code}]: {many or shown(fault.message, 2000)}", err=True)
        for each in listed:
            click.echo(f"  {each}", err=True)
        if fault.help and not many:
            click.echo(f"help: {shown(fault.help, 2000)}", err=True)
        return exit_code(fault)


def agreed(question: str) -> None:
    """Ask a person at a terminal, beside the answer. Raises `BadInput` (`declined`) for a no."""
    if not click.confirm(question, err=True):
        raise BadInput("it was not agreed to: nothing was done", code="declined")


def exit_code(fault: BailiwickError) -> int:
    """The exit code of a fault."""
    if fault.code in _BY_CODE:
        return _BY_CODE[fault.code]
    if isinstance(fault, IdentityError) and fault.code.startswith("key"):
        return UNAVAILABLE
    return next((code for kind, code in _BY_KIND if isinstance(fault, kind)), USAGE)


def findings(fault: BailiwickError) -> list[str]:
    """Everything that a fault found in a project's files, one line each; none if it lists none."""
    listed = fault.details.get("findings") or fault.details.get("problems") or ()
    if not isinstance(listed, (list, tuple)):
        return []
    return [line(_finding(each), 1000) for each in listed]


def _finding(found: Any) -> str:
    """One finding, of the policy (file, rule, reason) or of the catalogue (where, message)."""
    if "reason" in found:
        number = f":{found['line']}" if found.get("line") else ""
        rule = f" {found['rule']}:" if found.get("rule") else ""
        text = f"{found['file']}{number}:{rule} {found['reason']}"
    else:
        text = f"[{found['code']}] {found['message']}"
    return f"{text}; {found['help']}" if found.get("help") else text


def _nearest(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / "bailiwick.yaml").is_file():
            return folder
    raise ConfigError(
        "there is no `bailiwick.yaml` here or above",
        code="project_missing",
        help="go into a project, name one with `--project`, or make one with `bailiwick init`",
    )


# --- the options that stand everywhere -----------------------------------------------------------


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Frame), name, value)

    return keep


def _shared() -> list[click.Parameter]:
    return [
        click.Option(
            ["--project"],
            type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
            expose_value=False,
            callback=_keep("project"),
            help="The project's folder; by default the nearest one that has a bailiwick.yaml.",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_keep("json"),
            help="Give the answer as one JSON document.",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_keep("debug"),
            help="Show where a fault comes from.",
        ),
    ]


class Command(click.Command):
    """A command with the options that stand everywhere; its function gives the exit code."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.params += _shared()


class Group(click.Group):
    """A group of commands with the options that stand everywhere."""

    command_class = Command

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.params += _shared()


Group.group_class = Group

pass_frame = click.make_pass_decorator(Frame)
