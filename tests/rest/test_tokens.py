"""Agents get tokens as OAuth clients do, by the official client and by plain requests."""

import hashlib
import json
import time
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthToken

from bailiwick.config import load_settings
from bailiwick.identity import read_agent_key
from bailiwick.identity.jose import decode, encode, public_jwk
from bailiwick.wiring import agent_key_file
from tests.rest.asking import Asking

NOTE = {"customer": "c_1", "text": "by a token"}
JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Kept:
    """Where the official client keeps its tokens: nowhere but here."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


def agent_key(asking: Asking) -> Ed25519PrivateKey:
    """The key of the project's own agent."""
    return read_agent_key(agent_key_file(load_settings(asking.up.desk.project), "note-taker"))


def assertion(asking: Asking, key: Ed25519PrivateKey | None = None, **claims: Any) -> str:
    """An assertion as a client library signs it."""
    now_s = int(time.time())
    usual = {
        "iss": "note-taker",
        "sub": "note-taker",
        "aud": asking.up.url,
        "iat": now_s,
        "exp": now_s + 60,
        "jti": str(uuid4()),
    }
    said = {**usual, **claims}
    return jwt.encode(
        {name: value for name, value in said.items() if value is not None},
        key or agent_key(asking),
        algorithm="EdDSA",
    )


def ask(asking: Asking, given: str | None = None, proof: str = "", **form: str) -> httpx2.Response:
    """One request for a token by an assertion, perhaps with a proof of a key."""
    usual = {
        "grant_type": "client_credentials",
        "client_assertion_type": JWT,
        "client_assertion": assertion(asking) if given is None else given,
        "resource": f"{asking.up.url}/v1",
    }
    headers = {"dpop": proof} if proof else {}
    return asking.http.post("/v1/token", data={**usual, **form}, headers=headers)


HOLDER = Ed25519PrivateKey.generate()


def proof(
    address: str,
    token: str = "",
    method: str = "POST",
    key: Ed25519PrivateKey = HOLDER,
    **claims: Any,
) -> str:
    """A proof for one request, as a client library signs it."""
    said = {"jti": str(uuid4()), "htm": method, "htu": address, "iat": int(time.time()), **claims}
    if token:
        said.setdefault("ath", encode(hashlib.sha256(token.encode()).digest()))
    jwk = {name: each for name, each in public_jwk(key).items() if name != "kid"}
    kind = {"typ": "dpop+jwt", "jwk": jwk}
    return jwt.encode(said, key, algorithm="EdDSA", headers=kind)


@pytest.mark.claim("rest.tokens-of-a-key")
def test_a_token_of_a_key_is_worth_nothing_without_it(asking: Asking) -> None:
    url = asking.up.url
    tools, mcp = f"{url}/v1/tools", f"{url}/mcp"
    given = ask(asking, proof=proof(f"{url}/v1/token")).json()
    token = given["access_token"]
    assert given["token_type"] == "DPoP"

    def shows(sent: str, kind: str = "DPoP", bearing: str = token) -> httpx2.Response:
        headers = {"authorization": f"{kind} {bearing}", **({"dpop": sent} if sent else {})}
        return asking.http.get("/v1/tools?limit=5", headers=headers)

    good = proof(tools, token, "GET")
    assert shows(good).status_code == 200
    # Another spelling of the same address is the same.
    assert shows(
        proof(tools.upper().replace("/V1/TOOLS", "/v1/tools?x=1"), token, "GET")
    ).is_success
    now_s = int(time.time())
    unsigned = good.rpartition(".")[0] + "."
    wrong = {
        "used before": good,
        "another method": proof(tools, token, "POST"),
        "another path": proof(f"{url}/v1/actions", token, "GET"),
        "another door": proof(mcp, token, "GET"),
        "another host": proof("https://elsewhere.example/v1/tools", token, "GET"),
        "another token": proof(tools, token + "x", "GET"),
        "no token": proof(tools, "", "GET"),
        "another key": proof(tools, token, "GET", Ed25519PrivateKey.generate()),
        "too old": proof(tools, token, "GET", iat=now_s - 70),
        "from the future": proof(tools, token, "GET", iat=now_s + 60),
        "no name": proof(tools, token, "GET", jti=""),
        "unsigned": unsigned,
        "nonsense": "a.b.c",
        "none": "",
    }
    codes = {}
    for what, sent in wrong.items():
        answer = shows(sent)
        assert answer.status_code == 401, what
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('DPoP algs="Ed25519 EdDSA"'), what
        assert 'error="invalid_dpop_proof"' in challenge, what
        codes[what] = answer.json()["code"]
    assert codes.pop("used before") == "proof_replayed"
    assert codes.pop("none") == "proof_missing"
    assert set(codes.values()) == {"proof_invalid"}
    # Whoever finds the token has nothing, with or without a proof of the thief's own.
    for sent in ("", proof(tools, token, "GET")):
        stolen = shows(sent, "Bearer")
        assert (stolen.status_code, stolen.json()["code"]) == (401, "proof_missing")
        assert stolen.headers["www-authenticate"].startswith("DPoP ")
    # A proof says nothing of a token that is bound to no key, or of an access key.
    for unbound in (ask(asking).json()["access_token"], asking.access_key()):
        answer = shows(proof(tools, unbound, "GET"), bearing=unbound)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_unbound")
    challenged = asking.http.get("/v1/tools").headers["www-authenticate"]
    assert challenged.startswith("Bearer ")
    assert "DPoP algs=" in challenged


@pytest.mark.claim("rest.tokens-of-a-key")
def test_calls_are_made_with_a_token_of_a_key(asking: Asking) -> None:
    url = asking.up.url
    mcp, acts = f"{url}/mcp", f"{url}/v1/actions"
    basic = httpx2.BasicAuth("note-taker", asking.access_key())
    form = {"grant_type": "client_credentials", "resource": mcp}
    sent = {"dpop": proof(f"{url}/v1/token")}
    given = asking.http.post("/v1/token", data=form, auth=basic, headers=sent).json()
    token = given["access_token"]
    call = {"name": "notes_add", "arguments": {**NOTE, "text": str(uuid4())}}

    def called(sent: str) -> httpx2.Response:
        return asking.up.post("", "tools/call", call, authorization=f"DPoP {token}", dpop=sent)

    once = proof(mcp, token)
    done = called(once)
    assert done.status_code == 200, done.text
    assert "dev.bailiwick/action" in done.text
    assert called(once).json()["code"] == "proof_replayed"
    assert called(proof(acts, token)).status_code == 401
    named = {**call, "_meta": {"dev.bailiwick/run": "another-run"}}
    kind = f"DPoP {token}"
    other = asking.up.post("", "tools/call", named, authorization=kind, dpop=proof(mcp, token))
    assert "run_mismatch" in other.text

    narrow = ask(asking, proof=proof(f"{url}/v1/token"), scope="notes.read").json()["access_token"]
    body = {"tool": "notes.add", "arguments": call["arguments"]}
    headers = {
        "authorization": f"DPoP {narrow}",
        "dpop": proof(acts, narrow),
        "idempotency-key": '"dpop-1"',
    }
    no = asking.http.post("/v1/actions", json=body, headers=headers)
    assert (no.status_code, no.json()["code"]) == (403, "tool_not_granted")
    assert no.headers["www-authenticate"].startswith('DPoP error="insufficient_scope"')
    for bad in (proof(acts), proof(f"{url}/v1/token", iat=1), "a.b.c"):
        answer = ask(asking, proof=bad)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")
    used = proof(f"{url}/v1/token")
    assert ask(asking, proof=used).status_code == 200
    assert ask(asking, proof=used).json()["error"] == "invalid_dpop_proof"


@pytest.mark.claim("rest.tokens-as-oauth")
async def test_the_official_client_gets_a_token_and_calls(asking: Asking) -> None:
    pem = agent_key(asking).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signed = SignedJWTParameters(
        issuer="note-taker",
        subject="note-taker",
        signing_key=pem.decode(),
        signing_algorithm="EdDSA",
    )
    address, url = f"{asking.up.url}/mcp", asking.up.url
    by_key = PrivateKeyJWTOAuthProvider(
        address, Kept(), "note-taker", signed.create_assertion_provider(), issuer=url
    )
    by_secret = ClientCredentialsOAuthProvider(
        address, Kept(), "note-taker", asking.access_key(), issuer=url
    )
    told = []
    for provider in (by_key, by_secret):
        async with (
            httpx2.AsyncClient(auth=provider, timeout=30) as http,
            Client(streamable_http_client(address, http_client=http), mode="2026-07-28") as client,
        ):
            result = await client.call_tool("notes_add", {**NOTE, "text": str(uuid4())})
            assert not result.is_error
            told.append((result.meta or {})["dev.bailiwick/action"])
    subjects = [asking("ada", "GET", f"/v1/actions/{action}").json()["subject"] for action in told]
    assert subjects == ["agent:note-taker", "anna"]


@pytest.mark.claim("rest.step-up")
async def test_a_token_that_covers_too_little_is_stepped_up(asking: Asking) -> None:
    address, kept = f"{asking.up.url}/mcp", Kept()
    provider = ClientCredentialsOAuthProvider(
        address, kept, "note-taker", asking.access_key(), issuer=asking.up.url
    )
    narrow = ask(asking, resource=address, scope="notes.read").json()
    assert narrow["scope"] == "notes.read"
    call = {"name": "notes_add", "arguments": NOTE}
    refused = asking.up.post(narrow["access_token"], "tools/call", call)
    assert refused.status_code == 403
    challenge = refused.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert 'scope="notes.add"' in challenge
    kept.tokens = OAuthToken(access_token=narrow["access_token"], scope="notes.read")
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30) as http,
        Client(streamable_http_client(address, http_client=http), mode="2026-07-28") as client,
    ):
        result = await client.call_tool("notes_add", {**NOTE, "text": str(uuid4())})
    assert not result.is_error
    assert set(kept.tokens.scope.split()) == {"notes.read", "notes.add"}


@pytest.mark.claim("rest.tokens-narrow")
def test_a_token_is_for_one_door_and_never_wider_than_the_manifest(asking: Asking) -> None:
    told = ask(asking, scope="notes.* nothing.at-all").json()
    token = told["access_token"]
    assert (told["token_type"], told["scope"]) == ("Bearer", "notes.*")
    assert 0 < told["expires_in"] <= 600
    act = {"tool": "notes.add", "arguments": {**NOTE, "text": str(uuid4())}}
    done = asking(token, "POST", "/v1/actions", json=act, headers={"idempotency-key": "t-1"})
    assert (done.status_code, done.json()["status"]) == (200, "done")
    lose = {"tool": "faults.lose", "arguments": {"customer": "c_1"}}
    no = asking(token, "POST", "/v1/actions", json=lose, headers={"idempotency-key": "t-2"})
    assert (no.status_code, no.json()["code"]) == (403, "tool_not_granted")
    assert 'scope="faults.lose"' in no.headers["www-authenticate"]
    assert asking.up.post(token, "tools/list", {}).status_code == 401
    assert asking(token, "GET", "/v1/agents").status_code == 401
    details = [{"type": "bailiwick_tool", "actions": ["notes.read"], "locations": ["Customer:c_1"]}]
    told = ask(asking, authorization_details=json.dumps(details)).json()
    read = {"tool": "notes.read", "arguments": {"customer": "c_2"}}
    other = asking(
        told["access_token"], "POST", "/v1/actions", json=read, headers={"idempotency-key": "t-3"}
    )
    assert (other.status_code, other.json()["code"]) == (403, "resource_not_granted")
    details[0]["actions"] = ["faults.lose", "payments.refund"]
    wide = ask(asking, authorization_details=json.dumps(details))
    assert (wide.status_code, wide.json()["error"]) == (400, "invalid_scope")


@pytest.mark.claim("rest.assertions-once")
@pytest.mark.claim("rest.tokens-of-a-key")
def test_an_assertion_proves_one_thing_once(asking: Asking) -> None:
    now_s = int(time.time())
    good = assertion(asking)
    assert ask(asking, good).status_code == 200
    wrong = {
        "used": good,
        "stranger": assertion(asking, Ed25519PrivateKey.generate()),
        "other audience": assertion(asking, aud="https://elsewhere.example"),
        "two audiences": assertion(asking, aud=[asking.up.url, "https://elsewhere.example"]),
        "too long": assertion(asking, exp=now_s + 301),
        "over": assertion(asking, iat=now_s - 50, exp=now_s - 1),
        "from the future": assertion(asking, iat=now_s + 60, exp=now_s + 100),
        "another agent": assertion(asking, iss="other", sub="other"),
        "no name": assertion(asking, jti=None),
        "unsigned": good.rpartition(".")[0] + ".",
        "nonsense": "a.b.c",
    }
    for what, given in wrong.items():
        answer = ask(asking, given)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), what
        assert answer.headers["cache-control"] == "no-store"
    none = jwt.encode({"sub": "note-taker"}, "", algorithm="none")
    assert ask(asking, none).status_code == 401
    unused = assertion(asking, iat=now_s - 100, exp=now_s + 60)
    shown = proof(f"{asking.up.url}/v1/token")
    assert ask(asking, proof=shown).status_code == 200
    asking.up.stop()
    asking.up.start()
    assert (ask(asking, good).status_code, ask(asking, unused).status_code) == (401, 200)
    assert ask(asking, proof=shown).json()["error"] == "invalid_dpop_proof"


def test_a_key_speaks_for_whom_it_was_registered(asking: Asking) -> None:
    key = Ed25519PrivateKey.generate()
    jwk = {name: value for name, value in public_jwk(key).items() if name != "kid"}
    body = {"jwk": jwk, "subjects": ["zoe"]}
    made = asking("ada", "POST", "/v1/agents/note-taker/keys", json=body)
    assert made.status_code == 200, made.text
    token = ask(asking, assertion(asking, key), subject="zoe").json()["access_token"]
    assert json.loads(decode(token.split(".")[1]))["sub"] == "zoe"
    own = ask(asking, assertion(asking, key)).json()["access_token"]
    assert json.loads(decode(own.split(".")[1]))["sub"] == "agent:note-taker"
    no = ask(asking, assertion(asking, key), subject="max")
    assert (no.status_code, no.json()["error"]) == (400, "invalid_grant")
    assert ask(asking, subject="zoe").json()["error"] == "invalid_grant"
    assert asking(token, "GET", "/v1/tools").status_code == 200
    ended = asking("ada", "DELETE", f"/v1/agents/note-taker/keys/{made.json()['key']}")
    assert ended.status_code == 200
    assert asking(token, "GET", "/v1/tools").status_code == 401
    assert ask(asking, assertion(asking, key)).status_code == 401


def test_other_requests_are_answered_by_the_codes_of_the_standard(asking: Asking) -> None:
    key = asking.access_key()
    wrong: list[tuple[dict[str, str], int, str]] = [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"resource": "https://elsewhere.example/mcp"}, 400, "invalid_target"),
        ({"client_assertion_type": "other"}, 401, "invalid_client"),
        ({"client_secret": key, "client_id": "note-taker"}, 401, "invalid_client"),
        ({"scope": "nothing"}, 400, "invalid_scope"),
        ({"scope": "notes.add", "authorization_details": "[]"}, 400, "invalid_request"),
        ({"authorization_details": "{"}, 400, "invalid_authorization_details"),
        ({"authorization_details": "[]"}, 400, "invalid_authorization_details"),
        ({"run": "not a name"}, 400, "invalid_request"),
    ]
    for form, status, error in wrong:
        answer = ask(asking, **form)
        assert (answer.status_code, answer.json()["error"]) == (status, error), form
    for content, kind, status in (
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
        (b"a=" + b"b" * 70_000, "application/x-www-form-urlencoded", 413),
    ):
        answer = asking.http.post("/v1/token", content=content, headers={"content-type": kind})
        assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")
    assert asking.http.get("/v1/token").status_code == 405


def test_clients_can_read_where_tokens_are_had(asking: Asking) -> None:
    url = asking.up.url
    issuer = asking.http.get("/.well-known/oauth-authorization-server").json()
    assert (issuer["issuer"], issuer["token_endpoint"]) == (url, f"{url}/v1/token")
    for door in ("/mcp", "/v1"):
        told = asking.http.get(f"/.well-known/oauth-protected-resource{door}").json()
        assert (told["resource"], told["authorization_servers"]) == (url + door, [url])
        assert "scopes_supported" not in told
