"""A row of the table as an endpoint: read what is given, give the command, write what is told."""

import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bailiwick.errors import BadInput, BailiwickError, IdentityError
from bailiwick.identity import MAX_SECONDS
from bailiwick.ports import World
from bailiwick.server.admitting import bearer_of
from bailiwick.server.people import Choice, People
from bailiwick.server.problems import BadRequest, of_fault, problem
from bailiwick.server.rest import given as g
from bailiwick.server.rest import told as t
from bailiwick.server.rest.paging import cursor, page, place
from bailiwick.server.rest.reading import read
from bailiwick.server.rest.rows import LOGIN, VOTES, RestRow, Who
from bailiwick.values import JSON, canonical

Handler = Callable[[RestRow, Request], Awaitable[Response]]

# The newest first: a page begins after an action, however many were made since.
_ACTIONS = "actions list"


class Endpoint:
    """What stands at one path: a handler for each of its methods, and a no for every other."""

    def __init__(self, rows: Mapping[str, RestRow], handlers: Mapping[Who, Handler]) -> None:
        self._rows = rows
        self._handlers = handlers
        reads = ("HEAD",) if "GET" in rows else ()
        self._allow = ", ".join(sorted({*rows, *reads, "OPTIONS"}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        row = self._rows.get("GET" if request.method == "HEAD" else request.method)
        if request.method == "OPTIONS":
            answer = Response(status_code=204, headers={"allow": self._allow})
        elif row is None:
            answer = problem(
                405,
                "method_not_allowed",
                f"this address takes {self._allow}",
                headers={"allow": self._allow},
            )
        else:
            try:
                answer = await self._handlers[row.who](row, request)
            except BailiwickError as fault:
                answer = of_fault(fault)
        await answer(scope, receive, send)


def routes(rows: Sequence[RestRow], handlers: Mapping[Who, Handler]) -> list[Route]:
    """The routes of a table, in its order; each path once. `handlers` are by who asks."""
    by_path: dict[str, dict[str, RestRow]] = {}
    for row in rows:
        by_path.setdefault(row.path, {})[row.method] = row
    return [Route(path, Endpoint(methods, handlers)) for path, methods in by_path.items()]


class OfPeople:
    """People's routes over one project."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people

    async def __call__(self, row: RestRow, request: Request) -> Response:
        """Answer one request. Raises `BailiwickError` for everything that is wrong with it."""
        if row.who == "nobody":
            return await self._log_in(row, request)
        statement = bearer_of(request.headers.raw)
        if not statement:
            raise IdentityError(
                "the request has no bearer's credential",
                code="token_missing",
                help="log in with POST /v1/session, and send `Authorization: Bearer …`",
            )
        # Before anything of a stranger's is read.
        await self._people.give(statement, "whoami")
        given = await read(row, request)
        if row in VOTES:
            answer = await self._vote(row, statement, cast("g.Voted", given))
        elif row.paged:
            answer = await self._page(row, statement, cast("g.Paged", given))
        else:
            answer = await self._people.give(statement, row.command, msgspec.to_builtins(given))
        return self._written(row, request, answer)

    async def _log_in(self, row: RestRow, request: Request) -> Response:
        assert row is LOGIN
        given = cast("g.LogInWith", await read(row, request))
        entered = await self._people.log_in(given.name, given.password)
        told = t.SessionTold(
            statement=entered.login.statement,
            person=entered.person,
            roles=entered.roles,
            queues=entered.queues,
            expires_in=MAX_SECONDS,
        )
        return self._written(row, request, msgspec.to_builtins(told))

    async def _vote(self, row: RestRow, statement: str, given: g.Voted) -> JSON:
        choice: Choice = "approve" if row.command == "approvals approve" else "deny"
        if given.vote is not None:
            if given.vote.action != given.action:
                raise BadInput("the vote is on another action", code="parameter_invalid")
            vote: JSON = msgspec.to_builtins(given.vote)
            return await self._people.give(statement, row.command, {"vote": vote})
        if not given.digest or not given.password:
            raise BadRequest(
                422,
                "a vote is signed: it needs `vote`, or `digest` and `password`",
                code="vote_unsigned",
                help="send the digest of the request that was shown, and the password that opens"
                " your signing key",
                param="vote",
            )
        return await self._people.vote(
            statement,
            given.action,
            choice,
            digest=given.digest,
            password=given.password,
            reason=given.reason,
            on_behalf_of=given.on_behalf_of,
        )

    async def _page(self, row: RestRow, statement: str, given: g.Paged) -> JSON:
        parameters: dict[str, JSON] = msgspec.to_builtins(given)
        at = place(self._world, row.path, str(parameters.pop("cursor", "")))
        parameters.pop("limit", None)
        if row.command == _ACTIONS:
            asked: dict[str, JSON] = {**parameters, "limit": given.limit}
            found = await self._people.give(
                statement, row.command, {**asked, "before": at} if at else asked
            )
            items = cast("list[Mapping[str, JSON]]", found)
            last = str(items[-1]["action"]) if len(items) == given.limit else ""
            return {
                "items": items,
                "next": cursor(self._world, row.path, last) if last else None,
            }
        if row.command == "actions export":
            parameters["limit"] = 1000
        found = await self._people.give(statement, row.command, parameters)
        return page(self._world, row.path, cast("list[JSON]", found), given.cursor, given.limit)

    def _written(self, row: RestRow, request: Request, answer: JSON) -> Response:
        if row.form != "json":
            text = str(answer)
            body = base64.b64decode(text) if row.form == "bytes" else text.encode()
            return written(self._world, request, body, media_type=_FORMS[row.form])
        waits = isinstance(answer, Mapping) and "waiting" in answer
        return written(self._world, request, canonical(answer), 202 if waits else row.status)


def written(
    world: World,
    request: Request,
    body: bytes,
    status: int = 200,
    headers: Mapping[str, str] = {},
    *,
    media_type: str = "application/json",
) -> Response:
    """An answer; what is read has an entity tag, and is not sent again to who has it (RFC 9110)."""
    if request.method not in ("GET", "HEAD"):
        return Response(body, status, {"cache-control": "no-store", **headers}, media_type)
    # Keyed, and over the address too: a tag says nothing to who has not seen what it is of.
    text = f"{world.settings.tenant} {request.url.path}?{request.url.query}\n".encode()
    key = world.keys.secret_key("equality")
    tag = f'"{hmac.digest(key, b"etag " + text + body, "sha256")[:16].hex()}"'
    told_with = {"cache-control": "private, no-cache", "etag": tag, **headers}
    if tag in _etags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=told_with)
    return Response(body, status, told_with, media_type)


_FORMS: Mapping[str, str] = {
    "text": "text/plain; charset=utf-8",
    "bytes": "application/octet-stream",
}


def _etags(header: str) -> list[str]:
    """The entity tags of a header, as RFC 9110 (8.8.3) compares them weakly; none for `*`."""
    return [each.strip().removeprefix("W/") for each in header.split(",")]
