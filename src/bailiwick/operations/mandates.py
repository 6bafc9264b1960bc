"""Standing approvals: drafted here, signed by their person, granted by two, withdrawn by one."""

from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

import msgspec
from msgspec.structs import replace

from bailiwick import approval
from bailiwick.catalog.money import minor_units
from bailiwick.errors import ApprovalError, BadInput, ControlError
from bailiwick.nouns import Cap, Person, names_tool
from bailiwick.nouns.mandates import Mandate, SignedRule, StandingApproval, Statement
from bailiwick.operations.approvals import settle_open
from bailiwick.operations.changes import Consent, Parameters, control, second_person
from bailiwick.operations.channel import text_of, texts_of
from bailiwick.operations.comparing import book_of
from bailiwick.ports import Bundle, World
from bailiwick.transactions import PutMandate
from bailiwick.values import JSON, did_you_mean, shown

S = TypeVar("S", bound=Statement)

MAX_ACTIONS = 1_000_000
MAX_SECONDS = 366 * 86_400
_MAX_REASON = 1000
_KIND = "standing grant"
# The changes on record that put something that was signed ahead into force, and that end it.
BEGINNING = frozenset({"standing-grant", "delegation-grant", "break-glass"})
ENDING = frozenset({"standing-withdraw", "delegation-end", "break-glass-end"})
REVIEWED = "break-glass-review"


async def standing_draft(world: World, person: Person, given: Parameters) -> JSON:
    """State a standing approval for its person to sign: the rules with their texts of today."""
    bundle = await active_bundle(world)
    now_us = await world.store.now_us()
    sum_, currency = given.get("sum"), given.get("currency")
    if (sum_ is None) != (currency is None):
        raise BadInput("a sum needs its currency", code="parameter_invalid")
    statement = StandingApproval(
        id=f"std_{now_us:014x}{world.random(6).hex()}",
        tenant=person.tenant,
        person=person.name,
        agent=text_of(given, "agent"),
        tool=text_of(given, "tool"),
        resource=text_of(given, "resource", "*"),
        rules=signed_rules(bundle, texts_of(given, "rules")),
        max_actions=number_of(given, "max_actions", MAX_ACTIONS),
        from_us=now_us,
        until_us=now_us + number_of(given, "seconds", MAX_SECONDS) * 1_000_000,
        reason=text_of(given, "reason"),
        max_value=None if sum_ is None else minor_units(sum_, str(currency)),
        currency=None if currency is None else str(currency),
    )
    _check(bundle, statement, person, now_us)
    return {"statement": msgspec.to_builtins(statement), "texts": _texts(bundle, statement)}


async def standing_grant(world: World, person: Person, given: Parameters) -> JSON:
    """Put a signed standing approval into force; with two who may, the second one does it."""
    statement = _statement(given.get("statement"))
    if statement.person != person.name:
        raise ApprovalError(
            "the standing approval is another's",
            code="vote_not_own",
            help="its person grants it; another confirms it",
        )
    return await _granted(world, person, person, statement)


async def standing_confirm(world: World, person: Person, given: Parameters) -> JSON:
    """Consent to a standing approval that another person signed and proposed."""
    id = text_of(given, "id")
    for waiting in await world.register.changes(person.tenant):
        if waiting.kind == _KIND and waiting.body.get("id") == id:
            statement = _statement(waiting.body)
            people = {each.name: each for each in await world.register.people(person.tenant)}
            signer = people.get(statement.person)
            if signer is None:
                break
            return await _granted(world, person, signer, statement)
    raise _unknown(id, "no standing approval waits under", "see `bailiwick changes list`")


async def standing_withdraw(world: World, person: Person, given: Parameters) -> JSON:
    """End a standing approval at once: tightening needs one person."""
    return await end(world, person, given, StandingApproval, "standing withdraw")


async def standing_list(world: World, person: Person, _: Parameters) -> JSON:
    """Standing approvals, newest first, with what they have left and which actions drew on them."""
    now_us = await world.store.now_us()
    found = await signed(world, StandingApproval)
    return [await _told(world, mandate, statement, now_us) for mandate, statement in found]


async def signed(world: World, kind: type[S]) -> list[tuple[Mandate, S]]:
    """What people signed ahead of a kind, newest first, whether it still runs or not."""
    found = await world.mandates.signed(world.settings.tenant)
    return [
        (mandate, mandate.statement) for mandate in found if isinstance(mandate.statement, kind)
    ]


async def was_granted(world: World, statement: Statement) -> bool:
    """Whether a statement is in the store already: each is granted once."""
    return any(each.id == statement.id for _, each in await signed(world, type(statement)))


async def end(
    world: World, person: Person, given: Parameters, kind: type[Statement], what: str
) -> JSON:
    """End the mandate `id` of a kind, with its record. Raises `ControlError` `mandate_unknown`."""
    epoch = await world.store.epoch(person.tenant)
    mandate = await _running(world, text_of(given, "id"), kind)
    now_us = await world.store.now_us()
    over = replace(mandate, ended_at_us=now_us, ended_by=person.name)
    ops = (PutMandate(mandate=over, counts_until_us=0),)
    consent = Consent((person.name,), epoch=epoch)
    epoch = await control(world, consent, what, ops, target=recorded_as(mandate))
    return {"epoch": epoch, "id": mandate.statement.id, "ended_at_us": now_us}


def recorded_as(mandate: Mandate) -> str:
    """How a mandate stands in the records: its id, and the hash of what was signed."""
    return f"{mandate.statement.id}:{approval.mandate_digest(mandate.statement)}"


async def _running(world: World, id: str, kind: type[Statement]) -> Mandate:
    for mandate, statement in await signed(world, kind):
        if statement.id == id:
            if mandate.ended_at_us is None:
                return mandate
            raise _unknown(id, "it was ended already:", "list them to see by whom")
    raise _unknown(id, "there is nothing in force under", "list what there is")


async def _granted(
    world: World, person: Person, signer: Person, statement: StandingApproval
) -> JSON:
    epoch = await world.store.epoch(person.tenant)
    if await was_granted(world, statement):
        raise ControlError(
            f"the standing approval `{shown(statement.id)}` was granted before",
            code="mandate_exists",
            help="draft another one",
        )
    now_us = await world.store.now_us()
    _check(await active_bundle(world), statement, signer, now_us)
    if not approval.is_signed_by(statement, signer):
        raise ApprovalError(
            f"the standing approval has no valid signature of `{shown(signer.name)}`",
            code="vote_unsigned",
            help="it is signed with the person's own key; log in and try again",
        )
    # As it comes back from the store, where the second person's is compared with it.
    body: dict[str, JSON] = msgspec.json.decode(msgspec.json.encode(statement))
    consent = await second_person(world, person, _KIND, body, epoch)
    if isinstance(consent, dict):
        return {**consent, "id": statement.id}
    mandate = Mandate(statement=statement, by=consent.by)
    ops = (PutMandate(mandate=mandate, counts_until_us=statement.until_us),)
    epoch = await control(world, consent, _KIND, ops, target=recorded_as(mandate))
    await settle_open(world)
    return {"epoch": epoch, "id": statement.id, "until_us": statement.until_us}


def _check(bundle: Bundle, statement: StandingApproval, signer: Person, now_us: int) -> None:
    """Refuse what could never be used, is without bounds, or is not the signer's to give."""
    agent, tool = statement.agent, statement.tool
    if agent not in bundle.manifests:
        _invalid(f"there is no agent `{shown(agent)}` in the active release")
    if not any(names_tool(tool, each) for each in bundle.catalogue.tools):
        _invalid(f"there is no tool `{shown(tool)}` in the active release")
    if statement.resource != "*" and ":" not in statement.resource:
        _invalid("the resource is not `Type:id`, `Type:*` or `*`")
    if not statement.reason.strip() or len(statement.reason) > _MAX_REASON:
        _invalid(f"it needs a reason of at most {_MAX_REASON} characters")
    if not 1 <= statement.max_actions <= MAX_ACTIONS:
        _invalid(f"its count is not from 1 to {MAX_ACTIONS}")
    if statement.max_value is not None and statement.max_value < 1:
        _invalid("its sum is not above zero")
    span_us = statement.until_us - statement.from_us
    if not now_us < statement.until_us or not 0 < span_us <= MAX_SECONDS * 1_000_000:
        _invalid("its time is over, or longer than a year")
    if signed_rules(bundle, [each.rule for each in statement.rules]) != statement.rules:
        raise ApprovalError(
            "a rule that it names has changed since it was drafted",
            code="vote_stale",
            help="draft it anew and read the rules as they are now",
        )
    queues = {each.queue for each in statement.rules}
    if "approver" not in signer.roles or not queues <= set(signer.queues):
        raise ApprovalError(
            f"`{shown(signer.name)}` is not an approver for `{', '.join(sorted(queues))}`",
            code="voter_not_entitled",
            help="each rule is approved ahead by somebody who may vote on it",
        )
    if signer.name.casefold() == agent.casefold():
        raise ApprovalError("an agent approves nothing of its own", code="voter_is_requester")


def signed_rules(bundle: Bundle, names: Sequence[str]) -> tuple[SignedRule, ...]:
    """The named rules as they are now, in order. Raises `ControlError` for one that asks nobody."""
    asking = {rule.id: rule for rule in book_of(bundle).rules if rule.queue}
    for name in names:
        if name not in asking:
            raise ControlError(
                f"there is no rule `{shown(name)}` that asks people",
                code="rule_unknown",
                help=did_you_mean(name, asking, f"asking are {', '.join(sorted(asking))}"),
            )
    if not names:
        _invalid("it names no rule")
    chosen = [asking[name] for name in sorted(set(names))]
    return tuple(
        SignedRule(rule=rule.id, queue=rule.queue, text_hash=rule.text_hash) for rule in chosen
    )


def _texts(bundle: Bundle, statement: StandingApproval) -> dict[str, JSON]:
    return {each.rule: bundle.policies.rule_text(each.rule) for each in statement.rules}


async def _told(
    world: World, mandate: Mandate, statement: StandingApproval, now_us: int
) -> dict[str, JSON]:
    caps = [Cap(node=statement.node, unit="calls", limit=statement.max_actions)]
    if statement.max_value is not None:
        unit = f"value:{statement.currency}"
        caps.append(Cap(node=statement.node, unit=unit, limit=statement.max_value))
    balances = await world.shelf.balances(statement.tenant, caps)
    taken = [balance.spent + balance.held for balance in balances]
    full = any(used >= cap.limit for used, cap in zip(taken, caps, strict=True))
    state = "used up" if full else "running"
    if mandate.ended_at_us is not None:
        state = "withdrawn"
    elif now_us >= statement.until_us:
        state = "over"
    members = cast("dict[str, JSON]", msgspec.to_builtins(statement))
    return {
        **members,
        "state": state,
        "by": list(mandate.by),
        "ended_by": mandate.ended_by or None,
        "used_actions": taken[0],
        "used_value": taken[1] if len(taken) > 1 else None,
        "actions": list(await world.mandates.uses(statement.tenant, statement.id)),
    }


async def active_bundle(world: World) -> Bundle:
    """The release that decides now."""
    tenant = world.settings.tenant
    return await world.bundle(tenant, (await world.store.control(tenant)).release)


def _statement(value: JSON) -> StandingApproval:
    try:
        members = dict(value) if isinstance(value, Mapping) else value
        return msgspec.convert(members, StandingApproval)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"`statement` is no standing approval: {error}", code="parameter_invalid"
        ) from error


def number_of(given: Parameters, name: str, most: int) -> int:
    """A parameter that must be a number from 1 to `most`. Raises `BadInput`."""
    value = given.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadInput(f"`{name}` is not from 1 to {most}", code="parameter_invalid")
    return value


def _invalid(reason: str) -> None:
    raise ControlError(
        f"the standing approval cannot stand: {reason}",
        code="mandate_invalid",
        help="see `bailiwick standing grant --help`",
    )


def _unknown(id: str, how: str, help: str) -> ControlError:
    return ControlError(f"{how} `{shown(id)}`", code="mandate_unknown", help=help)
