"""An agent obtains a token by saying, once and in time, who it is."""

from collections.abc import Callable

import msgspec
import pytest

from bailiwick.errors import IdentityError
from bailiwick.identity import SeenAssertions, VerifiedTokens, exchange, make_assertion
from bailiwick.nouns import Credential, Grant
from tests.s02_authenticate.desk import (
    NOW_US,
    REFUND,
    SECOND,
    Desk,
    account,
    jwk_of,
    jws,
    new_key,
    parts_of,
    random,
)


def assertion(desk: Desk, agent: str = "refund-desk", **changes: object) -> str:
    how = {"tenant": "acme", "nonce": desk.world.tokens.nonce, "now_us": NOW_US} | changes
    key = desk.keys.get(agent) or new_key()
    return make_assertion(key, agent, random=random.randbytes, **how)  # type: ignore[arg-type]


def by_hand(desk: Desk, header: dict[str, object] | None = None, **claims: object) -> str:
    old_header, old_claims = parts_of(assertion(desk))
    key = desk.keys["refund-desk"]
    return jws(old_header | (header or {}), old_claims | claims, key.sign)


def trade(desk: Desk, text: str, seen: SeenAssertions | None = None) -> str:
    return exchange(
        desk.world,
        desk.control,
        desk.manifests,
        text,
        seen if seen is not None else SeenAssertions(),
        subject="ann",
        grants=[Grant(tools=(REFUND,))],
        run="run-1",
        now_us=desk.now_us,
    )


def refusal(desk: Desk, text: str, seen: SeenAssertions | None = None) -> str | None:
    try:
        trade(desk, text, seen)
    except IdentityError as error:
        return error.code
    return None


def test_an_assertion_becomes_a_token_for_its_key(desk: Desk) -> None:
    token = trade(desk, assertion(desk))
    caller = desk.caller(desk.credential(token))
    assert (caller.agent, caller.subject, caller.capability.run) == ("refund-desk", "ann", "run-1")
    thief = Credential(token=token, proof=desk.proof(token, desk.keys["mailer"]))
    assert desk.code(thief) == "proof_invalid"


def signed_by_another(desk: Desk) -> str:
    return jws(*parts_of(assertion(desk)), new_key().sign)


ASSERTIONS: list[tuple[str, str | None, Callable[[Desk], str]]] = [
    ("a good one", None, assertion),
    ("a good one by hand", None, by_hand),
    ("of no agent", "agent_key_unknown", lambda d: assertion(d, "nobody")),
    ("in another's name", "agent_key_unknown", lambda d: by_hand(d, iss="mailer", sub="mailer")),
    ("in two names", "assertion_malformed", lambda d: by_hand(d, sub="mailer")),
    ("for another tenant", "assertion_wrong_audience", lambda d: assertion(d, tenant="globex")),
    ("for another process", "assertion_wrong_audience", lambda d: assertion(d, nonce="other")),
    ("from the past", "assertion_expired", lambda d: assertion(d, now_us=NOW_US - 60 * SECOND)),
    (
        "from the future",
        "assertion_not_yet_valid",
        lambda d: assertion(d, now_us=NOW_US + 6 * SECOND),
    ),
    (
        "of an hour",
        "assertion_malformed",
        lambda d: by_hand(d, exp=NOW_US // SECOND + 3600),
    ),
    ("unsigned", "assertion_forged", lambda d: by_hand(d, {"alg": "none"})),
    ("of another type", "assertion_malformed", lambda d: by_hand(d, {"typ": "JWT"})),
    ("with a key in it", "assertion_malformed", lambda d: by_hand(d, {"jwk": jwk_of(new_key())})),
    ("with a strange key id", "assertion_malformed", lambda d: by_hand(d, {"kid": ["a"]})),
    ("signed by another", "assertion_forged", signed_by_another),
    ("that is a token", "assertion_malformed", lambda d: d.token()),
    ("that is a proof", "assertion_malformed", lambda d: d.proof(d.token())),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "make"), [pytest.param(code, make, id=name) for name, code, make in ASSERTIONS]
)
def test_an_assertion_is_checked_whole(
    desk: Desk, code: str | None, make: Callable[[Desk], str]
) -> None:
    assert refusal(desk, make(desk)) == code


def test_an_agent_in_bad_standing_gets_no_token(desk: Desk) -> None:
    text = assertion(desk)
    key = desk.keys["refund-desk"]
    disabled = {"refund-desk": account("refund-desk", key, enabled=False)}
    kid = str(parts_of(text)[0]["kid"])
    assert refusal(desk.later(standings=disabled), text) == "agent_disabled"
    assert refusal(desk.later(revoked=frozenset({kid})), text) == "agent_key_unknown"
    assert refusal(desk.but(manifests={}), text) == "agent_unknown"


@pytest.mark.claim("identity.assertion-once")
def test_an_assertion_is_taken_once(desk: Desk) -> None:
    seen = SeenAssertions()
    text = assertion(desk)
    assert refusal(desk, text, seen) is None
    assert refusal(desk, text, seen) == "assertion_replayed"
    assert refusal(desk.but(now_us=NOW_US + 59 * SECOND), text, seen) == "assertion_replayed"
    assert refusal(desk.but(now_us=NOW_US + 60 * SECOND), text, seen) == "assertion_expired"
    assert refusal(desk, assertion(desk), seen) is None


@pytest.mark.claim("identity.assertion-once")
def test_an_assertion_is_not_taken_again_after_a_restart(desk: Desk) -> None:
    text = assertion(desk)
    assert refusal(desk, text) is None
    restarted = msgspec.structs.replace(desk.world, tokens=VerifiedTokens(random.randbytes))
    assert refusal(desk.but(world=restarted), text) == "assertion_wrong_audience"


@pytest.mark.claim("identity.assertion-once")
def test_when_too_many_are_remembered_none_is_forgotten(desk: Desk) -> None:
    seen = SeenAssertions(limit=2)
    first, second = assertion(desk), assertion(desk)
    assert [refusal(desk, text, seen) for text in (first, second)] == [None, None]
    assert refusal(desk, assertion(desk), seen) == "assertions_full"
    assert refusal(desk, first, seen) == "assertion_replayed"
    later = desk.but(now_us=NOW_US + 60 * SECOND)
    assert refusal(later, assertion(desk, now_us=later.now_us), seen) is None
