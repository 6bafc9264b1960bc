"""What a server lists: all pages of it, bounded, and made safe to hand on.

A list is text for a model and for people, and nobody has accepted it. What stands in it is data:
an entry whose name or address has a character that cannot be seen is left out, and in its words
such characters are shown as escapes.
"""

from collections.abc import Callable, Mapping
from typing import Any

import mcp_types
from mcp import MCPError
from mcp.client.session import ClientSession

from bailiwick.errors import BadInput
from bailiwick.execution.mcp.messages import RESULT
from bailiwick.ports import NotSent
from bailiwick.values import JSON, identifier, legible, parse

# The member of a page that holds its entries, and the one that each entry goes by.
LISTS: Mapping[str, tuple[str, str]] = {
    "tools/list": ("tools", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
    "prompts/list": ("prompts", "name"),
}
_REQUESTS: Mapping[str, Callable[..., mcp_types.ClientRequest]] = {
    "resources/list": mcp_types.ListResourcesRequest,
    "resources/templates/list": mcp_types.ListResourceTemplatesRequest,
    "prompts/list": mcp_types.ListPromptsRequest,
}
_MAX_PAGES = 50
_MAX_ENTRIES = 2000
_MAX_ENTRY_BYTES = 64 * 1024
_MAX_WORDS = 8000
_WORDS = ("name", "title", "description")


async def all_pages(session: ClientSession, method: str) -> list[Mapping[str, Any]]:
    """Everything that a server lists; nothing, beside tools, where it does not know the method.

    Raises `NotSent` if it is too much, and what the client raises.
    """
    listed: list[Mapping[str, Any]] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        try:
            entries, cursor = await _page(session, method, cursor)
        except MCPError as error:
            if error.code != mcp_types.METHOD_NOT_FOUND or method == "tools/list":
                raise
            return []
        listed += entries
        if cursor is None or len(listed) > _MAX_ENTRIES:
            break
    if cursor is not None:
        what = LISTS[method][0]
        raise NotSent("definitions_unread", f"the upstream lists more than {_MAX_ENTRIES} {what}")
    return listed


def readable(listed: list[Mapping[str, Any]], by: str) -> dict[str, JSON]:
    """The `entries` that may be handed on, by the member that they go by; how many are `left_out`.

    An entry that goes by another's name is left out: which of them is meant could not be told.
    """
    entries: dict[str, JSON] = {}
    for each in listed:
        try:
            entry = parse(each, max_bytes=_MAX_ENTRY_BYTES)
            name = identifier(str(entry.get(by)), by)
            entries.setdefault(name, legible(entry, _WORDS, _MAX_WORDS))
        except BadInput:
            continue
    return {"entries": list(entries.values()), "left_out": len(listed) - len(entries)}


async def _page(
    session: ClientSession, method: str, cursor: str | None
) -> tuple[list[Mapping[str, Any]], str | None]:
    params = mcp_types.PaginatedRequestParams(cursor=cursor)
    if method == "tools/list":
        # The client learns from it which arguments go out as headers too.
        page = await session.list_tools(params=params)
        tools: list[Mapping[str, Any]] = [
            tool.model_dump(by_alias=True, mode="json", exclude_unset=True) for tool in page.tools
        ]
        return tools, page.next_cursor
    told = await session.send_request(_REQUESTS[method](params=params), RESULT)
    return told[LISTS[method][0]], told.get("nextCursor")
