"""FastMCP's proxy before the benchmark's server: `python -m bench.peer_fastmcp URL`.

It prints where it is, and serves as its documentation has it: `create_proxy`, over HTTP without
sessions and with answers in JSON. It has one upstream, where the gateway has twenty: with more it
asks every one of them for its tools on each call.

What it does not do, and the gateway does: nobody has to say who it is, and nothing is decided,
reserved, recorded or read back.
"""

import json
import socket
import sys

import uvicorn
from fastmcp.server import create_proxy  # type: ignore[import-not-found]


def main() -> None:
    """Serve until it is ended."""
    app = create_proxy(sys.argv[1]).http_app(path="/mcp", json_response=True, stateless_http=True)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(256)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    told = {"url": url, "tools": "u0_{}", "bearer": "", "revision": "2026-07-28"}
    print(json.dumps(told), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main()
