"""A few scenarios of MCP's official suites, on the gateway and on our client."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from campaigns.conformance.behind import fixture, governed
from campaigns.conformance.suites import PACKAGES, Suite, on_client, on_server

OLDER = Suite(
    "server-2025-11-25",
    "conformance-2026",
    12,
    revision="2025-11-25",
    scenarios=(
        "server-initialize",
        "tools-list",
        "tools-call-error",
        "dns-rebinding-protection",
        "server-sse-polling",
    ),
)
NEWER = Suite(
    "server-2026-07-28",
    "conformance-2026",
    8,
    revision="2026-07-28",
    scenarios=("tools-list", "tools-call-simple-text", "dns-rebinding-protection"),
)
CLIENT = Suite(
    "client-2026-07-28",
    "conformance-2026",
    3,
    revision="2026-07-28",
    scenarios=("http-standard-headers",),
)

pytestmark = pytest.mark.skipif(
    not (PACKAGES / "ready").exists() and "CI" not in os.environ,
    reason="`make conformance` and `make test` install the suites, if npm's packages can be had",
)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[str]:
    """The suites' server behind `bailiwick up`."""
    async with fixture() as url, governed(tmp_path / "project", url) as before:
        yield before


@pytest.mark.claim("gateway.conformance")
async def test_what_a_client_sees_at_the_gateway_is_as_the_suites_have_it(gateway: str) -> None:
    for suite in (OLDER, NEWER):
        result = await on_server(suite, gateway)
        assert result.holds, result.findings
    nobody = await on_server(NEWER, gateway.removesuffix("/mcp"))
    assert not nobody.holds


@pytest.mark.claim("gateway.conformance")
async def test_our_client_speaks_as_the_suites_have_it() -> None:
    result = await on_client(CLIENT)
    assert result.holds, (result.line, result.findings)
