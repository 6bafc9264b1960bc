"""Delegations: a person lends another the votes for a queue, from a day until a day."""

import msgspec

from bailiwick import approval
from bailiwick.errors import ApprovalError, BadInput, ControlError
from bailiwick.nouns import Person
from bailiwick.nouns.mandates import Delegation, Mandate
from bailiwick.operations.changes import Consent, Parameters, control
from bailiwick.operations.channel import text_of
from bailiwick.operations.mandates import MAX_SECONDS, end, recorded_as, signed, was_granted
from bailiwick.ports import World
from bailiwick.transactions import PutMandate
from bailiwick.values import JSON, shown

_MAX_REASON = 1000
_KIND = "delegation grant"


async def delegation_draft(world: World, person: Person, given: Parameters) -> JSON:
    """State a delegation for its person to sign; without a beginning it begins now."""
    now_us = await world.store.now_us()
    from_us, until_us = given.get("from_us"), given.get("until_us")
    statement = Delegation(
        id=f"del_{now_us:014x}{world.random(6).hex()}",
        tenant=person.tenant,
        person=person.name,
        to=text_of(given, "to"),
        queue=text_of(given, "queue"),
        from_us=from_us if isinstance(from_us, int) else now_us,
        until_us=until_us if isinstance(until_us, int) else 0,
        reason=text_of(given, "reason"),
    )
    await _check(world, person, statement, now_us)
    return {"statement": msgspec.to_builtins(statement)}


async def delegation_grant(world: World, person: Person, given: Parameters) -> JSON:
    """Put a signed delegation into force: one's own votes are one's own to lend."""
    try:
        statement = msgspec.convert(given.get("statement"), Delegation)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"`statement` is no delegation: {error}", code="parameter_invalid"
        ) from error
    epoch = await world.store.epoch(person.tenant)
    now_us = await world.store.now_us()
    await _check(world, person, statement, now_us)
    if not approval.is_signed_by(statement, person):
        raise ApprovalError(
            f"the delegation has no valid signature of `{shown(person.name)}`",
            code="vote_unsigned",
            help="it is signed with the person's own key; log in and try again",
        )
    mandate = Mandate(statement=statement, by=(person.name,))
    # A vote that was cast in its time counts until the request's own time is over.
    counts_us = statement.until_us + world.settings.park_seconds * 1_000_000
    ops = (PutMandate(mandate=mandate, counts_until_us=counts_us),)
    consent = Consent((person.name,), epoch=epoch)
    epoch = await control(world, consent, _KIND, ops, target=recorded_as(mandate))
    return {"epoch": epoch, "id": statement.id, "until_us": statement.until_us}


async def delegation_end(world: World, person: Person, given: Parameters) -> JSON:
    """End a delegation at once; votes that rest on it no longer count."""
    return await end(world, person, given, Delegation, "delegation end")


async def delegation_list(world: World, person: Person, _: Parameters) -> JSON:
    """Delegations, newest first, and how each stands now."""
    now_us = await world.store.now_us()
    listed: list[JSON] = []
    for mandate, statement in await signed(world, Delegation):
        state = "running"
        if mandate.ended_at_us is not None:
            state = "ended"
        elif now_us >= statement.until_us:
            state = "over"
        elif now_us < statement.from_us:
            state = "not yet"
        told: dict[str, JSON] = msgspec.to_builtins(statement)
        listed.append({**told, "state": state, "ended_by": mandate.ended_by or None})
    return listed


async def _check(world: World, person: Person, statement: Delegation, now_us: int) -> None:
    """Refuse what is not this person's to lend, goes to nobody else, or has no time."""
    if (statement.tenant, statement.person) != (person.tenant, person.name):
        raise ApprovalError(
            "the delegation is another's",
            code="vote_not_own",
            help="each person lends only their own votes",
        )
    if "approver" not in person.roles or statement.queue not in person.queues:
        raise ApprovalError(
            f"`{shown(person.name)}` is not an approver for `{shown(statement.queue)}`",
            code="voter_not_entitled",
            help="only a vote that one has can be lent",
        )
    people = {each.name: each for each in await world.register.people(person.tenant)}
    to = people.get(statement.to)
    if to is None or not to.enabled or "approver" not in to.roles:
        _invalid(f"`{shown(statement.to)}` is no enabled approver")
    elif to.public_key == person.public_key:
        _invalid("it goes to nobody else")
    if not statement.reason.strip() or len(statement.reason) > _MAX_REASON:
        _invalid(f"it needs a reason of at most {_MAX_REASON} characters")
    span_us = statement.until_us - statement.from_us
    if statement.until_us <= now_us or not 0 < span_us <= MAX_SECONDS * 1_000_000:
        _invalid("its time is over, or longer than a year")
    if await was_granted(world, statement):
        _invalid("it was granted before")


def _invalid(reason: str) -> None:
    raise ControlError(
        f"the delegation cannot stand: {reason}",
        code="mandate_invalid",
        help="see `bailiwick delegation grant --help`",
    )
