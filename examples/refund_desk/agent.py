"""The agents of the refund desk: an ordinary MCP client that knows nothing of Bailiwick.

    python agent.py URL

It has three keys, of triage, refund-desk and account, which come as the first line on standard
input, and calls tools of the one MCP server at the URL. Whether a call is allowed, asks people or
is done at most once is not its business: it reads the answers. What it is to do comes as JSON lines
on standard input, and it tells each thing that it was answered as a JSON line on standard output:

    {"do": "ticket", "ticket": "tk_14"}     one of the open tickets
    {"do": "drill", "charges": [...], "writers": 4, "customer": …, "ticket": …}
                                            one cent back on each charge, several at a time

The end of the input ends it, and so does the loss of its server.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, cast

import httpx2
import planner
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import RequestParamsMeta

WAITS = ("parked", "running")
LOOK_AGAIN_S = 0.1
CALL_S = 60.0


def tell(event: str, **members: object) -> None:
    """Tell the conductor one thing, as one line."""
    print(json.dumps({"event": event, **members}), flush=True)


async def lines() -> AsyncIterator[dict[str, Any]]:
    """What the conductor says, until it hangs up."""
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


class Agents:
    """Three clients of one server, each with its own agent's key."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients = clients

    async def act(self, agent: str, ticket: str, wanted: planner.Proposal) -> Any:
        """Call a tool, again and again while the answer is that it waits; tell how it went."""
        name, meta = wanted.tool.replace(".", "_"), _trace(ticket)
        began, waited = time.perf_counter(), False
        result = await self._clients[agent].call_tool(name, wanted.arguments, meta=meta)
        took_ms = (time.perf_counter() - began) * 1000
        while (answer := _read(result))["status"] in WAITS:
            if not waited:
                tell("waits", ticket=ticket, **answer)
            waited = True
            # As the answer says: the same call again gets its one outcome.
            await asyncio.sleep(LOOK_AGAIN_S)
            result = await self._clients[agent].call_tool(name, wanted.arguments, meta=meta)
        tell("acted", ticket=ticket, tool=wanted.tool, waited=waited, took_ms=took_ms, **answer)
        return None if result.is_error else result.structured_content

    async def work(self, ticket: Mapping[str, Any]) -> None:
        """Take one ticket from its triage to whatever becomes of it."""
        id = ticket["id"]
        await self.act("triage", id, planner.tag(ticket))
        await self.act("triage", id, planner.note(ticket))
        wish = planner.wish(ticket)
        if wish == "refund":
            found = await self.act("refund-desk", id, planner.lookup(ticket))
            if found is not None:
                await self.act("refund-desk", id, planner.refund(ticket, found["data"]))
        elif wish != "note":
            await self.act("account", id, planner.account_change(ticket))
        tell("finished", ticket=id)

    async def tickets(self, order: str) -> list[Mapping[str, Any]]:
        """All open tickets, as triage reads them for an order."""
        meta = _trace(f"inbox for {order}")
        result = await self._clients["triage"].call_tool("desk_tickets", {}, meta=meta)
        if result.is_error or result.structured_content is None:
            raise SystemExit(f"the tickets cannot be read: {_read(result)['message']}")
        return list(result.structured_content["data"])

    async def drill(self, order: Mapping[str, Any]) -> None:
        """Refund one cent on each charge with several writers, until done or stopped."""
        charges = iter(order["charges"])
        counts: dict[str, int] = {}

        async def write(number: int) -> None:
            meta = _trace(f"{order['run']}-{number}")
            for charge in charges:
                arguments = {
                    "charge": charge,
                    "amount_minor": 1,
                    "currency": "USD",
                    "customer": order["customer"],
                    "ticket": order["ticket"],
                }
                result = await self._clients["refund-desk"].call_tool(
                    "payments_refund", arguments, meta=meta
                )
                answer = _read(result)
                no = answer["status"] in ("refused", "failed")
                end = answer["code"] if no else answer["status"]
                counts[end] = counts.get(end, 0) + 1
                if end != "done":
                    return
                tell("drilled", action=answer["action"])

        await asyncio.gather(*(write(number) for number in range(order["writers"])))
        tell("drill", counts=counts)


def _trace(ticket: str) -> RequestParamsMeta:
    """What an instrumented client says of a call: which trace it is part of; one for a ticket."""
    trace = hashlib.sha256(ticket.encode()).hexdigest()[:32]
    meta: dict[str, Any] = {"traceparent": f"00-{trace}-{trace[:16]}-01"}
    return cast("RequestParamsMeta", meta)


def _read(result: Any) -> dict[str, Any]:
    """What an answer says, as whoever runs agents would log it."""
    told = result.structured_content or {}
    meta = {name.rpartition("/")[2]: value for name, value in (result.meta or {}).items()}
    return {
        "action": meta.get("action", ""),
        "status": meta.get("status", told.get("status", "")),
        "code": told.get("code", "") if result.is_error else "",
        "message": told.get("message", "") if result.is_error else "",
        "verdict": meta.get("verdict"),
        "earlier": meta.get("earlier", False),
    }


async def work(url: str) -> None:
    """Connect each agent and do what is asked until the input ends."""
    orders = lines()
    keys: dict[str, str] = await anext(orders)
    async with AsyncExitStack() as stack:
        clients = {}
        for agent, key in keys.items():
            headers = {"Authorization": f"Bearer {key}"}
            http = await stack.enter_async_context(
                httpx2.AsyncClient(headers=headers, timeout=CALL_S)
            )
            clients[agent] = await stack.enter_async_context(
                Client(streamable_http_client(url, http_client=http), mode="2026-07-28")
            )
        agents = Agents(clients)
        tell("ready")
        async for order in orders:
            if order["do"] == "drill":
                await agents.drill(order)
                continue
            for ticket in await agents.tickets(order["ticket"]):
                if ticket["id"] == order["ticket"]:
                    await agents.work(ticket)
            tell("through")


def main() -> int:
    """Run until the input ends, or the server is lost; gives the exit code."""
    lost = False
    try:
        asyncio.run(work(sys.argv[1]))
    except* (MCPError, httpx2.TransportError) as errors:
        print(f"the server is lost: {errors.exceptions[0]}", file=sys.stderr)
        lost = True
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
