"""Step 2 against what an attacker, a thief or an old friend might send."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping

import msgspec
import pytest

from bailiwick.identity import (
    VerifiedTokens,
    authenticate,
    covers,
    create_person,
    load_keyring,
    make_assertion,
    not_granted,
    open_session,
    rotate_key,
    standing,
)
from bailiwick.nouns import Caller, Credential, Grant, Proposal, Refusal, Resource
from tests.s02_authenticate.desk import (
    NOW_US,
    REFUND,
    SECOND,
    Desk,
    account,
    b64,
    jwk_of,
    jws,
    new_key,
    parts_of,
    random,
    thumbprint,
    unb64,
)

# --- the way in ----------------------------------------------------------------------------------


def test_a_good_credential_says_who_proposes(desk: Desk) -> None:
    token = desk.token(subject="ann")
    caller = desk.caller(desk.credential(token))
    _, claims = parts_of(token)
    assert (caller.tenant, caller.agent, caller.subject) == ("acme", "refund-desk", "ann")
    assert caller.actors == ()
    assert caller.capability.id == claims["jti"]
    assert caller.capability.run == "run-1"
    assert caller.capability.grants == (Grant(tools=("payments.*",)),)
    assert caller.capability.key_thumbprint == thumbprint(desk.keys["refund-desk"])
    assert caller.capability.expires_at_us == NOW_US + 600 * SECOND


def test_a_token_is_written_as_the_standards_have_it(desk: Desk) -> None:
    header, claims = parts_of(desk.token())
    kid, _ = desk.world.keys.sign_token()
    assert header == {"typ": "at+jwt", "alg": "Ed25519", "kid": kid}
    assert claims["iss"] == claims["aud"] == "bailiwick:acme"
    assert claims["act"] == {
        "sub": "refund-desk",
        "iss": "bailiwick:acme",
        "sub_profile": "ai_agent",
    }
    assert claims["cnf"] == {"jkt": thumbprint(desk.keys["refund-desk"])}
    assert claims["authorization_details"] == [
        {
            "type": "bailiwick_tool",
            "actions": ["payments.*"],
            "locations": ["*"],
            "limits": [],
        }
    ]
    assert claims["exp"] - claims["iat"] == 600


@pytest.mark.parametrize(("run", "code"), [(None, None), ("run-1", None), ("x", "run_mismatch")])
def test_the_run_is_the_tokens(desk: Desk, run: str | None, code: str | None) -> None:
    assert desk.code(desk.credential(desk.token()), run=run) == code


def test_without_a_named_run_the_token_is_the_run(desk: Desk) -> None:
    capability = desk.caller(desk.credential(desk.but(run=None).token())).capability
    assert capability.run == capability.id


@pytest.mark.parametrize(
    ("resources", "resource", "covered"),
    [
        (("*",), Resource(type="Charge", id="ch_1"), True),
        (("Charge:*",), Resource(type="Charge", id="ch_1"), True),
        (("Charge:ch_1",), Resource(type="Charge", id="ch_1"), True),
        (("Order:*", "Charge:ch_1"), Resource(type="Charge", id="ch_1"), True),
        (("Shop::Charge:ch_1",), Resource(type="Shop::Charge", id="ch_1"), True),
        (("Charge:ch_1",), Resource(type="Charge", id="ch_11"), False),
        (("Charge:ch_1",), Resource(type="Order", id="ch_1"), False),
        (("Charge:*",), Resource(type="Charge2", id="ch_1"), False),
        (("Shop::Charge:ch_1",), Resource(type="Shop", id=":Charge:ch_1"), False),
    ],
)
def test_a_grant_covers_what_it_names(
    desk: Desk, resources: tuple[str, ...], resource: Resource, covered: bool
) -> None:
    grant = Grant(tools=("payments.*",), resources=resources)
    caller = desk.caller(desk.credential(desk.but(grants=[grant]).token()))
    assert covers(caller, REFUND, resource) == ((grant,) if covered else ())
    assert covers(caller, "mail.send", resource) == ()


def test_the_no_to_a_resource_names_it(desk: Desk) -> None:
    no = not_granted(REFUND, Resource(type="Charge", id="ch_1"))
    assert (no.step, no.code) == (2, "resource_not_granted")
    assert "`Charge:ch_1`" in no.message


# --- forged and foreign tokens -------------------------------------------------------------------

Spoil = Callable[[Desk, str], str]


def resigned(desk: Desk, token: str, header: object = None, claims: object = None) -> str:
    """The token with another header or claims, signed by the issuer's own key."""
    old_header, old_claims = parts_of(token)
    _, key = desk.world.keys.sign_token()
    return jws(header or old_header, claims or old_claims, key.sign)  # type: ignore[attr-defined]


def with_header(**changes: object) -> Spoil:
    return lambda desk, token: resigned(desk, token, header=parts_of(token)[0] | changes)


def with_claims(**changes: object) -> Spoil:
    return lambda desk, token: resigned(desk, token, claims=parts_of(token)[1] | changes)


def unsigned(desk: Desk, token: str) -> str:
    header, claims = parts_of(token)
    return jws(header | {"alg": "none"}, claims, lambda _: b"")


def hmac_with_the_public_key(desk: Desk, token: str) -> str:
    header, claims = parts_of(token)
    jwk = desk.world.keys.verify_token(header["kid"])
    assert jwk is not None
    secret = unb64(str(jwk["x"]))
    header["alg"] = "HS256"
    return jws(header, claims, lambda text: hmac.digest(secret, text, hashlib.sha256))


def changed_claim(desk: Desk, token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(unb64(payload)) | {"sub": "root"}
    return f"{header}.{b64(json.dumps(claims).encode())}.{signature}"


def unsigned_and_unknown(desk: Desk, token: str) -> str:
    header, claims = parts_of(token)
    return jws(header | {"alg": "none", "kid": "9-000000000000"}, claims, lambda _: b"")


def signed_by_another(desk: Desk, token: str) -> str:
    return jws(*parts_of(token), new_key().sign)


def unknown_kid(desk: Desk, token: str) -> str:
    header, claims = parts_of(token)
    return jws(header | {"kid": "9-000000000000"}, claims, new_key().sign)


def retired_kid(desk: Desk, token: str) -> str:
    """A key that signs validly and is of another keyring."""
    kid = rotate_key(desk.folder, "token", random.randbytes)
    _, key = load_keyring(desk.folder, "acme.example/log").sign_token()
    header, claims = parts_of(token)
    return jws(header | {"kid": kid}, claims, key.sign)


def repeated_claim(desk: Desk, token: str) -> str:
    _, claims = parts_of(token)
    twice = json.dumps(claims)[:-1] + ', "sub": "root"}'
    return resigned(desk, token, claims=twice.encode())


def loose_base64(desk: Desk, token: str) -> str:
    """The same signature spelled otherwise: its last character has four bits nobody reads."""
    head, last = token[:-1], token[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spelled = head + alphabet[alphabet.index(last) ^ 1]
    _, _, signature = spelled.split(".")
    assert base64.urlsafe_b64decode(signature + "==") == unb64(token.split(".")[2])
    return spelled


def session_instead(desk: Desk, token: str) -> str:
    password = "correct horse battery"
    person, secret, _ = create_person(
        "acme", "ann", roles=["admin"], password=password, random=random.randbytes
    )
    session = open_session(
        desk.world.keys, person, secret, password, now_us=NOW_US, random=random.randbytes
    )
    return session.statement


def assertion_instead(desk: Desk, token: str) -> str:
    return make_assertion(
        desk.keys["refund-desk"],
        "refund-desk",
        tenant="acme",
        nonce=desk.world.tokens.nonce,
        now_us=NOW_US,
        random=random.randbytes,
    )


BAD_TOKENS: list[tuple[str, str, Spoil]] = [
    ("no signature", "token_forged", unsigned),
    ("no signature and no key of ours", "token_forged", unsigned_and_unknown),
    ("HS256 over the public key", "token_forged", hmac_with_the_public_key),
    ("the algorithm's old name", "token_forged", with_header(alg="EdDSA")),
    ("a changed claim", "token_forged", changed_claim),
    ("another's signature", "token_forged", signed_by_another),
    ("a signature that is cut", "token_malformed", lambda _, token: token[:-1]),
    ("a signature that is empty", "token_forged", lambda _, token: token[: token.rindex(".") + 1]),
    ("an unknown key", "token_unknown_key", unknown_kid),
    ("a key not loaded", "token_unknown_key", retired_kid),
    ("a key id that is no text", "token_malformed", with_header(kid={"a": 1})),
    ("another type", "token_malformed", with_header(typ="JWT")),
    ("a key in the header", "token_malformed", with_header(jwk=jwk_of(new_key()))),
    ("a critical extension", "token_malformed", with_header(crit=["b64"], b64=False)),
    ("a session", "token_malformed", session_instead),
    ("an assertion", "token_malformed", assertion_instead),
    ("a claim said twice", "token_malformed", repeated_claim),
    ("an unknown claim", "token_malformed", with_claims(only_on="Mondays")),
    ("a time that is text", "token_malformed", with_claims(exp="tomorrow")),
    ("more actors than handings on", "token_malformed", with_claims(
        act={
            "sub": "refund-desk",
            "iss": "bailiwick:acme",
            "sub_profile": "ai_agent",
            "act": {"sub": "mailer", "iss": "bailiwick:acme", "sub_profile": "ai_agent"},
        }
    )),
    ("claims that are a list", "token_malformed", lambda d, t: resigned(d, t, claims=b"[]")),
    ("another spelling", "token_malformed", loose_base64),
    ("padding", "token_malformed", lambda _, token: token + "=="),
    ("a line break", "token_malformed", lambda _, token: token + "\n"),
    ("nothing", "token_malformed", lambda _, token: ""),
    ("four parts", "token_malformed", lambda _, token: token + ".e30"),
    ("other letters", "token_malformed", lambda _, token: "é" + token[1:]),
    ("a megabyte", "token_malformed", lambda _, token: token + "A" * 2**20),
    ("another issuer", "token_wrong_audience", with_claims(iss="bailiwick:evil")),
    ("another audience", "token_wrong_audience", with_claims(aud="bailiwick:evil")),
]  # fmt: skip

named = pytest.mark.parametrize(
    ("code", "spoil"),
    [pytest.param(code, spoil, id=name.replace(" ", "-")) for name, code, spoil in BAD_TOKENS],
)


@pytest.mark.claim("identity.forged-token-refused")
@named
def test_a_token_that_is_not_whole_is_refused(desk: Desk, code: str, spoil: Spoil) -> None:
    token = desk.token()
    assert desk.code(desk.credential(token)) is None
    bad = spoil(desk, token)
    assert desk.code(Credential(token=bad, proof=desk.proof(bad))) == code


def test_what_is_put_together_by_hand_is_otherwise_good(desk: Desk) -> None:
    """Else the tables above and below would hold for the wrong reason."""
    token = resigned(desk, desk.token())
    assert desk.code(Credential(token=token, proof=altered_proof()(desk, token))) is None


@pytest.mark.parametrize(
    ("offset_s", "code"),
    [
        (-6, "token_not_yet_valid"),
        (-5, None),
        (0, None),
        (599, None),
        (600, "token_expired"),
        (86_400, "token_expired"),
    ],
)
@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.claim("identity.token-has-its-time")
def test_a_token_has_its_time(
    desk: Desk, offset_s: int, code: str | None, remembered: bool
) -> None:
    token = desk.token()
    credential = Credential(token=token, proof=desk.proof(token, now_us=NOW_US - 5 * SECOND))
    if remembered and offset_s >= 0:
        assert desk.code(credential) is None
    assert desk.but(now_us=NOW_US + offset_s * SECOND).code(credential) == code


def test_a_lifetime_is_ten_minutes_at_most(desk: Desk) -> None:
    settings = msgspec.structs.replace(desk.world.settings, token_seconds=86_400)
    world = msgspec.structs.replace(desk.world, settings=settings)
    _, claims = parts_of(desk.but(world=world).token())
    assert claims["exp"] - claims["iat"] == 600


@pytest.mark.parametrize("remembered", [False, True])
def test_a_token_of_another_tenant_is_refused(desk: Desk, remembered: bool) -> None:
    credential = desk.credential(desk.token())
    if remembered:
        assert desk.code(credential) is None
    other = msgspec.structs.replace(desk.control, tenant="globex")
    assert desk.but(control=other).code(credential) == "token_wrong_audience"


def test_a_proposal_at_another_tenants_door_is_refused(desk: Desk) -> None:
    proposal = Proposal(
        tenant="globex",
        tool=REFUND,
        arguments={},
        canonical=b"{}",
        credential=desk.credential(desk.token()),
    )
    answer = authenticate(desk.world, desk.control, desk.manifests, proposal, NOW_US)
    assert isinstance(answer, Refusal)
    assert answer.code == "token_wrong_audience"


def test_a_token_outlives_the_rotation_of_its_key(desk: Desk) -> None:
    credential = desk.credential(desk.token())
    rotate_key(desk.folder, "token", random.randbytes)
    keys = load_keyring(desk.folder, "acme.example/log")
    fresh = desk.but(world=msgspec.structs.replace(desk.world, keys=keys))
    assert fresh.code(credential) is None
    assert parts_of(fresh.token())[0]["kid"] != parts_of(credential.token)[0]["kid"]


# --- stolen tokens -------------------------------------------------------------------------------


def altered_proof(**changes: object) -> Callable[[Desk, str], str]:
    """A proof with other claims, signed with the right key."""

    def alter(desk: Desk, token: str) -> str:
        header, claims = parts_of(desk.proof(token))
        return jws(header, claims | changes, desk.keys["refund-desk"].sign)

    return alter


def proof_with_header(**changes: object) -> Callable[[Desk, str], str]:
    def alter(desk: Desk, token: str) -> str:
        header, claims = parts_of(desk.proof(token))
        return jws(header | changes, claims, desk.keys["refund-desk"].sign)

    return alter


def posing_as_the_holder(desk: Desk, token: str) -> str:
    """The thief's signature under the holder's public key."""
    header, claims = parts_of(desk.proof(token))
    return jws(header, claims, new_key().sign)


def showing_the_private_key(desk: Desk, token: str) -> str:
    key = desk.keys["refund-desk"]
    header, claims = parts_of(desk.proof(token))
    header["jwk"]["d"] = b64(key.private_bytes_raw())
    return jws(header, claims, key.sign)


BAD_PROOFS: list[tuple[str, str, Spoil]] = [
    ("none at all", "proof_missing", lambda *_: ""),
    ("by the thief's key", "proof_invalid", lambda d, t: d.proof(t, new_key())),
    ("by the thief under the holder's name", "proof_invalid", posing_as_the_holder),
    ("by another agent's key", "proof_invalid", lambda d, t: d.proof(t, d.keys["mailer"])),
    ("for another token", "proof_invalid", lambda d, _: d.proof(d.token())),
    ("for another process", "proof_invalid", lambda d, t: d.proof(t, nonce="yesterday")),
    ("for another tenant", "proof_invalid", lambda d, t: d.proof(t, tenant="globex")),
    ("for an HTTP request", "proof_invalid", altered_proof(htm="POST")),
    ("from the future", "proof_invalid", lambda d, t: d.proof(t, now_us=NOW_US + 6 * SECOND)),
    ("older than the token", "proof_invalid", lambda d, t: d.proof(t, now_us=NOW_US - 6 * SECOND)),
    ("of another type", "proof_invalid", proof_with_header(typ="JWT")),
    ("without an algorithm", "proof_invalid", proof_with_header(alg="none")),
    ("with a key that is text", "proof_invalid", proof_with_header(jwk="mine")),
    ("with a key of another kind", "proof_invalid", proof_with_header(jwk={"kty": "oct"})),
    ("with the private key", "proof_invalid", showing_the_private_key),
    ("with an unknown claim", "proof_invalid", altered_proof(only_on="Mondays")),
    ("that is the token", "proof_invalid", lambda _, token: token),
    ("that is noise", "proof_invalid", lambda *_: "a.b.c"),
]


@pytest.mark.claim("identity.stolen-token-refused")
@pytest.mark.parametrize(
    ("code", "forge"),
    [pytest.param(code, forge, id=name.replace(" ", "-")) for name, code, forge in BAD_PROOFS],
)
def test_a_token_without_its_key_is_worth_nothing(desk: Desk, code: str, forge: Spoil) -> None:
    token = desk.token()
    assert desk.code(desk.credential(token)) is None
    assert desk.code(Credential(token=token, proof=forge(desk, token))) == code


@pytest.mark.claim("identity.stolen-token-refused")
def test_a_credential_is_worth_nothing_to_another_process(desk: Desk) -> None:
    credential = desk.credential(desk.token())
    assert desk.code(credential) is None
    restarted = msgspec.structs.replace(desk.world, tokens=VerifiedTokens(random.randbytes))
    assert desk.but(world=restarted).code(credential) == "proof_invalid"


# --- standing ------------------------------------------------------------------------------------


def revoked(id_of: Callable[[Caller], str]) -> Callable[[Desk, Caller], Desk]:
    return lambda desk, caller: desk.later(revoked=frozenset({id_of(caller)}))


def issuer_key_revoked(desk: Desk, _: Caller) -> Desk:
    return desk.later(revoked=frozenset({desk.world.keys.sign_token()[0]}))


def with_account(*names: str, **changes: object) -> Callable[[Desk, Caller], Desk]:
    """Accounts changed, or gone when there are no changes."""

    def change(desk: Desk, _: Caller) -> Desk:
        standings = dict(desk.control.standings)
        for name in names:
            old = standings.pop(name)
            if changes:
                standings[name] = msgspec.structs.replace(old, **changes)
        return desk.later(standings=standings)

    return change


def another_key(desk: Desk, _: Caller) -> Desk:
    accounts = {**desk.control.standings, "refund-desk": account("refund-desk", new_key())}
    return desk.later(standings=accounts)


def without_manifest(desk: Desk, _: Caller) -> Desk:
    manifests = {name: m for name, m in desk.manifests.items() if name != "refund-desk"}
    return desk.later().but(manifests=manifests)


def with_tools(*tools: str) -> Callable[[Desk, Caller], Desk]:
    def change(desk: Desk, _: Caller) -> Desk:
        shorter = msgspec.structs.replace(desk.manifests["refund-desk"], tools=tools)
        return desk.later().but(manifests={**desk.manifests, "refund-desk": shorter})

    return change


FALLS: list[tuple[str, str, Callable[[Desk, Caller], Desk]]] = [
    ("token revoked", "token_revoked", revoked(lambda c: c.capability.id)),
    ("agent key revoked", "token_revoked", revoked(lambda c: c.capability.key_thumbprint)),
    ("issuer key revoked", "token_revoked", issuer_key_revoked),
    ("agent key replaced", "token_revoked", another_key),
    ("agent disabled", "agent_disabled", with_account("refund-desk", enabled=False)),
    ("agent gone", "agent_unknown", with_account("refund-desk")),
    ("manifest gone", "agent_unknown", without_manifest),
    ("tool gone from the manifest", "tool_not_granted", with_tools("crm.read")),
    ("only a longer name left", "tool_not_granted", with_tools("payments.refund_all")),
]
each_fall = pytest.mark.parametrize(
    ("code", "change"), [pytest.param(code, fall, id=name) for name, code, fall in FALLS]
)


@pytest.mark.claim("identity.revocation-immediate")
@each_fall
def test_what_is_taken_away_is_gone_at_the_next_call(
    desk: Desk, code: str, change: Callable[[Desk, Caller], Desk]
) -> None:
    credential = desk.credential(desk.token())
    caller = desk.caller(credential)
    assert desk.code(credential) is None
    assert change(desk, caller).code(credential) == code


@pytest.mark.claim("identity.revocation-immediate")
@each_fall
def test_what_is_taken_away_is_gone_at_the_wake_up(
    desk: Desk, code: str, change: Callable[[Desk, Caller], Desk]
) -> None:
    caller = desk.caller(desk.credential(desk.token()))
    assert standing(desk.control, desk.manifests, caller) is None
    after = change(desk, caller)
    for tool in (None, REFUND):
        no = standing(after.control, after.manifests, caller, tool)
        assert no is not None
        assert (no.step, no.code) == (2, code)


def revoked_parent_token(parent: Caller) -> str:
    return parent.capability.id


def revoked_parent_key(parent: Caller) -> str:
    return parent.capability.key_thumbprint


@pytest.mark.claim("identity.revocation-immediate")
@pytest.mark.parametrize("agent", [None, "mailer"])
@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("token_revoked", revoked(revoked_parent_token)),
        ("token_revoked", revoked(revoked_parent_key)),
        ("token_revoked", another_key),
        ("agent_disabled", with_account("refund-desk", enabled=False)),
        ("agent_unknown", without_manifest),
        ("tool_not_granted", with_tools("crm.read")),
    ],
)
def test_a_child_falls_with_its_parent(
    desk: Desk, agent: str | None, code: str, change: Callable[[Desk, Caller], Desk]
) -> None:
    parent = desk.credential(desk.token())
    key = desk.keys["mailer"] if agent else new_key()
    child = desk.hand_on(parent, key, [Grant(tools=(REFUND,))], agent)
    grandchild = desk.hand_on(child, new_key(), [Grant(tools=(REFUND,))])
    assert desk.code(grandchild) is None
    giver = desk.caller(parent)
    assert change(desk, giver).code(child) == code
    assert change(desk, giver).code(grandchild) == code


def test_expiry_is_not_looked_at_again(desk: Desk) -> None:
    """An approval takes days: what was admitted in time stands until it is taken away."""
    credential = desk.credential(desk.token())
    caller = desk.caller(credential)
    days_later = desk.but(now_us=NOW_US + 3 * 86_400 * SECOND)
    assert days_later.code(credential) == "token_expired"
    assert standing(days_later.control, days_later.manifests, caller) is None


def test_a_wake_up_may_ask_for_its_own_tool_alone(desk: Desk) -> None:
    both = desk.but(grants=[Grant(tools=(REFUND, "mail.send"))])
    caller = both.caller(both.credential(both.token()))
    after = with_tools(REFUND)(both, caller)
    assert standing(after.control, after.manifests, caller, REFUND) is None
    no = standing(after.control, after.manifests, caller)
    assert no is not None
    assert no.code == "tool_not_granted"


def test_a_tool_outside_the_grants_is_refused(desk: Desk) -> None:
    assert desk.code(desk.credential(desk.token()), tool="mail.send") == "tool_not_granted"


# --- what is remembered --------------------------------------------------------------------------


def test_only_so_many_tokens_are_remembered_and_the_latest_used(desk: Desk) -> None:
    cache = VerifiedTokens(random.randbytes, limit=2)
    small = desk.but(world=msgspec.structs.replace(desk.world, tokens=cache))
    first, second, third = (small.credential(small.token()) for _ in range(3))
    for credential in (first, second, first, third):
        assert small.code(credential) is None
    kept = [c for c in (first, second, third) if cache.get(c) is not None]
    assert kept == [first, third]


def test_each_process_has_a_challenge_of_its_own() -> None:
    nonces = {VerifiedTokens(random.randbytes).nonce for _ in range(9)}
    assert len(nonces) == 9


# --- secrets -------------------------------------------------------------------------------------


def leaks(shown: str, secrets: Mapping[str, str]) -> list[str]:
    """The secrets of which a piece of twelve characters is shown."""
    return [
        name
        for name, secret in secrets.items()
        if any(secret[at : at + 12] in shown for at in range(len(secret) - 11))
    ]


@pytest.mark.claim("identity.no-secret-in-errors")
def test_no_refusal_shows_a_token_or_a_proof(desk: Desk) -> None:
    token = desk.token()
    proof = desk.proof(token)
    assert desk.code(Credential(token=token, proof=proof)) is None
    shown = [repr(desk.world.tokens), repr(desk.world.keys)]
    attacks = [Credential(token=spoil(desk, token), proof=proof) for _, _, spoil in BAD_TOKENS]
    attacks += [Credential(token=token, proof=forge(desk, token)) for _, _, forge in BAD_PROOFS]
    for credential in attacks:
        answer = desk.ask(credential)
        assert isinstance(answer, Refusal)
        secrets = {"token": credential.token, "proof": credential.proof, "good": token}
        assert leaks(repr(answer), secrets) == []
    assert leaks(repr(shown), {"token": token, "proof": proof}) == []
    assert leaks(f"x{token[:12]}x", {"token": token}) == ["token"]
