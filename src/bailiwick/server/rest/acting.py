"""An agent's own routes: propose an action, look at its outcome, take it back, list one's tools.

What decides is the spine; here a body becomes a proposal, and an outcome a status:

    200  done                             202  parked, or under way (`Location`, `Retry-After`)
    403  denied, stopped, or not granted  404  no such tool or action
    409  the effect is another action's, or the same key is under way
    422  the arguments do not hold, or the key was used for another call
    429  over a rate or budget            503  not now: a breaker, contention, a full disk
    502  failed (certainly not done), or the world does not show it
    504  nobody knows what became of it: ask again under the same key, never under another one

The `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) is the caller's own key of the
spine: there is no second memory that could say something else.
"""

import re
from collections.abc import Mapping
from typing import cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bailiwick import cases
from bailiwick.act import act
from bailiwick.cancelling import cancel
from bailiwick.errors import IdentityError
from bailiwick.gateway import Bearer, BearerDoor, Offering, step_up
from bailiwick.nouns import PERIOD_US, Caller, Outcome
from bailiwick.ports import World
from bailiwick.server.admitting import challenged, shown_of, stepping_up
from bailiwick.server.problems import BadRequest, problem
from bailiwick.server.rest import given as g
from bailiwick.server.rest.handling import written
from bailiwick.server.rest.paging import page
from bailiwick.server.rest.reading import read
from bailiwick.server.rest.rows import RestRow
from bailiwick.values import JSON, canonical

_LATER_S = 2
_KEY = re.compile(
    r'"([\x20-\x21\x23-\x5b\x5d-\x7e]*)"|([A-Za-z0-9_][A-Za-z0-9_.:/+*#-]*)'
).fullmatch
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.:/+*#-]")
_BY_STATUS: Mapping[str, int] = {
    "done": 200,
    "parked": 202,
    "running": 202,
    "denied": 403,
    "failed": 502,
    "unknown": 504,
}
_BY_CODE: Mapping[str, int] = {
    "action_unknown": 404,
    "tool_unknown": 404,
    "key_conflict": 422,
    "run_mismatch": 409,
    "contended": 503,
    "disk_low": 503,
    "breaker_open": 503,
}
# A no by the step that said it, where its code does not say more.
_BY_STEP: Mapping[int | None, int] = {2: 403, 3: 403, 4: 422, 6: 403, 7: 409}


class OfAgents:
    """Agents' routes over one project. `door` is where their tokens are shown."""

    def __init__(self, world: World, door: BearerDoor, url: str) -> None:
        self._world = world
        self._door = door
        self._url = url
        self._metadata = f"{url}/.well-known/oauth-protected-resource/v1"
        self._offering = Offering()

    async def __call__(self, row: RestRow, request: Request) -> Response:
        """Answer one request. Raises `BailiwickError` for what is wrong with it."""
        address = f"{self._url}{request.url.path}"
        shown = shown_of(request.headers.raw, request.method, address)
        try:
            bearer = await self._door.admitted(shown)
        except IdentityError as fault:
            return challenged(fault, self._metadata, shown.scheme)
        caller = bearer.who
        given = await read(row, request)
        if row.command == "act":
            return await self._act(request, bearer, cast("g.ProposeAction", given))
        if row.command == "tools":
            return await self._tools(row, request, caller, cast("g.Paged", given))
        action = cast("g.OneAction", given).action
        if row.command == "outcome":
            tenant = self._world.settings.tenant
            outcome = await cases.look(self._world, tenant, action, owner=caller)
            return self._told(request, outcome, found=bool(outcome.action))
        outcome = await cancel(
            self._world, action, agent=caller.agent, subject=caller.subject, within=caller
        )
        return self._told(request, outcome, found=outcome.code == "cancelled")

    async def _act(self, request: Request, bearer: Bearer, given: g.ProposeAction) -> Response:
        world = self._world
        proposal = cases.propose(
            given.tool,
            given.arguments,
            await bearer.credential(given.run),
            tenant=world.settings.tenant,
            run=given.run,
            key=_key(request),
            reason=given.reason,
            sources=given.sources,
            uncertainty=given.uncertainty,
            max_bytes=world.settings.max_argument_bytes,
        )
        outcome = await act(world, proposal)
        scope = ""
        if outcome.step == 2:
            control = await world.store.control(world.settings.tenant)
            bundle = await world.bundle(world.settings.tenant, control.release)
            scope = step_up(bundle, bearer.who, given.tool, outcome)
        challenge = stepping_up(scope, self._metadata, bearer.scheme) if scope else ""
        return self._told(request, outcome, challenge=challenge)

    async def _tools(
        self, row: RestRow, request: Request, caller: Caller, given: g.Paged
    ) -> Response:
        world = self._world
        control = await world.store.control(world.settings.tenant)
        bundle = await world.bundle(world.settings.tenant, control.release)
        offered: list[JSON] = [
            {
                "name": tool.name,
                "wire_name": tool.wire_name,
                "title": tool.title,
                "description": tool.description,
                "effect": tool.effect,
                "input_schema": tool.schema,
                "output_schema": tool.output_schema,
            }
            for tool in await self._offering.usable(bundle, control, caller)
        ]
        told = page(world, row.path, offered, given.cursor, given.limit)
        return written(world, request, canonical(told))

    def _told(
        self, request: Request, outcome: Outcome, *, challenge: str = "", found: bool = False
    ) -> Response:
        """An outcome as an answer; where it was looked for and found, whatever it is."""
        status = 200 if found else status_of(outcome)
        told: dict[str, JSON] = msgspec.to_builtins(outcome)
        headers = _headers(outcome, status, challenge)
        if status < 300:
            return written(self._world, request, canonical(told), status, headers)
        return problem(
            status,
            outcome.code or outcome.status,
            outcome.message or outcome.status,
            help=outcome.help,
            headers=headers,
            outcome=told,
            **({"decision_id": outcome.action} if outcome.action else {}),
        )


def _limits(outcome: Outcome, wait_s: str) -> dict[str, str]:
    """The budgets that the action does not fit, as draft-ietf-httpapi-ratelimit-headers has it.

    What is left of them is told by `/v1/budgets`; it was too little for this one.
    """
    periods = cast("Mapping[str, int]", PERIOD_US)
    over = cast("list[tuple[str, str, str, int]]", outcome.details.get("over", []))
    named = [
        (f'"{_budget(node)}:{unit}:{period}"', limit, lasts_us // 1_000_000)
        for node, unit, period, limit in over
        if (lasts_us := periods.get(period))
    ]
    if not named:
        return {}
    return {
        "ratelimit-policy": ", ".join(f"{name};q={limit};w={w}" for name, limit, w in named),
        "ratelimit": ", ".join(f"{name};r=0;t={wait_s}" for name, _, _ in named),
    }


def _budget(node: str) -> str:
    """A budget's name as a string of a structured field (RFC 9651): plain characters alone."""
    kind, _, rest = node.partition(":")
    return kind if kind == "customer" else _NOT_PLAIN.sub("_", f"{kind}:{rest}" if rest else kind)


def status_of(outcome: Outcome) -> int:
    """The status of an outcome: the same one each time it is told."""
    if outcome.status == "running" and outcome.earlier:
        return 409
    if outcome.verdict == "contradicted":
        return 502
    if outcome.code == "denied" and outcome.retry_after_s is not None:
        return 429
    if outcome.status in _BY_STATUS:
        return _BY_STATUS[outcome.status]
    return _BY_CODE.get(outcome.code) or _BY_STEP.get(outcome.step, 409)


def _headers(outcome: Outcome, status: int, challenge: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    if outcome.earlier:
        headers["idempotent-replayed"] = "true"
    if outcome.action and status in (202, 409, 504):
        headers["location"] = f"/v1/outcomes/{outcome.action}"
    if outcome.retry_after_s is not None:
        headers["retry-after"] = str(max(1, -int(-outcome.retry_after_s // 1)))
        headers.update(_limits(outcome, headers["retry-after"]))
    elif status in (202, 503) or (status == 409 and outcome.status == "running"):
        headers["retry-after"] = str(_LATER_S)
    if challenge:
        headers["www-authenticate"] = challenge
    return headers


def _key(request: Request) -> str:
    """The caller's own key. Raises `BadRequest` 400 if there is none, or it is no string."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        raise BadRequest(
            400,
            "the request has no `Idempotency-Key`",
            code="idempotency_key_missing",
            help="send a new one with each new action, and the same one with each try of it",
            param="Idempotency-Key",
        )
    found = _KEY(given[0].strip()) if len(given) == 1 else None
    if found is None:
        raise BadRequest(
            400,
            "the `Idempotency-Key` is not one string",
            code="idempotency_key_malformed",
            help='send it as `"…"`, of letters, digits and `_ . : / + * # -`',
            param="Idempotency-Key",
        )
    return found[1] if found[1] is not None else found[2]
