"""standing, delegation, break-glass, reviews: what people sign ahead of an action."""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import click
import msgspec

from bailiwick import approval
from bailiwick.cli.frame import FOUND, OK, Command, Frame, Group, agreed, pass_frame
from bailiwick.cli.people import waiting
from bailiwick.cli.reaching import ask, log_in
from bailiwick.cli.telling import at, fields, line, table
from bailiwick.errors import BadInput
from bailiwick.nouns.mandates import BreakGlass, Delegation, StandingApproval
from bailiwick.values import JSON

Object = Mapping[str, JSON]

_SPAN = re.compile(r"([1-9][0-9]{0,6})([smhd])").fullmatch
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_yes = click.option("--yes", is_flag=True, help="Sign without being shown it and asked.")


@click.group("standing", cls=Group)
def standing() -> None:
    """Standing approvals: a person's yes ahead, bounded by count, sum and time."""


@standing.command("grant")
@click.option("--agent", required=True, help="Whose actions it covers.")
@click.option("--tool", required=True, help="Which tool: a name, `prefix.*` or `*`.")
@click.option("--resource", default="*", show_default=True, help="`Type:id`, `Type:*` or `*`.")
@click.option("--rule", "rules", multiple=True, required=True, help="A rule that asks people.")
@click.option(
    "--count", type=click.IntRange(1, 1_000_000), required=True, help="How many actions at most."
)
@click.option("--sum", "sum_", help="How much at most in sum, such as 500.00.")
@click.option("--currency", help="The currency of the sum, such as USD.")
@click.option("--for", "span", required=True, help="How long from now: 30m, 12h, 7d.")
@click.option("--reason", required=True)
@_yes
@pass_frame
def standing_grant(
    frame: Frame, /, rules: tuple[str, ...], count: int, yes: bool, **told: str | None
) -> int:
    """Sign a yes ahead to exactly these rules, as their text is now.

    It counts as your one vote. Without a sum it covers nothing that has a value. With two people
    who may, it waits until another confirms it.
    """
    given: dict[str, JSON] = {
        "agent": told["agent"],
        "tool": told["tool"],
        "resource": told["resource"],
        "rules": list(rules),
        "max_actions": count,
        "sum": told["sum_"],
        "currency": told["currency"],
        "seconds": seconds(str(told["span"])),
        "reason": told["reason"],
    }
    draft = cast("Object", ask(frame, "standing draft", **given))
    statement = msgspec.convert(draft["statement"], StandingApproval)
    agree(shown(statement, cast("Object", draft["texts"])), yes)
    signed = approval.sign_mandate(statement, log_in(frame.enter()).key)
    answer = ask(frame, "standing grant", statement=msgspec.to_builtins(signed))
    return _granted(frame, answer, f"bailiwick standing confirm {statement.id}")


@standing.command("confirm")
@click.argument("id")
@_yes
@pass_frame
def standing_confirm(frame: Frame, id: str, yes: bool) -> int:
    """Consent to the standing approval ID, which another person signed."""
    changes = cast("list[Object]", ask(frame, "changes list"))
    bodies = [cast("Object", each["body"]) for each in changes]
    found = next((body for body in bodies if body.get("id") == id), None)
    if found is not None:
        agree(shown(msgspec.convert(found, StandingApproval), {}), yes)
    return _granted(frame, ask(frame, "standing confirm", id=id))


@standing.command("list")
@pass_frame
def standing_list(frame: Frame) -> int:
    """List standing approvals, newest first, with what has been drawn of each."""
    answer = cast("list[Object]", ask(frame, "standing list"))
    headings = ["ID", "STATE", "BY", "AGENT", "TOOL", "RULES", "USED", "SUM", "UNTIL"]
    rows = [
        [
            *(each[name] for name in ("id", "state", "person", "agent", "tool")),
            [rule["rule"] for rule in cast("list[Object]", each["rules"])],
            f"{each['used_actions']} of {each['max_actions']}",
            _sum(each),
            at(each["until_us"]),
        ]
        for each in answer
    ]
    frame.tell(answer, table(headings, rows, "nobody has signed anything ahead"))
    return OK


@standing.command("withdraw")
@click.argument("id")
@pass_frame
def standing_withdraw(frame: Frame, id: str) -> int:
    """End the standing approval ID at once."""
    answer = ask(frame, "standing withdraw", id=id)
    frame.tell(answer, [f"withdrawn: {line(id)}"])
    return OK


@click.group("delegation", cls=Group)
def delegation() -> None:
    """Votes that people lend to each other, from a time until a time."""


@delegation.command("grant")
@click.argument("to")
@click.option("--queue", required=True, help="The queue whose votes are lent.")
@click.option("--from", "begins", help="From when (UTC): 2026-12-01 or 2026-12-01T09:00; else now.")
@click.option("--until", "ends", required=True, help="Until when, likewise; or a span: 7d.")
@click.option("--reason", required=True)
@_yes
@pass_frame
def delegation_grant(frame: Frame, /, to: str, yes: bool, **told: str | None) -> int:
    """Lend your votes for a queue to the person TO, who then votes `--on-behalf-of` you.

    You and TO count as one person on an action on which TO votes for you.
    """
    given: dict[str, JSON] = {
        "to": to,
        "queue": told["queue"],
        "from_us": moment(told["begins"]) if told["begins"] else None,
        "until_us": moment(str(told["ends"])),
        "reason": told["reason"],
    }
    draft = cast("Object", ask(frame, "delegation draft", **given))
    statement = msgspec.convert(draft["statement"], Delegation)
    lines = fields(
        {
            "delegation": statement.id,
            "of": statement.person,
            "to": statement.to,
            "queue": statement.queue,
            "from": at(statement.from_us),
            "until": at(statement.until_us),
            "reason": statement.reason,
        }
    )
    agree(lines, yes)
    signed = approval.sign_mandate(statement, log_in(frame.enter()).key)
    return _granted(frame, ask(frame, "delegation grant", statement=msgspec.to_builtins(signed)))


@delegation.command("list")
@pass_frame
def delegation_list(frame: Frame) -> int:
    """List delegations, newest first."""
    answer = cast("list[Object]", ask(frame, "delegation list"))
    headings = ["ID", "STATE", "OF", "TO", "QUEUE", "FROM", "UNTIL", "WHY"]
    names = ("id", "state", "person", "to", "queue")
    rows = [
        [*(each[name] for name in names), at(each["from_us"]), at(each["until_us"]), each["reason"]]
        for each in answer
    ]
    frame.tell(answer, table(headings, rows, "nobody has lent a vote"))
    return OK


@delegation.command("end")
@click.argument("id")
@pass_frame
def delegation_end(frame: Frame, id: str) -> int:
    """End the delegation ID at once. Votes that rest on it no longer count."""
    frame.tell(ask(frame, "delegation end", id=id), [f"ended: {line(id)}"])
    return OK


@click.command("break-glass", cls=Command)
@click.option("--agent", help="Whose actions pass.")
@click.option("--tool", help="Which tool: a name, `prefix.*` or `*`.")
@click.option("--rule", "rules", multiple=True, help="A rule that asks people; else all of them.")
@click.option("--for", "span", default="15m", show_default=True, help="How long: at most 1h.")
@click.option("--reason", help="Why it cannot wait for people.")
@click.option("--end", "ending", help="End the grant of that id at once.")
@_yes
@pass_frame
def break_glass(
    frame: Frame, /, rules: tuple[str, ...], span: str, yes: bool, **told: str | None
) -> int:
    """In an emergency, let rules that ask people pass for an agent and a tool.

    No plain forbid, no stop, no mode and no budget passes. Every use is listed, and a second
    person has to review it within a day of its end.
    """
    if told["ending"] is not None:
        ended = ask(frame, "break-glass end", id=told["ending"])
        frame.tell(ended, [f"ended: {line(told['ending'])}; it is still to be reviewed"])
        return OK
    for name in ("agent", "tool", "reason"):
        if not told[name]:
            raise BadInput(f"`--{name}` is missing", code="usage", help="give it, or `--end ID`")
    given: dict[str, JSON] = {
        "agent": told["agent"],
        "tool": told["tool"],
        "rules": list(rules),
        "seconds": _at_most_an_hour(span),
        "reason": told["reason"],
    }
    draft = cast("Object", ask(frame, "break-glass draft", **given))
    statement = msgspec.convert(draft["statement"], BreakGlass)
    lines = fields(
        {
            "break glass": statement.id,
            "agent": statement.agent,
            "tool": statement.tool,
            "rules": [each.rule for each in statement.rules],
            "until": at(statement.until_us),
            "reason": statement.reason,
        }
    )
    agree(lines, yes)
    signed = approval.sign_mandate(statement, log_in(frame.enter()).key)
    answer = cast("Object", ask(frame, "break-glass", statement=msgspec.to_builtins(signed)))
    frame.tell(
        answer,
        [
            f"in force until {at(answer['until_us'])}: {line(answer['id'])}",
            f"another person has to review it by {at(answer['review_by_us'])}",
        ],
    )
    return OK


@click.group("reviews", cls=Group)
def reviews() -> None:
    """Broken glasses that a second person has to review."""


@reviews.command("list")
@click.option("--all", "every", is_flag=True, help="Those that are reviewed too.")
@pass_frame
def reviews_list(frame: Frame, every: bool) -> int:
    """List what was done under broken glasses. Exit code 1 if a review is overdue."""
    answer = cast("list[Object]", ask(frame, "reviews list", every=every))
    headings = ["ID", "STATE", "BY", "AGENT", "TOOL", "UNTIL", "REVIEW BY", "USES", "WHY"]
    rows = [
        [
            *(each[name] for name in ("id", "state", "person", "agent", "tool")),
            at(each["until_us"]),
            at(each["review_by_us"]),
            each["actions"],
            each["reason"],
        ]
        for each in answer
    ]
    frame.tell(answer, table(headings, rows, "no review waits"))
    return FOUND if any(each["state"] == "overdue" for each in answer) else OK


@reviews.command("close")
@click.argument("id")
@click.option("--finding", required=True, help="What you found; it is kept.")
@pass_frame
def reviews_close(frame: Frame, id: str, finding: str) -> int:
    """Say what you found about the broken glass ID, which another person broke."""
    answer = ask(frame, "reviews close", id=id, finding=finding)
    frame.tell(answer, [f"reviewed: {line(id)}"])
    return OK


def shown(statement: StandingApproval, texts: Object) -> list[str]:
    """The lines that show a standing approval to whoever signs or confirms it."""
    sum_ = f"{statement.max_value} minor units of {statement.currency}"
    lines = fields(
        {
            "standing": statement.id,
            "by": statement.person,
            "agent": statement.agent,
            "tool": statement.tool,
            "resource": statement.resource,
            "actions": f"at most {statement.max_actions}",
            "sum": f"at most {sum_}" if statement.max_value is not None else "nothing of value",
            "until": at(statement.until_us),
            "reason": statement.reason,
        }
    )
    for rule in statement.rules:
        lines.append(f"rule {line(rule.rule)}, for {line(rule.queue)}, text {rule.text_hash}")
        lines += [f"  {line(each, 1000)}" for each in str(texts.get(rule.rule, "")).split("\n")]
    return lines


def agree(lines: Sequence[str], yes: bool) -> None:
    """Make sure that the person means what is signed: by being shown it, or by `--yes`."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput(
            "nobody was shown what is signed",
            code="consent_missing",
            help="use a terminal, or give `--yes`",
        )
    for each in lines:
        click.echo(each, err=True)
    agreed("sign this?")


def seconds(span: str) -> int:
    """A span such as `15m` or `7d` in seconds. Raises `BadInput`."""
    match = _SPAN(span)
    if match is None:
        raise BadInput(
            f"`{line(span)}` is not a span of time",
            code="span_invalid",
            help="write a number and s, m, h or d, such as 15m or 7d",
        )
    return int(match[1]) * _SECONDS[match[2]]


def _at_most_an_hour(span: str) -> int:
    if (wanted := seconds(span)) > _SECONDS["h"]:
        raise BadInput(
            f"`{line(span)}` is longer than an hour",
            code="span_invalid",
            help="write at most 1h; break the glass anew if it still cannot wait",
        )
    return wanted


def moment(text: str) -> int:
    """A day, a minute or a span from now as microseconds since the epoch, UTC."""
    if _SPAN(text):
        return time.time_ns() // 1000 + seconds(text) * 1_000_000
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"`{line(text)}` is no moment",
            code="moment_invalid",
            help="write 2026-12-01, 2026-12-01T09:00 (UTC), or a span such as 7d",
        ) from None
    known = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return int(known.timestamp()) * 1_000_000


def _granted(frame: Frame, answer: JSON, second: str = "") -> int:
    if (waits := waiting(frame, answer, second)) is not None:
        return waits
    granted = cast("Object", answer)
    frame.tell(answer, [f"in force until {at(granted['until_us'])}: {line(granted['id'])}"])
    return OK


def _sum(each: Object) -> str:
    if each["max_value"] is None:
        return "-"
    return f"{each['used_value']} of {each['max_value']} {each['currency']} (minor units)"


COMMANDS = (standing, delegation, break_glass, reviews)
