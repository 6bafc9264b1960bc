"""Arguments that go by headers too (SEP-2243): what a header says has to be what the call says.

Nothing here goes by them, but something between may: a proxy that lets a call pass by its header
must not be deceived about the call. So a header that differs from its argument is refused, as is
one that is missing where the tool's schema wants it.
"""

from collections.abc import Mapping

from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import (
    find_invalid_x_mcp_header,
    validate_mcp_param_headers,
    x_mcp_header_map,
)

from bailiwick.nouns import Tool
from bailiwick.values import JSON

_KEPT = 4096
_mirrors: dict[str, bool] = {}


def is_mirrored(tool: Tool) -> bool:
    """Whether any argument of the tool goes by a header too."""
    found = _mirrors.get(tool.digest)
    if found is None:
        if len(_mirrors) >= _KEPT:
            _mirrors.clear()
        valid = find_invalid_x_mcp_header(tool.schema) is None
        found = _mirrors[tool.digest] = valid and bool(x_mcp_header_map(tool.schema))
    return found


def check_mirrored(tool: Tool, arguments: Mapping[str, JSON], headers: Mapping[str, str]) -> None:
    """Raise `MCPError` (-32020) unless headers and arguments say the same."""
    if is_mirrored(tool):
        refusal = validate_mcp_param_headers(tool.schema, arguments, headers)
        if refusal is not None:
            raise MCPError(refusal.code, refusal.message, refusal.data)
