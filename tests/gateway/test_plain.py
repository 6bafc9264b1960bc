"""A plain call is answered beside the SDK, and exactly as the SDK answers it.

Each request is sent twice, once as it stands and once with a header of no meaning in it twice,
which is enough for it not to be plain: then the SDK answers. That this tells the two ways apart,
the last test shows from within.
"""

import json
import re
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import mcp_types as types
import pytest
from mcp.server.lowlevel import Server
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bailiwick import Bailiwick
from bailiwick.config import load_settings
from bailiwick.gateway import KeyHolder
from bailiwick.gateway.calling import Answering
from bailiwick.gateway.plain import Plain
from bailiwick.gateway.tasks import Tasks, Who
from tests.gateway.served import CAPABILITIES, Up

META = {**CAPABILITIES, types.CLIENT_CAPABILITIES_META_KEY: {}}
READ = {"name": "notes_read", "arguments": {"customer": "c_1"}}
URLS: Mapping[str, Any] = {"elicitation": {"url": {}}}
TASKS: Mapping[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "x-request-id": "the-same",
}


class Case(NamedTuple):
    """A request: what of it is not as usual. A header that is None is left out."""

    params: Mapping[str, Any] = READ
    meta: Mapping[str, Any] = META
    headers: Mapping[str, str | None] = {}
    more: Mapping[str, Any] = {}
    raw: bytes | None = None
    method: str = "POST"

    def sent(self, way: str, bearer: str) -> tuple[list[tuple[str, str]], bytes]:
        """Its headers and its body; the arguments are a way's own where they say so."""
        message = {
            **{"jsonrpc": "2.0", "id": 1, "method": "tools/call"},
            "params": {**self.params, "_meta": self.meta},
            **self.more,
        }
        body = self.raw if self.raw is not None else json.dumps(message).encode()
        usual = {
            **HEADERS,
            "authorization": f"Bearer {bearer}",
            "mcp-name": str(self.params.get("name", "")),
        }
        headers = [(name, text) for name, text in {**usual, **self.headers}.items() if text]
        return headers, body.replace(b"<way>", way.encode())


def note(text: str, **more: str) -> dict[str, Any]:
    """A call that writes a note, which no other case and no other way writes."""
    said = f"{text} <way> {time.monotonic_ns()}"
    return {"name": "notes_add", "arguments": {"customer": "c_1", "text": said, **more}}


def able(capabilities: Any) -> dict[str, Any]:
    """What a client says beside a call that is able to do something."""
    return {**META, types.CLIENT_CAPABILITIES_META_KEY: capabilities}


def raw(text: str) -> bytes:
    """A call whose arguments are written by hand."""
    usual = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call"})[:-1]
    params = f'{{"name": "notes_read", "arguments": {text}, "_meta": {json.dumps(META)}}}'
    return f'{usual}, "params": {params}}}'.encode()


_BODY = raw('{"customer": "c_1"}')
_OTHER = {**META, types.PROTOCOL_VERSION_META_KEY: "2025-11-25"}
CASES: Mapping[str, Case] = {
    # What is answered with a result.
    "a read": Case(),
    "a write": Case(note("done")),
    "no arguments": Case({"name": "notes_read"}),
    "null for arguments": Case({"name": "notes_read", "arguments": None}),
    "wrong arguments": Case({"name": "notes_add", "arguments": {"customer": 3}}),
    "a failure": Case({"name": "faults_refuse", "arguments": {"customer": "<way>"}}),
    "nobody knows": Case({"name": "faults_lose", "arguments": {"customer": "<way>"}}),
    "contradicted": Case({"name": "faults_pretend", "arguments": {"customer": "<way>"}}),
    "parked": Case(note("parked", visible_to="customer")),
    "parked, shows": Case(note("shows", visible_to="customer"), able(URLS)),
    "parked, polls": Case(note("polls", visible_to="customer"), able(TASKS)),
    "a key": Case(note("key"), {**META, "dev.bailiwick/idempotencyKey": "key <way>"}),
    "a run": Case(note("run"), {**META, "dev.bailiwick/run": "run-<way>"}),
    "a run that is no text": Case(meta={**META, "dev.bailiwick/run": 7}),
    "a trace": Case(meta={**META, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}),
    "an id of text": Case(more={"id": "one"}),
    "a large id": Case(more={"id": 2**70}),
    "a large text": Case(note("x" * 200_000)),
    "a larger text": Case(note("x" * 400_000)),
    "text of all kinds": Case({"name": "notes_read", "arguments": {"customer": "é漢\U0001f600\0"}}),
    "a name twice": Case(raw=raw('{"customer": "c_0", "customer": "c_1"}')),
    "a large number": Case(raw=raw('{"customer": 123456789012345678901234567890}')),
    # What the protocol refuses, and who bears what.
    "an unknown tool": Case({"name": "notes_burn", "arguments": {}}),
    "not a number": Case(raw=raw('{"customer": NaN}')),
    "too large a number": Case(raw=raw(f'{{"customer": {"9" * 5000}}}')),
    "infinity": Case(raw=raw('{"customer": 1e999}')),
    "half a pair": Case(raw=raw('{"customer": "\\ud800"}')),
    "depth": Case(raw=raw('{"customer": ' + "[" * 5000 + "]" * 5000 + "}")),
    "UTF-16": Case(raw=_BODY.decode().encode("utf-16")),
    "not UTF-8": Case(raw=_BODY.replace(b"c_1", b"c_\xff")),
    "a mark first": Case(raw=b"\xef\xbb\xbf" + _BODY),
    "something behind": Case(raw=_BODY + b" x"),
    "too large a body": Case(raw=b" " * (4 * 1024 * 1024 + 1)),
    "no body": Case(raw=b""),
    "half a body": Case(raw=_BODY[:-9]),
    "a batch": Case(raw=b"[" + _BODY + b"]"),
    "a result": Case(raw=b'{"jsonrpc": "2.0", "id": 1, "result": {}}'),
    "a notification": Case(raw=_BODY.replace(b'"id": 1, ', b"")),
    "a null id": Case(more={"id": None}),
    "an id with a point": Case(more={"id": 1.0}),
    "a boolean id": Case(more={"id": True}),
    "another jsonrpc": Case(more={"jsonrpc": "1.0"}),
    "a member more": Case(more={"further": 1}),
    "a parameter more": Case({**READ, "further": 1}),
    "a task of the older kind": Case({**READ, "task": {"ttl": "long"}}),
    "a state": Case({**READ, "requestState": "v1.none"}),
    "responses": Case({**READ, "inputResponses": {"approval": {"action": "accept"}}}),
    "responses of no kind": Case({**READ, "inputResponses": 4}),
    "arguments in a list": Case({**READ, "arguments": [1]}),
    "a name that is none": Case({**READ, "name": 5}),
    "no _meta": Case(more={"params": READ}),
    "no capabilities": Case(meta=CAPABILITIES),
    "capabilities of no kind": Case(meta=able([])),
    "a capability of no kind": Case(meta=able({"elicitation": 3})),
    "null for capabilities": Case(meta=able(None)),
    "a client of no kind": Case(meta={**META, types.CLIENT_INFO_META_KEY: {"name": 1}}),
    "no client": Case(meta={each: META[each] for each in META if "clientInfo" not in each}),
    "progress": Case(meta={**META, "progressToken": 1}),
    "a level": Case(meta={**META, "io.modelcontextprotocol/logLevel": "info"}),
    "a level of no kind": Case(meta={**META, "io.modelcontextprotocol/logLevel": "loud"}),
    "another revision inside": Case(meta=_OTHER),
    "another revision": Case(meta=_OTHER, headers={"mcp-protocol-version": "2025-11-25"}),
    "no revision": Case(headers={"mcp-protocol-version": None}),
    "a revision of later": Case(headers={"mcp-protocol-version": "2099-01-01"}),
    "another method in the header": Case(headers={"mcp-method": "tools/list"}),
    "another method inside": Case(more={"method": "tools/list"}),
    "no method in the header": Case(headers={"mcp-method": None}),
    "another name in the header": Case(headers={"mcp-name": "notes_add"}),
    "no name in the header": Case(headers={"mcp-name": None}),
    "a coded name": Case(headers={"mcp-name": "=?base64?bm90ZXNfcmVhZA==?="}),
    "a badly coded name": Case(headers={"mcp-name": "=?base64?!?="}),
    "a mirrored argument": Case(headers={"mcp-param-customer": "c_2"}),
    "accepts JSON": Case(headers={"accept": "application/json"}),
    "accepts anything": Case(headers={"accept": "text/html, */*;q=0.1"}),
    "accepts events": Case(headers={"accept": "text/event-stream"}),
    "accepts pages": Case(headers={"accept": "text/html"}),
    "no type": Case(headers={"content-type": None}),
    "a type with a charset": Case(headers={"content-type": "Application/JSON; charset=utf-8"}),
    "another type": Case(headers={"content-type": "text/plain"}),
    "another host": Case(headers={"host": "evil.example"}),
    "a host without a port": Case(headers={"host": "127.0.0.1"}),
    "a host that begins like ours": Case(headers={"host": "localhost.evil.example:80"}),
    "our origin": Case(headers={"origin": "http://localhost:1"}),
    "another origin": Case(headers={"origin": "https://evil.example"}),
    "no bearer": Case(headers={"authorization": None}),
    "a bearer of nothing": Case(headers={"authorization": "Bearer bwk_none"}),
    "another scheme": Case(headers={"authorization": "Basic bm9uZTpub25l"}),
    "GET": Case(method="GET"),
    "DELETE": Case(method="DELETE"),
}
NARROW = {
    "covered": Case(),
    "beyond the scope": Case(note("beyond")),
    "beyond the manifest": Case({"name": "faults_lose", "arguments": {"customer": "<way>"}}),
}
WAYS = {"a": [("x-plain", "1")], "b": [("x-plain", "1"), ("x-plain", "1")]}
# The way that the arguments name, ids, the tool's key, and times.
_DIFFERS = re.compile(r"way-[ab]|\b(act_|bw-)\w+|\b[0-9a-f]{32}\b|20\d\d-\d\d-\d\dT[0-9:.+]+")
_TOLD = ("content-type", "www-authenticate", "allow", "retry-after", "x-request-id")


def answered(up: Up, http: httpx2.Client, case: Case, bearer: str) -> list[Any]:
    """What each way answers, without what differs between two calls of anything."""
    told = []
    for way, extra in WAYS.items():
        headers, body = case.sent(f"way-{way}", bearer)
        answer = http.request(case.method, f"{up.url}/mcp", headers=headers + extra, content=body)
        text: Any = _DIFFERS.sub("…", answer.text)
        named = {name: answer.headers.get(name) for name in _TOLD}
        try:
            text = json.loads(text)
        except ValueError:
            pass
        told.append((answer.status_code, named, text))
    return told


@pytest.mark.claim("gateway.plain-is-the-same")
def test_both_ways_answer_alike(up: Up) -> None:
    narrowed = httpx2.post(
        f"{up.url}/v1/token",
        data={
            "grant_type": "client_credentials",
            "resource": f"{up.url}/mcp",
            "scope": "notes.read",
        },
        auth=("note-taker", up.key),
    ).json()["access_token"]
    seen: dict[str, Any] = {}
    with httpx2.Client(timeout=30) as http:
        for name, case in CASES.items():
            plain, sdk = answered(up, http, case, up.key)
            assert plain == sdk, name
            seen[name] = plain
        for name, case in NARROW.items():
            plain, sdk = answered(up, http, case, narrowed)
            assert plain == sdk, name
            seen[name] = plain
    counted = httpx2.get(f"{up.url}/metrics").text
    for status in (200, 400, 401, 403):
        assert f'{{method="POST",route="/mcp",status="{status}"}}' in counted
    # It is no comparison of one refusal with itself.
    results = [name for name, (status, _, told) in seen.items() if status == 200 and told["result"]]
    assert len(results) > 20
    assert seen["parked, shows"][2]["result"]["resultType"] == "input_required"
    assert seen["parked, polls"][2]["result"]["resultType"] == "task"
    assert seen["beyond the scope"][0] == 403
    assert {seen[each][0] for each in CASES} >= {200, 202, 400, 401, 403, 405, 406, 413, 421}


PLAIN = {
    *("a read", "a write", "no arguments", "null for arguments", "wrong arguments", "a failure"),
    *("nobody knows", "contradicted", "parked", "parked, shows", "parked, polls", "a key", "a run"),
    *("a run that is no text", "a trace", "an id of text", "a large id", "a large text"),
    *("text of all kinds", "a name twice", "a large number", "no client", "a mirrored argument"),
    *("accepts JSON", "accepts anything", "a type with a charset"),
    # Whose bearer it is was asked before.
    *("no bearer", "a bearer of nothing", "another scheme"),
}


class _Sdk:
    """Keeps what it was sent."""

    def __init__(self) -> None:
        self.body: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.body, more = b"", True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)


@asynccontextmanager
async def plain_before(sdk: _Sdk, project: Path) -> AsyncIterator[ASGIApp]:
    """The plain way in before an SDK, over a project, for its agent and anna."""
    async with Bailiwick.open(load_settings(project)) as bailiwick:
        visitor = KeyHolder(bailiwick.world, "note-taker", "anna")
        who: Who = lambda _: visitor  # noqa: E731
        answering = Answering(bailiwick.world, Tasks(bailiwick.world, who, ""), "")
        plain = Plain(Server("bailiwick"), answering, who, hosts=["127.0.0.1:*", "one.example"])
        yield plain.before(sdk)


async def test_only_what_is_plain_is_taken_and_all_else_is_handed_on_whole(
    founded: Path, tmp_path: Path
) -> None:
    shutil.copytree(founded, tmp_path / "project")
    sdk = _Sdk()
    async with plain_before(sdk, tmp_path / "project") as app:
        for name, case in CASES.items():
            for pieces in (1, 3):
                sdk.body = None
                statuses, body = await _sent(app, case, f"way-{pieces}", pieces)
                taken = sdk.body is None
                assert taken == (name in PLAIN), name
                assert statuses == ([200] if taken else []), name
                assert taken or sdk.body == body, name


async def _sent(app: ASGIApp, case: Case, way: str, pieces: int) -> tuple[list[int], bytes]:
    headers, body = case.sent(way, "")
    given = {"host": "127.0.0.1:80", **dict(headers)}
    scope = {
        "type": "http",
        "method": case.method,
        "path": "/mcp",
        "headers": [(name.encode(), text.encode()) for name, text in given.items()],
    }
    size = len(body) // pieces + 1
    rest = [body[first : first + size] for first in range(0, len(body), size)] or [b""]
    statuses = list[int]()

    async def receive() -> Message:
        return {"type": "http.request", "body": rest.pop(0), "more_body": bool(rest)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses, body
