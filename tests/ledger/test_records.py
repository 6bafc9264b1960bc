"""Records: one canonical form, nothing personal in clear, nothing that does not belong."""

import hmac
import json
import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bailiwick_verify
from bailiwick.errors import BailiwickError, LedgerError
from bailiwick.ledger.records import (
    KINDS,
    MAX_RECORD_BYTES,
    Fields,
    checkpoint_key,
    commitment,
    decode,
    encode,
    parked,
    person,
    pseudonym,
    refused,
    release,
    run,
    wrong_member,
)
from tests.ledger.samples import (
    LOG,
    START_US,
    ballot,
    digest,
    intent,
    judged,
    kill,
    outcome,
    read,
    resolution,
    token,
    word,
)


def samples() -> dict[str, Fields]:
    """One record of each kind and shape."""
    by = [token("person", "dave")]
    return {
        "refused early": refused(
            tenant="acme", at_us=START_US, step=2, action="a", reason="token_expired"
        ),
        "refused late": refused(
            tenant="acme",
            at_us=START_US,
            step=6,
            action="a",
            reason="policy_denied",
            agent="refund-desk",
            subject=token("subject", "carol"),
            tool="payments.refund",
            effect="write",
            decision="deny",
            rules=["refund.huge"],
            epoch=3,
        ),
        "parked": parked(request=token("request", "a"), park_until_us=START_US + 1, **judged("a")),
        "intended": intent("a"),
        "concluded": outcome(intent("a")),
        "concluded read": read("a"),
        "resolved": resolution(intent("a")),
        "vote": ballot("a", "dave"),
        "control": kill(4),
        "release": release(
            tenant="acme", at_us=START_US, epoch=2, digest=digest("r2"), previous=None, by=by
        ),
        "person": person(
            tenant="acme",
            at_us=START_US,
            person=by[0],
            change="roles",
            account_hash=digest("key and queues"),
            roles=["approver"],
            by=by,
        ),
        "run": run(tenant="acme", at_us=START_US, run="run-1", agent=None, change="erased", by=by),
        "checkpoint_key": checkpoint_key(
            tenant="acme", at_us=START_US, vkey=LOG.key.vkey, change="added", by=[]
        ),
    }


SHAPES = sorted(samples())


def code_of(fields: Fields) -> str:
    """The code with which a record is refused."""
    with pytest.raises(LedgerError) as caught:
        encode(fields)
    return caught.value.code


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_survives_its_bytes(shape: str) -> None:
    fields = samples()[shape]
    data = encode(fields)
    assert decode(data) == json.loads(data)
    assert encode(decode(data)) == data
    assert bailiwick_verify.read_record(data) == json.loads(data)


def test_the_samples_cover_every_kind() -> None:
    assert {str(fields["kind"]) for fields in samples().values()} == set(KINDS)
    assert set(bailiwick_verify._SCHEMAS) == set(KINDS)


def test_a_record_in_bytes() -> None:
    assert encode(kill(4)).decode() == (
        '{"at_us":1795000000000000,"by":["' + token("person", "dave") + '"],"change":"kill",'
        '"epoch":4,"kind":"control","reason_commitment":"' + digest("why") + '",'
        '"scope":"agent","target":"refund-desk","tenant":"acme","v":1}'
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_without_a_member_or_with_one_more_is_refused(shape: str) -> None:
    fields = samples()[shape]
    assert code_of({**fields, "note": "called the customer"}) == "record_invalid"
    for name in fields:
        assert code_of({key: fields[key] for key in fields if key != name}) == "record_invalid"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_separate_verifier_misses_every_member_that_is_left_out(shape: str) -> None:
    fields = samples()[shape]
    for name in fields:
        rest = {key: fields[key] for key in fields if key != name}
        data = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
        with pytest.raises(bailiwick_verify.NotVerified):
            bailiwick_verify.read_record(data)


@pytest.mark.claim("ledger.nothing-personal-in-clear")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("text", ["carol@example.com", "Carol Smith", "+44 20 7946 0000"])
def test_no_member_but_a_rules_id_takes_free_text(shape: str, text: str) -> None:
    fields = samples()[shape]
    for name in set(fields) - {"v", "kind", "vkey"}:
        assert code_of({**fields, name: text}) == "record_invalid", name


@pytest.mark.claim("ledger.nothing-personal-in-clear")
@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("intended", "subject"),
        ("intended", "resource"),
        ("intended", "destination"),
        ("intended", "effect_key"),
        ("parked", "request"),
        ("vote", "voter"),
        ("person", "person"),
        ("concluded read", "subject"),
        ("refused late", "subject"),
    ],
)
def test_people_and_things_are_pseudonyms(shape: str, name: str) -> None:
    fields = samples()[shape]
    for text in ("carol", "ch_3PqT", "p_" + "A" * 32, "p_" + "a" * 31, digest("carol")):
        assert code_of({**fields, name: text}) == "record_invalid"
    assert encode({**fields, name: token("any", "carol")})


def test_whose_vote_was_lent_is_a_pseudonym_too() -> None:
    lent = ballot("a", "dave", on_behalf_of=token("person", "erin"))
    assert decode(encode(lent))["on_behalf_of"] == token("person", "erin")
    for text in ("erin", "", None):
        assert code_of({**lent, "on_behalf_of": text}) == "record_invalid"
    assert code_of({**kill(4), "on_behalf_of": token("person", "erin")}) == "record_invalid"


@pytest.mark.parametrize(
    ("shape", "name", "value"),
    [
        ("intended", "at_us", 1.5),
        ("intended", "at_us", True),
        ("intended", "at_us", -1),
        ("intended", "at_us", 2**53),
        ("intended", "epoch", "1"),
        ("intended", "step", 13),
        ("intended", "step", 0),
        ("intended", "agent", 5),
        ("intended", "decision", ["allow"]),
        ("intended", "rules", [7]),
        ("intended", "decision", "deny"),
        ("intended", "effect", "money"),
        ("intended", "rules", [{"id": "a", "effect": "permit"}]),
        ("intended", "rules", {"id": "a"}),
        ("intended", "holds", [{"node": "tenant", "unit": "calls", "amount": 5}]),
        ("intended", "approvals", [{"rule": "r", "voters": ["dave"], "request": "p_"}]),
        ("intended", "args_commitment", "a" * 63),
        ("intended", "args_commitment", "A" * 64),
        ("concluded", "status", "parked"),
        ("concluded", "verdict", "sure"),
        ("concluded", "intent_hash", "a" * 63),
        ("concluded read", "effect", "write"),
        ("resolved", "status", "unknown"),
        ("vote", "choice", "abstain"),
        ("control", "scope", "planet"),
        ("control", "v", 2),
        ("control", "v", True),
        ("control", "kind", "secret"),
        ("control", "kind", None),
    ],
)
def test_a_member_of_the_wrong_form_is_refused(shape: str, name: str, value: object) -> None:
    assert code_of({**samples()[shape], name: value}) == "record_invalid"


@pytest.mark.parametrize(
    ("name", "value"),
    [("epoch", 0), ("at_us", 2**53 - 1), ("step", 12), ("step", 1), ("rules", ()), ("agent", "a")],
)
def test_a_member_at_its_limit_is_accepted(name: str, value: object) -> None:
    assert encode({**intent("a"), name: value})


def test_a_refusal_names_the_member_and_never_its_value() -> None:
    with pytest.raises(LedgerError) as caught:
        encode({**intent("a"), "subject": "carol@example.com"})
    assert "`subject`" in str(caught.value)
    assert "carol" not in str(caught.value)


def test_a_write_is_never_concluded_without_its_intent() -> None:
    assert code_of({**outcome(intent("a")), "intent_hash": None}) == "record_invalid"
    assert code_of({**read("a"), "intent_hash": digest("x")}) == "record_invalid"


def test_records_name_the_step_that_wrote_them() -> None:
    steps = {shape: fields.get("step") for shape, fields in samples().items()}
    expected = {"parked": 7, "intended": 8, "concluded": 11, "concluded read": 11}
    assert {shape: steps[shape] for shape in expected} == expected


def test_a_record_of_65535_bytes_fits_and_one_more_does_not() -> None:
    assert MAX_RECORD_BYTES == 65_535
    fields = {**ballot("a", "dave"), "rules": ["r" * 500] * 120}
    room = MAX_RECORD_BYTES - len(encode(fields)) - 3
    rules = [*["r" * 500] * 120, *["x" * 200] * (room // 203)]
    full = {**fields, "rules": rules}
    last = MAX_RECORD_BYTES - len(encode(full)) - 3
    assert len(encode({**full, "rules": [*rules, "y" * last]})) == MAX_RECORD_BYTES
    assert code_of({**full, "rules": [*rules, "y" * (last + 1)]}) == "record_too_large"


def sides(data: bytes) -> tuple[bool, bool]:
    """Whether the organ and the separate verifier accept a record's bytes."""
    try:
        decode(data)
        ours = True
    except BailiwickError:
        ours = False
    try:
        bailiwick_verify.read_record(data)
        theirs = True
    except bailiwick_verify.NotVerified:
        theirs = False
    return ours, theirs


GOOD = encode(kill(4))


@pytest.mark.claim("ledger.records-canonical")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"\xef\xbb\xbf" + GOOD,
        GOOD + b"\n",
        b" " + GOOD,
        GOOD.replace(b'"epoch":4', b'"epoch": 4'),
        GOOD.replace(b'"epoch":4', b'"epoch":4.0'),
        GOOD.replace(b'"epoch":4', b'"epoch":4e0'),
        GOOD.replace(b'"epoch":4', b'"epoch":04'),
        GOOD.replace(b'"epoch":4', b'"epoch":-0'),
        GOOD.replace(b'"epoch":4', b'"epoch":NaN'),
        GOOD.replace(b'"epoch":4', b'"epoch":9007199254740993'),
        GOOD.replace(b'"epoch":4', b'"epoch":4,"epoch":4'),
        GOOD.replace(b'"kill"', b'"\\u006bill"'),
        GOOD.replace(b'"kill"', b'"\\ud800"'),
        GOOD.replace(b'"v":1', b'"v":2'),
        GOOD.replace(b'"v":1', b'"v":1.0'),
        GOOD.replace(b'"v":1', b'"v":true'),
        GOOD.replace(b'{"at_us":1795000000000000,', b"{").replace(
            b'"by"', b'"at_us":1795000000000000,"by"'
        )[:-1],
        b'{"epoch":4,' + GOOD.replace(b'"epoch":4,', b"")[1:],
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
)
def test_bytes_in_any_other_form_are_refused_by_both(data: bytes) -> None:
    assert sides(GOOD) == (True, True)
    assert sides(data) == (False, False)


@given(st.data())
def test_a_spliced_record_is_never_accepted_by_the_organ_alone(data: st.DataObject) -> None:
    original = encode(samples()[data.draw(st.sampled_from(SHAPES))])
    at = data.draw(st.integers(0, len(original)))
    width = data.draw(st.integers(0, 3))
    changed = original[:at] + data.draw(st.binary(max_size=3)) + original[at + width :]
    ours, theirs = sides(changed)
    assert theirs or not ours
    if ours:
        assert encode(decode(changed)) == changed


@pytest.mark.parametrize("name", ["büro", "部署", "отдел"])
def test_names_in_any_script_are_canonical_for_both(name: str) -> None:
    data = encode(intent("a", agent=name))
    assert name.encode() in data
    assert sides(data) == (True, True)


def test_the_separate_verifier_refuses_keys_whose_order_it_cannot_tell() -> None:
    doubtful = {"\U0001f600": 1, "\uffff": 2}
    for fields in ({**kill(4), **doubtful}, {**kill(4), "later": [{"nested": doubtful}]}):
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        with pytest.raises(bailiwick_verify.NotVerified, match="canonical"):
            bailiwick_verify.read_record(text.encode())


def test_the_separate_verifier_lets_members_of_later_programs_pass() -> None:
    fields = {**kill(4), "later": 1}
    data = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    assert bailiwick_verify.read_record(data)["later"] == 1


def test_a_commitment_is_the_plain_hash_of_salt_and_payload() -> None:
    salt, payload = word("salt"), b'{"amount":500}'
    assert commitment(salt, payload) == sha256(salt + payload).hexdigest()
    assert commitment(word("other"), payload) != commitment(salt, payload)
    for wrong in (b"", salt[:31], salt + b"x"):
        with pytest.raises(LedgerError) as caught:
            commitment(wrong, payload)
        assert caught.value.code == "salt_length"


def test_a_pseudonym_depends_on_key_tenant_kind_and_text() -> None:
    key = word("key")
    tokens = {
        pseudonym(key, "acme", "subject", "carol"),
        pseudonym(word("other"), "acme", "subject", "carol"),
        pseudonym(key, "acme2", "subject", "carol"),
        pseudonym(key, "acme", "voter", "carol"),
        pseudonym(key, "acme", "subject", "carla"),
        pseudonym(key, "acmes", "ubject", "carol"),
        pseudonym(key, "acme", "subjectc", "arol"),
    }
    assert len(tokens) == 7
    assert all(re.fullmatch(r"p_[0-9a-f]{32}", each) for each in tokens)
    framed = b"\0\0\0\4acme\0\0\0\7subject\0\0\0\5carol"
    expected = hmac.digest(key, framed, "sha256").hex()[:32]
    assert pseudonym(key, "acme", "subject", "carol") == "p_" + expected
    with pytest.raises(LedgerError) as caught:
        pseudonym(key[:31], "acme", "subject", "carol")
    assert caught.value.code == "pseudonym_key_length"


@given(st.data())
def test_what_the_pattern_of_a_kind_takes_every_member_takes(data: st.DataObject) -> None:
    fields = dict(data.draw(st.sampled_from(list(samples().values()))))
    name = data.draw(st.sampled_from(sorted(fields)))
    near = st.text(max_size=3) | st.from_regex(
        r"p_[0-9a-f]{31,33}|[\w \"\\@.:-]{1,9}", fullmatch=True
    )
    value = near | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
    fields[name] = data.draw(value | st.lists(value, max_size=2) | st.dictionaries(near, value))
    try:
        encode(fields)
    except LedgerError:
        assert wrong_member(fields) is not None
    else:
        assert wrong_member(fields) is None
