"""Back-tests: what a release that does not decide yet would have decided of recorded actions.

One command looks at one page of actions, so that whoever asks for many can tell how far it is, and
no process that serves others is kept busy for long. Nothing is written.
"""

from typing import NamedTuple

from bailiwick.errors import BadInput, ControlError
from bailiwick.nouns import Action, Person
from bailiwick.operations.changes import Parameters
from bailiwick.operations.channel import text_of
from bailiwick.operations.redeciding import (
    Kept,
    NotAgain,
    Ruling,
    decided,
    decided_under,
    opened,
    own_bundle,
    recorded_first,
    told,
)
from bailiwick.operations.releases import runs_new_code, stored
from bailiwick.ports import Bundle, World
from bailiwick.values import JSON

_LONGEST_PAGE = 1000
# Beyond every id of an action.
_LAST = "\U0010ffff"


class Difference(NamedTuple):
    """What would become of an action: `denied`, `asked`, `allowed`, or `asked of others`."""

    would_be: str
    was: Ruling
    now: Ruling


async def release_backtest(world: World, person: Person, given: Parameters) -> JSON:
    """Decide recorded actions again under a stored release: a page of them, newest first.

    Compared is what was decided at first, so that who was asked counts as asked whatever was
    answered. Budgets are not played through: what did not fit then does not fit now.
    """
    limit, since_us = given.get("limit", _LONGEST_PAGE), given.get("since_us", 0)
    if not isinstance(limit, int) or not 1 <= limit <= _LONGEST_PAGE:
        raise BadInput(f"`limit` is not from 1 to {_LONGEST_PAGE}", code="parameter_invalid")
    if not isinstance(since_us, int) or since_us < 0:
        raise BadInput("`since_us` is not a time", code="parameter_invalid")
    release = await stored(world, person, text_of(given, "digest"))
    if await runs_new_code(world, person.tenant, release):
        raise ControlError(
            f"release `{release.digest}` has Python tools that are new, and nothing of them runs"
            " before it is activated",
            code="release_has_new_code",
            help="read them, and activate a release that has the tools and the old rules first",
        )
    bundle = await world.bundle(person.tenant, release.digest)
    page = await world.archive.proposals(
        person.tenant,
        limit,
        before=text_of(given, "before", _LAST),
        since=f"act_{since_us:014x}",
        agent=text_of(given, "agent") if given.get("agent") is not None else None,
    )
    changed: list[JSON] = []
    not_decided: dict[str, int] = {}
    for action, sealed in page:
        kept = await opened(world, action, sealed)
        found: Difference | NotAgain | None
        if isinstance(kept, NotAgain):
            found = kept
        else:
            found = _difference(action, kept, bundle, await own_bundle(world, action))
        if isinstance(found, NotAgain):
            not_decided[found.code] = not_decided.get(found.code, 0) + 1
        elif found is not None:
            changed.append(_told(action, found))
    return {
        "release": release.digest,
        "decided": len(page) - sum(not_decided.values()),
        "changed": changed,
        "not_decided": not_decided,
        "next": page[-1].action.id if len(page) == limit else None,
    }


def _difference(
    action: Action, kept: Kept, bundle: Bundle, own: Bundle | None
) -> Difference | NotAgain | None:
    now = decided(action, kept, bundle, own, first=True)
    if isinstance(now, NotAgain):
        return now
    was = recorded_first(action, kept, own)
    if now.effect != was.effect:
        word = {"deny": "denied", "ask": "asked", "allow": "allowed"}[now.effect]
        return Difference(word, was, now)
    return None if now.asks == was.asks else Difference("asked of others", was, now)


def _told(action: Action, found: Difference) -> dict[str, JSON]:
    return {
        "action": action.id,
        "agent": action.agent,
        "tool": action.tool,
        "release": decided_under(action),
        "would_be": found.would_be,
        "was": told(found.was),
        "now": told(found.now),
    }
