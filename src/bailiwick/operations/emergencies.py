"""Breaking the glass: in an emergency one person lets named asking rules pass, for minutes.

It is never a plain forbid, a stop, a mode or a budget that passes. What was done under it is listed
until a second person has reviewed it.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from bailiwick import approval
from bailiwick.errors import ApprovalError, BadInput, ControlError
from bailiwick.nouns import Person, names_tool
from bailiwick.nouns.mandates import BreakGlass, Mandate
from bailiwick.operations.approvals import settle_open
from bailiwick.operations.changes import Consent, Parameters, control
from bailiwick.operations.channel import text_of, texts_of
from bailiwick.operations.comparing import book_of
from bailiwick.operations.mandates import (
    active_bundle,
    end,
    number_of,
    recorded_as,
    signed,
    signed_rules,
    was_granted,
)
from bailiwick.ports import Bundle, World
from bailiwick.transactions import PutMandate
from bailiwick.values import JSON, shown

MAX_SECONDS = 3600
REVIEW_WITHIN_US = 24 * 3600 * 1_000_000
_MAX_TEXT = 1000


async def break_glass_draft(world: World, person: Person, given: Parameters) -> JSON:
    """State the grant for its person to sign; without named rules, all that ask of this agent."""
    bundle = await active_bundle(world)
    now_us = await world.store.now_us()
    agent, tool = text_of(given, "agent"), text_of(given, "tool")
    names = texts_of(given, "rules") or _asking(bundle, agent, tool)
    statement = BreakGlass(
        id=f"brk_{now_us:014x}{world.random(6).hex()}",
        tenant=person.tenant,
        person=person.name,
        agent=agent,
        tool=tool,
        rules=signed_rules(bundle, names),
        from_us=now_us,
        until_us=now_us + number_of(given, "seconds", MAX_SECONDS) * 1_000_000,
        reason=text_of(given, "reason"),
    )
    _check(bundle, person, statement, now_us)
    return {"statement": msgspec.to_builtins(statement)}


async def break_glass(world: World, person: Person, given: Parameters) -> JSON:
    """Put a signed grant into force at once, and carry on what waits for exactly these rules."""
    try:
        statement = msgspec.convert(given.get("statement"), BreakGlass)
    except msgspec.ValidationError as error:
        raise BadInput(f"`statement` is none: {error}", code="parameter_invalid") from error
    epoch = await world.store.epoch(person.tenant)
    now_us = await world.store.now_us()
    _check(await active_bundle(world), person, statement, now_us)
    if not approval.is_signed_by(statement, person):
        raise ApprovalError(
            f"the grant has no valid signature of `{shown(person.name)}`",
            code="vote_unsigned",
            help="it is signed with the person's own key; log in and try again",
        )
    if await was_granted(world, statement):
        _invalid("it was granted before")
    mandate = Mandate(statement=statement, by=(person.name,))
    ops = (PutMandate(mandate=mandate, counts_until_us=statement.until_us),)
    consent = Consent((person.name,), epoch=epoch)
    epoch = await control(world, consent, "break glass", ops, target=recorded_as(mandate))
    await settle_open(world)
    review_us = statement.until_us + REVIEW_WITHIN_US
    return {
        "epoch": epoch,
        "id": statement.id,
        "until_us": statement.until_us,
        "review_by_us": review_us,
    }


async def break_glass_end(world: World, person: Person, given: Parameters) -> JSON:
    """End a grant at once."""
    return await end(world, person, given, BreakGlass, "break glass end")


async def reviews_list(world: World, person: Person, given: Parameters) -> JSON:
    """What was done under a broken glass and nobody has reviewed yet; all of it with `every`."""
    now_us = await world.store.now_us()
    listed: list[JSON] = []
    for mandate, statement in await signed(world, BreakGlass):
        if mandate.reviewed_by and given.get("every") is not True:
            continue
        told: dict[str, JSON] = msgspec.to_builtins(statement)
        listed.append(
            {
                **told,
                "state": _state(mandate, statement, now_us),
                "review_by_us": statement.until_us + REVIEW_WITHIN_US,
                "reviewed_by": mandate.reviewed_by or None,
                "finding": mandate.finding or None,
                "actions": list(await world.mandates.uses(person.tenant, statement.id)),
            }
        )
    return listed


async def reviews_close(world: World, person: Person, given: Parameters) -> JSON:
    """Say what a second person found, once the grant is over."""
    id, finding = text_of(given, "id"), text_of(given, "finding")
    epoch = await world.store.epoch(person.tenant)
    now_us = await world.store.now_us()
    found = [
        mandate for mandate, statement in await signed(world, BreakGlass) if statement.id == id
    ]
    if not found or found[0].reviewed_by:
        raise ControlError(
            f"no review waits under `{shown(id)}`",
            code="mandate_unknown",
            help="see `bailiwick reviews list`",
        )
    (mandate,) = found
    people = {each.name: each for each in await world.register.people(person.tenant)}
    breaker = people.get(mandate.statement.person)
    same_key = breaker is not None and breaker.public_key == person.public_key
    if mandate.statement.person == person.name or same_key:
        raise ApprovalError(
            "who broke the glass does not review it",
            code="review_own",
            help="another person has to look at what was done",
        )
    if mandate.ended_at_us is None and now_us < mandate.statement.until_us:
        _invalid("it still runs; end it first with `bailiwick break-glass --end`")
    if not finding.strip() or len(finding) > _MAX_TEXT:
        _invalid(f"a review needs a finding of at most {_MAX_TEXT} characters")
    reviewed = replace(mandate, reviewed_by=person.name, reviewed_at_us=now_us, finding=finding)
    ops = (PutMandate(mandate=reviewed, counts_until_us=0),)
    consent = Consent((person.name,), epoch=epoch)
    epoch = await control(world, consent, "break glass review", ops, target=recorded_as(mandate))
    return {"epoch": epoch, "id": id, "reviewed_by": person.name}


def _state(mandate: Mandate, statement: BreakGlass, now_us: int) -> str:
    if mandate.reviewed_by:
        return "reviewed"
    if mandate.ended_at_us is None and now_us < statement.until_us:
        return "running"
    return "overdue" if now_us >= statement.until_us + REVIEW_WITHIN_US else "to review"


def _asking(bundle: Bundle, agent: str, tool: str) -> Sequence[str]:
    """The rules that may ask when the agent uses a tool of that pattern."""
    if agent not in bundle.manifests:
        _invalid(f"there is no agent `{shown(agent)}` in the active release")
    book = book_of(bundle)
    tools = [name for name in bundle.catalogue.tools if names_tool(tool, name)]
    found = {rule.id for name in tools for rule, _ in book.matching(agent, name) if rule.queue}
    if not found:
        _invalid("no rule asks people there, so there is nothing to let pass")
    return sorted(found)


def _check(bundle: Bundle, person: Person, statement: BreakGlass, now_us: int) -> None:
    if (statement.tenant, statement.person) != (person.tenant, person.name):
        raise ApprovalError(
            "the grant is another's", code="vote_not_own", help="its person signs it"
        )
    if statement.agent not in bundle.manifests:
        _invalid(f"there is no agent `{shown(statement.agent)}` in the active release")
    if not any(names_tool(statement.tool, each) for each in bundle.catalogue.tools):
        _invalid(f"there is no tool `{shown(statement.tool)}` in the active release")
    if signed_rules(bundle, [each.rule for each in statement.rules]) != statement.rules:
        _invalid("a rule that it names has changed since it was drafted")
    if not statement.reason.strip() or len(statement.reason) > _MAX_TEXT:
        _invalid(f"it needs a reason of at most {_MAX_TEXT} characters")
    span_us = statement.until_us - statement.from_us
    if statement.until_us <= now_us or not 0 < span_us <= MAX_SECONDS * 1_000_000:
        _invalid(f"its time is over, or longer than {MAX_SECONDS} s")


def _invalid(reason: str) -> None:
    raise ControlError(
        f"the glass cannot be broken so: {reason}",
        code="mandate_invalid",
        help="see `bailiwick break-glass --help`",
    )
