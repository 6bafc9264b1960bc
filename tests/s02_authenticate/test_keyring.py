"""Key files: whole, private, and never shown."""

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bailiwick.errors import IdentityError
from bailiwick.identity import (
    create_agent_key,
    create_keyring,
    load_keyring,
    read_agent_key,
    register_agent,
    rotate_key,
)
from bailiwick.identity.keyring import Rolling
from bailiwick.ports import Keys
from tests.s02_authenticate.desk import jwk_of, new_key, random, thumbprint

ORIGIN = "acme.example/log"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "outside" / "keys"
    create_keyring(folder, random.randbytes)
    return folder


def refusal(folder: Path) -> IdentityError:
    with pytest.raises(IdentityError) as refused:
        load_keyring(folder, ORIGIN)
    return refused.value


def file_of(folder: Path, use: str) -> Path:
    (found,) = folder.glob(f"{use}*")
    return found


@pytest.mark.claim("identity.key-files-private")
def test_each_use_has_a_file_that_only_its_owner_reads(folder: Path) -> None:
    old_mask = os.umask(0)
    try:
        rotate_key(folder, "token", random.randbytes)
    finally:
        os.umask(old_mask)
    names = sorted(re.sub(r"-\d+-[0-9a-f]{12}", "-<kid>", path.name) for path in folder.iterdir())
    assert names == [
        "equality.key",
        "log-<kid>.json",
        "pseudonym.key",
        "token-<kid>.json",
        "token-<kid>.json",
        "vault-<kid>.key",
    ]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_the_keyring_keeps_the_promises_of_the_door(folder: Path) -> None:
    keys: Keys = load_keyring(folder, ORIGIN)
    again: Keys = load_keyring(folder, ORIGIN)
    origin, (public,) = keys.log_keys()
    assert origin == ORIGIN
    (signature,) = keys.sign_checkpoint(b"a tree")
    Ed25519PublicKey.from_public_bytes(public).verify(signature, b"a tree")
    kid, _ = keys.sign_token()
    jwk = keys.verify_token(kid)
    assert jwk is not None
    assert jwk.keys() == {"kty", "crv", "x", "kid"}
    assert keys.verify_token("1-000000000000") is None
    secrets = [keys.vault_keys()[0][1], keys.secret_key("pseudonym"), keys.secret_key("equality")]
    assert len({*secrets, public}) == 4
    assert {len(secret) for secret in secrets} == {32}
    assert again.vault_keys() == keys.vault_keys()
    with pytest.raises(IdentityError) as refused:
        keys.secret_key("anything")
    assert refused.value.code == "key_use_unknown"


def test_keys_are_never_overwritten(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(IdentityError) as refused:
        create_keyring(folder, random.randbytes)
    assert refused.value.code == "keys_exist"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["keys"]


def test_a_keyring_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    def runs_dry(n: int, drawn: list[int] = []) -> bytes:  # noqa: B006 - counts the draws
        drawn.append(n)
        if len(drawn) == 5:
            raise OSError("no entropy")
        return random.randbytes(n)

    with pytest.raises(OSError, match="no entropy"):
        create_keyring(tmp_path / "keys", runs_dry)
    assert list(tmp_path.iterdir()) == []


def test_the_newest_token_key_signs_and_the_older_verify(folder: Path) -> None:
    old_kid, _ = load_keyring(folder, ORIGIN).sign_token()
    kids = [rotate_key(folder, "token", random.randbytes) for _ in range(10)]
    keys = load_keyring(folder, ORIGIN)
    assert keys.sign_token()[0] == kids[-1]
    assert all(keys.verify_token(kid) for kid in (old_kid, *kids))


@pytest.mark.claim("identity.keys-roll")
def test_the_newest_vault_key_wraps_and_the_older_are_kept(folder: Path) -> None:
    first = load_keyring(folder, ORIGIN).vault_keys()
    kids = [rotate_key(folder, "vault", random.randbytes) for _ in range(10)]
    keys = load_keyring(folder, ORIGIN).vault_keys()
    assert [kid for kid, _ in keys] == [*reversed(kids), first[0][0]]
    assert keys[-1:] == first
    assert len({key for _, key in keys}) == 11


@pytest.mark.claim("identity.keys-roll")
@pytest.mark.parametrize("use", ["token", "vault"])
def test_a_new_key_does_not_hide_that_the_others_are_gone(folder: Path, use: Rolling) -> None:
    file_of(folder, use).rename(folder.parent / "moved")
    with pytest.raises(IdentityError) as refused:
        rotate_key(folder, use, random.randbytes)
    assert refused.value.code == "key_missing"


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


def open_to_the_group(path: Path) -> None:
    path.chmod(0o660)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def not_text(path: Path) -> None:
    path.write_bytes(b"\xff" * 43)


def blown_up(path: Path) -> None:
    path.write_bytes(b"A" * 2**20)


def a_folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def a_link_instead(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def a_pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def lost(path: Path) -> None:
    path.unlink()


@pytest.mark.claim("identity.key-files-private")
@pytest.mark.claim("identity.no-secret-in-errors")
@pytest.mark.parametrize("use", ["token", "log", "vault", "pseudonym", "equality"])
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (open_to_all, "key_exposed"),
        (open_to_the_group, "key_exposed"),
        (cut_short, "key_malformed"),
        (emptied, "key_malformed"),
        (not_text, "key_malformed"),
        (blown_up, "key_unreadable"),
        (a_folder_instead, "key_unreadable"),
        (a_link_instead, "key_unreadable"),
        (a_pipe_instead, "key_unreadable"),
        (lost, "key_missing"),
    ],
)
def test_a_key_file_that_is_not_right_is_refused(
    folder: Path, use: str, spoil: Callable[[Path], None], code: str
) -> None:
    path = file_of(folder, use)
    content = path.read_text("ascii")
    spoil(path)
    error = refusal(folder)
    assert error.code == code
    assert str(folder) in error.message
    assert error.help
    pieces = re.findall(r"[A-Za-z0-9_-]{20,}", content)
    assert pieces
    assert not any(piece in str(error) for piece in pieces)


@pytest.mark.claim("identity.key-files-private")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda f: f.chmod(0o755), "key_exposed"),
        (lambda f: f.chmod(0o750), "key_exposed"),
        (lambda f: f.rename(f.parent / "moved"), "keys_missing"),
        (lambda f: (f / "vault-2-000000000000.key").write_text(""), "key_exposed"),
        (lambda f: (f / "token-newest.json").write_text("{}"), "key_malformed"),
    ],
)
def test_a_folder_that_is_not_right_is_refused(
    folder: Path, change: Callable[[Path], object], code: str
) -> None:
    change(folder)
    assert refusal(folder).code == code


def test_a_key_under_another_keys_name_is_refused(folder: Path) -> None:
    token, log = file_of(folder, "token"), file_of(folder, "log")
    token.write_bytes(log.read_bytes())
    assert refusal(folder).code == "key_malformed"


@pytest.mark.parametrize("use", ["token", "log"])
def test_a_key_whose_halves_disagree_is_refused(folder: Path, use: str) -> None:
    path = file_of(folder, use)
    jwk = json.loads(path.read_bytes())
    path.write_text(json.dumps(jwk | {"x": jwk_of(new_key())["x"]}))
    assert refusal(folder).code == "key_malformed"


@pytest.mark.claim("identity.no-secret-in-errors")
def test_a_keyring_shows_no_key(folder: Path) -> None:
    keys = load_keyring(folder, ORIGIN)
    shown = repr(keys) + str(keys) + repr(vars(keys).keys())
    for path in folder.iterdir():
        for piece in re.findall(r"[A-Za-z0-9_-]{40,}", path.read_text("ascii")):
            assert piece not in shown


# --- the agents' keys ----------------------------------------------------------------------------


@pytest.mark.claim("identity.key-files-private")
def test_an_agents_key_lies_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "agents" / "refund-desk.key"
    jwk = create_agent_key(path, random.randbytes)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = read_agent_key(path)
    assert jwk == jwk_of(key) | {"kid": thumbprint(key)}
    with pytest.raises(IdentityError) as refused:
        create_agent_key(path, random.randbytes)
    assert refused.value.code == "agent_key_exists"
    path.chmod(0o604)
    with pytest.raises(IdentityError) as refused:
        read_agent_key(path)
    assert refused.value.code == "agent_key_exposed"


def test_an_account_gathers_keys_by_thumbprint() -> None:
    first, second = new_key(), new_key()
    standing = register_agent("refund-desk", jwk_of(first))
    standing = register_agent("refund-desk", jwk_of(second), standing)
    assert standing.enabled
    assert standing.keys.keys() == {thumbprint(first), thumbprint(second)}


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("Refund Desk", {}, "agent_name_invalid"),
        ("", {}, "agent_name_invalid"),
        ("a/b", {}, "agent_name_invalid"),
        ("desk", {"d": "AAAA"}, "key_malformed"),
        ("desk", {"kty": "RSA"}, "key_malformed"),
        ("desk", {"crv": "X25519"}, "key_malformed"),
        ("desk", {"alg": "HS256"}, "key_malformed"),
        ("desk", {"x": "AAAA"}, "key_malformed"),
        ("desk", {"x": 7}, "key_malformed"),
        ("desk", {"k": "c2VjcmV0"}, "key_malformed"),
    ],
)
def test_only_a_public_ed25519_key_is_registered(
    name: str, changes: dict[str, str], code: str
) -> None:
    with pytest.raises(IdentityError) as refused:
        register_agent(name, jwk_of(new_key()) | changes)
    assert refused.value.code == code
