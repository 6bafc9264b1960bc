"""A person's session at the command line: who is logged in is who acts; nothing says "as".

Logging in with the password gives a signed statement (`session+jwt`, twelve hours) and the opened
signing key. Both lie in one 0600 file of the person's own; the store has neither.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from bailiwick.errors import BadInput, IdentityError
from bailiwick.identity.jose import (
    SECOND,
    Kind,
    decode,
    encode,
    read_claims,
    read_header,
    sign_statement,
)
from bailiwick.identity.keyring import Random
from bailiwick.identity.people import unlock
from bailiwick.identity.private_files import read_private, write_private
from bailiwick.identity.tokens import audience, check_times
from bailiwick.nouns import Person
from bailiwick.ports import ControlState, Keys
from bailiwick.values import JSON, parse

MAX_SECONDS = 12 * 3600
MAX_KEY_DAYS = 366

SESSION = Kind(
    noun="session",
    typ="session+jwt",
    key_member="kid",
    malformed="session_malformed",
    forged="session_forged",
    help="log in again",
)


class SessionClaims(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a session says: `sub` is the person's name, `key` the public key it was opened with.

    `api` says that it is an API key: a session that no password opened, for a program.
    """

    iss: str
    aud: str
    sub: str
    sid: str
    key: str
    iat: int
    exp: int
    api: bool = False


class LogIn:
    """A session as its person holds it: the signed statement and the opened signing key.

    It shows neither.
    """

    def __init__(self, statement: str, key: Ed25519PrivateKey) -> None:
        """Hold what `open_session` made or `read_session` read."""
        self.statement = statement
        self.key = key

    def __repr__(self) -> str:
        return "LogIn()"


def open_session(
    keys: Keys,
    person: Person,
    secret: Mapping[str, JSON],
    password: str,
    *,
    now_us: int,
    random: Random,
) -> LogIn:
    """Log a person in. Raises what `unlock` raises; count the try first with `count_try`."""
    key = unlock(person, secret, password)
    kid, token_key = keys.sign_token()
    assert isinstance(token_key, Ed25519PrivateKey)
    claims: dict[str, JSON] = {
        "iss": audience(person.tenant),
        "aud": audience(person.tenant),
        "sub": person.name,
        "sid": encode(random(16)),
        "key": person.public_key,
        "iat": now_us // SECOND,
        "exp": now_us // SECOND + MAX_SECONDS,
    }
    return LogIn(sign_statement(SESSION, kid, claims, token_key), key)


def make_api_key(
    keys: Keys, person: Person, *, days: int, now_us: int, random: Random
) -> tuple[str, str]:
    """An API key of a person, and the id by which it is revoked; kept nowhere.

    It ends with its time, its revocation, the account, the account's signing key, and the token
    key that signed it. Raises `IdentityError` (`api_key_invalid`) for no or too many days.
    """
    if not 0 < days <= MAX_KEY_DAYS:
        raise IdentityError(
            f"an API key lives for 1 to {MAX_KEY_DAYS} days",
            code="api_key_invalid",
            help="choose a time after which somebody will look at it again",
        )
    kid, token_key = keys.sign_token()
    assert isinstance(token_key, Ed25519PrivateKey)
    id = f"api_{encode(random(16))}"
    now_s = now_us // SECOND
    claims = SessionClaims(
        iss=audience(person.tenant),
        aud=audience(person.tenant),
        sub=person.name,
        sid=id,
        key=person.public_key,
        iat=now_s,
        exp=now_s + days * 86_400,
        api=True,
    )
    return sign_statement(SESSION, kid, msgspec.to_builtins(claims), token_key), id


def is_api_key(statement: str) -> bool:
    """Whether a statement that was checked is an API key."""
    return parse(decode(statement.split(".")[1])).get("api") is True


def check_session(
    keys: Keys,
    control: ControlState,
    people: Mapping[str, Person],
    statement: str,
    now_us: int,
) -> Person:
    """Who is logged in, as the account is now.

    Raises `IdentityError`: `session_malformed`, `session_forged`, `session_not_yet_valid`,
    `session_expired`, `session_ended` (another tenant, issuer or signing key; revoked),
    `person_unknown`, `person_disabled`.
    """
    kid = read_header(SESSION, statement)["kid"]
    jwk = keys.verify_token(kid) if isinstance(kid, str) else None
    if jwk is None:
        raise _ended("the session was signed by a key that is not ours")
    claims = read_claims(SESSION, statement, jwk, SessionClaims)
    check_times("session", claims.iat, claims.exp, now_us)
    if (claims.iss, claims.aud) != (audience(control.tenant), audience(control.tenant)):
        raise _ended("the session belongs to another tenant")
    if not control.revoked.isdisjoint((kid, claims.sid)):
        raise _ended("the session was revoked")
    person = people.get(claims.sub)
    if person is None or person.tenant != control.tenant:
        raise IdentityError(
            "the session's person has no account", code="person_unknown", help=SESSION.help
        )
    if not person.enabled:
        raise IdentityError(
            "the session's account is disabled",
            code="person_disabled",
            help="ask an administrator to enable it",
        )
    if person.public_key != claims.key:
        raise _ended("the account was made anew since")
    return person


def write_session(path: Path, session: LogIn) -> None:
    """Keep a session in a 0600 file, replacing the one that was there."""
    content = {"statement": session.statement, "key": encode(session.key.private_bytes_raw())}
    write_private(path, msgspec.json.encode(content))


def read_session(path: Path) -> LogIn:
    """Read a session back; `check_session` says whether it holds.

    Raises `IdentityError`: `session_missing`, `session_unreadable`, `session_exposed`,
    `session_malformed`.
    """
    content = read_private(path, "session")
    try:
        kept = parse(content)
        statement, seed = kept.get("statement"), kept.get("key")
        if not isinstance(statement, str) or not isinstance(seed, str):
            raise ValueError("members")
        return LogIn(statement, Ed25519PrivateKey.from_private_bytes(decode(seed)))
    except (BadInput, ValueError):
        raise IdentityError(
            f"the session at `{path}` is damaged", code="session_malformed", help=SESSION.help
        ) from None


def end_session(path: Path) -> None:
    """Log out: the file, and with it the opened key, is gone."""
    path.unlink(missing_ok=True)


def _ended(reason: str) -> IdentityError:
    return IdentityError(reason, code="session_ended", help=SESSION.help)
