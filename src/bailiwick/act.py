"""The spine: one proposal to its one outcome, in twelve numbered steps.

    1 propose       parse, bound and name; touches no store
    2 authenticate  who, and by what right; only then is an earlier action looked up
    3 admit         kill switch, mode, breaker, run seconds, attempts
    4 validate      schema, resource, reads, facts
    5 price         what it will hold, and whether that fits
    6 decide        allow, deny or ask
    7 approve       people; while they think, the action is parked
    8 intend        the commit point
    9 execute       done, failed or unknown
    10 verify       verified, contradicted or unverifiable
    11 conclude     outcome, settled hold and record in one transaction
    12 report       cannot change the answer

A first attempt, a wake-up after people decided and a restart after a crash are the same call: it
asks the store how far the action got. Once an intent exists, 2 to 7 never run again. Everything
before the commit point is judged under one control epoch; if that moved, it is judged anew.
"""

from bailiwick import approval, cases, identity, ledger, limits, store
from bailiwick.nouns import EffectReport, Outcome, Proposal, Refusal, Wake
from bailiwick.ports import Case, World
from bailiwick.telemetry import Watch, report
from bailiwick.transactions import Blocked


async def act(world: World, asked: Proposal | Wake) -> Outcome:
    """Carry a proposal, or a stored action, as far as it can get now.

    Every no is an `Outcome`. Raises `StoreUnavailable` when nothing could be written: before the
    intent nothing has happened; after it, recovery finds out what did.
    """
    watch = Watch(world.monotonic_us)
    outcome = None
    for _ in range(world.settings.rejudge_limit):
        outcome = await _carry(world, asked, watch)
        if outcome is not None:
            break
    outcome = outcome or cases.contended()
    report(world, asked, outcome, watch)  # 12 report
    return outcome


async def _carry(world: World, asked: Proposal | Wake, watch: Watch) -> Outcome | None:
    """Go on from where the store says the action is. None: something moved, judge anew."""
    control = await world.store.control(asked.tenant)
    now_us = await world.store.now_us()
    # 2 authenticate: at first the whole credential, on a wake-up its standing.
    if isinstance(asked, Wake):
        case = await cases.reopen(world, control, asked, now_us)
    else:
        bundle = await world.bundle(asked.tenant, control.release)
        caller = identity.authenticate(world, control, bundle.manifests, asked, now_us)
        if isinstance(caller, Refusal):
            return cases.refused(caller)
        case = await cases.open_case(world, control, bundle, asked, caller, now_us=now_us)
    watch.mark(2)
    if isinstance(case, Outcome):
        return case
    watch.follow(case)
    if case.action.state == "intended":
        return await _recover(world, case, watch)

    no = await _judge(world, case, watch)
    if no is None and case.decision and case.decision.effect == "ask":
        if (earlier := await cases.asked_before(world, case)) is not None:
            return earlier
        parked = await store.park(world, case, await ledger.parked(world, case))
        if (no := cases.blocked(parked)) is None:
            return await cases.answer(world, parked)
    if no is None and case.tool.effect == "write":
        # 8 intend, the commit point. Before it nothing has happened in the world; after it we
        # must find out what did, whatever crashes. It holds only if nothing judged has changed.
        store.prepare(world, case)
        intended = await store.intend(world, case, await ledger.intended(world, case))
        watch.mark(8)
        no = cases.blocked(intended)
        if no is None and isinstance(intended, Blocked):
            return None
    if no is not None:
        entries = await ledger.refused(world, case, no)
        return await cases.answer(world, await store.refuse(world, case, no, entries), no)
    effect = await cases.execute(world, case)  # 9 execute
    watch.mark(9)
    if cases.can_be_looked_up(case, effect):
        return await cases.doubt(world, case, effect)
    return await _conclude(world, case, effect, watch)


async def _judge(world: World, case: Case, watch: Watch) -> Refusal | None:
    """Judge by today's rules, steps 3 to 7, and set in the case what they settle."""
    caller, tool, catalogue = case.caller, case.tool, case.bundle.catalogue
    no = case.no or await limits.admit(world, case, await cases.started(world, case))  # 3 admit
    watch.mark(3)
    if no is not None:
        return no

    # 4 validate: the catalogue names the reads, execution makes them, the catalogue computes.
    arguments = catalogue.arguments(tool, case.proposal.arguments)
    if isinstance(arguments, Refusal):
        return arguments
    resource = catalogue.resource(tool, arguments)
    if isinstance(resource, Refusal):
        return resource
    grants = identity.covers(caller, tool.name, resource)
    if not grants:
        return identity.not_granted(tool.name, resource)
    before = await cases.read_before(world, case, arguments)
    if isinstance(before, Refusal):
        return before
    situation = catalogue.situation(tool, arguments, resource, before)
    if isinstance(situation, Refusal):
        return situation
    case.situation = situation
    watch.mark(4)

    case.price = await limits.price(  # 5 price
        world, case.bundle, caller, tool, situation, grants=grants
    )
    watch.mark(5)
    case.decision = case.bundle.policies.decide(cases.question(case))  # 6 decide
    watch.mark(6)
    if (no := limits.shadowed(case)) is None and case.decision.effect == "ask":
        # 7 approve: the votes on exactly this request are evidence; then the policy decides again.
        no = await approval.weigh(world, case)
        if case.evidence:
            case.decision = case.bundle.policies.decide(cases.question(case))
        watch.mark(7)
    return no or cases.denied(case)


async def _recover(world: World, case: Case, watch: Watch) -> Outcome | None:
    """Find out what became of an intent whose process is gone; never simply send again."""
    effect = await cases.reconcile(world, case)
    watch.mark(9)
    return await _conclude(world, case, effect, watch) if effect else cases.running(case.action)


async def _conclude(world: World, case: Case, effect: EffectReport, watch: Watch) -> Outcome | None:
    """Steps 10 and 11: read the world back, then commit the outcome."""
    verified = await cases.verify(world, case, effect)  # 10 verify
    watch.mark(10)
    marks = await cases.breaker_marks(world, case, effect, verified)
    entries = await ledger.concluded(world, case, effect, verified)
    done = await store.conclude(world, case, effect, verified, (*entries.ops, *marks))  # 11
    watch.mark(11)
    return await cases.concluded(world, case, done, effect)
