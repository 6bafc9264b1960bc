"""REST v1: a table of routes over `operations.COMMANDS`, and the agent's own routes.

rows        the table: method, path, command, what is given, what is told
given told  the structs of requests and answers
reading     a request as its row's struct           faults    a fault's status
paging      cursors                                 handling  a row as an endpoint
openapi     the OpenAPI 3.1 document of the table
"""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bailiwick.operations import COMMANDS
from bailiwick.ports import World
from bailiwick.server.people import People
from bailiwick.server.rest.handling import OfPeople, routes
from bailiwick.server.rest.openapi import document
from bailiwick.server.rest.rows import PEOPLE

__all__ = ["rest"]


def rest(world: World, people: People, url: str) -> list[Route]:
    """The routes of REST v1, and of its OpenAPI document at /v1/openapi.json."""
    described = msgspec.json.encode(openapi(url))

    async def told(_: Request) -> Response:
        return Response(described, media_type="application/json")

    return [Route("/v1/openapi.json", told), *routes(PEOPLE, OfPeople(world, people))]


def openapi(url: str) -> dict[str, Any]:
    """The OpenAPI document, with the commands' own first sentences."""
    said = {name: _sentence(command.__doc__) for name, command in COMMANDS.items()}
    return document(PEOPLE, {**said, "login": "Log in with name and password."}, url)


def _sentence(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
