"""How MCP clients are told of us: what to paste, for each of those that people have."""

import json
from collections.abc import Iterator

from bailiwick.config import ServeSettings


def address(serve: ServeSettings) -> str:
    """Where the settings say that MCP will be served."""
    if serve.url is not None:
        return f"{serve.url.rstrip('/')}/mcp"
    host = f"[{serve.host}]" if ":" in serve.host else serve.host
    return f"{'https' if serve.certificate else 'http'}://{host}:{serve.port}/mcp"


def snippets(url: str, access_key: str) -> Iterator[str]:
    """Lines that say what to paste where, so that a client is served at `url`."""
    header = {"Authorization": f"Bearer {access_key}"}
    bearer = f'--header "Authorization: Bearer {access_key}"'
    cursor = {"mcpServers": {"bailiwick": {"url": url, "headers": header}}}
    code = {"servers": {"bailiwick": {"type": "http", "url": url, "headers": header}}}
    yield "Claude Code, in a terminal:"
    yield f"  claude mcp add --transport http bailiwick {url} {bearer}"
    yield "Cursor, in .cursor/mcp.json:"
    yield f"  {json.dumps(cursor)}"
    yield "VS Code, in .vscode/mcp.json:"
    yield f"  {json.dumps(code)}"
    yield "MCP Inspector, in a terminal:"
    yield (
        f"  npx @modelcontextprotocol/inspector --cli {url} --transport http {bearer}"
        " --method tools/list"
    )
