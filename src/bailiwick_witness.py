"""A witness: cosigns the heads of logs, and only those that extend what it cosigned before.

    python bailiwick_witness.py init FOLDER --name NAME     makes its key, prints its vkey
    python bailiwick_witness.py trust FOLDER VKEY           a log's key: its heads may be cosigned
    python bailiwick_witness.py serve FOLDER [--listen HOST:PORT]
    python bailiwick_witness.py show FOLDER                 its vkey, and what it holds of each log
    python bailiwick_witness.py forget FOLDER ORIGIN        a person accepts that a log began anew

One file, the standard library and `cryptography`; it shares no code with the logs that it watches.
Run it as another user, on another machine, kept by somebody else than the log: only then does its
word add anything. It speaks C2SP tlog-witness (`POST /add-checkpoint`, `GET /<hash>/checkpoint`)
and signs as C2SP tlog-cosignature says (`cosignature/v1`, Ed25519). It has no TLS: put a proxy
before it where others could change what passes.

What it holds of a log is one file, the head that it cosigned last, replaced whole and synced before
anybody is answered. Nothing is kept in memory, so that a crash forgets nothing.

Exit code: 0 done, 1 refused, 2 the command cannot be used.
"""

import argparse
import base64
import binascii
import fcntl
import os
import re
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_BODY = 64 * 1024
MAX_PROOF = 63
# A caller that says nothing for this long is hung up on; so many may be spoken to at once.
PATIENCE_S = 10.0
AT_ONCE = 32

_LOG, _WITNESS = 1, 4


class Refused(Exception):
    """A no: the HTTP status that C2SP tlog-witness gives it, and what is said."""

    def __init__(self, status: int, said: str, kind: str = "text/plain; charset=utf-8") -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.kind = kind


class TrustedKey(NamedTuple):
    """A log's public key: its name, which is the log's origin, its four-byte id, 32 bytes."""

    name: str
    id: bytes
    public: bytes


class TreeHead(NamedTuple):
    """A tree head as signed: the note's text, the log's origin, the size and the root."""

    text: str
    origin: str
    size: int
    root: bytes


# --- notes (C2SP signed-note, tlog-checkpoint, tlog-cosignature) ---------------------------------


def read_vkey(text: str) -> TrustedKey:
    """Read a log's vkey, `name+id+base64(1 ‖ public key)`. Raises `Refused` (400)."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    material = _base64(encoded)
    fits = sha256(name.encode() + b"\n" + material).digest()[:4].hex() == key_id
    if not _is_name(name) or len(material) != 33 or material[0] != _LOG or not fits:
        raise Refused(400, "it is not the Ed25519 vkey of a log")
    return TrustedKey(name, bytes.fromhex(key_id), material[1:])


def read_note(data: bytes) -> tuple[TreeHead, list[tuple[str, bytes, bytes]], list[str]]:
    """Take a signed checkpoint apart: the head, its signatures, and their lines.

    Raises `Refused` (400) for anything but the one form that there is.
    """
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(400, "the checkpoint is not UTF-8") from None
    text, blank, tail = whole.rpartition("\n\n")
    text += "\n"
    if not blank or not tail.endswith("\n") or any(c < " " and c != "\n" for c in whole):
        raise Refused(400, "the checkpoint is not a signed note")
    signatures, lines = [], tail[:-1].split("\n")
    for line in lines:
        name, space, encoded = line.removeprefix("\u2014 ").partition(" ")
        signature = _base64(encoded)
        if not line.startswith("\u2014 ") or not space or not _is_name(name) or len(signature) < 5:
            raise Refused(400, "the checkpoint has a malformed signature line")
        signatures.append((name, signature[:4], signature[4:]))
    origin, size, root = (*text.split("\n"), "", "")[:3]
    if not origin or len(_base64(root)) != 32 or "\n\n" in text:
        raise Refused(400, "the checkpoint has not the lines origin, size and root")
    return TreeHead(text, origin, _decimal(size), _base64(root)), signatures, lines


def check_signed(
    head: TreeHead, signatures: Sequence[tuple[str, bytes, bytes]], keys: Sequence[TrustedKey]
) -> list[int]:
    """Which of the signatures are by keys that are trusted for the origin. Raises `Refused`."""
    trusted = {(key.name, key.id): key for key in keys if key.name == head.origin}
    if not trusted:
        raise Refused(404, "the log is not known here")
    good = []
    for at, (name, key_id, signature) in enumerate(signatures):
        key = trusted.get((name, key_id))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, head.text.encode())
        except InvalidSignature:
            raise Refused(403, "a signature of the log is wrong") from None
        good.append(at)
    if not good:
        raise Refused(403, "no trusted key of the log signed the checkpoint")
    return good


def _base64(text: str) -> bytes:
    """Decode, and refuse every spelling but the canonical one."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        data = b""
    if base64.b64encode(data).decode() != text:
        raise Refused(400, "something is not canonical base64")
    return data


def _decimal(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text, re.ASCII) or int(text) >= 2**63:
        raise Refused(400, "a size is not a plain decimal number")
    return int(text)


def _is_name(name: str) -> bool:
    return bool(name) and not any(char.isspace() or char < " " or char == "+" for char in name)


# --- the tree (RFC 9162, 2.1.4.2) ----------------------------------------------------------------


def check_extends(old: TreeHead | None, new: TreeHead, proof: Sequence[bytes]) -> None:
    """Return if the proof shows that the new tree extends the old one. Raises `Refused` (422)."""
    if new.size == 0 and new.root != sha256(b"").digest():
        raise Refused(422, "the root is not that of the empty tree")
    if old is None or old.size == 0:
        if proof:
            raise Refused(422, "a proof from size 0 must be empty")
        return
    if old.size == new.size:
        if proof or old.root != new.root:
            raise Refused(422, "it is another tree of the size that was cosigned")
        return
    path = [*([old.root] if old.size & (old.size - 1) == 0 else []), *proof]
    position, last = old.size - 1, new.size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    before = after = path[0] if path else b""
    for sibling in path[1:]:
        if last == 0:
            raise Refused(422, "the consistency proof is too long")
        if position & 1 or position == last:
            before, after = _node(sibling, before), _node(sibling, after)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            after = _node(after, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or before != old.root or after != new.root:
        raise Refused(422, "the proof does not show that the tree extends the one cosigned before")


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


# --- the witness ---------------------------------------------------------------------------------


class Witness:
    """The key and the heads in one folder. Every call reads the files anew, under one lock."""

    def __init__(self, folder: Path) -> None:
        """Read the key. Raises `OSError` or `Refused` when it is not there or not its owner's."""
        self.folder = folder
        path = folder / "key"
        if path.stat().st_mode & 0o077:
            raise Refused(403, f"{path} is open to others: chmod 600 it, or make a new witness")
        self.name, _, seed = path.read_text("ascii").strip().partition("+")
        self._private = Ed25519PrivateKey.from_private_bytes(_base64(seed))
        public = bytes([_WITNESS]) + self._private.public_key().public_bytes_raw()
        self.id = sha256(self.name.encode() + b"\n" + public).digest()[:4]
        self.vkey = f"{self.name}+{self.id.hex()}+{base64.b64encode(public).decode()}"
        self._mutex = threading.Lock()

    def add_checkpoint(self, body: bytes) -> bytes:
        """Cosign a head that extends the last one; it is durable on return. Raises `Refused`."""
        top, blank, checkpoint = body.partition(b"\n\n")
        lines = top.decode("ascii", "replace").split("\n")
        if not blank or not lines[0].startswith("old ") or len(lines) > MAX_PROOF + 1:
            raise Refused(400, "the body has not the form of tlog-witness")
        old_size, proof = _decimal(lines[0][len("old ") :]), [_base64(line) for line in lines[1:]]
        head, signatures, written = read_note(checkpoint)
        good = check_signed(head, signatures, self.logs())
        if old_size > head.size or any(len(each) != 32 for each in proof):
            raise Refused(400, "the old size is above the checkpoint's, or a proof is no hash")
        with self._alone():
            kept = self.held(head.origin)
            known = read_note(kept)[0] if kept else None
            if old_size != (known.size if known else 0):
                size = f"{known.size if known else 0}\n"
                raise Refused(409, size, "text/x.tlog.size")
            check_extends(known, head, proof)
            line = self._cosignature(head)
            signed = "".join(f"{written[at]}\n" for at in good)
            replace(self._path(head.origin), f"{head.text}\n{signed}{line}".encode())
        return line.encode()

    def logs(self) -> list[TrustedKey]:
        """The logs' keys that are trusted now."""
        path = self.folder / "logs"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [read_vkey(line) for line in lines if line.strip()]

    def trust(self, vkey: str) -> None:
        """Trust one more key of a log, or the first one."""
        with self._alone():
            keys = {key.id: key for key in self.logs()} | {(key := read_vkey(vkey)).id: key}
            text = "".join(f"{_vkey(key)}\n" for key in keys.values())
            replace(self.folder / "logs", text.encode())

    def held(self, origin: str) -> bytes | None:
        """The head of a log that was cosigned last, with its signatures."""
        path = self._path(origin)
        return path.read_bytes() if path.exists() else None

    def forget(self, origin: str) -> bool:
        """Forget a log's head, so that its next one is taken as the first; False: there is none."""
        with self._alone():
            path = self._path(origin)
            if not path.exists():
                return False
            path.rename(path.with_suffix(f".forgotten-{time.time_ns()}"))
            _sync(self.folder)
            return True

    def _path(self, origin: str) -> Path:
        return self.folder / sha256(origin.encode()).hexdigest()

    def _cosignature(self, head: TreeHead) -> str:
        time_s = int(time.time())
        message = f"cosignature/v1\ntime {time_s}\n{head.text}".encode()
        signed = self.id + time_s.to_bytes(8, "big") + self._private.sign(message)
        return f"\u2014 {self.name} {base64.b64encode(signed).decode()}\n"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time, among the threads and among the processes that use the folder."""
        with self._mutex, (self.folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def create(folder: Path, name: str) -> str:
    """Make a witness's folder with a new key; give its vkey. Raises `Refused` if it is there."""
    if not _is_name(name):
        raise Refused(400, "a name has no spaces and no plus sign")
    if folder.exists() and any(folder.iterdir()):
        raise Refused(409, f"{folder} is not an empty folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    seed = base64.b64encode(secrets.token_bytes(32)).decode()
    replace(folder / "key", f"{name}+{seed}\n".encode())
    return Witness(folder).vkey


def replace(path: Path, content: bytes) -> None:
    """Put a file of mode 0600 in the place of what was there: whole, and durable on return."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _vkey(key: TrustedKey) -> str:
    material = base64.b64encode(bytes([_LOG]) + key.public).decode()
    return f"{key.name}+{key.id.hex()}+{material}"


# --- HTTP ----------------------------------------------------------------------------------------


class Door(ThreadingHTTPServer):
    """The HTTP side: so many callers at once, and no more."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        super().__init__(address, Conversation)
        self.witness = witness
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def process_request(self, request: "socket | tuple[bytes, socket]", address: Any) -> None:
        """Speak to a caller, or hang up if there are too many."""
        if self._room.acquire(blocking=False):
            super().process_request(request, address)
        else:
            self.shutdown_request(request)

    def process_request_thread(
        self, request: "socket | tuple[bytes, socket]", address: Any
    ) -> None:
        """Speak to a caller in a thread."""
        try:
            super().process_request_thread(request, address)
        finally:
            self._room.release()


class Conversation(BaseHTTPRequestHandler):
    """One caller's requests."""

    server: Door
    protocol_version = "HTTP/1.1"
    server_version = "bailiwick-witness"
    sys_version = ""
    timeout = PATIENCE_S

    def do_POST(self) -> None:
        """`add-checkpoint`."""
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,6}", length, re.ASCII) or int(length) > MAX_BODY:
            self.close_connection = True
            self._answer(400, f"a body of at most {MAX_BODY} bytes is wanted\n".encode())
            return
        body = self.rfile.read(int(length))
        if self.path != "/add-checkpoint":
            self._answer(404, b"there is only /add-checkpoint\n")
            return
        try:
            self._answer(200, self.server.witness.add_checkpoint(body))
        except Refused as no:
            said = no.said if no.said.endswith("\n") else f"{no.said}\n"
            self._answer(no.status, said.encode(), no.kind)
        except OSError as fault:
            self.log_error("nothing was cosigned: %s", fault.strerror)
            self._answer(503, b"nothing could be kept, so nothing was cosigned\n")

    def do_GET(self) -> None:
        """The head of a log that was cosigned last, by the hash of its origin."""
        found = re.fullmatch(r"/([0-9a-f]{64})/checkpoint", self.path, re.ASCII)
        path = self.server.witness.folder / found[1] if found else None
        if path is None or not path.exists():
            self._answer(404, b"nothing is held under that name\n")
        else:
            self._answer(200, path.read_bytes())

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """One line a request on standard error, escaped, since the path is a caller's word."""
        sys.stderr.write(ascii(format % args)[1:-1] + "\n")


# --- the command ---------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        for line in options.command(options):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except Refused as no:
        sys.stderr.write(f"refused: {no.said}\n")
        return 1
    except OSError as fault:
        sys.stderr.write(f"cannot use {fault.filename}: {fault.strerror}\n")
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _init(options: argparse.Namespace) -> Iterator[str]:
    yield create(options.folder, options.name)


def _trust(options: argparse.Namespace) -> Iterator[str]:
    Witness(options.folder).trust(options.vkey)
    yield f"heads that {read_vkey(options.vkey).name} signs with this key may be cosigned"


def _show(options: argparse.Namespace) -> Iterator[str]:
    witness = Witness(options.folder)
    yield witness.vkey
    for origin in sorted({key.name for key in witness.logs()}):
        kept = witness.held(origin)
        yield f"{origin}: {read_note(kept)[0].size if kept else 'no'} records cosigned"


def _forget(options: argparse.Namespace) -> Iterator[str]:
    if not Witness(options.folder).forget(options.origin):
        raise Refused(404, f"nothing is held of {options.origin!a}")
    yield f"the next head of {options.origin} is taken as its first"


def _serve(options: argparse.Namespace) -> Iterator[str]:
    host, _, port = options.listen.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII):
        raise Refused(400, "--listen wants HOST:PORT")
    with Door((host.strip("[]"), int(port)), Witness(options.folder)) as door:
        yield f"listening on http://{host}:{door.server_address[1]}"
        door.serve_forever()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bailiwick-witness")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, help in (
        ("init", _init, "make a witness with a key of its own"),
        ("trust", _trust, "trust a key of a log"),
        ("serve", _serve, "answer over HTTP until it is stopped"),
        ("show", _show, "show its vkey, and what it holds"),
        ("forget", _forget, "accept that a log begins anew"),
    ):
        each = commands.add_parser(name, help=help)
        each.add_argument("folder", type=Path, help="the witness's folder")
        each.set_defaults(command=command)
        if name == "init":
            each.add_argument("--name", required=True, help="its name, such as witness.example/w1")
        elif name == "trust":
            each.add_argument("vkey", help="the vkey of the log's key")
        elif name == "forget":
            each.add_argument("origin", help="the log's origin")
        elif name == "serve":
            each.add_argument("--listen", default="127.0.0.1:8787", help="HOST:PORT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
