"""kill, resume, stops, mode, revoke, changes: who and what may act from now on."""

from collections.abc import Mapping
from typing import cast, get_args

import click

from bailiwick.cli.frame import FOUND, OK, Command, Frame, Group, pass_frame
from bailiwick.cli.people import waiting
from bailiwick.cli.reaching import ask, owner
from bailiwick.cli.telling import at, line, table
from bailiwick.errors import StoreError
from bailiwick.nouns import MODES, Scope
from bailiwick.values import JSON

Object = Mapping[str, JSON]

_SCOPES = click.Choice([scope for scope in get_args(Scope) if scope != "ledger"])


# --- switches ------------------------------------------------------------------------------------


@click.command("kill", cls=Command)
@click.argument("scope", type=_SCOPES)
@click.argument("target", default="")
@click.option("--reason", default="", help="Why, for whoever finds things stopped.")
@click.option("--anyway", is_flag=True, help="Nothing may have the name yet; do not complain.")
@pass_frame
def kill(frame: Frame, scope: str, target: str, reason: str, anyway: bool) -> int:
    """Stop a SCOPE at once: `kill everything`, `kill tool payments.refund`.

    When it returns nothing new begins; what has begun already is listed. It works without the
    process that owns the database. If nothing has the name, the stop stands and the code is 1.
    """
    try:
        answer = cast("Object", ask(frame, "kill", scope=scope, target=target, reason=reason))
    except StoreError as fault:
        raise StoreError(
            f"the stop is NOT set: {fault.message}",
            code=fault.code,
            help=f"to stop everything now, end {owner(frame)}: its agents end with it; then"
            f" {fault.help or 'look at the disk'}, and kill again",
        ) from fault
    flying = cast("list[Object]", answer["in_flight"])
    lines = [f"stopped: {_what(answer)}"]
    if answer.get("owner") == "silent":
        frame.warn(
            "the process that owns the database did not answer: the switch stands in the database,"
            " and a send that had passed its last check before may still begin"
        )
    elif not answer["quiet"]:
        frame.warn("a send that had passed its last check before may still begin")
    headings = ["IN FLIGHT", "AGENT", "TOOL", "RUN"]
    rows = [[each[name] for name in ("action", "agent", "tool", "run")] for each in flying]
    frame.tell(answer, [*lines, *table(headings, rows, "nothing is in flight under it")])
    if anyway or answer.get("known") is not False:
        return OK
    near = answer["near"]
    meant = f"did you mean `{line(near)}`" if near else "`bailiwick kill everything` stops all"
    frame.warn(
        f"there is no {scope} `{line(answer['target'])}`: the stop is set, but nothing that runs"
        f" now is under it; {meant}"
    )
    return FOUND


@click.command("resume", cls=Command)
@click.argument("scope", type=_SCOPES)
@click.argument("target", default="")
@pass_frame
def resume(frame: Frame, scope: str, target: str) -> int:
    """Lift a switch that `kill` pulled. With two people who may, the second one does it."""
    answer = ask(frame, "resume", scope=scope, target=target)
    if (waits := waiting(frame, answer)) is not None:
        return waits
    frame.tell(answer, [f"lifted: {_what(cast('Object', answer))}"])
    return OK


@click.group("stops", cls=Group)
def stops() -> None:
    """The switches that are pulled."""


@stops.command("list")
@pass_frame
def stops_list(frame: Frame) -> int:
    """List what is stopped, by whom and why."""
    answer = cast("list[Object]", ask(frame, "stops list"))
    rows = [
        [each["scope"], each["target"], each["by"], at(each["since_us"]), each["reason"]]
        for each in answer
    ]
    frame.tell(answer, table(["SCOPE", "TARGET", "BY", "SINCE", "WHY"], rows, "nothing is stopped"))
    return OK


@click.group("mode", cls=Group)
def mode() -> None:
    """How far each agent may go with each tool: shadow, read-only, draft or live."""


@mode.command("list")
@pass_frame
def mode_list(frame: Frame) -> int:
    """List every agent's mode with each of its tools, and who set it."""
    answer = cast("list[Object]", ask(frame, "mode list"))
    rows = [
        [
            *(each[name] for name in ("agent", "tool", "mode", "manifest", "by")),
            at(each["since_us"]) if each["since_us"] is not None else None,
            each["reason"],
        ]
        for each in answer
    ]
    headings = ["AGENT", "TOOL", "MODE", "MANIFEST", "SET BY", "SINCE", "WHY"]
    frame.tell(answer, table(headings, rows, "there are no agents"))
    return OK


@mode.command("set")
@click.argument("agent")
@click.argument("tool")
@click.argument("mode", type=click.Choice(MODES))
@click.option("--reason", required=True, help="Why, for whoever meets it.")
@pass_frame
def mode_set(frame: Frame, agent: str, tool: str, mode: str, reason: str) -> int:
    """Set the MODE of AGENT with TOOL, `prefix.*` or `*`: `mode set desk mail.* draft`.

    A tighter one takes effect at once. A looser one, with two people who may, takes the second.
    The manifest's mode holds beside it: the tighter of the two counts.
    """
    answer = ask(frame, "mode set", agent=agent, tool=tool, mode=mode, reason=reason)
    if (waits := waiting(frame, answer)) is not None:
        return waits
    told = cast("Object", answer)
    if not told["quiet"]:
        frame.warn("a send that had passed its last check before may still begin")
    frame.tell(told, [f"set: {line(agent)} with {line(tool)} is {mode}; it was {told['was']}"])
    return OK


@click.command("revoke", cls=Command)
@click.argument("id")
@click.option("--reason", default="", help="Why.")
@pass_frame
def revoke(frame: Frame, id: str, reason: str) -> int:
    """Take the key id, token id, session or delegation ID its standing, for good."""
    answer = ask(frame, "revoke", id=id, reason=reason)
    frame.tell(answer, revoked(id))
    return OK


@click.group("changes", cls=Group)
def changes() -> None:
    """Changes that wait for a second person."""


@changes.command("list")
@pass_frame
def changes_list(frame: Frame) -> int:
    """List what waits; another person makes it by giving the same command."""
    answer = cast("list[Object]", ask(frame, "changes list"))
    rows = [
        [
            each["id"],
            each["kind"],
            " ".join(f"{name}={value}" for name, value in cast("Object", each["body"]).items()),
            each["proposed_by"],
            at(each["expires_at_us"]),
        ]
        for each in answer
    ]
    headings = ["CHANGE", "COMMAND", "OF", "PROPOSED BY", "UNTIL"]
    frame.tell(answer, table(headings, rows, "nothing waits for a second person"))
    return OK


def revoked(id: str) -> list[str]:
    """The lines that say what was revoked; tokens are kept by their holders, so none is found."""
    return [
        f"revoked: {line(id)}",
        "whether anything has this id is not known here: compare it with `bailiwick actions show`",
    ]


def _what(answer: Object) -> str:
    return f"{answer['scope']} {line(answer['target'])}".strip()


COMMANDS = (kill, resume, stops, mode, revoke, changes)
