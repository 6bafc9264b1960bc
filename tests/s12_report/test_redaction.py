"""Content is told only on request; then no secret of it leaves, by whatever way it came in."""

import json
from pathlib import Path
from typing import Any

import pytest

from bailiwick.telemetry.redaction import MOST_BYTES, REDACTED, Redaction
from bailiwick.values import JSON
from tests.s12_report.collecting import collecting
from tests.spine.house import SETTINGS, TOOLS, founded, opened

CANARY = "sesame-7261"
SCHEMA: dict[str, JSON] = {
    "type": "object",
    "properties": {
        "plan": {"type": "string", "writeOnly": True},
        "code": {"type": "string", "format": "password"},
        "inner": {"type": "object", "properties": {"deep": {"$ref": "#/$defs/hidden"}}},
    },
    "$defs": {"hidden": {"type": "string", "writeOnly": True}},
}


@pytest.mark.claim("telemetry.redacted")
@pytest.mark.parametrize(
    "value",
    [
        {"password": CANARY},
        {"Api-Key": CANARY},
        {"x": {"y": [{"clientSecret": CANARY}]}},
        {"access_token": {"value": [CANARY]}},
        {"plan": CANARY},
        {"code": CANARY},
        {"inner": {"deep": CANARY}},
        {"memo": CANARY},
        {"text": f"it is {CANARY}", "password": CANARY},
        {f"about {CANARY}": 1, "password": CANARY},
        {"list": [1, CANARY], "password": CANARY},
        {"text": f"Authorization: Bearer {CANARY}"},
        {"text": f"eyJhbGciOiJFZDI1NTE5.eyJzdWIiOiIx.{CANARY}"},
        {"text": f"-----BEGIN PRIVATE KEY-----\n{CANARY}"},
        {"text": f"postgresql://user:{CANARY}@host/db"},
        {"text": f"sk-live-{CANARY}"},
        {"text": f"{'x' * 1000} Bearer {CANARY}"},
        {"text": f"{'x' * 900}{CANARY * 200}", "password": CANARY * 200},
        {"text": f"{'x' * 3000}{CANARY}"},
        {"number": 72617261, "pin": 72617261},
        {"deep": json.loads("[" * 50 + f'"{CANARY}"' + "]" * 50)},
        {"many": [*range(1000), CANARY]},
    ],
)
def test_no_secret_is_in_what_is_told(value: dict[str, Any]) -> None:
    told = Redaction(["memo"], SCHEMA).text(value)
    assert "7261" not in told
    assert len(told) <= MOST_BYTES


def test_the_rest_is_told_as_it_is() -> None:
    value: dict[str, JSON] = {
        "on": "t-1",
        "amount_minor": 4200,
        "lines": ["a", None, True, 1.5],
        "password": "p",
    }
    told = Redaction([], SCHEMA).text(value)
    assert json.loads(told) == {**value, "password": REDACTED}


def test_what_the_arguments_hid_is_hidden_in_the_result() -> None:
    redaction = Redaction([], SCHEMA)
    redaction.text({"password": CANARY})
    assert "7261" not in redaction.text({"message": f"set to {CANARY}"})


def test_what_is_cut_is_said() -> None:
    told = json.loads(Redaction([], {}).text({"many": list(range(1000)), "text": "y" * 2000}))
    assert told["many"][-1] == "[cut]"
    assert json.loads(Redaction([], {}).text({str(n): "z" * 1000 for n in range(50)}))["cut"]


@pytest.mark.claim("telemetry.redacted")
@pytest.mark.claim("telemetry.no-content")
@pytest.mark.parametrize("content", [False, True])
async def test_on_the_wire_content_is_there_on_request_and_no_secret_ever(
    tmp_path: Path, content: bool
) -> None:
    with collecting() as server:
        told = (
            f"telemetry_endpoint: {server.url}\n"
            f"telemetry: {{content: {str(content).lower()}, redact: [words], events: e.jsonl, "
            f"headers: {{x-key: collector-key}}}}\n"
        )
        tools = TOOLS.replace('return {"on": on}', 'return {"on": on, "said": how + " indeed"}')
        folder = await founded(tmp_path / "project", settings=SETTINGS + told, tools=tools)
        async with opened(folder) as house:
            clerk = await house.clerk(subject="subject-7261")
            for how in ("", "Bearer token-7261", "refuse"):
                await clerk.act(
                    "desk.note",
                    {"on": "charge-42", "how": how, "words": CANARY},
                    key=f"key-7261-{len(how)}",
                    reason="reason-7261",
                    sources=["source-7261"],
                )
    assert (b"charge-42" in server.everything) is content
    assert (b"indeed" in server.everything) is content
    everything = server.everything + (folder / "e.jsonl").read_bytes()
    for word in (b"7261", b"sesame", b"not today", b"collector-key"):
        assert word not in everything
    assert {headers["x-key"] for headers in server.headers} == {"collector-key"}
    assert b"charge-42" not in (folder / "e.jsonl").read_bytes()
