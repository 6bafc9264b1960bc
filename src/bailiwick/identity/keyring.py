"""The keys, each a file of its own in a folder outside the data folder.

    token-<kid>.json   Ed25519, private JWK     signs capability tokens and sessions
    log-<kid>.json     Ed25519, private JWK     signs the ledger's checkpoints
    vault-<kid>.key    32 bytes, base64url      wraps the vault's run keys
    pseudonym.key      32 bytes, base64url      names people and resources in the ledger
    equality.key       32 bytes, base64url      compares arguments without keeping them

A key id begins with a number that only rises. Of several token keys the highest signs and all
verify; of several vault keys the highest wraps and all unwrap; of several log keys all sign, until
the older are retired. Modes are 0600 and 0700; anything else is refused.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick.errors import BadInput, IdentityError
from bailiwick.identity.jose import decode, encode, private_jwk, public_jwk, read_private_jwk
from bailiwick.identity.private_files import (
    check_private,
    read_private,
    sync_folder,
    write_private,
)
from bailiwick.values import JSON, parse, shown

Random = Callable[[int], bytes]

SECRET_USES = ("pseudonym", "equality")
DOES: Mapping[str, str] = {
    "token": "signs and verifies tokens",
    "log": "signs the ledger's heads",
    "vault": "wraps and unwraps the keys of runs",
    "pseudonym": "names people and resources in the ledger",
    "equality": "compares arguments",
}
Rolling = Literal["token", "vault", "log"]
_SUFFIXES = {"token": "json", "log": "json", "vault": "key"}

_KID = re.compile(r"[1-9][0-9]{0,8}-[0-9a-f]{12}")


class KeyFile(NamedTuple):
    """A key file: what it is for, its key id if it has one, and whether newer ones do its work."""

    use: str
    kid: str
    path: Path
    older: bool


class Keyring:
    """The loaded keys; keeps the promises of `ports.Keys`. Shows key ids, never a key."""

    def __init__(
        self,
        origin: str,
        tokens: Mapping[str, Ed25519PrivateKey],
        logs: Mapping[str, Ed25519PrivateKey],
        vault: Mapping[str, bytes],
        secrets: Mapping[str, bytes],
    ) -> None:
        """Take the keys as read: `tokens`, `logs` and `vault` by key id, `secrets` by use."""
        self._origin = origin
        self._public = {kid: {**public_jwk(key), "kid": kid} for kid, key in tokens.items()}
        current = max(tokens, key=_number)
        self._signing = (current, tokens[current])
        self._ids = {
            use: sorted(kids, key=_number, reverse=True)
            for use, kids in (("token", tokens), ("log", logs), ("vault", vault))
        }
        self._logs = tuple(logs[kid] for kid in self._ids["log"])
        self._vault = tuple((kid, vault[kid]) for kid in self._ids["vault"])
        self._secrets = dict(secrets)

    def __repr__(self) -> str:
        return f"Keyring(origin={self._origin!r}, tokens={sorted(self._public)!r})"

    def verify_token(self, kid: str) -> Mapping[str, JSON] | None:
        """The token issuer's public JWK, or None if the key id is not ours."""
        return self._public.get(kid)

    def sign_token(self) -> tuple[str, Ed25519PrivateKey]:
        """The current token signing key: its id and its private key."""
        return self._signing

    def sign_checkpoint(self, body: bytes) -> Sequence[bytes]:
        """The Ed25519 signatures of all of the log's keys, 64 bytes each, newest first."""
        return [key.sign(body) for key in self._logs]

    def log_keys(self) -> tuple[str, Sequence[bytes]]:
        """The log's name (origin) and its Ed25519 public keys, 32 bytes each, newest first."""
        return self._origin, [key.public_key().public_bytes_raw() for key in self._logs]

    def ids(self) -> Mapping[str, Sequence[str]]:
        """The key ids of those that can be rotated, by use, newest first."""
        return self._ids

    def vault_keys(self) -> Sequence[tuple[str, bytes]]:
        """The vault's key encryption keys, newest first: ids and 32 bytes. The first one wraps."""
        return self._vault

    def secret_key(self, use: str) -> bytes:
        """The 32-byte key for `pseudonym` or `equality`. Raises `IdentityError` for others."""
        if use not in self._secrets:
            raise IdentityError(
                f"there is no key for the use `{use}`",
                code="key_use_unknown",
                help=f"ask for one of {', '.join(SECRET_USES)}",
            )
        return self._secrets[use]


def create_keyring(folder: Path, random: Random, *, log_keys: Path | None = None) -> None:
    """Make a folder with one new key for each use; all of them or none are there on return.

    `random(n)` gives n unpredictable bytes. The log's keys are copied from the folder `log_keys`,
    where one is named. Raises `IdentityError`: `keys_exist` if the folder is there and not empty,
    since keys are never overwritten, and what `load_keyring` raises for a log's key.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _write_signing_key(draft, "token", 1, random)
        if log_keys is None:
            _write_signing_key(draft, "log", 1, random)
        else:
            _copy_log_keys(log_keys, draft)
        write_private(draft / f"vault-{_new_kid(1, random)}.key", _secret_text(random(32)))
        for use in SECRET_USES:
            write_private(draft / f"{use}.key", _secret_text(random(32)))
        _publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def rotate_key(folder: Path, use: Rolling, random: Random) -> str:
    """Add a key that signs tokens or the log's heads, or wraps run keys, from the next start on.

    Gives its id. The older ones still verify and unwrap, and those of the log still sign, until
    they are retired.
    """
    kids = [kid for kid, _ in _files(folder, use, _SUFFIXES[use])]
    if not kids:
        _absent(folder, use)
    number = max(map(_number, kids)) + 1
    if use != "vault":
        return _write_signing_key(folder, use, number, random)
    kid = _new_kid(number, random)
    write_private(folder / f"vault-{kid}.key", _secret_text(random(32)))
    return kid


def retire_key(folder: Path, use: Rolling, kid: str) -> None:
    """Delete the file of a key that newer ones have replaced; the name is gone on return.

    What the key may still be needed for is the caller's to know. Raises `IdentityError`:
    `key_unknown` if there is no such file, `key_newest` for the newest of its use.
    """
    files = [each for each in list_keys(folder) if each.use == use]
    found = next((each for each in files if each.kid == kid), None)
    if found is None:
        raise IdentityError(
            f"there is no {use} key `{shown(kid)}` in `{folder}`",
            code="key_unknown",
            help="list them with `bailiwick keys list`",
        )
    if not found.older:
        raise IdentityError(
            f"`{kid}` is the newest {use} key",
            code="key_newest",
            help=f"run `bailiwick keys rotate {use}` first",
        )
    found.path.unlink()
    sync_folder(folder)


def list_keys(folder: Path) -> list[KeyFile]:
    """The key files of the folder, by use and newest first; none of them is read."""
    found: list[KeyFile] = []
    for use, suffix in _SUFFIXES.items():
        files = sorted(_files(folder, use, suffix), key=lambda each: _number(each[0]), reverse=True)
        found += [KeyFile(use, kid, path, n > 0) for n, (kid, path) in enumerate(files)]
    paths = [(use, folder / f"{use}.key") for use in SECRET_USES]
    return found + [KeyFile(use, "", path, False) for use, path in paths if path.exists()]


def load_keyring(folder: Path, origin: str) -> Keyring:
    """Read all keys. `origin` is the log's name from the settings.

    Raises `IdentityError`: `keys_missing`, `key_missing`, `key_unreadable`, `key_exposed` or
    `key_malformed`, naming the file and what to do, never its content.
    """
    try:
        check_private(folder, folder.lstat(), "key", 0o700)
    except FileNotFoundError:
        raise IdentityError(
            f"there is no folder of keys at `{folder}`",
            code="keys_missing",
            help="run `bailiwick init`, or restore the folder from its backup",
        ) from None
    tokens = {kid: _read_signing_key(path, kid) for kid, path in _files(folder, "token", "json")}
    if not tokens:
        _absent(folder, "token")
    logs = {kid: _read_signing_key(path, kid) for kid, path in _files(folder, "log", "json")}
    if not logs:
        _absent(folder, "log")
    vault = {kid: _read_secret(path) for kid, path in _files(folder, "vault", "key")}
    if not vault:
        _absent(folder, "vault")
    return Keyring(
        origin,
        tokens,
        logs,
        vault,
        {use: _read_named(folder, use) for use in SECRET_USES},
    )


def _publish(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        raise IdentityError(
            f"`{folder}` exists and is not an empty folder",
            code="keys_exist",
            help="keep the keys that are there, or name another folder",
        ) from None
    sync_folder(folder.parent)


def _write_signing_key(folder: Path, use: str, number: int, random: Random) -> str:
    kid = _new_kid(number, random)
    key = Ed25519PrivateKey.from_private_bytes(random(32))
    write_private(folder / f"{use}-{kid}.json", msgspec.json.encode(private_jwk(key, kid)))
    return kid


def _copy_log_keys(source: Path, folder: Path) -> None:
    found = _files(source, "log", "json")
    if not found:
        _absent(source, "log")
    for kid, path in found:
        _read_signing_key(path, kid)
        write_private(folder / path.name, read_private(path, "key"))


def _read_signing_key(path: Path, kid: str) -> Ed25519PrivateKey:
    try:
        jwk = parse(read_private(path, "key"))
        if jwk.get("kid") != kid:
            _malformed(path)
        return read_private_jwk(jwk)
    except BadInput:
        _malformed(path)
    except IdentityError as error:
        if error.code != "key_malformed":
            raise
        _malformed(path)


def _read_secret(path: Path) -> bytes:
    content = read_private(path, "key")
    try:
        secret = decode(content.decode("ascii").removesuffix("\n"))
    except ValueError:
        _malformed(path)
    return secret if len(secret) == 32 else _malformed(path)


def _read_named(folder: Path, use: str) -> bytes:
    path = folder / f"{use}.key"
    if not path.is_symlink() and not path.exists():
        _absent(folder, use)
    return _read_secret(path)


def _files(folder: Path, use: str, suffix: str) -> list[tuple[str, Path]]:
    """The key ids of one use with their files, by name. Hidden and other files are not keys."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise IdentityError(
            f"the folder of keys at `{folder}` cannot be listed: {error.strerror}",
            code="key_unreadable",
            help="make it a folder of this user, mode 0700",
        ) from None
    found = [
        (name[len(use) + 1 : -len(suffix) - 1], folder / name)
        for name in names
        if name.startswith(f"{use}-") and name.endswith(f".{suffix}")
    ]
    for kid, path in found:
        if not _KID.fullmatch(kid):
            _malformed(path)
    return found


def _absent(folder: Path, use: str) -> NoReturn:
    file = f"{use}.key" if use in SECRET_USES else f"{use}-….{_SUFFIXES[use]}"
    raise IdentityError(
        f"the {use} key, which {DOES[use]}, is not in `{folder}`",
        code="key_missing",
        help=f"restore `{file}` from the backup of the keys; a new one does not replace it",
    )


def _malformed(path: Path) -> NoReturn:
    raise IdentityError(
        f"the key file `{path}` is damaged or not a key of its name",
        code="key_malformed",
        help="restore it from its backup",
    ) from None


def _new_kid(number: int, random: Random) -> str:
    return f"{number}-{random(6).hex()}"


def _number(kid: str) -> int:
    return int(kid.partition("-")[0])


def _secret_text(secret: bytes) -> bytes:
    return encode(secret).encode("ascii") + b"\n"
