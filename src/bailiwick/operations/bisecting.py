"""Which release first decided so: an action decided under each release that was ever active.

What releases say need not change only once, so nothing is left out: every activation is looked at,
in the order of their records. One release is compiled at a time, so that many cost time and not
memory.
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from bailiwick.errors import BailiwickError, ControlError
from bailiwick.nouns import Person, Release
from bailiwick.operations.changes import Parameters
from bailiwick.operations.channel import text_of
from bailiwick.operations.comparing import changes
from bailiwick.operations.redeciding import (
    NotAgain,
    Ruling,
    decided,
    opened,
    own_bundle,
    recorded_first,
    told,
)
from bailiwick.operations.releases import Activation, activations
from bailiwick.operations.stories import existing
from bailiwick.ports import Bundle, World
from bailiwick.values import JSON
from bailiwick.wiring import compile_bundle

_UNREADABLE = NotAgain("release_unreadable", "the release cannot be compiled any more")


class Step(NamedTuple):
    """What a release says of the action, and which activations it stands for."""

    first: Activation
    last: Activation
    activations: int
    said: Ruling | NotAgain


async def policy_bisect(world: World, person: Person, given: Parameters) -> JSON:
    """Decide an action under every release in the order in which they decided.

    Gives the series, and the first release that decides as it was decided with what it changed
    against the one before it.
    """
    action = await existing(world, text_of(given, "action"))
    sealed = await world.shelf.payload(action.tenant, action.id, "proposal")
    kept = await opened(world, action, sealed[1] if sealed else None)
    if isinstance(kept, NotAgain):
        raise ControlError(
            f"action `{action.id}` cannot be decided again: {kept.message}", code=kept.code
        )
    own = await own_bundle(world, action)
    recorded = recorded_first(action, kept, own)
    releases = {each.digest: each for each in await world.register.releases(person.tenant)}
    series: list[Step] = []
    known: dict[str, Ruling | NotAgain] = {}
    for each in await activations(world, person.tenant):
        if each.digest not in known:
            bundle = await _compiled(releases, each.digest)
            known[each.digest] = (
                decided(action, kept, bundle, own, first=True) if bundle else _UNREADABLE
            )
        said = known[each.digest]
        if series and _same(series[-1].said, said):
            series[-1] = series[-1]._replace(last=each, activations=series[-1].activations + 1)
        else:
            series.append(Step(each, each, 1, said))
    found = next((n for n, step in enumerate(series) if _same(step.said, recorded)), None)
    answer: dict[str, JSON] = {
        "action": action.id,
        "recorded": told(recorded),
        "series": [_told(step) for step in series],
        "first": None,
        "before": None,
        "changes": [],
    }
    if found is None:
        return answer
    first = series[found].first.digest
    before = series[found - 1].last.digest if found else None
    said_of = await _changes(releases, before, first) if before else []
    return {**answer, "first": first, "before": before, "changes": said_of}


async def _compiled(releases: Mapping[str, Release], digest: str) -> Bundle | None:
    """A release that was active once, so that its code has been consented to."""
    try:
        return await asyncio.to_thread(compile_bundle, releases[digest])
    except (KeyError, BailiwickError):
        return None


async def _changes(releases: Mapping[str, Release], before: str, first: str) -> list[JSON]:
    old, new = await _compiled(releases, before), await _compiled(releases, first)
    return [*changes(old, new)] if old and new else []


def _same(one: Ruling | NotAgain, other: Ruling | NotAgain) -> bool:
    """Whether two say the same of the action: the effect, and who is asked."""
    if isinstance(one, Ruling) and isinstance(other, Ruling):
        return (one.effect, one.code, one.asks) == (other.effect, other.code, other.asks)
    return one == other


def _told(step: Step) -> dict[str, JSON]:
    said = step.said
    return {
        "release": step.first.digest,
        "at_us": step.first.at_us,
        "until": step.last.digest,
        "activations": step.activations,
        "said": told(said) if isinstance(said, Ruling) else None,
        "cannot": None if isinstance(said, Ruling) else said.message,
    }
