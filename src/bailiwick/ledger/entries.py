"""What each step of the spine adds to its commit: one record, and the payloads it commits to."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from bailiwick.ledger import records
from bailiwick.ledger.tree import leaf_hash
from bailiwick.nouns import (
    Action,
    EffectReport,
    Hold,
    ModeSetting,
    Refusal,
    Verification,
    mode_of,
)
from bailiwick.nouns.notices import Notice
from bailiwick.ports import Case, World
from bailiwick.transactions import Append, Entries, Op
from bailiwick.values import JSON, Canonical


async def refused(world: World, case: Case, no: Refusal) -> Entries:
    """A no before the commit point, with what was known by then."""
    proposal: tuple[Op, ...] = ()
    commitment = ""
    if case.situation is not None or not case.stored:
        proposal, commitment = await _sealed(world, case, "proposal", _proposal(case))
    decision = case.decision
    fields = records.refused(
        **_asked(world, case, commitment),
        **_undoing(case.action),
        decision=decision.effect if decision else None,
        rules=_rules(case),
        release=case.control.release,
        epoch=case.control.epoch,
        step=no.step,
        reason=no.code,
    )
    if not proposal:
        # Nothing was looked at anew: what was sealed when the action was parked says more.
        fields["args_commitment"] = None
    return _entries("refused", case.action, fields, proposal)


async def parked(world: World, case: Case) -> Entries:
    """The action waits for people."""
    approval = case.approval
    assert approval is not None
    proposal, commitment = await _sealed(world, case, "proposal", _proposal(case))
    fields = records.parked(
        **_judged(world, case, commitment),
        **_undoing(case.action),
        request=pseudonym(world, case.action.tenant, "request", approval.request_digest),
        park_until_us=approval.expires_at_us,
    )
    return _entries("parked", case.action, fields, proposal)


async def intended(world: World, case: Case) -> Entries:
    """The commit point: what will now be done, by which right, holding what."""
    action, situation = case.action, case.situation
    assert situation is not None
    assert action.deadline_at_us is not None
    tenant = action.tenant
    proposal, commitment = await _sealed(world, case, "proposal", _proposal(case))
    request = case.approval.request_digest if case.approval else ""
    fields = records.intended(
        **_judged(world, case, commitment),
        **_undoing(action),
        attempt=action.attempt,
        approvals=[
            {
                "rule": rule,
                "voters": [pseudonym(world, tenant, "person", name) for name in names],
                "request": pseudonym(world, tenant, "request", request),
            }
            for rule, names in case.evidence.items()
        ],
        holds=[_hold(world, tenant, hold) for hold in case.price.holds],
        effect_key=_secret(world, tenant, "effect_key", situation.effect_key),
        provider_key_hash=None,
        deadline_at_us=action.deadline_at_us,
    )
    return _entries("intended", action, fields, proposal)


async def concluded(
    world: World, case: Case, report: EffectReport, verification: Verification | None
) -> Entries:
    """The outcome: of an intent, or whole for a read, which commits once."""
    action = case.action
    now_us = await world.store.now_us()
    result: dict[str, JSON] = {
        "result": report.result,
        "message": report.message,
        "evidence": report.evidence,
        "sends": report.sends,
    }
    if report.content is not None:
        result["content"] = report.content.beside(report.result)
    if verification is not None:
        result |= {"after": verification.after, "verification": verification.reason}
    sealed, commitment = await _sealed(world, case, "result", result)
    became: records.Became = {
        "status": report.status,
        "verdict": verification.verdict if verification else None,
        "reason": report.code or None,
        "result_commitment": commitment,
        "settled": [_hold(world, action.tenant, hold) for hold in case.price.holds],
        "latency_us": max(0, now_us - action.created_at_us),
    }
    if case.tool.effect == "read":
        proposal, asked = await _sealed(world, case, "proposal", _proposal(case))
        judged = _judged(world, case, asked)
        judged["at_us"] = now_us
        fields = records.concluded_read(**judged, **became)
        return _entries("concluded", action, fields, (*proposal, *sealed))
    assert action.intent_hash is not None
    fields = records.concluded(
        tenant=action.tenant,
        at_us=now_us,
        action=action.id,
        intent_hash=action.intent_hash,
        **became,
    )
    return _entries("concluded", action, fields, sealed)


def mode_set(tenant: str, setting: ModeSetting, epoch: int, by: Sequence[str] = ()) -> Append:
    """A mode that was set, by whom as pseudonyms, and the epoch it began; nobody: the runtime."""
    fields = records.control(
        tenant=tenant,
        at_us=setting.since_us,
        epoch=epoch,
        change=f"mode-{setting.mode}",
        scope=None,
        target=f"{setting.agent}/{setting.tool}",
        by=by,
        reason_commitment=None,
    )
    return append("control", None, fields)


def escalated(tenant: str, notice: Notice, *, epoch: int, at_us: int) -> Append:
    """A request that another queue may vote on as well: its own took too long; by nobody."""
    fields = records.control(
        tenant=tenant,
        at_us=at_us,
        epoch=epoch,
        change="escalate",
        scope=None,
        target=f"{notice.action}/{notice.queue}/{notice.escalate_to}",
        by=(),
        reason_commitment=None,
    )
    return append("control", None, fields)


def pseudonym(world: World, tenant: str, kind: str, text: str) -> str:
    """The token that stands for a text in this tenant's records."""
    return _pseudonym(world.keys.secret_key("pseudonym"), tenant, kind, text)


_pseudonym = lru_cache(maxsize=8192)(records.pseudonym)


def append(kind: str, action: str | None, fields: records.Fields) -> Append:
    """A record as a write."""
    body = records.encode(fields)
    return Append(kind=kind, action=action, body=body, hash=leaf_hash(body).hex())


def _entries(kind: str, action: Action, fields: records.Fields, ops: tuple[Op, ...]) -> Entries:
    record = append(kind, action.id, fields)
    return Entries(ops=(*ops, record), hash=record.hash)


async def _sealed(
    world: World, case: Case, kind: str, value: Mapping[str, JSON | Canonical]
) -> tuple[tuple[Op, ...], str]:
    return await world.vault.seal(case.action, kind, value, case.control.epoch)


def _proposal(case: Case) -> dict[str, JSON | Canonical]:
    """What the vault keeps of the proposal: enough to wake it, to reconcile it, to replay it."""
    asked, situation = case.proposal, case.situation
    arguments = Canonical(asked.canonical)
    kept: dict[str, JSON | Canonical] = {
        "tool": asked.tool,
        "asked": arguments,
        "arguments": arguments,
        "key": asked.key,
        "reason": asked.reason,
        "sources": asked.sources,
        "uncertainty": asked.uncertainty,
    }
    if situation is not None:
        classes: JSON = tuple(sorted(case.carried.union(situation.data_classes)))
        kept |= {
            "arguments": Canonical(situation.canonical),
            "facts": situation.facts,
            "before": situation.before,
            "destination": situation.destination,
            "data_classes": classes,
            "over": [[cap.node, cap.unit, cap.period, cap.limit] for cap in case.price.over],
            "holds": [
                [hold.cap.node, hold.cap.unit, hold.cap.period, hold.amount]
                for hold in case.price.holds
            ],
            **_judged_by(case),
        }
    return kept


def _judged_by(case: Case) -> dict[str, JSON]:
    """What else the rules were told, where it is not what an action is decided by as a rule.

    Without `judged_at_us` it was judged when it was created; `mode` is the one that was set, which
    stands beside the manifest's; `evidence` are the rules that people had satisfied.
    """
    told: dict[str, JSON] = {}
    if case.now_us != case.action.created_at_us:
        told["judged_at_us"] = case.now_us
    if case.control.modes:
        agents = (case.caller.agent, *case.caller.actors)
        mode = mode_of(case.tool.name, agents, settings=case.control.modes)
        if mode != "live":
            told["mode"] = mode
    if case.evidence:
        told["evidence"] = list(case.evidence)
    return told


def _asked(world: World, case: Case, commitment: str) -> records.Asked:
    action, situation, tenant = case.action, case.situation, case.action.tenant
    resource = situation.resource if situation else action.resource
    return {
        "tenant": tenant,
        "at_us": case.now_us,
        "action": action.id,
        "agent": action.agent,
        "subject": pseudonym(world, tenant, "subject", action.subject),
        "run": action.run,
        "tool": case.tool.name,
        "tool_version": case.tool.digest,
        "effect": case.tool.effect,
        "args_commitment": commitment,
        "resource_type": case.tool.resource_type,
        "resource": _secret(world, tenant, "resource", resource.id if resource else None),
        "destination": _secret(
            world, tenant, "destination", situation.destination if situation else None
        ),
    }


def _judged(world: World, case: Case, commitment: str) -> records.Judged:
    decision, release = case.decision, case.control.release
    assert decision is not None
    assert decision.effect != "deny"
    assert release is not None
    tool = case.tool
    return {
        **_asked(world, case, commitment),
        "decision": decision.effect,
        "rules": _rules(case),
        "release": release,
        "epoch": case.control.epoch,
        "credential": tool.credential if tool.effect == "write" else tool.read_credential,
    }


def _undoing(action: Action) -> records.Undoing:
    return {"undoes": action.undoes} if action.undoes else {}


def _rules(case: Case) -> list[str]:
    return [rule.id for rule in case.decision.rules] if case.decision else []


def _hold(world: World, tenant: str, hold: Hold) -> records.HoldEntry:
    kind, _, name = hold.cap.node.partition(":")
    node = f"{kind}:{pseudonym(world, tenant, kind, name)}" if kind == "customer" else hold.cap.node
    return {"node": node, "unit": hold.cap.unit}


def _secret(world: World, tenant: str, kind: str, text: str | None) -> str | None:
    return None if text is None else pseudonym(world, tenant, kind, text)
