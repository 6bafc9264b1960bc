"""An agent's own routes: keys, statuses, and whose an action is."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.rest.asking import Asking


def note(**more: Any) -> dict[str, Any]:
    """A note that nobody took before."""
    arguments = {"customer": "c_1", "text": f"tea {time.monotonic_ns()}", **more}
    return {"tool": "notes.add", "arguments": arguments}


def act(asking: Asking, key: str, body: Any, name: str = "") -> httpx2.Response:
    """Propose an action under a key of the caller's own."""
    headers = {"idempotency-key": name or str(uuid4())}
    return asking(key, "POST", "/v1/actions", json=body, headers=headers)


@pytest.mark.claim("rest.idempotency-key")
def test_the_same_key_is_the_same_answer(asking: Asking) -> None:
    key = asking.access_key()
    body, name = note(), str(uuid4())
    first = act(asking, key, body, f'"{name}"')
    again = act(asking, key, body, name)
    assert (first.status_code, again.status_code) == (200, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["action"] == again.json()["action"]
    assert first.json()["result"] == again.json()["result"]
    other = act(asking, key, note(), name)
    assert (other.status_code, other.json()["code"]) == (422, "key_conflict")
    for given in ((), (("idempotency-key", '""'),), (("idempotency-key", "a b"),)):
        none = asking.http.post(
            "/v1/actions", json=body, headers=[("authorization", f"Bearer {key}"), *given]
        )
        assert none.status_code == 400, given
    assert none.json()["param"] == "Idempotency-Key"
    notes = act(asking, key, {"tool": "notes.read", "arguments": {"customer": "c_1"}}).json()
    texts = [each["text"] for each in notes["result"]["notes"]]
    assert texts.count(body["arguments"]["text"]) == 1


@pytest.mark.claim("rest.idempotency-key")
async def test_the_same_key_at_once_is_one_effect(asking: Asking) -> None:
    key, name = asking.access_key(), str(uuid4())
    body = {"tool": "faults.dawdle", "arguments": {"customer": f"c_{name}"}}
    answers = await asyncio.gather(
        *(asyncio.to_thread(act, asking, key, body, name) for _ in range(3))
    )
    assert {each.status_code for each in answers} <= {200, 409}
    told = [each.json() for each in answers]
    assert len({each.get("action") or each["decision_id"] for each in told}) == 1
    assert len([each for each in answers if "idempotent-replayed" not in each.headers]) == 1


@pytest.mark.claim("rest.honest-statuses")
def test_each_outcome_has_its_status(asking: Asking) -> None:
    key = asking.access_key()
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"tool": "faults.lose", "arguments": {"customer": "c_1"}}, 504, "being_looked_up"),
        ({"tool": "faults.refuse", "arguments": {"customer": "c_1"}}, 502, ""),
        ({"tool": "faults.pretend", "arguments": {"customer": "c_1"}}, 502, ""),
        ({"tool": "notes.add", "arguments": {"customer": "c_1"}}, 422, "arguments_invalid"),
        ({"tool": "notes.burn", "arguments": {}}, 404, "tool_unknown"),
        ({"tool": "payments.refund", "arguments": {}}, 403, "tool_not_granted"),
        (note(visible_to="customer"), 202, ""),
    ]
    for body, status, code in cases:
        answer = act(asking, key, body)
        assert answer.status_code == status or (status, answer.status_code) == (504, 202), (
            body,
            answer.text,
        )
        told = answer.json()
        if code and answer.status_code == status != 504:
            assert told["code"] == code
        if status >= 400 and answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert told["outcome"]["status"] in ("failed", "unknown", "refused", "done", "denied")
        if status == 202:
            assert answer.headers["location"] == f"/v1/outcomes/{told['action']}"
            assert int(answer.headers["retry-after"]) > 0
    asking("bo", "POST", "/v1/kill", json={"scope": "agent", "target": "note-taker"})
    stopped = act(asking, key, note())
    assert (stopped.status_code, stopped.json()["code"]) == (403, "stopped")
    asking("ada", "POST", "/v1/resume", json={"scope": "agent", "target": "note-taker"})
    assert act(asking, key, note()).status_code == 200


@pytest.mark.claim("rest.own-actions-alone")
def test_an_action_is_its_own_agents_for_the_same_subject(asking: Asking) -> None:
    mine, theirs = asking.access_key("anna"), asking.access_key("bert")
    parked = act(asking, mine, note(visible_to="customer")).json()["action"]
    for method, path in (("GET", ""), ("POST", "/cancel")):
        other = asking(theirs, method, f"/v1/outcomes/{parked}{path}")
        nobody = asking(theirs, method, f"/v1/outcomes/act_nothing{path}")
        assert (other.status_code, nobody.status_code) == (404, 404)
        assert other.json()["code"] == nobody.json()["code"] == "action_unknown"
    assert asking(mine, "GET", f"/v1/outcomes/{parked}").json()["status"] == "parked"
    assert asking(mine, "POST", f"/v1/outcomes/{parked}/cancel").json()["code"] == "cancelled"
    late = asking(mine, "POST", f"/v1/outcomes/{parked}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "not_parked")


@pytest.mark.claim("rest.cursors-sealed")
def test_lists_come_in_pages_and_tags_save_sending(asking: Asking) -> None:
    key = asking.access_key()
    made = [act(asking, key, note()).json()["action"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 2, "agent": "note-taker", **({"cursor": cursor} if cursor else {})}
        page = asking("vi", "GET", "/v1/actions", params=query).json()
        seen += [each["action"] for each in page["items"]]
        cursor = page["next"]
        if len(seen) == 4:
            kept = cursor
    assert seen[:5] == made[::-1]
    assert len(set(seen)) == len(seen)
    for path, given in (("/v1/modes", kept), ("/v1/actions", f"{kept}A"), ("/v1/actions", "x")):
        wrong = asking("vi", "GET", path, params={"cursor": given})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "cursor_invalid")
    first = asking("vi", "GET", f"/v1/actions/{made[0]}")
    tag = first.headers["etag"]
    again = asking("vi", "GET", f"/v1/actions/{made[0]}", headers={"if-none-match": f"W/{tag}"})
    assert (again.status_code, again.content) == (304, b"")
    other = asking("vi", "GET", f"/v1/actions/{made[1]}", headers={"if-none-match": tag})
    assert other.status_code == 200
