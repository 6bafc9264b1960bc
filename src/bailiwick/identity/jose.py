"""Signed statements: JWS in compact form with `alg: Ed25519` and nothing else (RFC 7515, 9864).

Of JOSE this is all: one algorithm, one form, a closed header. So it is written out over Ed25519
here, without a library that could be talked into another algorithm; a test holds it to one.
Every statement is of one `Kind`, and a statement of one kind is never taken for another. Base64url
is accepted in its canonical form only, JSON by the strict parse of `bailiwick.values`. No message
here repeats any part of what was sent.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Final, Literal, NoReturn, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bailiwick.errors import BadInput, IdentityError
from bailiwick.values import JSON, canonical, parse

ALG: Final = "Ed25519"
MAX_CHARS: Final = 16 * 1024
SECOND: Final = 1_000_000
CLOCK_SKEW_S: Final = 5

_KEY_MEMBERS = {"kty", "crv", "x"}
_KEY_EXTRAS = {"kid", "alg", "use"}

T = TypeVar("T")


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A sort of signed statement: its `typ`, how it names its key, and the codes of its refusals.

    `noun` stands in messages; `help` says how to get a good one.
    """

    noun: str
    typ: str
    key_member: Literal["kid", "jwk"]
    malformed: str
    forged: str
    help: str


def encode(data: bytes) -> str:
    """Encode as base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Decode base64url without padding. Raises `ValueError` for any but the canonical form."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if encode(data) != text:
        raise ValueError("not canonical base64url")
    return data


def public_jwk(key: Ed25519PrivateKey) -> dict[str, JSON]:
    """The public half of a key as a JWK (RFC 8037) with its thumbprint as `kid`."""
    jwk: dict[str, JSON] = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": encode(key.public_key().public_bytes_raw()),
    }
    return {**jwk, "kid": key_thumbprint(jwk)}


def private_jwk(key: Ed25519PrivateKey, kid: str) -> dict[str, JSON]:
    """The whole key as a JWK, for its own file and for nothing else."""
    seed = encode(key.private_bytes_raw())
    return {**public_jwk(key), "kid": kid, "alg": ALG, "use": "sig", "d": seed}


def read_public_jwk(jwk: Mapping[str, JSON]) -> Ed25519PublicKey:
    """The key of a public Ed25519 JWK. Raises `IdentityError` `key_malformed`; a `d` is refused."""
    x = jwk.get("x")
    try:
        if not (jwk.keys() >= _KEY_MEMBERS and jwk.keys() <= _KEY_MEMBERS | _KEY_EXTRAS):
            raise ValueError("members")
        if jwk["kty"] != "OKP" or jwk["crv"] != "Ed25519" or jwk.get("alg", ALG) != ALG:
            raise ValueError("not an Ed25519 key")
        return Ed25519PublicKey.from_public_bytes(decode(x) if isinstance(x, str) else b"")
    except ValueError:
        raise IdentityError(
            "the key is not a public Ed25519 JWK",
            code="key_malformed",
            help="send `kty` OKP, `crv` Ed25519 and `x`; never the private member `d`",
        ) from None


def read_private_jwk(jwk: Mapping[str, JSON]) -> Ed25519PrivateKey:
    """The key of a private Ed25519 JWK whose halves agree. Raises `IdentityError`."""
    seed = jwk.get("d")
    public = read_public_jwk({name: value for name, value in jwk.items() if name != "d"})
    try:
        key = Ed25519PrivateKey.from_private_bytes(decode(seed) if isinstance(seed, str) else b"")
        if key.public_key() != public:
            raise ValueError("the halves disagree")
    except ValueError:
        raise IdentityError(
            "the key is not a private Ed25519 JWK",
            code="key_malformed",
            help="restore the file from its backup or make a new key",
        ) from None
    return key


def key_thumbprint(jwk: Mapping[str, JSON]) -> str:
    """The SHA-256 thumbprint of a public Ed25519 JWK, base64url (RFC 7638, RFC 8037 A.3)."""
    required = canonical({name: jwk[name] for name in _KEY_MEMBERS})
    return encode(hashlib.sha256(required).digest())


def sign_statement(
    kind: Kind, key_reference: JSON, claims: Mapping[str, JSON], key: Ed25519PrivateKey
) -> str:
    """Sign claims as a statement of a kind, naming the key by `kid` or `jwk` as the kind does."""
    header = {"typ": kind.typ, "alg": ALG, kind.key_member: key_reference}
    signed = ".".join(encode(msgspec.json.encode(part)) for part in (header, claims))
    return f"{signed}.{encode(key.sign(signed.encode('ascii')))}"


def read_header(kind: Kind, text: str) -> Mapping[str, JSON]:
    """The header of a statement, before any signature is checked.

    Raises `IdentityError`: `kind.forged` for another algorithm, `kind.malformed` for all else.
    """
    parts = text.split(".") if len(text) <= MAX_CHARS else ()
    if len(parts) != 3:
        malformed(kind)
    try:
        header = parse(decode(parts[0]))
        decode(parts[1])
        decode(parts[2])
    except (ValueError, BadInput):
        malformed(kind)
    if header.get("alg") != ALG:
        _forged(kind)
    if header.keys() != {"typ", "alg", kind.key_member} or header["typ"] != kind.typ:
        malformed(kind)
    return header


def read_claims(kind: Kind, text: str, jwk: Mapping[str, JSON], shape: type[T]) -> T:
    """The claims of a statement that `read_header` has let through, if the key signed it.

    Raises `IdentityError`: `kind.forged` if it does not hold, `kind.malformed` if the claims are
    not of the shape.
    """
    public = read_public_jwk(jwk)
    signed, _, signature = text.rpartition(".")
    try:
        public.verify(decode(signature), signed.encode("ascii"))
        payload = decode(signed.rpartition(".")[2])
    except (InvalidSignature, ValueError):
        _forged(kind)
    try:
        return msgspec.convert(parse(payload), shape)
    except (BadInput, msgspec.ValidationError):
        malformed(kind)


def malformed(kind: Kind) -> NoReturn:
    """Raise the kind's refusal of a statement that cannot be read."""
    raise IdentityError(
        f"the {kind.noun} is not a well-formed statement of type `{kind.typ}`",
        code=kind.malformed,
        help=kind.help,
    ) from None


def _forged(kind: Kind) -> NoReturn:
    raise IdentityError(
        f"the signature of the {kind.noun} does not hold",
        code=kind.forged,
        help=kind.help,
    ) from None
