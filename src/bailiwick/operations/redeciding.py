"""Deciding again: what a release says of an action that was decided before, and why it cannot.

What the rules were told is kept with the proposal: arguments, facts, the caps that it did not fit,
evidence, mode and time. Under another version of its tool an action's facts are computed anew from
the arguments and reads of then; what was not read then is not known, and nothing is made up.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import msgspec
from msgspec.structs import replace

from bailiwick.errors import BailiwickError, LedgerError
from bailiwick.nouns import (
    MODES,
    Action,
    Ask,
    Cap,
    Decision,
    Mode,
    Period,
    Person,
    Refusal,
    Situation,
    Tool,
    mode_of,
)
from bailiwick.operations.changes import Parameters
from bailiwick.operations.channel import text_of
from bailiwick.operations.comparing import book_of
from bailiwick.operations.stories import existing
from bailiwick.ports import Bundle, Question, World
from bailiwick.values import JSON

Kept = Mapping[str, JSON]


class NotAgain(NamedTuple):
    """Why an action cannot be decided again: a stable code, and the same in words."""

    code: str
    message: str


NO_DECISION = NotAgain("no_decision", "it was refused before the rules were asked")
_ERASED = NotAgain("payload_erased", "its arguments are erased")
_NO_RELEASE = NotAgain("release_unreadable", "the release that decided it cannot be compiled")
_NO_SITUATION = NotAgain("situation_missing", "an older version did not keep what the rules read")
_TOOL_GONE = NotAgain("tool_gone", "the release does not have its tool")
_AGENT_GONE = NotAgain("agent_gone", "the release does not have its agent")
_NOT_READ = NotAgain("not_read", "the tool wants to know what was not read then")
_ALL = (NO_DECISION, _ERASED, _NO_RELEASE, _NO_SITUATION, _TOOL_GONE, _AGENT_GONE, _NOT_READ)

# Each reason in words, by its code.
WHY: Mapping[str, str] = dict(_ALL)


class Ruling(NamedTuple):
    """What a release says of an action: `code` is `rules`, or what else refused it.

    Beside the rules an action can be refused by its tool's schema and by its mode.
    """

    effect: str
    code: str = "rules"
    rules: tuple[str, ...] = ()
    asks: tuple[tuple[str, int], ...] = ()
    errors: tuple[str, ...] = ()


async def actions_redecide(world: World, person: Person, given: Parameters) -> JSON:
    """Decide an action again under its own release: the same, or where it differs."""
    action = await existing(world, text_of(given, "action"))
    answer: dict[str, JSON] = {"action": action.id, "release": decided_under(action)}
    sealed = await world.shelf.payload(action.tenant, action.id, "proposal")
    kept = await opened(world, action, sealed[1] if sealed else None)
    own = await own_bundle(world, action)
    if isinstance(kept, NotAgain):
        again: Ruling | NotAgain = kept
    else:
        again = _NO_RELEASE if own is None else decided(action, kept, own, own, first=False)
    if isinstance(again, NotAgain):
        return {**answer, "same": None, "code": again.code, "message": again.message}
    assert action.decision is not None
    recorded = _recorded(action, action.decision)
    differs = [name for name in Ruling._fields if getattr(recorded, name) != getattr(again, name)]
    return {
        **answer,
        "same": not differs,
        "differs": differs,
        "recorded": told(recorded),
        "again": told(again),
    }


def decided_under(action: Action) -> str:
    """The digest of the release that the action's decision is of; empty if there is none."""
    return (action.decision.release if action.decision else "") or action.release


async def own_bundle(world: World, action: Action) -> Bundle | None:
    """The release that decided the action; None if it cannot be compiled any more."""
    try:
        return await world.bundle(action.tenant, decided_under(action) or None)
    except BailiwickError:
        return None


async def opened(world: World, action: Action, sealed: bytes | None) -> Kept | NotAgain:
    """What was kept of the proposal; or why that cannot be read, or was never decided."""
    if action.decision is None:
        return NO_DECISION
    if sealed is None:
        return _ERASED
    try:
        kept = await world.vault.unseal(action.tenant, action.id, "proposal", action.run, sealed)
    except LedgerError as fault:
        return NotAgain(fault.code, fault.message)
    if kept is None:
        return _ERASED
    return kept if "facts" in kept else _NO_SITUATION


def decided(
    action: Action, kept: Kept, bundle: Bundle, own: Bundle | None, *, first: bool
) -> Ruling | NotAgain:
    """What a release says of the action. `own` is the one that decided it, if it can be had.

    `first` asks for the decision before people had said anything.
    """
    tool = bundle.catalogue.tools.get(action.tool)
    if tool is None:
        return _TOOL_GONE
    if action.agent not in bundle.manifests:
        return _AGENT_GONE
    situation = _situation(action, kept, bundle, tool, own)
    if isinstance(situation, NotAgain):
        return situation
    if isinstance(situation, Refusal):
        return Ruling("deny", situation.code)
    classes = set(map(str, _listed(kept.get("data_classes"))))
    agents = (action.agent, *action.caller.actors)
    declared = mode_of(tool.name, agents, manifests=bundle.manifests)
    mode = min(declared, cast("Mode", kept.get("mode", "live")), key=MODES.index)
    if mode == "read-only" and tool.effect == "write":
        return Ruling("deny", "read_only")
    decision = bundle.policies.decide(
        Question(
            caller=action.caller,
            tool=tool.name,
            situation=situation,
            over=tuple(map(_cap, _listed(kept.get("over")))),
            evidence=() if first else tuple(map(str, _listed(kept.get("evidence")))),
            now_us=cast("int", kept.get("judged_at_us", action.created_at_us)),
            sources=tuple(map(str, _listed(kept.get("sources")))),
            mode=mode,
            # What the run was shown stays with it, whatever the tool's version says of arguments.
            data_classes=tuple(sorted(classes.union(situation.data_classes))),
        )
    )
    return _judged(decision, shadowed=mode == "shadow")


def recorded_first(action: Action, kept: Kept, own: Bundle | None) -> Ruling:
    """What was decided of the action at first: who was asked has been asked, whatever they said."""
    assert action.decision is not None
    recorded = _recorded(action, action.decision)
    satisfied = set(map(str, _listed(kept.get("evidence"))))
    if not satisfied:
        return recorded
    asks = [(ask.queue, ask.quorum) for ask in action.decision.asks if ask.rule not in satisfied]
    if own is not None:
        rules = book_of(own).rules
        asks += [(rule.queue, rule.quorum) for rule in rules if rule.id in satisfied]
    return Ruling("ask", recorded.code, recorded.rules, tuple(sorted(asks)))


def told(judged: Ruling) -> dict[str, JSON]:
    """A judgement as data."""
    return {
        "effect": judged.effect,
        "code": judged.code,
        "rules": list(judged.rules),
        "asks": [f"{queue}:{quorum}" for queue, quorum in judged.asks],
        "errors": list(judged.errors),
    }


def _recorded(action: Action, decision: Decision) -> Ruling:
    return _judged(decision, shadowed=action.code == "shadowed")


def _judged(decision: Decision, *, shadowed: bool) -> Ruling:
    """A decision with what the mode makes of it."""
    kept_back = shadowed and decision.effect != "deny"
    return Ruling(
        "deny" if kept_back else decision.effect,
        "shadowed" if kept_back else "rules",
        tuple(sorted(rule.id for rule in decision.rules)),
        _asks(decision.asks),
        tuple(decision.errors),
    )


def _asks(asks: Sequence[Ask]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((ask.queue, ask.quorum) for ask in asks))


def _situation(
    action: Action, kept: Kept, bundle: Bundle, tool: Tool, own: Bundle | None
) -> Situation | Refusal | NotAgain:
    """Step 4 again, on what was read then. The same version of the tool keeps its facts."""
    was = own.catalogue.tools.get(tool.name) if own else None
    same = tool.digest == (was.digest if was else action.tool_digest)
    if not same and not _were_read(tool, bundle, was, own):
        return _NOT_READ
    catalogue = bundle.catalogue
    arguments = _object(kept["arguments"])
    if not same:
        checked = catalogue.arguments(tool, _object(kept["asked"]))
        if isinstance(checked, Refusal):
            return checked
        arguments = checked
    resource = action.resource if same else None
    found = resource or catalogue.resource(tool, arguments)
    if isinstance(found, Refusal):
        return found
    situation = catalogue.situation(tool, arguments, found, _object(kept["before"]))
    if same and isinstance(situation, Situation):
        return replace(situation, facts=_object(kept["facts"]))
    return situation


def _were_read(tool: Tool, bundle: Bundle, was: Tool | None, own: Bundle | None) -> bool:
    """Whether all reads of the tool were made then, in the same way, by the same readers."""
    if not tool.before:
        return True
    if was is None or own is None:
        return False
    then, now = own.catalogue.tools, bundle.catalogue.tools
    return all(
        was.before.get(name) == reader and now[reader.tool].digest == then[reader.tool].digest
        for name, reader in tool.before.items()
    )


def _cap(kept: JSON) -> Cap:
    node, unit, period, limit = msgspec.convert(kept, tuple[str, str, Period, int])
    return Cap(node=node, unit=unit, period=period, limit=limit)


def _object(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, (list, tuple)) else ()
