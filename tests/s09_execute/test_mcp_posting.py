"""A tool's call as one POST: what is sent, what is read, and what a raw server does to it."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from bailiwick.execution.mcp.messages import answer_of
from bailiwick.execution.mcp.posting import Posts
from bailiwick.execution.mcp.wire import CURRENT, Delivery
from bailiwick.execution.passage import Passage
from bailiwick.execution.tls import context_for
from bailiwick.nouns import McpUpstream, ToolAnswer, ToolCall
from bailiwick.ports import Lost, NotSent
from tests.s09_execute.bench import free_port
from tests.s09_execute.upstream import (
    Behaviour,
    Upstream,
    answer,
    bomb,
    close,
    endless,
    reset,
    upstream,
)

SAID = {"content": [{"type": "text", "text": "é"}], "resultType": "complete", "_meta": {"a": 1}}
JSON_TYPE = "application/json"
EVENTS = "text/event-stream"


@pytest.fixture
async def raw() -> AsyncIterator[Upstream]:
    async with upstream() as system:
        yield system


async def opened() -> bool:
    return True


async def shut() -> bool:
    return False


def calling(url: str, arguments: Mapping[str, Any]) -> ToolCall:
    return ToolCall(
        upstream=McpUpstream(name="raw", url=url),
        tool="té",
        arguments=arguments,
        meta={"dev.bailiwick/action": "act_1"},
        pin="p",
        beside=(),
        credential="c",
        secret="Bearer s3cr3t",
        timeout_s=5.0,
        max_bytes=1000,
    )


async def posted(
    url: str,
    *,
    passage: Passage | None = None,
    arguments: Mapping[str, Any] | None = None,
    schema: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    times: int = 1,
) -> tuple[Any, Delivery]:
    """Call the tool `té`; give the last answer."""
    call = calling(url, arguments or {})
    delivery = Delivery(call, passage or Passage(set(), opened))
    CURRENT.set(delivery)
    posts = Posts(url, "2026-07-28", context_for(url))
    try:
        for _ in range(times):
            given = await posts.ask(delivery, {"inputSchema": schema or {}}, more or {})
        if not isinstance(given, ToolAnswer):
            answer_of(call, given, delivery.status)
        return given, delivery
    finally:
        await posts.close()


def message(**members: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, **members}


def says(body: object, status: int = 200) -> Behaviour:
    return answer(status, body, Content_Type=JSON_TYPE)


def streams(*pieces: bytes) -> Behaviour:
    """Answers with a stream of events, piece by piece, and leaves the connection open."""

    async def behave(system: Upstream, _: object, writer: Any) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {EVENTS}; charset=utf-8\r\n"
        writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()

    return behave


async def test_what_goes_out_is_what_the_revision_asks_for(raw: Upstream) -> None:
    raw.on("/mcp", says(message(result=SAID)))
    schema = {
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {
                "type": "object",
                "properties": {"n": {"x-mcp-header": "N", "type": "integer"}},
            },
        },
    }
    arguments = {"region": "Zürich", "deep": {"n": 7}, "big": 2**53 - 1}
    given, delivery = await posted(raw.url + "/mcp", arguments=arguments, schema=schema)
    assert given == SAID
    assert delivery.status == 200
    (arrival,) = raw.arrivals
    sent: Any = arrival.json
    assert (sent["jsonrpc"], sent["id"], sent["method"]) == ("2.0", 1, "tools/call")
    assert (sent["params"]["name"], sent["params"]["arguments"]) == ("té", arguments)
    assert sent["params"]["_meta"] == {
        "dev.bailiwick/action": "act_1",
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "bailiwick", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = arrival.headers
    assert headers["mcp-protocol-version"] == "2026-07-28"
    assert (headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "=?base64?dMOp?=")
    assert headers["mcp-param-region"] == "=?base64?WsO8cmljaA==?="
    assert headers["mcp-param-n"] == "7"
    assert headers["authorization"] == "Bearer s3cr3t"
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


async def test_a_schema_whose_headers_are_wrong_mirrors_none(raw: Upstream) -> None:
    raw.on("/mcp", says(message(result=SAID)))
    schema = {"properties": {"x": {"type": "number", "x-mcp-header": "X"}}}
    await posted(raw.url + "/mcp", arguments={"x": 1.5}, schema=schema)
    assert "mcp-param-x" not in raw.arrivals[0].headers


RESULT = json.dumps(message(result=SAID)).encode()
OTHER = json.dumps(message(id=2, result=SAID)).encode()
NOTE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}'


@pytest.mark.parametrize(
    "pieces",
    [
        (b"data: " + RESULT + b"\n\n",),
        (b": hello\r\n\r\nid: 1\r\ndata:\r\n\r\nevent: message\r\ndata:" + RESULT + b"\r\n\r\n",),
        (b"event: ping\ndata: {}\n\n", b"data: " + NOTE + b"\n\n", b"data: " + RESULT + b"\n\n"),
        (b"data: " + RESULT[:9], RESULT[9:30], RESULT[30:] + b"\r", b"\n\r", b"\n"),
        (b"data: " + RESULT[:-1] + b"\ndata: }\n\n",),
        (b"data: garbage\n\ndata: " + OTHER + b"\n\n", b"retry: 5\rdata: " + RESULT + b"\r\r\n"),
    ],
    ids=["plain", "crlf", "beside", "pieces", "lines", "others"],
)
async def test_a_stream_of_events_is_read_up_to_the_answer(
    raw: Upstream, pieces: tuple[bytes, ...]
) -> None:
    raw.on("/mcp", streams(*pieces))
    given, _ = await posted(raw.url + "/mcp")
    assert given == SAID


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (says(message(error={"code": -32602, "message": "no"}), 400), (-32602, "no", 400)),
        (says(message(id=None, error={"code": -32020, "message": "h"}), 400), (-32020, "h", 400)),
        (says(message(error={"code": -32000, "message": "m"})), (-32000, "m", 200)),
        (answer(404), (-32601, "Not Found", 404)),
        (answer(503, raw=b"<html>"), (-32603, "Server returned an error response", 503)),
    ],
)
async def test_an_error_is_told_with_its_code_and_status(
    raw: Upstream, behaviour: Behaviour, expected: tuple[int, str, int]
) -> None:
    raw.on("/mcp", behaviour)
    given, _ = await posted(raw.url + "/mcp")
    assert isinstance(given, ToolAnswer)
    assert (given.error_code, given.text, given.status) == expected


WRONG: Mapping[str, object] = {
    "no message": [1],
    "another's": message(result=SAID, id=2),
    "neither": message(),
    "both": message(result=SAID, error={"code": 1, "message": "m"}),
    "no content": message(result={"resultType": "complete"}),
    "no block": message(result={"resultType": "complete", "content": [{"type": "nonsense"}]}),
}


@pytest.mark.claim("mcp.refused-is-failed-cut-is-unknown")
@pytest.mark.claim("mcp.bounded")
@pytest.mark.claim("execution.no-redirects")
@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (answer(307, Location="http://169.254.169.254/latest"), "provider_redirected"),
        (answer(302, Location="/elsewhere"), "provider_redirected"),
        (reset(), "answer_lost"),
        (reset(after=b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), "answer_lost"),
        (close(), "answer_lost"),
        (endless(), "result_too_large"),
        (bomb(1), "result_unreadable"),
        (answer(200, raw=b"x" * 2000, Content_Type=JSON_TYPE), "result_too_large"),
        (answer(200, raw=b"[" * 900, Content_Type=JSON_TYPE), "answer_lost"),
        (answer(202), "answer_lost"),
        (answer(200, raw=RESULT, Content_Type="text/html"), "answer_lost"),
        (answer(200, raw=b"data: x\n\n", Content_Type=EVENTS), "answer_lost"),
        (streams(*([b": " + b"x" * 1024 * 1024 + b"\n"] * 9)), "result_too_large"),
        *((says(each), "answer_lost") for each in WRONG.values()),
    ],
)
async def test_what_a_server_does_to_a_post_is_its_fate(
    raw: Upstream, behaviour: Behaviour, code: str
) -> None:
    raw.on("/mcp", behaviour)
    with pytest.raises(Lost) as lost:
        await posted(raw.url + "/mcp")
    assert lost.value.args[0] == code
    assert len(raw.arrivals) == 1


@pytest.mark.claim("mcp.never-sent-twice")
async def test_a_post_leaves_once_and_only_past_its_fence(raw: Upstream) -> None:
    raw.on("/mcp", says(message(result=SAID)))
    with pytest.raises(Lost, match="a second time"):
        await posted(raw.url + "/mcp", times=2)
    assert len(raw.arrivals) == 1
    with pytest.raises(NotSent) as fenced:
        await posted(raw.url + "/mcp", passage=Passage(set(), shut))
    assert fenced.value.args[0] == "fenced"
    assert len(raw.arrivals) == 1
    with pytest.raises(NotSent) as refused:
        await posted(f"http://127.0.0.1:{free_port()}/mcp")
    assert refused.value.args[0] == "provider_unreachable"


@pytest.mark.claim("mcp.never-sent-twice")
async def test_a_kept_connection_that_the_server_closed_is_not_tried_again(raw: Upstream) -> None:
    raw.on("/mcp", says(message(result=SAID)), close(acts=True))
    url = raw.url + "/mcp"
    posts = Posts(url, "2026-07-28", context_for(url))

    async def ask() -> object:
        delivery = Delivery(calling(url, {}), Passage(set(), opened))
        CURRENT.set(delivery)
        return await posts.ask(delivery, {}, {})

    try:
        await ask()
        with pytest.raises(Lost):
            await ask()
    finally:
        await posts.close()
    assert (len(raw.arrivals), raw.effects, raw.connections) == (2, 1, 1)
