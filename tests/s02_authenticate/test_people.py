"""People: a password opens the key that signs; a session says who is logged in; roles who may."""

import json
import stat
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bailiwick.errors import IdentityError
from bailiwick.identity import (
    COMMANDS,
    allowed,
    change_password,
    check_session,
    clear_tries,
    count_try,
    create_person,
    end_session,
    open_session,
    read_session,
    sign,
    unlock,
    verify,
    write_session,
)
from bailiwick.nouns import Person, Role
from bailiwick.values import JSON
from tests.s02_authenticate.desk import (
    NOW_US,
    SECOND,
    Desk,
    b64,
    jws,
    new_key,
    parts_of,
    random,
    unb64,
)

PASSWORD = "correct horse battery staple"
VOTE = b"ann approves 7f3a"


@cache
def ann() -> tuple[Person, Mapping[str, JSON]]:
    """Made once: stretching a password is slow by design."""
    person, secret, _ = create_person(
        "acme",
        "ann",
        roles=["approver", "viewer"],
        queues=["finance"],
        password=PASSWORD,
        random=random.randbytes,
    )
    return person, secret


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(IdentityError) as refused:
        call()
    assert PASSWORD not in str(refused.value)
    return refused.value.code


# --- accounts ------------------------------------------------------------------------------------


@pytest.mark.claim("identity.vote-needs-password")
def test_the_password_opens_the_key_that_votes() -> None:
    person, secret = ann()
    signature = sign(unlock(person, secret, PASSWORD), VOTE)
    assert len(unb64(signature)) == 64
    assert verify(person.public_key, VOTE, signature)


@pytest.mark.claim("identity.vote-needs-password")
@pytest.mark.parametrize("wrong", ["", PASSWORD.upper(), PASSWORD + " ", PASSWORD[:-1], "\ud800"])
def test_another_password_opens_nothing(wrong: str) -> None:
    person, secret = ann()
    assert refusal(lambda: unlock(person, secret, wrong)) == "password_wrong"


@pytest.mark.claim("identity.vote-needs-password")
def test_what_the_store_keeps_holds_neither_password_nor_key() -> None:
    person, secret = ann()
    seed = unlock(person, secret, PASSWORD).private_bytes_raw()
    stored = json.dumps(secret)
    kept = stored.encode() + b"".join(
        unb64(value) for value in secret.values() if isinstance(value, str)
    )
    for form in (seed, seed.hex().encode(), b64(seed).encode(), PASSWORD.encode()):
        assert form not in kept


@pytest.mark.claim("identity.vote-needs-password")
@pytest.mark.parametrize(
    ("message", "signature"),
    [
        (VOTE, lambda key: sign(new_key(), VOTE)),
        (b"ann approves 7f3b", lambda key: sign(key, VOTE)),
        (VOTE, lambda key: sign(key, VOTE)[:-1]),
        (VOTE, lambda key: sign(key, VOTE) + "="),
        (VOTE, lambda key: ""),
        (VOTE, lambda key: "é"),
    ],
)
def test_a_vote_that_the_key_did_not_sign_does_not_hold(
    message: bytes, signature: Callable[[Any], str]
) -> None:
    person, secret = ann()
    key = unlock(person, secret, PASSWORD)
    assert not verify(person.public_key, message, signature(key))
    assert not verify("not a key", VOTE, sign(key, VOTE))


def another_check(secret: dict[str, Any]) -> None:
    """Whoever writes the store can make any password pass the check, but the seal stays shut."""
    _, theirs, _ = create_person(
        "acme", "mallory", roles=["viewer"], password=PASSWORD, random=random.randbytes
    )
    secret.update({name: theirs[name] for name in ("salt", "check")})


def another_seal(secret: dict[str, Any]) -> None:
    _, theirs, _ = create_person(
        "acme", "mallory", roles=["viewer"], password=PASSWORD, random=random.randbytes
    )
    secret.update(theirs)


SPOILS: list[Callable[[dict[str, Any]], None]] = [
    another_check,
    another_seal,
    lambda secret: secret.update(n=2**30),
    lambda secret: secret.update(n=2),
    lambda secret: secret.update(n="many"),
    lambda secret: secret.update(sealed=secret["sealed"][:-4]),
    lambda secret: secret.update(sealed=""),
    lambda secret: secret.update(salt="?"),
    lambda secret: secret.pop("check"),
]


@pytest.mark.claim("identity.vote-needs-password")
@pytest.mark.parametrize("spoil", SPOILS)
def test_a_secret_that_was_tampered_with_opens_nothing(
    spoil: Callable[[dict[str, Any]], None],
) -> None:
    person, secret = ann()
    changed = dict(secret)
    spoil(changed)
    assert refusal(lambda: unlock(person, changed, PASSWORD)) == "account_damaged"


def test_a_disabled_person_opens_nothing() -> None:
    person, secret = ann()
    gone = msgspec.structs.replace(person, enabled=False)
    assert refusal(lambda: unlock(gone, secret, PASSWORD)) == "person_disabled"


def test_a_new_password_keeps_the_key_and_retires_the_old() -> None:
    person, secret = ann()
    key = unlock(person, secret, PASSWORD)
    changed = change_password(person, key, "another long password", random.randbytes)
    again = unlock(person, changed, "another long password")
    assert again.private_bytes_raw() == key.private_bytes_raw()
    assert refusal(lambda: unlock(person, changed, PASSWORD)) == "password_wrong"
    assert refusal(lambda: change_password(person, new_key(), PASSWORD, random.randbytes)) == (
        "account_damaged"
    )


def test_a_password_typed_in_another_form_is_the_same() -> None:
    composed, decomposed = "caf\u00e9 caf\u00e9 caf\u00e9", "cafe\u0301 cafe\u0301 cafe\u0301"
    person, secret, _ = create_person(
        "acme", "zoe", roles=["viewer"], password=composed + " 1", random=random.randbytes
    )
    assert unlock(person, secret, decomposed + " 1")


def test_without_a_password_a_strong_one_is_made_and_told_once() -> None:
    first, secret, shown = create_person("acme", "root", roles=["admin"], random=random.randbytes)
    assert len(shown.replace("-", "")) == 24
    assert unlock(first, secret, shown)
    assert shown not in json.dumps(secret)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "Ann B"}, "person_invalid"),
        ({"name": ""}, "person_invalid"),
        ({"roles": []}, "person_invalid"),
        ({"roles": ["root"]}, "person_invalid"),
        ({"queues": ["fin ance"]}, "person_invalid"),
        ({"password": "only14letters!"}, "password_unfit"),
        ({"password": "x" * 1025}, "password_unfit"),
    ],
)
def test_an_unfit_account_is_not_made(changes: dict[str, Any], code: str) -> None:
    how: dict[str, Any] = {"name": "ann", "roles": ["viewer"], "password": PASSWORD} | changes
    assert refusal(lambda: create_person("acme", **how, random=random.randbytes)) == code


def test_guessing_gets_slower_and_a_good_password_ends_the_wait() -> None:
    _, secret = ann()
    now_us, waits = NOW_US, []
    for _ in range(14):
        secret = count_try(secret, now_us)
        until_us = next(
            at
            for at in (now_us + s * SECOND for s in range(400))
            if not isinstance(try_at(secret, at), str)
        )
        waits.append((until_us - now_us) // SECOND)
        now_us = until_us
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert try_at(count_try(secret, now_us), now_us) == "account_waiting"
    assert not isinstance(try_at(clear_tries(secret), NOW_US), str)


def try_at(secret: Mapping[str, JSON], now_us: int) -> Mapping[str, JSON] | str:
    try:
        return count_try(secret, now_us)
    except IdentityError as error:
        return error.code


# --- sessions ------------------------------------------------------------------------------------


def log_in(desk: Desk) -> str:
    person, secret = ann()
    session = open_session(
        desk.world.keys, person, secret, PASSWORD, now_us=NOW_US, random=random.randbytes
    )
    return session.statement


def who(desk: Desk, statement: str, *people: Person) -> Person:
    known = {person.name: person for person in people or (ann()[0],)}
    return check_session(desk.world.keys, desk.control, known, statement, desk.now_us)


def test_a_session_says_who_is_logged_in(desk: Desk) -> None:
    assert who(desk, log_in(desk)) == ann()[0]


@pytest.mark.claim("identity.session-is-the-person")
def test_nobody_logs_in_without_the_password(desk: Desk) -> None:
    person, secret = ann()
    code = refusal(
        lambda: open_session(
            desk.world.keys, person, secret, "a guess", now_us=NOW_US, random=random.randbytes
        )
    )
    assert code == "password_wrong"


@pytest.mark.claim("identity.session-is-the-person")
def test_nobody_becomes_somebody_else_by_editing_a_session(desk: Desk) -> None:
    header, payload, signature = log_in(desk).split(".")
    root, _, _ = create_person("acme", "root", roles=["admin"], random=random.randbytes)
    claims = json.loads(unb64(payload)) | {"sub": "root", "key": root.public_key}
    edited = f"{header}.{b64(json.dumps(claims).encode())}.{signature}"
    assert refusal(lambda: who(desk, edited, ann()[0], root)) == "session_forged"
    own = jws(json.loads(unb64(header)), claims, new_key().sign)
    assert refusal(lambda: who(desk, own, ann()[0], root)) == "session_forged"


@pytest.mark.claim("identity.session-is-the-person")
@pytest.mark.parametrize(
    ("code", "check"),
    [
        ("session_expired", lambda d, s: who(d.but(now_us=NOW_US + 12 * 3600 * SECOND), s)),
        ("session_not_yet_valid", lambda d, s: who(d.but(now_us=NOW_US - 6 * SECOND), s)),
        ("session_malformed", lambda d, s: who(d, d.token())),
        ("session_malformed", lambda d, s: who(d, s + "=")),
        ("session_ended", lambda d, s: who(d.later(tenant="globex"), s)),
        ("session_ended", lambda d, s: who(d.later(revoked={parts_of(s)[1]["sid"]}), s)),
        ("session_ended", lambda d, s: who(d.later(revoked={parts_of(s)[0]["kid"]}), s)),
        ("session_ended", lambda d, s: who(d, s, remade())),
        ("person_unknown", lambda d, s: who(d, s, msgspec.structs.replace(remade(), name="bob"))),
        ("person_disabled", lambda d, s: who(d, s, disabled())),
    ],
)
def test_a_session_holds_only_while_all_of_it_does(
    desk: Desk, code: str, check: Callable[[Desk, str], Person]
) -> None:
    statement = log_in(desk)
    assert who(desk, statement).name == "ann"
    assert refusal(lambda: check(desk, statement)) == code


def remade() -> Person:
    person, _, _ = create_person("acme", "ann", roles=["admin"], random=random.randbytes)
    return person


def disabled() -> Person:
    return msgspec.structs.replace(ann()[0], enabled=False)


def test_a_session_keeps_its_key_in_a_private_file(desk: Desk, tmp_path: Path) -> None:
    person, secret = ann()
    session = open_session(
        desk.world.keys, person, secret, PASSWORD, now_us=NOW_US, random=random.randbytes
    )
    path = tmp_path / "home" / "session.json"
    write_session(path, session)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = read_session(path)
    assert who(desk, kept.statement) == person
    assert verify(person.public_key, VOTE, sign(kept.key, VOTE))
    assert kept.statement not in repr(kept)
    path.chmod(0o644)
    assert refusal(lambda: read_session(path)) == "session_exposed"
    end_session(path)
    assert refusal(lambda: read_session(path)) == "session_missing"
    end_session(path)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"statement":"a","key":"AAAA"}', b"\xff"])
def test_a_damaged_session_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "session.json"
    path.write_bytes(content)
    path.chmod(0o600)
    assert refusal(lambda: read_session(path)) == "session_malformed"


# --- roles ---------------------------------------------------------------------------------------

EVERY_ROLE: list[Role] = ["viewer", "operator", "approver", "auditor", "admin"]


@pytest.mark.claim("identity.roles-deny-by-default")
@pytest.mark.parametrize("command", ["", "approvals", "people", "actions execute", "KILL", "kill "])
def test_a_command_that_is_not_in_the_table_is_nobodys(command: str) -> None:
    assert not allowed(EVERY_ROLE, command)


@pytest.mark.claim("identity.roles-deny-by-default")
def test_without_a_role_nothing_is_allowed() -> None:
    assert [command for command in COMMANDS if allowed([], command)] == []


@pytest.mark.claim("identity.roles-deny-by-default")
@pytest.mark.parametrize(
    ("command", "roles"),
    [
        ("approvals approve", {"approver"}),
        ("approvals deny", {"approver"}),
        ("in-doubt resolve", {"operator"}),
        ("people add", {"admin"}),
        ("release activate", {"admin"}),
        ("kill", {"operator", "approver", "admin"}),
        ("actions list", set(EVERY_ROLE)),
    ],
)
def test_no_role_holds_another(command: str, roles: set[Role]) -> None:
    assert {role for role in EVERY_ROLE if allowed([role], command)} == roles


def test_a_viewer_changes_nothing() -> None:
    changing = {"add", "activate", "approve", "deny", "disable", "enable", "erase", "issue"}
    changing |= {"register", "resolve", "confirm", "create", "hold", "kill", "resume", "revoke"}
    assert [c for c in COMMANDS if allowed(["viewer"], c) and c.split()[-1] in changing] == []
