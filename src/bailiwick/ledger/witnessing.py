"""The witness: asked to cosign each new head of the log (C2SP tlog-witness, tlog-cosignature).

It keeps its own memory of the log, so that it can tell when ours has changed behind our back: a
tree that is smaller than the one it cosigned, or another one. Nothing waits for it but receipts,
where the settings say so.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from urllib.parse import urlsplit

from bailiwick.config import WitnessSource
from bailiwick.errors import ConfigError, LedgerError
from bailiwick.ledger import note
from bailiwick.ledger.sequencing import proof_between
from bailiwick.ports import Cosigner, Egress, Lost, NotSent, Request, World

_TIMEOUT_S = 2.0
_MAX_BYTES = 2 * note.MAX_NOTE_BYTES
_AGAIN_US = 2_000_000


class WitnessDoor:
    """A witness over HTTP, by the one egress door. After a failure it is left alone for a while."""

    def __init__(self, source: WitnessSource, egress: Egress, monotonic_us: Callable[[], int]):
        """Raises `ConfigError` (`witness_invalid`) for what is no address or no witness's key."""
        parts = urlsplit(source.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise _invalid("its `url` is no http or https address")
        try:
            self.key = note.parse_vkey(source.key)
        except LedgerError as fault:
            raise _invalid(f"its `key` cannot be read: {fault.message}") from fault
        if self.key.algorithm != note.COSIGNATURE:
            raise _invalid("its `key` is not the key of a witness")
        self.name, self.vkey, self.required = self.key.name, self.key.vkey, source.required
        self._url = source.url.rstrip("/")
        self._egress = egress
        self._monotonic_us = monotonic_us
        self._not_before_us = 0
        self._asking = False

    def begin(self) -> bool:
        """Whether it may be asked now, by one caller: not soon after it did not answer."""
        if self._asking or self._monotonic_us() < self._not_before_us:
            return False
        self._asking = True
        return True

    def end(self) -> None:
        """The caller who began has done with it."""
        self._asking = False

    async def add(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> tuple[int, bytes]:
        """Ask it to cosign; the HTTP status and the body. Raises `LedgerError`."""
        lines = [f"old {old}", *map(note.base64_text, proof)]
        body = "\n".join(lines).encode() + b"\n\n" + checkpoint
        return await self._send("POST", "/add-checkpoint", body)

    async def held(self, origin: str) -> bytes | None:
        """The head of a log that it cosigned last, None if it has none. Raises `LedgerError`."""
        place = f"/{sha256(origin.encode()).hexdigest()}/checkpoint"
        status, body = await self._send("GET", place, None)
        return body if status == 200 else None

    async def _send(self, method: str, place: str, body: bytes | None) -> tuple[int, bytes]:
        request = Request(
            method=method,
            url=self._url + place,
            headers={"content-type": "text/plain; charset=utf-8"} if body else {},
            body=body,
            timeout_s=_TIMEOUT_S,
            max_bytes=_MAX_BYTES,
        )
        self._not_before_us = self._monotonic_us() + _AGAIN_US
        try:
            answer = await self._egress.send(request, _yes)
        except (NotSent, Lost) as fault:
            raise LedgerError(
                f"the witness `{self.name}` does not answer",
                code="witness_silent",
                help="start it, or look at `witness` in bailiwick.yaml; nothing else waits for it",
            ) from fault
        self._not_before_us = 0
        return answer.status, answer.body


async def cosign(world: World, *, anew: bool = False) -> tuple[int, str] | None:
    """Have the newest head cosigned, if it is not; `anew`: have the witness look once more.

    None if it was, or if there is nothing to ask; else the size that the witness knows, and why our
    tree cannot be what it has cosigned. Raises `LedgerError` when it gives no answer or a strange
    one.
    """
    if world.witness is None or not world.witness.begin():
        return None
    try:
        return await _asked(world, world.witness, anew)
    finally:
        world.witness.end()


async def _asked(world: World, witness: Cosigner, anew: bool) -> tuple[int, str] | None:
    # In this order: heads only get newer.
    cosigned = await world.ledger.checkpoint(cosigned=True)
    kept = await world.ledger.checkpoint()
    known = cosigned[0] if cosigned else 0
    if kept is None or kept[0] == 0 or (known == kept[0] and not anew):
        return None
    size, checkpoint = kept
    for _ in range(2):
        proof = await proof_between(world.ledger, known, size)
        status, body = await witness.add(known, proof, checkpoint.encode())
        if status == 200:
            line = _line(witness.vkey, checkpoint.encode(), body)
            await world.ledger.keep_checkpoint(size, checkpoint, line)
            return None
        if status == 422:
            return known, f"it is another tree than the one of {known} records that was cosigned"
        if status != 409:
            break
        known = note.decode_decimal(body.decode("ascii", "replace").removesuffix("\n"), "size")
        if known > await world.ledger.tree_size():
            return known, f"a tree of {known} records was cosigned, which is more than there are"
        if known > size:
            break  # another process was quicker
    if status == 409:
        return None  # others keep growing the tree: the next tick asks again
    raise LedgerError(
        f"the witness `{witness.name}` answers {status} to a head of {size} records",
        code="witness_refused",
        help="see what it says itself; does it trust the key of this log?",
    )


def _line(vkey: str, checkpoint: bytes, body: bytes) -> str:
    """The witness's own line of an answer, checked against the checkpoint it is for."""
    key = note.parse_vkey(vkey)
    for line in body.decode("utf-8", "replace").splitlines():
        whole = checkpoint + line.encode() + b"\n"
        signature = note.parse(whole).signatures[-1]
        if (signature.name, signature.key_id) == (key.name, key.id):
            note.verify(whole, [key])
            return line + "\n"
    raise LedgerError(
        f"the answer of the witness `{key.name}` holds no signature of its key",
        code="witness_refused",
        help="compare `witness.key` in bailiwick.yaml with what `bailiwick-witness show` says",
    )


async def _yes() -> bool:
    return True


def _invalid(why: str) -> ConfigError:
    help = "write what `bailiwick-witness show` says"
    return ConfigError(f"`witness` cannot be used: {why}", code="witness_invalid", help=help)
