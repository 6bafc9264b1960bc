"""Every route of the table, once right and once wrong, against a running server."""

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick import approval
from bailiwick.identity import read_session
from bailiwick.identity.jose import public_jwk
from bailiwick.nouns.mandates import BreakGlass, Delegation, StandingApproval
from bailiwick.operations import COMMANDS
from bailiwick.server.rest.openapi import statuses
from bailiwick.server.rest.rows import AGENTS, PEOPLE, RestRow
from bailiwick.server.rest.told import ChangeWaits
from tests.cli.desk import PASSWORD, soon
from tests.rest.asking import Asking

ROWS: dict[tuple[str, str], RestRow] = {(row.method, row.path): row for row in (*PEOPLE, *AGENTS)}
# What cannot be had rightly in a project that is well: the ledger is not held.
UNTRIED = {("POST", "/v1/ledger/accept-restore")}
NEVER = """
@id("notes.never")
forbid (principal, action, resource) when { context.mode == "never" };
"""
NEW_PASSWORD = "another horse battery staple"


class Going:
    """A way through the routes; each answer is held to what the table says of it."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.gone: set[tuple[str, str]] = set()

    def __call__(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 200,
        query: Mapping[str, Any] = {},
        headers: Mapping[str, str] = {},
        **fill: str,
    ) -> Any:
        row = ROWS[method, path]
        target = path.replace(":path}", "}").format(**fill)
        more = {} if body is None else {"json": body}
        given = self.asking(who, method, target, params=query, headers=headers, **more)
        assert given.status_code == status, (method, target, given.status_code, given.text)
        assert status in statuses(row)
        if status < 300:
            self.gone.add((method, path))
        return _held(row, given)


def _held(row: RestRow, given: httpx2.Response) -> Any:
    if row.form != "json" or given.status_code >= 300:
        return given.content if row.form == "bytes" else given.text
    kind = ChangeWaits if given.status_code == 202 and row.waits else row.told
    msgspec.json.decode(given.content, type=kind, strict=True)
    return given.json()


@pytest.fixture(scope="module")
def going(asking: Asking) -> Going:
    """A server, and which of its routes were gone right."""
    return Going(asking)


def signing_key(going: Going, name: str, password: str = PASSWORD) -> Ed25519PrivateKey:
    """A person's signing key, as the command line opens it."""
    desk = going.asking.up.desk
    desk.here(name, "login", name, stdin=f"{password}\n")
    (file,) = (desk.homes / name).rglob("*.json")
    return read_session(file).key


def test_people_look_and_agents_act(going: Going) -> None:
    key = going.asking.access_key()
    going.gone.add(("POST", "/v1/agents/{agent}/access-keys"))
    going.gone.add(("POST", "/v1/session"))
    note = {"tool": "notes.add", "arguments": {"customer": "c_1", "text": "likes tea"}}
    asked = {"idempotency-key": '"first"'}
    done = going(key, "POST", "/v1/actions", note, headers=asked)
    action = done["action"]
    assert (done["status"], done["verdict"]) == ("done", "verified")
    assert going(key, "GET", "/v1/outcomes/{action}", action=action)["status"] == "done"
    assert "notes.add" in {each["name"] for each in going(key, "GET", "/v1/tools")["items"]}
    for path in ("/v1/me", "/v1/policy", "/v1/ledger/records"):
        going("vi", "GET", path)
    lists = [path for (method, path), row in ROWS.items() if row.paged and row.who == "person"]
    for path in lists:
        going("vi", "GET", path)
    (line,) = going("vi", "GET", "/v1/actions", query={"limit": 1})["items"]
    assert line["action"] == action
    for path in ("", "/redecision", "/bisection"):
        going("ada", "GET", "/v1/actions/{action}" + path, action=action)
    payloads = going("ada", "GET", "/v1/actions/{action}/payloads", action=action)
    assert payloads["proposal"]["arguments"]["text"] == "likes tea"
    going("vi", "GET", "/v1/agents/{agent}", agent="note-taker")
    going("vi", "POST", "/v1/who-can", {"action": "notes.add"})
    going("vi", "GET", "/v1/undo-plan", query={"target": action})
    going("ada", "POST", "/v1/actions/{action}/undo", {}, action=action)


def test_people_decide(going: Going) -> None:
    key = going.asking.access_key()
    asked = {"customer": "c_1", "visible_to": "customer"}
    parked = []
    for number in range(3):
        asks = {"tool": "notes.add", "arguments": {**asked, "text": f"hello {number}"}}
        headers = {"idempotency-key": f"asks-{number}"}
        told = going(key, "POST", "/v1/actions", asks, status=202, headers=headers)
        parked.append(told["action"])
    one, two, three = parked
    shown = going("bo", "GET", "/v1/approvals/{action}", action=one)
    vote = {"digest": shown["digest"], "password": PASSWORD}
    told = going("bo", "POST", "/v1/approvals/{action}/approve", vote, action=one)
    assert told["state"] == "granted"
    no = {
        "digest": going("bo", "GET", "/v1/approvals/{action}", action=two)["digest"],
        "password": PASSWORD,
        "reason": "too warm",
    }
    assert going("bo", "POST", "/v1/approvals/{action}/deny", no, action=two)["state"] == "denied"
    taken = going(key, "POST", "/v1/outcomes/{action}/cancel", action=three)
    assert taken["code"] == "cancelled"
    for _ in soon():
        if going(key, "GET", "/v1/outcomes/{action}", action=one)["status"] == "done":
            break
    else:
        raise AssertionError("it was never done")


def test_what_is_in_doubt_is_resolved(going: Going) -> None:
    key = going.asking.access_key()
    lose = {"tool": "faults.lose", "arguments": {"customer": "c_1"}}
    lost = going(key, "POST", "/v1/actions", lose, status=504, headers={"idempotency-key": "lost"})
    action = json.loads(lost)["decision_id"]
    for _ in soon():
        doubts = going("vi", "GET", "/v1/in-doubt")["items"]
        if (action, "unknown") in {(each["action"], each["state"]) for each in doubts}:
            break
    resolved = {"status": "failed", "evidence": "the shelf is empty"}
    going("ada", "POST", "/v1/in-doubt/{action}", resolved, action=action)


def test_people_sign_ahead(going: Going) -> None:
    bo = signing_key(going, "bo")
    rule = next(
        each["id"]
        for each in going("bo", "GET", "/v1/policy")["rules"]
        if each["asks"] and each["id"] != "notes.two"
    )
    draft = {
        "agent": "note-taker",
        "tool": "notes.add",
        "rules": [rule],
        "max_actions": 2,
        "seconds": 600,
        "reason": "a busy day",
    }
    drafted = going("bo", "POST", "/v1/standing/draft", draft)["statement"]
    standing = approval.sign_mandate(msgspec.convert(drafted, StandingApproval), bo)
    body = {"statement": msgspec.to_builtins(standing)}
    waits = going("bo", "POST", "/v1/standing", body, status=202)
    assert waits["change"] == "standing grant"
    going("cy", "POST", "/v1/standing/{id}/confirm", {}, id=standing.id)
    going.gone.add(("POST", "/v1/standing"))
    (row,) = going("vi", "GET", "/v1/standing")["items"]
    assert row["state"] == "running"
    going("ada", "DELETE", "/v1/standing/{id}", id=standing.id)

    now_us = going("bo", "GET", "/v1/standing")["items"][0]["until_us"]
    lent = {"to": "cy", "queue": "support", "until_us": now_us, "reason": "away"}
    drafted = going("bo", "POST", "/v1/delegations/draft", lent)["statement"]
    delegation = approval.sign_mandate(msgspec.convert(drafted, Delegation), bo)
    body = {"statement": msgspec.to_builtins(delegation)}
    going("bo", "POST", "/v1/delegations", body)
    assert len(going("vi", "GET", "/v1/delegations")["items"]) == 1
    going("ada", "DELETE", "/v1/delegations/{id}", id=delegation.id)


@pytest.mark.claim("rest.api-keys-sign-nothing")
def test_a_persons_program_may_do_all_but_what_takes_the_person(going: Going) -> None:
    made = going("ada", "POST", "/v1/me/api-keys", {"days": 7})
    program = made["api_key"]
    assert going(program, "GET", "/v1/me")["name"] == "ada"
    for path, body in (
        ("/v1/people", {"name": "x", "roles": ["admin"]}),
        ("/v1/me/api-keys", {"days": 1}),
    ):
        no = going.asking(program, "POST", path, json=body)
        assert (no.status_code, no.json()["code"]) == (403, "api_key_not_enough")
    going("bo", "POST", "/v1/revocations", {"id": made["id"]})
    assert going.asking(program, "GET", "/v1/me").status_code == 401
    his = going("bo", "POST", "/v1/me/api-keys", {"days": 7})["api_key"]
    vote = {
        **dict.fromkeys(("action", "request_digest", "reason", "signature"), "act_0"),
        **{"person": "bo", "cast_at_us": 1},
    }
    for word in ("approve", "deny"):
        no = going.asking(
            his, "POST", f"/v1/approvals/act_0/{word}", json={"vote": {**vote, "choice": word}}
        )
        assert (no.status_code, no.json()["code"]) == (403, "api_key_not_enough")


def test_administrators_keep_order(going: Going) -> None:
    jwk = {
        name: value
        for name, value in public_jwk(Ed25519PrivateKey.generate()).items()
        if name != "kid"
    }
    added = going("ada", "POST", "/v1/agents/{agent}/keys", {"jwk": jwk}, agent="note-taker")
    going("ada", "DELETE", "/v1/agents/{agent}/keys/{key}", agent="note-taker", key=added["key"])
    going("ada", "POST", "/v1/agents/{agent}/disable", agent="note-taker")
    going("ada", "POST", "/v1/agents/{agent}/enable", agent="note-taker")
    going("ada", "PUT", "/v1/modes/{agent}/{tool}", {"mode": "draft"}, agent="note-taker", tool="*")
    killed = going("bo", "POST", "/v1/kill", {"scope": "run", "target": "r_1"})
    assert killed["quiet"]
    going("ada", "POST", "/v1/resume", {"scope": "run", "target": "r_1"})
    going("bo", "POST", "/v1/revocations", {"id": "t_nothing"})
    new = {"name": "ri", "roles": ["responder"]}
    made = going("ada", "POST", "/v1/people", new)
    session = {"name": "ri", "password": made["password"]}
    going.asking.sessions["ri"] = going("", "POST", "/v1/session", session)["statement"]
    changed = {"password": made["password"], "new_password": NEW_PASSWORD}
    going("ri", "PUT", "/v1/me/password", changed)

    glass = {"agent": "note-taker", "tool": "notes.add", "seconds": 60, "reason": "it burns"}
    drafted = going("ri", "POST", "/v1/break-glass/draft", glass)["statement"]
    key = signing_key(going, "ri", NEW_PASSWORD)
    signed = approval.sign_mandate(msgspec.convert(drafted, BreakGlass), key)
    going("ri", "POST", "/v1/break-glass", {"statement": msgspec.to_builtins(signed)})
    going("ada", "DELETE", "/v1/break-glass/{id}", id=signed.id)
    assert len(going("vi", "GET", "/v1/reviews")["items"]) == 1
    going("ada", "POST", "/v1/reviews/{id}", {"finding": "nothing was done"}, id=signed.id)
    going("ada", "POST", "/v1/people/{name}/disable", name="ri")
    jwk["x"] = public_jwk(Ed25519PrivateKey.generate())["x"]
    going("ada", "PUT", "/v1/agents/{agent}/keys", {"jwk": jwk}, agent="note-taker")


def test_releases_go_and_come_back(going: Going) -> None:
    project = going.asking.up.desk.project
    names = ["agents/note-taker.yaml", "tools/notes.py", "tools/faults.py"]
    names += [str(each.relative_to(project)) for each in project.glob("policies/*.cedar")]
    files = {name: (project / name).read_text() for name in names}
    files["policies/more.cedar"] += NEVER
    digest = going("ada", "POST", "/v1/releases", {"files": files, "note": "one rule"})["digest"]
    assert going("ada", "GET", "/v1/releases/{digest}/check", digest=digest)["rules"]
    going("ada", "GET", "/v1/releases/{digest}/diff", digest=digest)
    going("ada", "GET", "/v1/releases/{digest}/backtest", digest=digest)
    going("ada", "POST", "/v1/releases/{digest}/activate", digest=digest)
    going("ada", "POST", "/v1/releases/rollback", {})


def test_the_ledger_and_the_vault(going: Going) -> None:
    head = going("vi", "GET", "/v1/ledger/checkpoint")
    size = int(head.splitlines()[1])
    tile = going("vi", "GET", "/v1/ledger/tile/{tile:path}", tile=f"0/000.p/{size}")
    assert len(tile) == 32 * size
    page = going("vi", "GET", "/v1/ledger/records", query={"first": size - 2, "limit": 2})
    assert [each["index"] for each in page["records"]] == [size - 2, size - 1]
    assert page["records"][1]["hash"] == tile[-32:].hex()
    assert going("vi", "GET", "/v1/ledger/receipts/{of}", of="0")["proofs"][0]["index"] == 0
    action = going("vi", "GET", "/v1/actions", query={"states": "done"})["items"][0]["action"]
    run = going("vi", "GET", "/v1/actions/{action}", action=action)["run"]
    going("ada", "POST", "/v1/vault/holds", {"run": run, "reason": "a lawyer asks"})
    going("ada", "POST", "/v1/vault/holds/release", {"run": run})
    erased = {"action": action, "reason": "the customer asks"}
    assert going("ada", "POST", "/v1/vault/erasures", erased)["erased"] >= 1
    going("ada", "POST", "/v1/keys/rewrap", {})


def test_every_route_was_gone(going: Going) -> None:
    """The last of this file: what the ones before it went through is the whole table."""
    assert ROWS.keys() - going.gone == UNTRIED
    served = {row.command for row in PEOPLE} | {"login"}
    assert COMMANDS.keys() <= served


def filled(row: RestRow) -> str:
    """A row's path with names of nothing."""
    path = row.path.replace(":path}", "}")
    return path.format(**dict.fromkeys(row.in_path, "0" * 8))


PERSON_ROWS = [row for row in PEOPLE if row.who == "person"]


@pytest.mark.claim("rest.bearers-authenticated")
def test_nothing_is_served_to_who_bears_no_good_credential(asking: Asking) -> None:
    key = asking.access_key()
    wrong = {"person": ("", "x.y.z", key), "agent": ("", "x.y.z", asking.sessions["ada"])}
    for row in (*PERSON_ROWS, *AGENTS):
        for credential in wrong[row.who]:
            body: dict[str, Any] = {"json": {}} if row.has_body else {}
            answer = asking(credential, row.method, filled(row), **body)
            assert answer.status_code == 401, (row.path, credential, answer.text)
            told = answer.json()
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert told["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("row", [*PEOPLE, *AGENTS], ids=lambda row: f"{row.method} {row.path}")
def test_what_is_given_wrongly_is_refused_with_its_name(asking: Asking, row: RestRow) -> None:
    key = asking.up.key or asking.access_key()
    asking.up.key = key
    who = {"person": "ada", "agent": key, "nobody": ""}[row.who]
    path = filled(row)
    if row.has_body:
        tries: list[tuple[dict[str, Any], int]] = [
            ({"json": {"nothing": 1}}, 422),
            ({"content": b"[]", "headers": {"content-type": "application/json"}}, 400),
            ({"content": b'{"a":1,"a":2}', "headers": {"content-type": "application/json"}}, 400),
            ({"content": b'{"a":NaN}', "headers": {"content-type": "application/json"}}, 400),
            ({"content": b"a=1", "headers": {"content-type": "text/plain"}}, 415),
            ({"content": b"{" + b" " * row.body_bytes}, 413),
        ]
    elif row.method in ("GET", "DELETE"):
        tries = [({"params": {"nothing": "1"}}, 422)]
    else:
        tries = []
    for given, status in tries:
        answer = asking(who, row.method, path, **given)
        assert answer.status_code == status, (given, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        if status == 422:
            assert answer.json()["param"] in ("nothing", *row.given.__struct_fields__)
    other = asking(who, "PATCH", path)
    assert (other.status_code, other.json()["code"]) == (405, "method_not_allowed")
    assert row.method in other.headers["allow"]
    assert asking(who, "OPTIONS", path).headers["allow"] == other.headers["allow"]
