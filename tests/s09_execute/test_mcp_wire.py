"""The transport under the MCP client: what a raw server does becomes a fate, never an exception."""

import json
import ssl
from collections.abc import Mapping

import httpx2
import pytest

from bailiwick.execution.mcp.wire import CALLS, CURRENT, Delivery, FencedTransport
from bailiwick.execution.passage import Passage
from bailiwick.nouns import McpUpstream, ToolCall
from bailiwick.ports import Lost, NotSent
from tests.s09_execute.bench import free_port
from tests.s09_execute.upstream import Behaviour, answer, bomb, close, endless, reset, upstream

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t"}}
Failure = NotSent | Lost | None


async def opened() -> bool:
    return True


async def shut() -> bool:
    return False


async def sent(
    url: str,
    *,
    method: str = "POST",
    message: Mapping[str, object] = CALL,
    headers: Mapping[str, str] | None = None,
    fence: object = opened,
    times: int = 1,
) -> tuple[int, Delivery]:
    """Send a message as the client would; give the last status that the client saw."""
    call = ToolCall(
        upstream=McpUpstream(name="raw", url=url),
        tool="t",
        arguments={},
        meta={},
        pin="",
        beside=(),
        credential="c",
        secret="Bearer s3cr3t",
        timeout_s=5.0,
        max_bytes=1000,
    )
    delivery = Delivery(call, Passage(set(), shut if fence is shut else opened))
    CURRENT.set(delivery)
    transport = FencedTransport(ssl.create_default_context())
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        for _ in range(times):
            content = json.dumps(message).encode() if method == "POST" else None
            response = await client.request(
                method, url, content=content, headers=dict(headers or {})
            )
    return response.status_code, delivery


def told(failure: Failure) -> tuple[type, str]:
    assert failure is not None
    return type(failure), failure.args[0]


@pytest.mark.claim("mcp.refused-is-failed-cut-is-unknown")
@pytest.mark.claim("mcp.bounded")
@pytest.mark.claim("execution.no-redirects")
@pytest.mark.parametrize(
    ("behaviour", "kind", "code"),
    [
        (answer(307, Location="http://169.254.169.254/latest"), Lost, "provider_redirected"),
        (answer(302, Location="/elsewhere"), Lost, "provider_redirected"),
        (reset(), Lost, "answer_lost"),
        (close(), Lost, "answer_lost"),
        (endless(), Lost, "result_too_large"),
        (bomb(1), Lost, "result_unreadable"),
        (answer(200, raw=b"x" * 2000), Lost, "result_too_large"),
    ],
)
async def test_what_a_server_does_to_a_call_is_its_fate(
    behaviour: Behaviour, kind: type, code: str
) -> None:
    async with upstream() as system:
        system.on("/mcp", behaviour)
        _, delivery = await sent(system.url + "/mcp")
        assert told(delivery.failure) == (kind, code)
        assert len(system.arrivals) == 1


@pytest.mark.claim("execution.no-redirects")
@pytest.mark.parametrize("method", sorted(CALLS))
async def test_no_call_follows_a_redirect_and_each_is_fenced(method: str) -> None:
    message = {**CALL, "method": method}
    async with upstream() as system:
        system.on("/mcp", answer(307, Location="http://169.254.169.254/latest"))
        _, delivery = await sent(system.url + "/mcp", message=message, times=2)
        assert told(delivery.failure) == (Lost, "answer_lost")
        assert len(system.arrivals) == 1
        _, delivery = await sent(system.url + "/mcp", message=message)
        assert told(delivery.failure) == (Lost, "provider_redirected")
        _, delivery = await sent(system.url + "/mcp", message=message, fence=shut)
        assert told(delivery.failure) == (NotSent, "fenced")
        assert len(system.arrivals) == 2


async def test_a_refused_connection_and_a_shut_fence_are_not_sent() -> None:
    status, delivery = await sent(f"http://127.0.0.1:{free_port()}/mcp")
    assert (status, told(delivery.failure)) == (502, (NotSent, "provider_unreachable"))
    async with upstream() as system:
        system.on("/mcp", answer(200))
        status, delivery = await sent(system.url + "/mcp", fence=shut)
        assert (status, told(delivery.failure)) == (502, (NotSent, "fenced"))
        assert system.arrivals == []


async def test_a_session_that_is_not_known_is_certainly_not_done() -> None:
    async with upstream() as system:
        system.on("/mcp", answer(404))
        _, delivery = await sent(system.url + "/mcp", headers={"mcp-session-id": "gone"})
        assert told(delivery.failure) == (NotSent, "session_lost")
        _, delivery = await sent(system.url + "/mcp")
        assert (delivery.failure, delivery.status) == (None, 404)


@pytest.mark.claim("mcp.never-sent-twice")
async def test_a_call_leaves_once_whatever_the_client_does() -> None:
    async with upstream() as system:
        system.on("/mcp", answer(200))
        _, delivery = await sent(system.url + "/mcp", times=2)
        assert told(delivery.failure) == (Lost, "answer_lost")
        assert len(system.arrivals) == 1


async def test_a_server_can_begin_no_conversation_and_sets_no_cookie() -> None:
    async with upstream() as system:
        system.on("/mcp", answer(200, Set_Cookie="a=b"))
        status, _ = await sent(system.url + "/mcp", method="GET")
        assert (status, system.arrivals) == (405, [])
        await sent(system.url + "/mcp", message={**CALL, "method": "tools/list"}, times=2)
        assert len(system.arrivals) == 2
        for arrival in system.arrivals:
            assert "cookie" not in arrival.headers
            assert arrival.headers["accept-encoding"] == "identity"
            assert arrival.headers["authorization"] == "Bearer s3cr3t"
