"""The people's accounts: a password, and a signing key that only the password opens.

The store keeps the password's scrypt check and the sealed key, never the password nor the key. A
vote is signed with that key, so whoever holds the database still cannot vote for anybody.
"""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from bailiwick.errors import IdentityError
from bailiwick.identity.agents import NAME
from bailiwick.identity.jose import SECOND, decode, encode
from bailiwick.identity.keyring import Random
from bailiwick.identity.roles import ROLES
from bailiwick.nouns import Person, Role
from bailiwick.values import JSON, canonical, shown

MIN_PASSWORD = 15  # NIST SP 800-63B-4, 3.1.1.2: a password that is the only factor
MAX_PASSWORD = 1024
FREE_TRIES = 3
MAX_WAIT_S = 300


class AccountSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the store keeps of a password: how it was stretched, its check, the sealed key.

    `n`, `r`, `p` are scrypt's (RFC 7914); `check` and the sealing key are HMACs of its output.
    `tries` counts the attempts since the last good one; the next is taken at `wait_until_us`.
    """

    n: int
    r: int
    p: int
    salt: str
    check: str
    sealed: str
    tries: int = 0
    wait_until_us: int = 0


def create_person(
    tenant: str,
    name: str,
    *,
    roles: Sequence[Role],
    queues: Sequence[str] = (),
    password: str | None = None,
    random: Random,
) -> tuple[Person, Mapping[str, JSON], str]:
    """Make an account: the person, the secret for the store, and the password.

    Without a password one of 120 random bits is made, to be shown once and kept nowhere. Raises
    `IdentityError`: `person_invalid`, `password_unfit`.
    """
    for word in (name, *queues):
        if not NAME.fullmatch(word):
            _unfit_account(f"`{shown(word)}` cannot name a person or a queue")
    if not roles or not ROLES.issuperset(roles):
        _unfit_account("a person needs at least one role, and only known ones")
    chosen = _generated(random) if password is None else password
    key = Ed25519PrivateKey.from_private_bytes(random(32))
    person = Person(
        tenant=tenant,
        name=name,
        roles=tuple(sorted(set(roles))),
        queues=tuple(sorted(set(queues))),
        public_key=encode(key.public_key().public_bytes_raw()),
    )
    return person, change_password(person, key, chosen, random), chosen


def change_password(
    person: Person, key: Ed25519PrivateKey, password: str, random: Random
) -> Mapping[str, JSON]:
    """The person's secret under another password; the signing key stays.

    `key` is what `unlock` gave. Raises `IdentityError` `password_unfit`.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise IdentityError(
            f"the password has fewer than {MIN_PASSWORD} or more than {MAX_PASSWORD} characters",
            code="password_unfit",
            help="choose several words, or let one be generated",
        )
    if encode(key.public_key().public_bytes_raw()) != person.public_key:
        _damaged()
    salt, nonce = random(16), random(12)
    secret = AccountSecret(n=2**15, r=8, p=1, salt=encode(salt), check="", sealed="")
    check, sealing_key = _stretched(secret, password)
    sealed = AESGCM(sealing_key).encrypt(nonce, key.private_bytes_raw(), _bound_to(person))
    return _stored(replace(secret, check=encode(check), sealed=encode(nonce + sealed)))


def count_try(secret: Mapping[str, JSON], now_us: int) -> Mapping[str, JSON]:
    """The secret with one more attempt counted, to be stored before the password is tried.

    Counted first, so that neither a crash nor a second attempt at the same time is free. After
    three attempts the next waits 1 s, then 2 s, 4 s, at most five minutes: raises `IdentityError`
    `account_waiting` until then.
    """
    known = _secret(secret)
    if now_us < known.wait_until_us:
        wait_s = -((now_us - known.wait_until_us) // SECOND)
        raise IdentityError(
            f"the password was tried {known.tries} times without success",
            code="account_waiting",
            help=f"try again in {wait_s} s",
            wait_s=wait_s,
        )
    tries = known.tries + 1
    wait_s = min(2 ** min(tries - FREE_TRIES, 30), MAX_WAIT_S) if tries >= FREE_TRIES else 0
    return _stored(replace(known, tries=tries, wait_until_us=now_us + wait_s * SECOND))


def clear_tries(secret: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """The secret after a good password: nothing is counted any more."""
    return _stored(replace(_secret(secret), tries=0, wait_until_us=0))


def unlock(person: Person, secret: Mapping[str, JSON], password: str) -> Ed25519PrivateKey:
    """The person's signing key, if the password opens it. Takes about 0.1 s, by design.

    Raises `IdentityError`: `password_wrong`, `person_disabled`, `account_damaged`.
    """
    if not person.enabled:
        raise IdentityError(
            f"the account `{shown(person.name)}` is disabled",
            code="person_disabled",
            help="ask an administrator to enable it",
        )
    known = _secret(secret)
    check, sealing_key = _stretched(known, password)
    try:
        stored, sealed = decode(known.check), decode(known.sealed)
        if not hmac.compare_digest(check, stored):
            raise IdentityError(
                "the name or the password is wrong",
                code="password_wrong",
                help="try again; an administrator can make the account anew",
            )
        seed = AESGCM(sealing_key).decrypt(sealed[:12], sealed[12:], _bound_to(person))
        return Ed25519PrivateKey.from_private_bytes(seed)
    except (ValueError, InvalidTag):
        _damaged()


def _stretched(secret: AccountSecret, password: str) -> tuple[bytes, bytes]:
    """The check and the sealing key, each an HMAC of scrypt's output under its own label."""
    # The store might have been written by somebody else: the work is neither weak nor endless;
    # `maxmem` bounds n.
    if not (secret.n >= 2**14 and secret.r == 8 and secret.p == 1):
        _damaged()
    normal = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    try:
        stretched = hashlib.scrypt(
            normal,
            salt=decode(secret.salt),
            n=secret.n,
            r=secret.r,
            p=secret.p,
            maxmem=256 * 1024 * 1024,
            dklen=32,
        )
    except ValueError:
        _damaged()
    return (
        hmac.digest(stretched, b"bailiwick password check", "sha256"),
        hmac.digest(stretched, b"bailiwick signing key seal", "sha256"),
    )


def _bound_to(person: Person) -> bytes:
    """What the seal is bound to: no other person's key can stand in for this one."""
    return canonical(["signing-key", person.tenant, person.name, person.public_key])


def _generated(random: Random) -> str:
    letters = base64.b32encode(random(15)).decode("ascii").lower()
    return "-".join(letters[i : i + 4] for i in range(0, len(letters), 4))


def _secret(secret: Mapping[str, JSON]) -> AccountSecret:
    try:
        return msgspec.convert(secret, AccountSecret)
    except msgspec.ValidationError:
        _damaged()


def _stored(secret: AccountSecret) -> Mapping[str, JSON]:
    return msgspec.structs.asdict(secret)


def _damaged() -> NoReturn:
    raise IdentityError(
        "the account's secret is damaged or belongs to another account",
        code="account_damaged",
        help="ask an administrator to make the account anew",
    ) from None


def _unfit_account(reason: str) -> NoReturn:
    raise IdentityError(
        reason,
        code="person_invalid",
        help=f"names use a-z, 0-9, `.`, `_` and `-`; roles are {', '.join(sorted(ROLES))}",
    )
