"""The vault's cryptography: what is sealed opens in one place, under one key, unchanged."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bailiwick.errors import LedgerError
from bailiwick.ledger.records import commitment
from bailiwick.ledger.sealing import RunKey, place
from tests.ledger.samples import word

KEK = word("vault key")
KEY = word("run key")
SALT = word("salt")
NONCE = word("nonce")[:12]
PAYLOAD = b'{"amount":500,"to":"carol@example.com"}'
HERE = place("acme", "run-1", "act-1", "arguments")


def code_of(error: pytest.ExceptionInfo[LedgerError]) -> str:
    """The code of a caught error."""
    return error.value.code


def test_a_sealed_payload_opens_to_its_salt_and_bytes_and_fits_its_commitment() -> None:
    sealed = RunKey(KEY).seal(aad=HERE, salt=SALT, nonce=NONCE, payload=PAYLOAD)
    opened = RunKey(KEY).open(sealed.ciphertext, aad=HERE)
    assert (opened.salt, opened.payload) == (SALT, PAYLOAD)
    assert sealed.commitment == opened.commitment == commitment(SALT, PAYLOAD)
    assert b"carol" not in sealed.ciphertext
    assert SALT not in sealed.ciphertext


def test_the_format_is_a_nonce_and_plain_aes_256_gcm() -> None:
    sealed = RunKey(KEY).seal(aad=HERE, salt=SALT, nonce=NONCE, payload=PAYLOAD)
    nonce, rest = sealed.ciphertext[:12], sealed.ciphertext[12:]
    assert nonce == NONCE
    assert AESGCM(KEY).decrypt(nonce, rest, HERE) == SALT + PAYLOAD


@pytest.mark.claim("ledger.sealed-tamper-found")
def test_every_changed_byte_of_a_sealed_payload_is_found() -> None:
    key = RunKey(KEY)
    sealed = key.seal(aad=HERE, salt=SALT, nonce=NONCE, payload=PAYLOAD).ciphertext
    changes = [
        sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))
    ]
    changes += [sealed[:at] for at in range(len(sealed))]
    changes += [sealed + b"\0"]
    for changed in changes:
        with pytest.raises(LedgerError) as caught:
            key.open(changed, aad=HERE)
        assert code_of(caught) == "sealed_invalid"


@pytest.mark.claim("ledger.sealed-tamper-found")
@pytest.mark.parametrize(
    "there",
    [
        place("acme2", "run-1", "act-1", "arguments"),
        place("acme", "run-2", "act-1", "arguments"),
        place("acme", "run-1", "act-2", "arguments"),
        place("acme", "run-1", "act-1", "result"),
        place("acme", "run-1act-1", "", "arguments"),
        place("acme", "run-1", "act-1"),
        b"",
    ],
)
def test_a_sealed_payload_moved_elsewhere_is_refused(there: bytes) -> None:
    sealed = RunKey(KEY).seal(aad=HERE, salt=SALT, nonce=NONCE, payload=PAYLOAD)
    with pytest.raises(LedgerError) as caught:
        RunKey(KEY).open(sealed.ciphertext, aad=there)
    assert code_of(caught) == "sealed_invalid"


def test_a_place_is_named_in_bytes_that_stay_the_same() -> None:
    assert place("acme", "é") == b"bailiwick/vault/v1\0\0\0\0\4acme\0\0\0\2\xc3\xa9"


def test_another_runs_key_opens_nothing() -> None:
    sealed = RunKey(KEY).seal(aad=HERE, salt=SALT, nonce=NONCE, payload=PAYLOAD)
    with pytest.raises(LedgerError) as caught:
        RunKey(word("other run key")).open(sealed.ciphertext, aad=HERE)
    assert code_of(caught) == "sealed_invalid"


def test_a_wrapped_key_is_unwrapped_for_its_run_alone() -> None:
    wrapped = RunKey(KEY).wrap(KEK, tenant="acme", run="run-1", nonce=NONCE)
    assert KEY not in wrapped
    sealed = RunKey(KEY).seal(aad=HERE, salt=SALT, nonce=NONCE, payload=PAYLOAD)
    unwrapped = RunKey.unwrap([KEK], wrapped, tenant="acme", run="run-1")
    assert unwrapped.open(sealed.ciphertext, aad=HERE).payload == PAYLOAD
    wrong = [
        (word("other"), wrapped, "acme", "run-1"),
        (KEK, wrapped, "acme2", "run-1"),
        (KEK, wrapped, "acme", "run-2"),
        (KEK, wrapped, "acmerun-1", ""),
        (KEK, wrapped[:-1], "acme", "run-1"),
        (KEK, b"", "acme", "run-1"),
        *(
            (KEK, wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :], "acme", "run-1")
            for at in range(len(wrapped))
        ),
    ]
    for kek, data, tenant, run in wrong:
        with pytest.raises(LedgerError) as caught:
            RunKey.unwrap([kek], data, tenant=tenant, run=run)
        assert code_of(caught) == "run_key_invalid"


def test_the_wrapping_key_is_rolled_without_touching_payloads() -> None:
    old, new = KEK, word("next vault key")
    wrapped = RunKey(KEY).wrap(old, tenant="acme", run="run-1", nonce=NONCE)
    key = RunKey.unwrap([old], wrapped, tenant="acme", run="run-1")
    again = key.wrap(new, tenant="acme", run="run-1", nonce=word("n2")[:12])
    with pytest.raises(LedgerError):
        RunKey.unwrap([old], again, tenant="acme", run="run-1")
    sealed = RunKey(KEY).seal(aad=HERE, salt=SALT, nonce=NONCE, payload=PAYLOAD)
    reopened = RunKey.unwrap([new], again, tenant="acme", run="run-1")
    assert reopened.open(sealed.ciphertext, aad=HERE).payload == PAYLOAD


def test_keys_nonces_and_salts_have_one_length() -> None:
    key = RunKey(KEY)
    with pytest.raises(LedgerError) as caught:
        RunKey(KEY[:16])
    assert code_of(caught) == "key_length"
    with pytest.raises(LedgerError) as caught:
        key.wrap(KEK[:16], tenant="acme", run="run-1", nonce=NONCE)
    assert code_of(caught) == "key_length"
    with pytest.raises(LedgerError) as caught:
        key.seal(aad=HERE, salt=SALT, nonce=NONCE[:8], payload=PAYLOAD)
    assert code_of(caught) == "nonce_length"
    with pytest.raises(LedgerError) as caught:
        key.seal(aad=HERE, salt=SALT[:16], nonce=NONCE, payload=PAYLOAD)
    assert code_of(caught) == "salt_length"


def test_a_run_key_shows_nothing_of_itself() -> None:
    assert KEY.hex()[:8] not in repr(RunKey(KEY))
    assert repr(KEY)[2:10] not in repr(RunKey(KEY))
