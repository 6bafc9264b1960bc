"""ContextForge before the benchmark's server: `python -m bench.peer_contextforge URL`.

It prints where it is. One process of `mcpgateway` on SQLite, with a token that it issues itself,
one upstream, no plugins and no pages, without sessions and with answers in JSON; the client speaks
2025-11-25, the newest that it knows.

What it does not do, and the gateway does: a call is not decided by rules, holds no budget, is not
written down before it is made, and a write is not read back. What it does besides: roles and teams.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path

_ADMIN = "admin@example.com"
_SECONDS = 120.0


def settings(folder: str) -> dict[str, str]:
    """The environment of the server."""
    return {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{folder}/forge.db",
        "AUTH_REQUIRED": "true",
        "MCP_CLIENT_AUTH_ENABLED": "true",
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
        "PLATFORM_ADMIN_EMAIL": _ADMIN,
        "PLATFORM_ADMIN_PASSWORD": secrets.token_urlsafe(24) + "-Aa1",
        "JSON_RESPONSE_ENABLED": "true",
        "USE_STATEFUL_SESSIONS": "false",
        "MCPGATEWAY_UI_ENABLED": "false",
        "MCPGATEWAY_ADMIN_API_ENABLED": "false",
        "PLUGINS_ENABLED": "false",
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
        "LOG_LEVEL": "ERROR",
    }


def token(env: Mapping[str, str]) -> str:
    """A token of the administrator, by the package's own program."""
    words = ("--username", _ADMIN, "--exp", "600", "--secret", env["JWT_SECRET_KEY"], "--admin")
    program = [sys.executable, "-m", "mcpgateway.utils.create_jwt_token", *words]
    done = subprocess.run(program, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def register(port: int, bearer: str, upstream: str) -> None:
    """Have it know the upstream, as soon as it answers."""
    body = json.dumps({"name": "u0", "url": upstream, "transport": "STREAMABLEHTTP"})
    headers = {"content-type": "application/json", "authorization": f"Bearer {bearer}"}
    until = time.monotonic() + _SECONDS
    while True:
        http = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            http.request("POST", "/gateways", body, headers)
            answer = http.getresponse()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            if answer.status != 200:
                raise SystemExit(f"the upstream was not taken: {answer.read().decode()}")
            return
        finally:
            http.close()


def main() -> None:
    """Serve until it is ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        env = settings(folder)
        program = str(Path(sys.executable).with_name("mcpgateway"))
        words = [program, "--host", "127.0.0.1", "--port", str(port)]
        with (Path(folder) / "log").open("wb") as log:
            served = subprocess.Popen(words, env=env, cwd=folder, stdout=log, stderr=log)
        try:
            bearer = token(env)
            register(port, bearer, sys.argv[1])
            told = {"url": f"http://127.0.0.1:{port}/mcp", "tools": "u0-u0-{}", "bearer": bearer}
            print(json.dumps({**told, "revision": "2025-11-25"}), flush=True)
            served.wait()
        finally:
            served.terminate()
            served.wait(30)


if __name__ == "__main__":
    main()
