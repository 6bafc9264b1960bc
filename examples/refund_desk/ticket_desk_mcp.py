"""The same ticket desk as an MCP server over its pipes, written with the official SDK.

    DESK_TOKEN=… python ticket_desk_mcp.py --db desk.sqlite --tokens tokens.json

`tokens.json` holds the desk's tokens, `read` and `write`; the one it is started with says what may
be done. Several may run on one database. What each tool does is in ticket_desk.py; one that refuses
has done nothing, and says so as an error.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mcp_types as types
import ticket_desk
from loopback_http import Refused
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

Arguments = Mapping[str, Any]
TEXT = {"type": "string"}
READS = {"readOnlyHint": True}
READING = ("list_tickets", "show_ticket")


def tool(name: str, description: str, *required: str, **more: Any) -> types.Tool:
    """A definition: all parameters are texts."""
    parameters = dict.fromkeys((*required, *more.pop("optional", ())), TEXT)
    schema = {"type": "object", "properties": parameters, "required": list(required)}
    return types.Tool.model_validate(
        {"name": name, "description": description, "inputSchema": schema, **more}
    )


TOOLS = [
    tool("list_tickets", "Lists tickets.", optional=("status",), annotations=READS),
    tool("show_ticket", "Shows a ticket with its tags and notes.", "ticket", annotations=READS),
    tool("tag", "Puts a tag on a ticket.", "ticket", "tag"),
    tool("untag", "Takes a tag off a ticket.", "ticket", "tag"),
    tool("add_note", "Leaves a note on a ticket.", "ticket", "text", optional=("action_id",)),
]


def called(desk: ticket_desk.Desk, name: str, given: Arguments) -> Any:
    """Do what a tool does. Raises `Refused`, and then nothing is done."""
    doing: Mapping[str, Callable[[], Any]] = {
        "list_tickets": lambda: ticket_desk.list_tickets(desk, given).body,
        "show_ticket": lambda: ticket_desk.find_ticket(desk, given["ticket"]),
        "tag": lambda: _tagged(desk, given, wanted=True),
        "untag": lambda: _tagged(desk, given, wanted=False),
        "add_note": lambda: ticket_desk.add_note(desk, given["ticket"], _note(given)).body,
    }
    if name not in doing:
        raise Refused(404, "not_found", "there is no such tool")
    if name not in READING and not desk.write_token:
        raise Refused(403, "read_only", "this token may only read")
    return doing[name]()


def _tagged(desk: ticket_desk.Desk, given: Arguments, *, wanted: bool) -> Any:
    return ticket_desk.change_tag(desk, given["ticket"], given["tag"], wanted=wanted).body


def _note(given: Arguments) -> dict[str, Any]:
    return {name: given[name] for name in ("text", "action_id") if name in given}


async def serve(desk: ticket_desk.Desk) -> None:
    """Answer until the input ends."""

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=TOOLS, ttl_ms=0, cache_scope="private")

    async def call_tool(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            answer = called(desk, params.name, params.arguments or {})
        except Refused as no:
            said = types.TextContent(type="text", text=str(no))
            return types.CallToolResult(content=[said], is_error=True)
        text = types.TextContent(type="text", text=json.dumps(answer))
        return types.CallToolResult(content=[text], structured_content=answer)

    server = Server("desk", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def main() -> None:
    """Run the desk until its input ends."""
    parser = argparse.ArgumentParser(description="A ticket desk as an MCP server.")
    parser.add_argument("--db", required=True)
    parser.add_argument("--tokens", required=True)
    given = parser.parse_args()
    tokens, mine = json.loads(Path(given.tokens).read_text()), os.environ.get("DESK_TOKEN", "")
    if mine not in tokens.values():
        raise SystemExit("DESK_TOKEN is none of the desk's tokens")
    connection = ticket_desk.open_database(given.db)
    write_token = mine if mine == tokens["write"] else ""
    try:
        asyncio.run(serve(ticket_desk.Desk(connection, tokens["read"], write_token)))
    finally:
        connection.close()


if __name__ == "__main__":
    main()
