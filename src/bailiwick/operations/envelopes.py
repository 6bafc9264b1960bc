"""Runs as envelopes: one flat document a run, for those who analyse them elsewhere.

What was asked is told as names and commitments, unless somebody who may read payloads asks for
them. Amounts are decimal text made of integer micro-USD.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from bailiwick import execution, identity
from bailiwick.errors import BadInput, BailiwickError, IdentityError, LedgerError
from bailiwick.ledger import records
from bailiwick.nouns import Action, Person
from bailiwick.operations.changes import Parameters
from bailiwick.operations.channel import text_of
from bailiwick.ports import Bundle, World
from bailiwick.values import JSON

_PAGE = 500
_MOST_RUNS = 1000


async def actions_export(world: World, person: Person, given: Parameters) -> JSON:
    """The newest runs as envelopes, oldest first; of one run or agent, with payloads if asked."""
    limit, clear = given.get("limit", 100), given.get("payloads") is True
    if not isinstance(limit, int) or not 1 <= limit <= _MOST_RUNS:
        raise BadInput(f"`limit` is not from 1 to {_MOST_RUNS}", code="parameter_invalid")
    if clear and not identity.allowed(person.roles, "actions payload"):
        raise IdentityError(
            f"`{person.name}` may not read payloads as {', '.join(person.roles)}",
            code="not_allowed",
            help="leave `--payloads` out, or ask an approver or an auditor",
        )
    wanted = {name: text_of(given, name) for name in ("run", "agent") if given.get(name)}
    runs = await _runs(world, person.tenant, wanted, limit)
    return [await _envelope(world, each[::-1], clear=clear) for each in reversed(runs)]


async def _runs(
    world: World, tenant: str, wanted: Mapping[str, str], limit: int
) -> list[list[Action]]:
    """The actions of the newest runs, newest first. A run is one agent's."""
    runs: dict[tuple[str, str], list[Action]] = {}
    before = None
    while page := await world.register.actions(tenant, (), _PAGE, before):
        for action in page:
            own = (action.run, action.agent)
            if any(getattr(action, name) != value for name, value in wanted.items()):
                continue
            if own in runs or len(runs) < limit:
                runs.setdefault(own, []).append(action)
        before = page[-1].id
    return list(runs.values())


async def _envelope(world: World, actions: Sequence[Action], *, clear: bool) -> dict[str, JSON]:
    first = actions[0]
    kept = [await _proposal(world, action) for action in actions]
    recorded = [await _recorded(world, action) for action in actions]
    bundles = {release: await _bundle(world, first.tenant, release) for _, release in recorded}
    release = recorded[-1][1]
    inputs = {name: kept[0][name] for name in ("reason", "sources") if kept[0].get(name)}
    states = Counter(action.state for action in actions)
    return {
        "run_id": first.run,
        "agent": first.agent,
        "model": _models(bundles[release], first),
        "policy_version": release,
        "inputs": {"subject": first.subject, **inputs}
        if clear
        else {"names": ["subject", *inputs], "commitment": recorded[0][0]},
        "steps": [
            {
                **_step(action),
                "args": _arguments(asked)
                if clear
                else {
                    "names": _names(bundles[its_release], action, asked),
                    "commitment": commitment,
                },
            }
            for action, asked, (commitment, its_release) in zip(
                actions, kept, recorded, strict=True
            )
        ],
        "outcome": {"status": _status(actions), "actions": dict(sorted(states.items()))},
        "cost_usd": usd(sum(action.cost_micro_usd for action in actions)),
        "latency_ms": max(0, max(a.updated_at_us for a in actions) - first.created_at_us) // 1000,
    }


def usd(micro_usd: int) -> str:
    """Micro-USD as decimal text in dollars, exactly."""
    return f"{micro_usd // 1_000_000}.{micro_usd % 1_000_000:06d}"


def _step(action: Action) -> dict[str, JSON]:
    passed = action.state not in ("refused", "denied", "parked")
    return {
        "type": "tool_call",
        "name": action.tool,
        "validation": {
            "status": "passed" if passed else action.state,
            "code": None if passed else action.code or None,
            "idempotency_key": execution.provider_key(action.tenant, action.id),
        },
        "action": action.id,
        "status": action.state,
        "verdict": action.verdict,
    }


def _arguments(kept: Mapping[str, JSON]) -> dict[str, JSON]:
    given = kept.get("arguments")
    return dict(given) if isinstance(given, Mapping) else {}


def _names(bundle: Bundle | None, action: Action, kept: Mapping[str, JSON]) -> list[JSON]:
    """The arguments that were given, by name. A name that the tool does not declare is content."""
    tool = bundle.catalogue.tools.get(action.tool) if bundle else None
    declared = tool.schema.get("properties") if tool else None
    known = declared if isinstance(declared, Mapping) else {}
    return [name for name in sorted(_arguments(kept)) if name in known]


def _status(actions: Sequence[Action]) -> str:
    """The run's own status: what is still open first, then whether all, some or none was done."""
    states = {action.state for action in actions}
    if "intended" in states:
        return "running"
    if "unknown" in states or any(action.verdict == "contradicted" for action in actions):
        return "in_doubt"
    if "parked" in states:
        return "waiting"
    if states == {"done"}:
        return "done"
    return "partly_done" if "done" in states else "failed" if "failed" in states else "refused"


async def _proposal(world: World, action: Action) -> Mapping[str, JSON]:
    """What was asked, in clear; nothing if it is erased or damaged."""
    try:
        return await world.vault.open(action.tenant, action.id, "proposal") or {}
    except LedgerError:
        return {}


async def _recorded(world: World, action: Action) -> tuple[JSON, str | None]:
    """The newest recorded commitment to the arguments, and the release that it was judged by."""
    commitment: JSON = None
    release = action.release or None
    for record in await world.ledger.records(0, 0, of=(action.tenant, action.id)):
        try:
            fields = cast("Mapping[str, JSON]", records.decode(record.body))
        except (LedgerError, BadInput):
            continue
        commitment = fields.get("args_commitment") or commitment
        release = cast("str | None", fields.get("release")) or release
    return commitment, release


async def _bundle(world: World, tenant: str, release: str | None) -> Bundle | None:
    """A release that was judged by; None if it cannot be read any more."""
    try:
        return await world.bundle(tenant, release)
    except BailiwickError:
        return None


def _models(bundle: Bundle | None, action: Action) -> JSON:
    """The models that the release names for the agent's roles; null if it names none."""
    manifest = bundle.manifests.get(action.agent) if bundle else None
    return dict(manifest.models) or None if manifest else None
