"""The switches: what is stopped, stopping, resuming."""

from collections.abc import Sequence
from typing import Any, cast

from starlette.responses import Response

from bailiwick.errors import BadInput, BailiwickError, ControlError, StoreError
from bailiwick.limits.switches import SCOPES
from bailiwick.server.pages.events import FLYING, mark_of
from bailiwick.server.pages.visiting import Object, Visit
from bailiwick.server.problems import status_of


async def stops(visit: Visit) -> Response:
    """What is stopped now, and the way to stop more."""
    return await _shown(visit)


async def stop(visit: Visit) -> Response:
    """Pull a switch, and say what it met and how long it took."""
    scope, target = visit.text("scope"), visit.text("target").strip()
    if visit.text("sure") != "yes":
        return await _shown(visit, 422, missing="sure")
    if scope not in ("everything", "tenant") and not target:
        return await _shown(visit, 422, missing="target")
    clock = visit.console.world.monotonic_us
    began_us = clock()
    given = {"scope": scope, "target": "" if scope == "everything" else target}
    try:
        answer = await visit.ask("kill", reason=visit.text("reason").strip(), **given)
    except (ControlError, BadInput) as fault:
        return await _shown(visit, status_of(fault), fault=fault)
    except StoreError as fault:
        raise StoreError(
            f"the stop is NOT set: {fault.message}",
            code=fault.code,
            help="try again; `bailiwick kill` at a terminal, or ending the process, stops as well",
        ) from fault
    return await _shown(visit, stopped={**answer, "took_us": clock() - began_us})


async def resume(visit: Visit) -> Response:
    """Lift a switch, or say that this waits for a second person."""
    given = {"scope": visit.text("scope"), "target": visit.text("target")}
    try:
        answer = await visit.ask("resume", **given)
    except ControlError as fault:
        return await _shown(visit, status_of(fault), fault=fault)
    return await _shown(visit, resumed={**given, **answer})


async def _shown(
    visit: Visit,
    status: int = 200,
    *,
    missing: str = "",
    fault: BailiwickError | None = None,
    stopped: Object | None = None,
    resumed: Object | None = None,
) -> Response:
    mark = await mark_of(visit.console.world, flying=True)
    flying = await visit.ask("actions list", states=["intended"], limit=FLYING)
    waiting = await _waiting(visit)
    query = visit.request.query_params
    chosen = {
        name: visit.text(name) or query.get(name, "") for name in ("scope", "target", "reason")
    }
    return await visit.shown(
        "stops.html",
        status,
        flying=flying,
        waiting=waiting,
        scopes=SCOPES,
        chosen=chosen,
        missing=missing,
        fault=fault,
        stopped=stopped,
        resumed=resumed,
        refresh="/events?of=stops",
        quiet=True,
        mark=mark,
    )


async def _waiting(visit: Visit) -> dict[tuple[str, str], Any]:
    """Who has asked already that a stop be lifted, by the stop's scope and target."""
    changes = cast("Sequence[Object]", await visit.ask("changes list"))
    found: dict[tuple[str, str], Any] = {}
    for each in changes:
        if each["kind"] == "resume":
            body = cast("Object", each["body"])
            found[str(body["scope"]), str(body["target"])] = each
    return found
