"""REST v1: a table of routes over `operations.COMMANDS`, and the agent's own routes.

rows        the table: method, path, command, what is given, what is told
given told  the structs of requests and answers
reading     a request as its row's struct           paging    cursors
handling    a row as an endpoint
acting      the agent's own routes
openapi     the OpenAPI 3.1 document of the table
"""

import asyncio
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bailiwick.gateway import BearerDoor
from bailiwick.operations import COMMANDS
from bailiwick.ports import World
from bailiwick.server.people import People
from bailiwick.server.rest.acting import OfAgents
from bailiwick.server.rest.handling import Handler, OfPeople, routes
from bailiwick.server.rest.openapi import document
from bailiwick.server.rest.rows import AGENTS, PEOPLE, Who

__all__ = ["rest"]


# What is no command of people's.
_SAID = {
    "login": "Log in with name and password.",
    "act": "Propose an action: it is decided, done at most once, and looked at afterwards.",
    "outcome": "What became of one's own action so far; wakes nothing.",
    "actions cancel": "Take back one's own action while people think about it.",
    "tools": "The tools that one's credential could ever use.",
}


def rest(world: World, people: People, url: str) -> list[Route]:
    """The routes of REST v1, and of its OpenAPI document at /v1/openapi.json."""
    described = cache(lambda: msgspec.json.encode(openapi(url)))

    async def told(_: Request) -> Response:
        # Made when it is first asked for: it takes a while.
        return Response(await asyncio.to_thread(described), media_type="application/json")

    door = BearerDoor(world, f"{url}/v1")
    ours = OfPeople(world, people)
    handlers: dict[Who, Handler] = {
        "person": ours,
        "nobody": ours,
        "agent": OfAgents(world, door, url),
    }
    return [Route("/v1/openapi.json", told), *routes((*PEOPLE, *AGENTS), handlers)]


def openapi(url: str) -> dict[str, Any]:
    """The OpenAPI document, with the commands' own first sentences."""
    said = {name: _sentence(command.__doc__) for name, command in COMMANDS.items()}
    return document((*PEOPLE, *AGENTS), {**said, **_SAID}, url)


def _sentence(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
