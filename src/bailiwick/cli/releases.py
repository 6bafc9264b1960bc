"""release: what decides; stored, compared, tried on what was decided, activated, taken back."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import click

from bailiwick import operations
from bailiwick.cli.frame import FOUND, OK, Frame, Group, pass_frame
from bailiwick.cli.people import waiting
from bailiwick.cli.reaching import ask, beside, log_in
from bailiwick.cli.telling import at, fields, line, table
from bailiwick.errors import BadInput
from bailiwick.operations.redeciding import WHY
from bailiwick.ports import World
from bailiwick.values import JSON, counted
from bailiwick.wiring import read_release

Object = Mapping[str, JSON]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = 500
_LISTED = 20
_SILENT_S = 2.0


@click.group("release", cls=Group)
def release() -> None:
    """What decides: the project's files take effect only by activating a release of them."""


@release.command("list")
@pass_frame
def release_list(frame: Frame) -> int:
    """List the releases, newest first."""
    answer = cast("list[Object]", ask(frame, "release list"))
    rows = [
        [
            str(each["digest"])[:16],
            each["active"],
            each["files"],
            at(each["created_at_us"]),
            each["created_by"],
            each["note"],
        ]
        for each in answer
    ]
    headings = ["RELEASE", "ACTIVE", "FILES", "MADE", "BY", "NOTE"]
    frame.tell(answer, table(headings, rows, "there is no release"))
    return OK


@release.command("propose")
@click.option("--note", default="", help="What it is for.")
@pass_frame
def release_propose(frame: Frame, note: str) -> int:
    """Store the project's files as a release that does not decide yet, checked if it can be."""
    answer = cast("Object", ask(frame, "release propose", **_files(frame, None), note=note))
    frame.tell(
        answer,
        [
            f"proposed: {answer['digest']}",
            f"an administrator lets it decide with: bailiwick release activate {answer['digest']}",
        ],
    )
    return OK


@release.command("activate")
@click.argument("digest", required=False)
@click.option("--note", default="", help="What it is for.")
@pass_frame
def release_activate(frame: Frame, digest: str | None, note: str) -> int:
    """Let the release DIGEST decide; without DIGEST, the project's files as they are now.

    With two administrators the second one makes it.
    """
    answer = ask(frame, "release activate", **_files(frame, digest), note=note)
    if (waits := waiting(frame, answer)) is not None:
        click.echo(f"bailiwick release activate {cast('Object', answer)['digest']}", err=True)
        return waits
    told = cast("Object", answer)
    for agent in cast("list[str]", told["without_account"]):
        frame.warn(f"{agent} has no key: run `bailiwick agents register {agent}`")
    frame.tell(told, [f"active: {told['digest']}"])
    return OK


@release.command("rollback")
@click.argument("digest", required=False)
@pass_frame
def release_rollback(frame: Frame, digest: str | None) -> int:
    """Let the release before the active one decide again, or DIGEST, which decided once.

    One that provably allows nothing more is made at once; else, with two administrators, the
    second one makes it.
    """
    given: dict[str, JSON] = {} if digest is None else {"digest": digest}
    answer = ask(frame, "release rollback", **given)
    if (waits := waiting(frame, answer)) is not None:
        click.echo(f"bailiwick release rollback {cast('Object', answer)['digest']}", err=True)
        return waits
    told = cast("Object", answer)
    for agent in cast("list[str]", told["without_account"]):
        frame.warn(f"{agent} has no key: run `bailiwick agents register {agent}`")
    frame.tell(told, [f"active: {told['digest']}", f"no longer: {told['previous']}"])
    return OK


@release.command("check")
@click.argument("digest", required=False)
@pass_frame
def release_check(frame: Frame, digest: str | None) -> int:
    """Check the stored release DIGEST whole, or the project's files as they are now."""
    answer = cast("Object", ask(frame, "release check", **_files(frame, digest)))
    frame.tell(answer, [*fields(answer), "the release holds together"])
    return OK


@release.command("diff")
@click.argument("digest", required=False)
@click.argument("other", required=False)
@pass_frame
def release_diff(frame: Frame, digest: str | None, other: str | None) -> int:
    """Say in words what changes: `diff` from the active release to the project's files.

    `diff DIGEST` goes from the active release to DIGEST, `diff A B` from A to B.
    """
    given = _files(frame, digest if other is None else other)
    if other is not None:
        given["against"] = digest
    answer = cast("Object", ask(frame, "release diff", **given))
    sentences = [line(each, 2000) for each in cast("list[str]", answer["changes"])]
    why = [f"because: {line(each)}" for each in cast("list[str]", answer["because"])]
    verdict = ["it may allow more", *why] if answer["loosens"] else ["it allows nothing more"]
    frame.tell(answer, [*sentences, *verdict] if sentences else ["it changes nothing"])
    return OK


def _files(frame: Frame, digest: str | None) -> dict[str, JSON]:
    """What names the release: the digest of a stored one, or the project's files."""
    if digest is not None:
        return {"digest": digest}
    folder = frame.enter().path(".")
    return {"files": read_release(folder, created_at_us=0, created_by="").files}


class Backtest:
    """What a back-test has found so far; without `whole`, of the changes only the first ones."""

    def __init__(self, *, whole: bool) -> None:
        self.decided = 0
        self.would_be: Counter[str] = Counter()
        self.not_decided: Counter[str] = Counter()
        self.changed: list[Object] = []
        self._whole = whole

    def add(self, page: Object) -> None:
        """Count one page's answer in."""
        changed = cast("list[Object]", page["changed"])
        self.decided += cast("int", page["decided"])
        self.would_be.update(str(each["would_be"]) for each in changed)
        self.not_decided.update(cast("dict[str, int]", page["not_decided"]))
        room = len(changed) if self._whole else max(0, _LISTED - len(self.changed))
        self.changed += changed[:room]

    def verdict(self) -> str:
        """How many would change, in one line."""
        counted = [f"{count:,} {word}" for word, count in self.would_be.most_common()]
        what = f": {', '.join(counted)}" if counted else ""
        return f"{self.would_be.total():,} of {self.decided:,} would change{what}"


@release.command("backtest")
@click.argument("digest")
@click.option("--since", metavar="TIME", help="Only what was proposed since: 2026-01-05, in UTC.")
@click.option("--limit", type=click.IntRange(1), help="Only so many of the newest actions.")
@click.option("--agent", help="Only this agent's.")
@pass_frame
def release_backtest(
    frame: Frame, digest: str, since: str | None, limit: int | None, agent: str | None
) -> int:
    """Decide recorded actions again under the release DIGEST, and say which would change.

    It reads beside a working owner and writes nothing. Budgets are not played through: what did
    not fit then does not fit now. Exit code 1 if anything would change.
    """
    given: dict[str, JSON] = {"digest": digest, "since_us": _since_us(since), "agent": agent}
    settings = frame.enter()
    command = {"command": "release backtest", "session": log_in(settings).statement}
    found = Backtest(whole=frame.json)

    async def look() -> None:
        async with beside(settings) as world:
            await _all_pages(world, command, given, found, limit)

    asyncio.run(look())
    document: Object = {
        "release": digest,
        "decided": found.decided,
        "would_be": dict(found.would_be),
        "not_decided": dict(found.not_decided),
        "changed": found.changed,
    }
    frame.tell(document, list(_backtest(found)))
    return FOUND if found.would_be else OK


async def _all_pages(
    world: World, command: Object, given: dict[str, JSON], found: Backtest, limit: int | None
) -> None:
    """Ask for page after page, and say every few seconds how far it is."""
    said_s = time.monotonic()
    left, before = limit, None
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        more: dict[str, JSON] = {"before": before} if before is not None else {}
        parameters = {**given, **more, "limit": size}
        page = cast(
            "Object", await operations.perform(world, {**command, "parameters": parameters})
        )
        found.add(page)
        before, left = page["next"], None if left is None else left - size
        if before is None:
            return
        if time.monotonic() - said_s > _SILENT_S:
            said_s = time.monotonic()
            click.echo(f"so far {found.verdict()}", err=True)


def _backtest(found: Backtest) -> Iterator[str]:
    for each in found.changed:
        was, now = cast("Object", each["was"]), cast("Object", each["now"])
        who = f"{each['action']} {each['agent']} {each['tool']}"
        yield line(f"{who}: {judged(was)}, would be {judged(now)}")
    if found.would_be.total() > len(found.changed):
        yield f"and {found.would_be.total() - len(found.changed):,} more; `--json` lists all"
    yield found.verdict()
    undecided = found.not_decided.copy()
    if early := undecided.pop("no_decision", 0):
        yield f"not counted: {counted(early, 'refusal')} before the rules were asked"
    for code, count in undecided.most_common():
        yield f"{count:,} could not be decided again: {WHY.get(code, code)}"


def judged(what: Object) -> str:
    """What a release says of an action, in words."""
    rules = ", ".join(cast("list[str]", what["rules"]))
    errors = cast("list[str]", what["errors"])
    if what["effect"] == "ask":
        return f"asked of {' and '.join(cast('list[str]', what['asks']))} by {rules}"
    word = "allowed" if what["effect"] == "allow" else "denied"
    if what["code"] != "rules":
        return f"{word} [{what['code']}]"
    return f"{word} by {rules or ', '.join(errors) or 'no rule'}"


def _since_us(text: str | None) -> int:
    """A day or a moment in ISO 8601, UTC unless it says otherwise."""
    if text is None:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"`{text}` is no time", code="usage", help="write 2026-01-05 or 2026-01-05T09:00Z"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, (moment - _EPOCH) // timedelta(microseconds=1))


COMMANDS = (release,)
