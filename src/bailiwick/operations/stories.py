"""Actions as people look them up: lists, and the whole story of one id.

Payloads are told only to those who may see them; everybody else sees their commitments.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast, get_args

from bailiwick import approval, identity, policy, store
from bailiwick.errors import BadInput, BailiwickError, ControlError, LedgerError
from bailiwick.ledger import records
from bailiwick.ledger.tree import leaf_hash
from bailiwick.nouns import STEPS, Action, Approval, Person, Record, State
from bailiwick.operations.approvals import counted
from bailiwick.operations.changes import Parameters
from bailiwick.operations.channel import text_of, texts_of
from bailiwick.operations.comparing import book_of
from bailiwick.ports import World
from bailiwick.values import JSON, shown

_PAGE = 500
_LONGEST_LIST = 1000
# An action is written at the latest so long after it was made: it may read for an hour before.
_WRITTEN_WITHIN_US = 2 * 3600 * 1_000_000
_FILTERS = ("agent", "tool", "run", "subject")


async def actions_list(world: World, person: Person, given: Parameters) -> JSON:
    """The newest actions, by state, agent, tool, run and subject; `limit` of them.

    With `before` those older than that action.
    """
    states, limit = texts_of(given, "states"), given.get("limit", 50)
    if not set(states) <= set(get_args(State)):
        raise BadInput(
            "`states` holds something that no action can be",
            code="parameter_invalid",
            help=f"an action is {', '.join(get_args(State))}",
        )
    if not isinstance(limit, int) or not 1 <= limit <= _LONGEST_LIST:
        raise BadInput(f"`limit` is not from 1 to {_LONGEST_LIST}", code="parameter_invalid")
    wanted = {name: text_of(given, name) for name in _FILTERS if given.get(name) is not None}
    found: list[Action] = []
    before = text_of(given, "before", "") or None
    while len(found) < limit:
        page = await world.register.actions(
            person.tenant, cast("Sequence[State]", states), _PAGE, before
        )
        found += [each for each in page if _matches(each, wanted)]
        if len(page) < _PAGE:
            break
        before = page[-1].id
    return [summary(action) for action in found[:limit]]


async def actions_payload(world: World, person: Person, given: Parameters) -> JSON:
    """What was asked and what came of it, in clear; null for what is erased or was never there."""
    return await _payloads(world, await existing(world, text_of(given, "action")))


async def newest_first(world: World, since_us: int = 0) -> AsyncIterator[Action]:
    """All actions, back to those that were surely made before a time."""
    before = None
    while page := await world.register.actions(world.settings.tenant, (), _PAGE, before):
        for action in page:
            yield action
        if page[-1].created_at_us < since_us - _WRITTEN_WITHIN_US:
            return
        before = page[-1].id
        await asyncio.sleep(0)  # a long history must not keep a kill waiting


async def actions_show(world: World, person: Person, given: Parameters) -> JSON:
    """The whole story of one action: who, what, each step, the rules, people, records, and why."""
    action = await existing(world, text_of(given, "action"))
    asked = await world.shelf.approval(action.tenant, action.id)
    stored = await world.ledger.records(0, 0, of=(action.tenant, action.id))
    entries = [_entry(record) for record in stored]
    may = identity.allowed(person.roles, "actions payload")
    kept = await _payloads(world, action) if may else {}
    story = {
        **summary(action),
        "took_us": sum(action.timings_us) or None,
        "capability": action.caller.capability.id,
        "actors": list(action.caller.actors),
        "keys": list(action.caller.key_ids),
        "name": action.name,
        "attempt": action.attempt,
        "undone_by": await _undone_by(world, action),
        "tool_digest": action.tool_digest,
        "release": action.release,
        "effect_key": action.effect_key,
        "intent_hash": action.intent_hash,
        "deadline_at_us": action.deadline_at_us,
        "park_until_us": action.park_until_us,
        "lease_owner": action.lease_owner,
        "lease_until_us": action.lease_until_us,
        "ahead": await _ahead(world, action),
        "decision": await _decision(world, action),
        "approval": await _approval(world, action, asked) if asked else None,
        "records": entries,
        "payloads": kept if may else None,
        "erased": erased_of(action),
    }
    return {**story, "steps": _steps(action, asked, entries, kept)}


def erased_of(action: Action) -> dict[str, JSON] | None:
    """When, by whom and why an action's payloads were erased; None if they were not."""
    by = action.erased
    if by is None:
        return None
    return {"at_us": by.at_us, "by": by.by or None, "reason": by.reason, "epoch": by.epoch}


async def existing(world: World, id: str) -> Action:
    """The action, or `ControlError` `action_unknown`."""
    action = await world.store.action(world.settings.tenant, id)
    if action is None:
        raise ControlError(
            f"there is no action `{shown(id)}`",
            code="action_unknown",
            help="list them with `bailiwick actions list`",
        )
    return action


def summary(action: Action) -> dict[str, JSON]:
    """An action as one line of a list."""
    return {
        "action": action.id,
        "state": action.state,
        "verdict": action.verdict,
        "code": action.code,
        "message": action.message,
        "step": action.step,
        "agent": action.agent,
        "subject": action.subject,
        "run": action.run,
        "tool": action.tool,
        "resource": f"{action.resource.type}:{action.resource.id}" if action.resource else None,
        "undoes": action.undoes,
        "cost_micro_usd": action.cost_micro_usd,
        "created_at_us": action.created_at_us,
        "updated_at_us": action.updated_at_us,
    }


async def _undone_by(world: World, action: Action) -> dict[str, JSON] | None:
    """The action that takes this one back, and how far it has got."""
    holder = await world.shelf.holder(action.tenant, store.undoing_key(action.id))
    undoing = await world.store.action(action.tenant, holder) if holder else None
    return None if undoing is None else {"action": undoing.id, "state": undoing.state}


def _matches(action: Action, wanted: Mapping[str, str]) -> bool:
    return all(getattr(action, name) == value for name, value in wanted.items())


async def _payloads(world: World, action: Action) -> dict[str, JSON]:
    """The payloads in clear; None for one that is erased or was never there, a fault as text."""
    kept: dict[str, JSON] = {}
    for kind in ("proposal", "result", "resolution"):
        try:
            kept[kind] = await world.vault.open(action.tenant, action.id, kind)
        except LedgerError as fault:
            kept[kind] = {"fault": fault.message, "code": fault.code}
    return kept


async def _rules(world: World, action: Action) -> Mapping[str, policy.Rule]:
    """The rules of the action's own release, by id; none if it cannot be read any more."""
    try:
        bundle = await world.bundle(action.tenant, action.release or None)
    except BailiwickError:
        return {}
    return {rule.id: rule for rule in book_of(bundle).rules}


async def _decision(world: World, action: Action) -> dict[str, JSON] | None:
    decision = action.decision
    if decision is None:
        return None
    rules = await _rules(world, action)
    return {
        "effect": decision.effect,
        "errors": list(decision.errors),
        "rules": [
            {"id": rule.id, "effect": rule.effect, **_worded(rules.get(rule.id))}
            for rule in decision.rules
        ],
    }


async def _ahead(world: World, action: Action) -> list[JSON]:
    """The standing approvals that the action drew on: whose they are, and why they were given."""
    if not action.ahead:
        return []
    known = {each.statement.id: each for each in await world.mandates.signed(action.tenant)}
    found = [(id, known.get(id)) for id in action.ahead]
    return [
        {
            "id": id,
            "person": mandate.statement.person if mandate else None,
            "reason": mandate.statement.reason if mandate else None,
        }
        for id, mandate in found
    ]


def _worded(rule: policy.Rule | None) -> dict[str, JSON]:
    return {"text_hash": rule.text_hash if rule else None, "text": rule.text if rule else None}


async def _approval(world: World, action: Action, asked: Approval) -> dict[str, JSON]:
    people = await approval.electorate(world, await world.store.control(action.tenant))
    rules = await _rules(world, action)
    return {
        "state": asked.state,
        "digest": asked.request_digest,
        "requested_at_us": asked.requested_at_us,
        "expires_at_us": asked.expires_at_us,
        "rules": [
            {**_worded(rules.get(str(each["rule"]))), **each}
            for each in counted(asked, action, people)
        ],
        "votes": [
            {
                "person": vote.person,
                "choice": vote.choice,
                "cast_at_us": vote.cast_at_us,
                "reason": vote.reason,
                "on_behalf_of": vote.on_behalf_of or None,
            }
            for vote in asked.votes
        ],
    }


def _entry(record: Record) -> dict[str, JSON]:
    """A ledger record with its place; one whose bytes are not a record is told as such."""
    entry: dict[str, JSON] = {
        "seq": record.seq,
        "leaf_index": record.leaf_index,
        "hash": leaf_hash(record.body).hex(),
    }
    try:
        fields = records.decode(record.body)
    except (LedgerError, BadInput) as fault:
        return {**entry, "kind": "damaged", "at_us": None, "fields": {}, "fault": fault.message}
    return {
        **entry,
        "kind": str(fields["kind"]),
        "at_us": cast("int", fields["at_us"]),
        "fields": cast("dict[str, JSON]", fields),
    }


# --- the twelve steps ----------------------------------------------------------------------------


def _steps(
    action: Action,
    asked: Approval | None,
    entries: Sequence[Mapping[str, JSON]],
    kept: Mapping[str, JSON],
) -> list[JSON]:
    """What each step settled, in words, with the time of its record and how long it took."""
    newest = {str(entry["kind"]): entry for entry in entries}
    told = {
        1: _proposed(action),
        2: f"agent {shown(action.agent)} for {shown(action.subject)} in run {shown(action.run)}",
        3: "no stop, mode, breaker or bound of the run was in the way",
        4: f"touches {shown(str(summary(action)['resource'] or 'nothing that has a name'))}",
        5: _priced(newest, kept),
        6: _decided(action),
        7: _asked_of(action, asked),
        8: _intended(action),
        9: _executed(action, kept),
        10: _verified(action, newest),
        11: f"concluded as {action.state}" if _concluded(action) else "",
        12: "told to telemetry" if _concluded(action) else "",
    }
    times = {7: newest.get("parked"), 8: newest.get("intended"), 11: newest.get("concluded")}
    steps: list[JSON] = []
    for number, name in enumerate(STEPS, start=1):
        settled = told[number]
        if action.state in ("refused", "denied") and number >= action.step:
            no = f"refused [{action.code}]: {shown(action.message, 500)}"
            settled = no if number == action.step else ""
        entry = times.get(number)
        steps.append(
            {
                "step": number,
                "name": name,
                "settled": settled or "not reached",
                "at_us": entry["at_us"] if entry else action.created_at_us if number == 1 else None,
                "took_us": (action.timings_us[number - 1] or None) if action.timings_us else None,
            }
        )
    return steps


def _proposed(action: Action) -> str:
    if action.name.startswith("key:"):
        return f"{action.tool}, under the caller's key {shown(action.name[4:])}"
    return f"{action.tool}, named by its arguments"


def _priced(newest: Mapping[str, Mapping[str, JSON]], kept: Mapping[str, JSON]) -> str:
    proposal = kept.get("proposal")
    holds = proposal.get("holds") if isinstance(proposal, Mapping) else None
    if isinstance(holds, (list, tuple)):
        parts = [f"{each[3]} {each[1]} at {each[0]}" for each in cast("list[list[JSON]]", holds)]
        return f"holds {'; '.join(map(str, parts))}" if parts else "holds nothing"
    entry = newest.get("intended") or newest.get("concluded")
    fields = entry["fields"] if entry else {}
    entries = cast("Mapping[str, JSON]", fields).get("holds")
    if isinstance(entries, (list, tuple)) and entries:
        nodes = [
            f"{each['unit']} at {each['node']}" for each in cast("list[dict[str, str]]", entries)
        ]
        return f"holds {'; '.join(nodes)}"
    return "within every budget it draws on"


def _decided(action: Action) -> str:
    decision = action.decision
    if decision is None:
        return ""
    names = ", ".join(rule.id for rule in decision.rules) or "no rule"
    return f"{decision.effect}, by {names}"


def _asked_of(action: Action, asked: Approval | None) -> str:
    if asked is None:
        would = action.decision is not None and action.decision.effect == "ask"
        return "nobody was asked; people would have been" if would else "nobody had to be asked"
    queues = ", ".join(f"{ask.quorum} of {ask.queue}" for ask in asked.asks)
    return f"asked {queues}: {asked.state}"


def _concluded(action: Action) -> bool:
    return action.state in ("done", "failed", "unknown")


def _intended(action: Action) -> str:
    if action.intent_hash is not None:
        return f"record {action.intent_hash}"
    return "a read commits once, at the end" if _concluded(action) else ""


def _executed(action: Action, kept: Mapping[str, JSON]) -> str:
    if action.state == "intended":
        return "in flight, or being looked up"
    if not _concluded(action):
        return ""
    result = kept.get("result")
    sends = result.get("sends") if isinstance(result, Mapping) else None
    counted = f" after {sends} send{'' if sends == 1 else 's'}" if isinstance(sends, int) else ""
    why = f": {shown(action.message, 500)}" if action.message else ""
    said = f" [{action.code}]{why}" if action.code else ""
    return f"{action.state}{counted}{said}"


def _verified(action: Action, newest: Mapping[str, Mapping[str, JSON]]) -> str:
    if not _concluded(action):
        return ""
    entry = newest.get("concluded")
    fields = cast("Mapping[str, JSON]", entry["fields"]) if entry else {}
    verdict = fields.get("verdict") or action.verdict
    if verdict is None:
        return "nothing to be checked"
    return f"{verdict}: {shown(action.message, 500)}" if action.message else str(verdict)
