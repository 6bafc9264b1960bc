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
from bailiwick.ports import World
from bailiwick.server.admitting import bearer_of
from bailiwick.server.people import Choice, People
from bailiwick.server.problems import problem
from bailiwick.server.rest import given as g
from bailiwick.server.rest.faults import Refused, told
from bailiwick.server.rest.paging import cursor, page, place
from bailiwick.server.rest.reading import read
from bailiwick.server.rest.rows import LOGIN, VOTES, Row
from bailiwick.values import JSON, canonical

Handler = Callable[[Row, Request], Awaitable[Response]]

# The newest first: a page begins after an action, however many were made since.
_ACTIONS = "actions list"


class Endpoint:
    """What stands at one path: a handler for each of its methods, and a no for every other."""

    def __init__(self, rows: Mapping[str, Row], handler: Handler) -> None:
        self._rows = rows
        self._handler = handler
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
                answer = await self._handler(row, request)
            except BailiwickError as fault:
                answer = told(fault)
        await answer(scope, receive, send)


def routes(rows: Sequence[Row], handler: Handler) -> list[Route]:
    """The routes of a table, in its order; each path once."""
    by_path: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_path.setdefault(row.path, {})[row.method] = row
    return [Route(path, Endpoint(methods, handler)) for path, methods in by_path.items()]


class OfPeople:
    """People's routes over one project."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people

    async def __call__(self, row: Row, request: Request) -> Response:
        """Answer one request. Raises `BailiwickError` for everything that is wrong with it."""
        if row.who == "nobody":
            return await self._log_in(row, request)
        statement = bearer_of(request.headers)
        if not statement:
            raise IdentityError(
                "the request has no bearer's credential",
                code="token_missing",
                help="log in with POST /v1/session, and send `Authorization: Bearer …`",
            )
        given = await read(row, request)
        if row in VOTES:
            answer = await self._vote(row, statement, cast("g.Voted", given))
        elif row.paged:
            answer = await self._page(row, statement, cast("g.Paged", given))
        else:
            answer = await self._people.give(statement, row.command, msgspec.to_builtins(given))
        return self._written(row, request, answer)

    async def _log_in(self, row: Row, request: Request) -> Response:
        assert row is LOGIN
        given = cast("g.LogInWith", await read(row, request))
        logged_in = await self._people.log_in(given.name, given.password)
        return self._written(row, request, msgspec.to_builtins(logged_in))

    async def _vote(self, row: Row, statement: str, given: g.Voted) -> JSON:
        choice: Choice = "approve" if row.command == "approvals approve" else "deny"
        if given.vote is not None:
            if given.vote.action != given.action:
                raise BadInput("the vote is on another action", code="parameter_invalid")
            vote: JSON = msgspec.to_builtins(given.vote)
            return await self._people.give(statement, row.command, {"vote": vote})
        if not given.digest or not given.password:
            raise Refused(
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

    async def _page(self, row: Row, statement: str, given: g.Paged) -> JSON:
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

    def _written(self, row: Row, request: Request, answer: JSON) -> Response:
        if row.form == "json":
            status = 202 if isinstance(answer, Mapping) and "waiting" in answer else row.status
            body, media_type = canonical(answer), "application/json"
        else:
            text = str(answer)
            status = row.status
            body = base64.b64decode(text) if row.form == "bytes" else text.encode()
            media_type = _FORMS[row.form]
        headers = {"cache-control": "private, no-cache" if row.method == "GET" else "no-store"}
        if row.method == "GET":
            headers["etag"] = self._etag(request, body)
            if headers["etag"] in _etags(request.headers.get("if-none-match", "")):
                return Response(status_code=304, headers=headers)
        return Response(body, status, headers, media_type)

    def _etag(self, request: Request, body: bytes) -> str:
        # Keyed, and over the address too: a tag says nothing to who has not seen what it is of.
        text = f"{self._world.settings.tenant} {request.url.path}?{request.url.query}\n".encode()
        key = self._world.keys.secret_key("equality")
        return f'"{hmac.digest(key, b"etag " + text + body, "sha256")[:16].hex()}"'


_FORMS: Mapping[str, str] = {
    "text": "text/plain; charset=utf-8",
    "bytes": "application/octet-stream",
}


def _etags(header: str) -> list[str]:
    """The entity tags of a header, as RFC 9110 (8.8.3) compares them weakly; none for `*`."""
    return [each.strip().removeprefix("W/") for each in header.split(",")]
