"""Signed statements, held to another implementation of JOSE: each reads what the other wrote."""

import base64
import json

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey, thumbprint

from bailiwick.errors import IdentityError
from bailiwick.identity.jose import (
    ALG,
    Kind,
    key_thumbprint,
    public_jwk,
    read_claims,
    read_header,
    sign_statement,
)
from bailiwick.values import JSON
from tests.s02_authenticate.desk import new_key

NOTE = Kind(
    noun="note", typ="note+jwt", key_member="kid", malformed="bad", forged="forged", help="sign it"
)
CLAIMS: dict[str, JSON] = {"sub": "r\u00e9", "n": 1.5, "list": ["a", {"b": None}]}


def test_another_implementation_reads_what_we_sign() -> None:
    key = new_key()
    text = sign_statement(NOTE, "k1", CLAIMS, key)
    read = jws.deserialize_compact(text, OKPKey.import_key(key.public_key()), algorithms=[ALG])
    assert read.headers() == {"typ": "note+jwt", "alg": ALG, "kid": "k1"}
    assert json.loads(read.payload) == CLAIMS


def test_we_read_what_another_implementation_signs() -> None:
    key = new_key()
    header = {"typ": "note+jwt", "alg": ALG, "kid": "k1"}
    payload = json.dumps(CLAIMS).encode()
    text = jws.serialize_compact(header, payload, OKPKey.import_key(key), algorithms=[ALG])
    assert read_header(NOTE, text) == header
    assert read_claims(NOTE, text, public_jwk(key), dict) == CLAIMS


def test_a_thumbprint_is_that_of_the_standard_and_of_another_implementation() -> None:
    # RFC 8037, appendix A.3.
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert key_thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    other = public_jwk(new_key())
    assert thumbprint({name: other[name] for name in jwk}) == key_thumbprint(other) == other["kid"]


@pytest.mark.claim("identity.forged-token-refused")
def test_no_bit_of_a_statement_can_be_changed() -> None:
    key = new_key()
    parts = sign_statement(NOTE, "k1", {"sub": "ann"}, key).split(".")
    for at, part in enumerate(parts):
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
            text = ".".join([*parts[:at], forged, *parts[at + 1 :]])
            with pytest.raises(IdentityError, match=r"forged|bad"):
                read_claims(NOTE, text, public_jwk(key), dict)
