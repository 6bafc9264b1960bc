"""Step 3: is this call admitted at all, whatever the rules say about it?"""

from datetime import UTC, datetime, timedelta

from bailiwick.limits.breakers import breaker_targets
from bailiwick.nouns import Action, Caller, Manifest, Refusal, Stop, Tool, names_tool
from bailiwick.ports import Case, ControlState, World
from bailiwick.values import shown

_STEP = 3
_EXHAUSTED = "attempts_exhausted"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def admit(world: World, case: Case, started: tuple[int, int] | None) -> Refusal | None:
    """Refuse a call under a stop, its mode, an open breaker or after its bounds; None admits.

    `started` is when the run's first action was committed and how long it has been parked since,
    both in microseconds; None for a run that has not begun. Codes: attempts_exhausted, stopped,
    read_only, breaker_open (with `retry_after_s`), run_time_exceeded.
    """
    caller, tool = case.caller, case.tool
    # First: an agent that keeps asking while it is stopped would fill the store with refusals.
    if refusal := _too_often(case.manifest, tool, case.action.attempt):
        return refusal
    for stop in case.control.stops:
        if covers(
            stop,
            tenant=caller.tenant,
            agent=caller.agent,
            tool=tool.name,
            upstream=tool.upstream,
            run=caller.capability.run,
            actors=caller.actors,
            writes=tool.effect == "write",
        ):
            return _stopped(stop)
    if case.mode == "read-only" and tool.effect == "write":
        return _only_reads(case.control, caller, tool)
    if refusal := await _open_breaker(world, caller.tenant, tool, case.now_us):
        return refusal
    return _out_of_time(case.manifest, started, case.now_us)


def _too_often(manifest: Manifest, tool: Tool, attempt: int) -> Refusal | None:
    """Refuse an attempt beyond those that the manifest allows a step; None admits it.

    A step is what one name names: a caller's key, or else a write with its run and arguments. What
    was refused or failed counts, so that an agent does not go on asking what it was told.
    """
    most = manifest.max_attempts_per_step
    if attempt <= most:
        return None
    return Refusal(
        step=_STEP,
        code=_EXHAUSTED,
        message=f"`{shown(tool.name)}` has had its {most} attempts with these arguments",
        help="find out why they were refused or failed; `max_attempts_per_step` bounds them",
        details={"max_attempts_per_step": most},
    )


def is_exhausted(manifest: Manifest, earlier: Action) -> bool:
    """Whether an earlier attempt was the one too many, and still is: it is answered, not added to.

    Without it an agent that keeps asking would fill the store with refusals.
    """
    return earlier.code == _EXHAUSTED and earlier.attempt > manifest.max_attempts_per_step


def covers(
    stop: Stop,
    *,
    tenant: str,
    agent: str,
    tool: str,
    upstream: str | None,
    run: str,
    actors: tuple[str, ...] = (),
    writes: bool = True,
) -> bool:
    """Say whether a stop covers a call. A scope that is not known here covers everything.

    A held ledger covers what writes.

    A stopped agent is stopped as an actor too: what it has delegated stops with it.
    """
    match stop.scope:
        case "tenant":
            return stop.target == tenant
        case "agent":
            return stop.target == agent or stop.target in actors
        case "tool":
            return stop.target == tool
        case "upstream":
            return upstream is not None and stop.target == upstream
        case "run":
            return stop.target == run
        case "ledger":
            return writes
        case _:
            return True


def _stopped(stop: Stop) -> Refusal:
    what = "everything" if stop.scope == "everything" else f"{stop.scope} `{shown(stop.target)}`"
    why = f": `{shown(stop.reason)}`" if stop.reason else ""
    return Refusal(
        step=_STEP,
        code="stopped",
        message=f"{what} was stopped by `{shown(stop.by)}` at {_time(stop.since_us)}{why}",
        help="nothing more is done until a person lifts the stop",
        details={
            "scope": stop.scope,
            "target": stop.target,
            "by": stop.by,
            "reason": stop.reason,
            "since_us": stop.since_us,
        },
    )


def _only_reads(control: ControlState, caller: Caller, tool: Tool) -> Refusal:
    """Say that the agent only reads, and who put it there; nobody did if its manifest says so."""
    why = "its manifest says so"
    for each in control.modes:
        theirs = each.agent in (caller.agent, *caller.actors) and names_tool(each.tool, tool.name)
        if theirs and each.mode == "read-only":
            by = f"`{shown(each.by)}`" if each.by else "the runtime"
            why = f"set by {by} at {_time(each.since_us)}: `{shown(each.reason)}`"
    return Refusal(
        step=_STEP,
        code="read_only",
        message=f"`{shown(caller.agent)}` only reads with `{shown(tool.name)}`; {why}",
        help="nothing is written until a person lifts it with `bailiwick mode set`",
    )


async def _open_breaker(world: World, tenant: str, tool: Tool, now_us: int) -> Refusal | None:
    found = [await world.shelf.breaker(tenant, target) for target in breaker_targets(tool)]
    last = max((each for each in found if each), key=lambda b: b.open_until_us, default=None)
    if last is None or last.open_until_us <= now_us:
        return None
    return Refusal(
        step=_STEP,
        code="breaker_open",
        message=f"`{shown(last.target)}` has failed {last.failures} times in a row",
        help=f"try again after {_time(last.open_until_us)}",
        retry_after_s=(last.open_until_us - now_us) / 1_000_000,
        details={"target": last.target, "open_until_us": last.open_until_us},
    )


def _out_of_time(
    manifest: Manifest, started: tuple[int, int] | None, now_us: int
) -> Refusal | None:
    seconds = manifest.max_runtime_seconds
    if seconds is None or started is None:
        return None
    started_us, parked_us = started
    if now_us - started_us - parked_us < seconds * 1_000_000:
        return None
    return Refusal(
        step=_STEP,
        code="run_time_exceeded",
        message=f"the run has used up the {seconds} s that agent `{shown(manifest.name)}` may run",
        help="start a new run, or raise `max_runtime_seconds` in the agent's manifest",
        details={"max_runtime_seconds": seconds, "started_at_us": started_us},
    )


def _time(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m-%d %H:%M:%SZ")
