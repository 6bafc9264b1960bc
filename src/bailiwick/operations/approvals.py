"""What people are asked, and their votes. A vote comes here signed; nobody can vote for another."""

import hashlib
from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec.structs import replace

from bailiwick import announcing, approval, identity, ledger
from bailiwick.errors import ApprovalError, BadInput, ControlError, LedgerError
from bailiwick.identity.jose import decode
from bailiwick.ledger import records
from bailiwick.nouns import Action, Approval, Cap, Period, Person, Resource, Situation, Vote
from bailiwick.operations.briefing import parts
from bailiwick.operations.changes import Parameters
from bailiwick.operations.channel import text_of, texts_of
from bailiwick.ports import Bundle, World
from bailiwick.transactions import CastVote, CloseApproval, Commit, Committed, Op
from bailiwick.values import JSON, canonical, shown

STATES = ("open", "granted", "denied", "expired", "consumed", "withdrawn")

_TRIES = 5


async def approvals_list(world: World, person: Person, given: Parameters) -> JSON:
    """Requests to people, oldest first; the open ones, unless `states` names others.

    `mine` are those of one's queues; `voices` are the votes that one could cast now: the empty
    name is one's own, the others are who lent theirs.
    """
    states = texts_of(given, "states") or ("open",)
    if not set(states) <= set(STATES):
        raise BadInput(
            "`states` holds something that no request can be",
            code="parameter_invalid",
            help=f"a request is {', '.join(STATES)}",
        )
    people = await _people(world)
    may = identity.allowed(person.roles, "actions payload")
    now_us = await world.store.now_us()
    lent = approval.lenders(person, people, now_us)
    listed: list[JSON] = []
    for asked in await world.register.approvals(person.tenant, states):
        action = await world.store.action(person.tenant, asked.action)
        if action is None:
            continue
        listed.append(
            {
                "action": asked.action,
                "state": asked.state,
                "agent": action.agent,
                "subject": action.subject,
                "tool": action.tool,
                "resource": _resource(action),
                **(await _stake(world, action) if may else {}),
                "rules": counted(asked, action, people, await _ahead(world, action, asked, people)),
                "mine": any(not asked.serving(ask).isdisjoint(person.queues) for ask in asked.asks),
                "voices": [
                    voice
                    for voice in ("", *lent)
                    if not approval.hindrance(
                        asked, person, people, action.caller, now_us, on_behalf_of=voice
                    )
                ],
                "escalated": [list(pair) for pair in asked.escalated],
                "requested_at_us": asked.requested_at_us,
                "expires_at_us": asked.expires_at_us,
            }
        )
    return listed


async def approvals_show(world: World, person: Person, given: Parameters) -> JSON:
    """One request as it is asked: the document that votes sign, and the lines that show it."""
    action, asked = await _asked(world, text_of(given, "action"))
    people = await _people(world)
    bundle = await world.bundle(action.tenant, action.release)
    kept = await _kept(world, action)
    document = _document(bundle, action, asked, kept)
    if asked.state != "open" and approval.digest_of(document) != asked.request_digest:
        raise ControlError(
            f"the request on action `{action.id}` is {asked.state}, and what it was about is past",
            code="approval_closed",
            help=f"see `bailiwick actions show {action.id}`",
        )
    sources = kept.get("sources")
    now_us = await world.store.now_us()
    ahead = await _ahead(world, action, asked, people)
    lines = approval.lines(
        document,
        asked,
        people,
        action.caller,
        now_us,
        viewer=person,
        ahead=ahead,
        manifest=bundle.manifests.get(action.agent),
        tool=bundle.catalogue.tools.get(action.tool),
        reason=str(kept.get("reason", "")),
        sources=tuple(map(str, sources)) if isinstance(sources, (list, tuple)) else (),
        uncertainty=str(kept.get("uncertainty", "")),
        whole=given.get("whole") is True,
    )
    return {
        "action": action.id,
        "state": asked.state,
        "digest": asked.request_digest,
        "document": document,
        "rules": counted(asked, action, people, ahead),
        "now_us": now_us,
        "expires_at_us": asked.expires_at_us,
        "lines": lines,
        "parts": parts(
            bundle,
            action,
            asked,
            document,
            kept,
            people=people,
            viewer=person,
            ahead=ahead,
            now_us=now_us,
        ),
    }


async def approvals_approve(world: World, person: Person, given: Parameters) -> JSON:
    """Cast a signed vote for the request. Says how many votes of which rule are missing."""
    return await _cast(world, person, given, "approve")


async def approvals_deny(world: World, person: Person, given: Parameters) -> JSON:
    """Cast a signed vote against the request: one is enough, with a reason."""
    return await _cast(world, person, given, "deny")


async def _cast(world: World, person: Person, given: Parameters, choice: str) -> JSON:
    vote = _vote(given)
    if vote.choice != choice or vote.person != person.name:
        raise ApprovalError(
            "the vote is another's, or not what was asked for",
            code="vote_not_own",
            help="log in as the person who votes",
        )
    code = "approval_moved"
    for _ in range(_TRIES):
        action, asked = await _asked(world, vote.action)
        people = await _people(world)
        now_us = await world.store.now_us()
        approval.check_vote(asked, vote, people, action.caller, now_us)
        voted = replace(asked, votes=(*asked.votes, vote))
        queues = approval.queues_of(vote, people, vote.cast_at_us)
        ops = (CastVote(vote=vote), *await _recorded(world, queues, action, asked, vote))
        ahead = await _ahead(world, action, asked, people)
        close = _told(world, action, _closing(voted, action, people, now_us, ahead=ahead), now_us)
        done = await world.store.commit(Commit(tenant=action.tenant, ops=(*ops, *close)))
        if isinstance(done, Committed):
            return await _settled(world, action)
        code = done.code
        if done.code == "run_key_moved":
            world.vault.forget(action.tenant, action.run)
        elif done.code == "already_voted":
            raise ApprovalError(
                f"`{shown(person.name)}` has voted on action `{action.id}` already",
                code="already_voted",
                help="one person votes once on an action; another person has to",
            )
    raise _moved(vote.action, code)


async def _settled(world: World, action: Action) -> JSON:
    """How the request stands after a vote. Two votes at one time may each have missed the other."""
    asked = await world.shelf.approval(action.tenant, action.id)
    assert asked is not None
    people = await _people(world)
    ahead = await _ahead(world, action, asked, people)
    broken = await _broken(world, action, asked, people)
    now_us = await world.store.now_us()
    said = _closing(asked, action, people, now_us, ahead=ahead, broken=broken)
    close = _told(world, action, said, now_us)
    if close and asked.state == "open":
        await world.store.commit(Commit(tenant=action.tenant, ops=close))
        asked = await world.shelf.approval(action.tenant, action.id) or asked
    rules = counted(asked, action, people, ahead)
    return {"action": action.id, "state": asked.state, "rules": rules}


async def settle_open(world: World) -> None:
    """Close the open requests for which enough was said by now, after people signed ahead."""
    tenant = world.settings.tenant
    for asked in await world.register.approvals(tenant, ("open",)):
        action = await world.store.action(tenant, asked.action)
        if action is not None:
            await _settled(world, action)


async def _broken(
    world: World, action: Action, asked: Approval, people: approval.People
) -> frozenset[str]:
    """The asking rules that pass in an emergency, now."""
    control = await world.store.control(action.tenant)
    if asked.state != "open" or not control.mandates:
        return frozenset()
    now_us = await world.store.now_us()
    kept = await world.vault.open(action.tenant, action.id, "proposal") or {}
    if kept.get("over") or now_us >= asked.expires_at_us:
        return frozenset()
    broken = approval.broken_for(
        control.mandates,
        asked.asks,
        people,
        caller=action.caller,
        tool=action.tool,
        now_us=now_us,
    )
    return frozenset(broken)


async def _ahead(
    world: World, action: Action, asked: Approval, people: approval.People
) -> approval.Ahead:
    """Who has signed ahead for the action, and for which of its rules that counts."""
    control = await world.store.control(action.tenant)
    if asked.state not in ("open", "granted") or not control.mandates:
        return {}
    kept = await world.vault.open(action.tenant, action.id, "proposal") or {}
    if kept.get("over"):
        return {}  # what is signed ahead lifts no budget
    found = await approval.standing_for(
        world,
        control.mandates,
        asked.asks,
        people,
        caller=action.caller,
        tool=action.tool,
        resource=action.resource,
        facts=_mapping(kept.get("facts")),
        now_us=await world.store.now_us(),
    )
    return approval.voices(found, asked.asks, people)


def _closing(
    asked: Approval,
    action: Action,
    people: approval.People,
    now_us: int,
    *,
    ahead: approval.Ahead,
    broken: frozenset[str] = frozenset(),
) -> tuple[CloseApproval, ...]:
    """What closes a request on which enough was said, so that the housekeeper wakes the action."""
    digest, caller = asked.request_digest, action.caller
    if approval.denied(asked, digest, people, caller) is not None:
        return (CloseApproval(action=action.id, expect=("open",), state="denied"),)
    given = approval.evidence(asked, digest, people, caller, now_us, ahead=ahead)
    if {ask.rule for ask in asked.asks} <= broken.union(given):
        return (CloseApproval(action=action.id, expect=("open",), state="granted"),)
    return ()


def _told(
    world: World, action: Action, close: tuple[CloseApproval, ...], now_us: int
) -> tuple[Op, ...]:
    """What closes a request, with the notices that it is decided."""
    asks = action.decision.asks if action.decision else ()
    told = [announcing.decided(world.settings, action, asks, op.state, now_us) for op in close]
    return (*close, *(op for ops in told for op in ops))


async def _recorded(
    world: World, queues: frozenset[str], action: Action, asked: Approval, vote: Vote
) -> tuple[Op, ...]:
    """The vote's record; a reason is sealed with the run's payloads."""
    tenant = action.tenant
    sealed: tuple[Op, ...] = ()
    commitment = None
    if vote.reason:
        kind = f"vote:{vote.person}:{vote.request_digest[:16]}"
        epoch = await world.store.epoch(tenant)
        told = {"reason": vote.reason}
        sealed, commitment = await world.vault.seal(action, kind, told, epoch)
    person = partial(ledger.pseudonym, world, tenant, "person")
    lent: records.Lent = {"on_behalf_of": person(vote.on_behalf_of)} if vote.on_behalf_of else {}
    fields = records.vote(
        tenant=tenant,
        at_us=await world.store.now_us(),
        action=action.id,
        voter=person(vote.person),
        choice=vote.choice,
        rules=sorted(ask.rule for ask in asked.asks if asked.serving(ask) & queues),
        request=ledger.pseudonym(world, tenant, "request", vote.request_digest),
        signature_hash=signature_hash(vote),
        reason_commitment=commitment,
        **lent,
    )
    return (*sealed, ledger.append("vote", action.id, fields))


def signature_hash(vote: Vote) -> str:
    """What a vote's record keeps of its signature. Raises `ValueError` for what is none."""
    return hashlib.sha256(decode(vote.signature)).hexdigest()


async def _asked(world: World, id: str) -> tuple[Action, Approval]:
    tenant = world.settings.tenant
    action = await world.store.action(tenant, id)
    asked = await world.shelf.approval(tenant, id) if action is not None else None
    if action is None or asked is None:
        raise ControlError(
            f"nobody is asked about an action `{shown(id)}`",
            code="approval_unknown",
            help="list the requests with `bailiwick approvals list`",
        )
    return action, asked


async def _stake(world: World, action: Action) -> dict[str, JSON]:
    """What is at stake, in minor units of a currency, for those who may see payloads."""
    kept = await world.vault.open(action.tenant, action.id, "proposal") or {}
    facts = _mapping(kept.get("facts"))
    return {"value": facts.get("value"), "currency": facts.get("currency")}


async def _kept(world: World, action: Action) -> Mapping[str, JSON]:
    kept = await world.vault.open(action.tenant, action.id, "proposal")
    if kept is None:
        raise LedgerError(
            f"the arguments of action `{action.id}` have been erased",
            code="payload_missing",
            help="what was asked can no longer be shown",
        )
    return kept


def _document(
    bundle: Bundle, action: Action, asked: Approval, kept: Mapping[str, JSON]
) -> Mapping[str, JSON]:
    """State again what is asked, from the stored action; `lines` compares it with the digest."""
    tool = bundle.catalogue.tools.get(action.tool)
    if tool is None or action.decision is None:
        raise LedgerError(
            f"the request on action `{action.id}` cannot be stated again", code="request_changed"
        )
    arguments = _mapping(kept.get("arguments"))
    destination = kept.get("destination")
    situation = Situation(
        arguments=arguments,
        canonical=canonical(arguments),
        resource=action.resource or Resource(type="", id=""),
        facts=_mapping(kept.get("facts")),
        input={},
        before=_mapping(kept.get("before")),
        destination=destination if isinstance(destination, str) else None,
    )
    decision = replace(action.decision, asks=asked.asks)
    over = msgspec.convert(kept.get("over", ()), tuple[tuple[str, str, Period, int], ...])
    caps = [Cap(node=node, unit=unit, period=each, limit=limit) for node, unit, each, limit in over]
    document = approval.request_document(action, situation, decision, tool, caps)
    stated: Mapping[str, JSON] = msgspec.to_builtins(document)
    return stated


def counted(
    asked: Approval,
    action: Action,
    people: approval.People,
    ahead: approval.Ahead = approval.NOBODY,
) -> list[dict[str, JSON]]:
    """Each asking rule with who counts for it, now or ahead, and how many are missing."""
    digest = asked.request_digest
    given = approval.tally(asked, digest, people, action.caller, ahead=ahead)
    return [
        {
            "rule": ask.rule,
            "queue": ask.queue,
            "quorum": ask.quorum,
            "text_hash": ask.text_hash,
            "approved_by": list(voters),
            "missing": max(0, ask.quorum - len(voters)),
        }
        for ask, voters in given
    ]


def _resource(action: Action) -> str:
    return f"{action.resource.type}:{action.resource.id}" if action.resource else ""


def _mapping(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, Mapping) else {}


def _vote(given: Parameters) -> Vote:
    try:
        return msgspec.convert(given.get("vote"), Vote)
    except msgspec.ValidationError as error:
        raise BadInput(f"`vote` is not a vote: {error}", code="parameter_invalid") from error


def _moved(action: str, code: str) -> ControlError:
    return ControlError(
        f"the request on action `{shown(action)}` changed while the vote was cast",
        code=code,
        help="look at it as it is now with `bailiwick approvals show`",
    )


async def _people(world: World) -> approval.Electorate:
    return await approval.electorate(world, await world.store.control(world.settings.tenant))
