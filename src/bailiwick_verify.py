"""Verify a Bailiwick ledger offline: this one file, the standard library and `cryptography`.

    python bailiwick_verify.py verify EXPORT_DIR --key VKEY [--since CHECKPOINT]
    python bailiwick_verify.py receipt RECORD_FILE RECEIPT_FILE --key VKEY

It shares no code with the program whose ledger it verifies, only public formats: RFC 9162 (the
tree), RFC 8785 (records), C2SP signed-note, tlog-checkpoint, -cosignature, -tiles and -proof. VKEY
must reach you by another way than the export. For a log whose key was rotated give `--keys FILE`
with lines `VKEY FROM TO`: the sizes at which each key may sign (TO is `-` for no end). Give
`--witness VKEY` for each witness that must have cosigned.

An export is a folder in the layout of tlog-tiles: `checkpoint`; `tile/entries/<N>`, 256 records
each with a 16-bit big-endian length before it; `tile/0/<N>`, their leaf hashes; `tile/<L>/<N>`,
the levels above. `<N>` is `000`, `001` … `x001/x234/067`, and ends in `.p/<width>` if not full.

`verify` checks signatures, the root over all records, and what these say together: an outcome
follows its intent, once; nothing is intended twice unless the first attempt failed; a person's word
follows only an outcome in doubt; approvals rest on votes; control epochs never fall; no retired key
signs. Intents without an outcome are listed, they are no fault.

Exit code: 0 verified, 1 not verified, 2 the command or a file it names cannot be used.
"""

import argparse
import base64
import binascii
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SCHEMA_VERSION = 1
TILE_WIDTH = 256
MAX_NOTE_BYTES = 256 * 1024
# Outcomes are stamped by the store's clock, which may be set back a little between two records.
CLOCK_SKEW_US = 5_000_000
LISTED = 20

NO_WITNESS = (
    "no witness: whoever holds the log's key could have rewritten the whole log and signed it"
    " again, and this would not show. Give `--witness`, or `--since` with a checkpoint that you"
    " kept yourself."
)


class NotVerified(Exception):
    """What was given is not what it claims to be; the message says which part and why."""


# --- signed notes (C2SP signed-note, tlog-checkpoint, tlog-cosignature) --------------------------


class LogKey(NamedTuple):
    """A public key: its text, name, four-byte id, algorithm (1 log, 4 witness) and 32 bytes.

    Its signature counts under trees of `first` to `last` records.
    """

    text: str
    name: str
    id: bytes
    algorithm: int
    public: bytes
    first: int
    last: int


class Head(NamedTuple):
    """A verified tree head, when each witness cosigned it (in seconds), and who signed it."""

    origin: str
    size: int
    root: bytes
    witnessed_s: dict[str, int]
    signers: tuple[LogKey, ...]


def read_key(text: str) -> LogKey:
    """Read `VKEY` or `VKEY FROM TO`; a vkey is `name+id+base64(algorithm ‖ public key)`."""
    vkey, first, last = words if len(words := text.split()) == 3 else (text, "0", "-")
    name, _, rest = vkey.partition("+")
    key_id, _, encoded = rest.partition("+")
    material = _base64(encoded, "key")
    if not _is_name(name) or len(material) != 33 or material[0] not in (1, 4):
        raise NotVerified("the key is not an Ed25519 vkey of a log or a witness")
    if sha256(name.encode() + b"\n" + material).digest()[:4].hex() != key_id:
        raise NotVerified("the key's id does not fit its bytes: it was changed or cut")
    sizes = (_decimal(first, "size"), 2**63 if last == "-" else _decimal(last, "size"))
    return LogKey(vkey, name, bytes.fromhex(key_id), material[0], material[1:], *sizes)


def open_checkpoint(data: bytes, keys: Sequence[LogKey], witnesses: Sequence[LogKey]) -> Head:
    """Give the tree head that one of the log's keys and every witness signed."""
    text, signatures = _split_note(data)
    known = {(key.name, key.id): key for key in (*keys, *witnesses)}
    signed: dict[LogKey, int] = {}
    for name, key_id, signature in signatures:
        if key := known.get((name, key_id)):
            signed[key] = _check_signature(key, text, signature)
    lines = text.split("\n")
    root = _base64(lines[2], "root") if len(lines) == 4 else b""
    if len(root) != 32 or not lines[0]:
        raise NotVerified("the checkpoint has not exactly the lines origin, size and root")
    size = _decimal(lines[1], "tree size")
    own = [key for key in keys if key in signed and key.name == lines[0] and key.algorithm == 1]
    if not own:
        raise NotVerified(f"the checkpoint of {_shown(lines[0])} is not signed by the key given")
    signers = tuple(key for key in own if key.first <= size <= key.last)
    if not signers:
        raise NotVerified(f"no key that signed the checkpoint may sign a tree of {size} records")
    for witness in witnesses:
        if witness not in signed or witness.algorithm != 4:
            raise NotVerified(f"the witness {_shown(witness.name)} did not cosign the checkpoint")
    times = {witness.name: signed[witness] for witness in witnesses}
    return Head(lines[0], size, root, times, signers)


def _split_note(data: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotVerified("the checkpoint is not UTF-8") from None
    text, blank, tail = whole.rpartition("\n\n")
    if len(data) > MAX_NOTE_BYTES or not blank or not tail.endswith("\n"):
        raise NotVerified("the checkpoint is not a signed note")
    if any(char < " " and char != "\n" for char in whole):
        raise NotVerified("the checkpoint has control characters")
    signatures = []
    for line in tail[:-1].split("\n"):
        name, space, encoded = line.removeprefix("\u2014 ").partition(" ")
        if not line.startswith("\u2014 ") or not space or not _is_name(name):
            raise NotVerified("the checkpoint has a malformed signature line")
        signature = _base64(encoded, "signature")
        if len(signature) < 5:
            raise NotVerified("the checkpoint has a signature that is too short")
        signatures.append((name, signature[:4], signature[4:]))
    return text + "\n", signatures


def _check_signature(key: LogKey, text: str, signature: bytes) -> int:
    """Return the time in a witness's signature, 0 for a log's own."""
    message, time_s = text.encode(), 0
    if key.algorithm == 4:
        time_s, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        message = f"cosignature/v1\ntime {time_s}\n".encode() + message
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except InvalidSignature:
        raise NotVerified(f"the checkpoint's signature by {_shown(key.name)} is wrong") from None
    return time_s


def _base64(text: str, what: str) -> bytes:
    """Decode, and refuse every spelling but the canonical one, else a changed bit could hide."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        data = b""
    if base64.b64encode(data).decode() != text:
        raise NotVerified(f"the {what} is not canonical base64")
    return data


def _decimal(text: str, what: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", text) or int(text) >= 2**63:
        raise NotVerified(f"the {what} is not a plain decimal number")
    return int(text)


def _is_name(name: str) -> bool:
    return bool(name) and not any(char.isspace() or char < " " or char == "+" for char in name)


# --- the tree (RFC 6962, RFC 9162) ---------------------------------------------------------------


def leaf_hash(record: bytes) -> bytes:
    """SHA-256(0x00 ‖ record)."""
    return sha256(b"\x00" + record).digest()


def tree_of(leaves: Sequence[bytes]) -> tuple[bytes, dict[int, list[bytes]]]:
    """Give the root over leaf hashes, and the rows of perfect nodes at levels 8, 16 …"""
    rows: dict[int, list[bytes]] = {}
    row, level, root = list(leaves), 0, b""
    while row:
        if level and level % 8 == 0:
            rows[level] = row
        if len(row) & 1:
            root = _node(row[-1], root) if root else row[-1]
        pairs = zip(row[: len(row) & ~1 : 2], row[1::2], strict=True)
        row = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        level += 1
    return root or sha256(b"").digest(), rows


def check_inclusion(index: int, head: Head, leaf: bytes, proof: Sequence[bytes]) -> None:
    """Return if the proof leads from the leaf at `index` to the head's root (RFC 9162, 2.1.3.2)."""
    if index >= head.size:
        raise NotVerified(f"index {index} is not in a tree of {head.size}")
    inner, found = (index ^ (head.size - 1)).bit_length(), leaf
    for level, sibling in enumerate(proof):
        left = level >= inner or index >> level & 1
        found = _node(sibling, found) if left else _node(found, sibling)
    if len(proof) != inner + (index >> inner).bit_count() or found != head.root:
        raise NotVerified("the record is not in the tree: its proof does not lead to the root")


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


# --- receipts (C2SP tlog-proof) ------------------------------------------------------------------


def verify_receipt(
    record: bytes, receipt: bytes, keys: Sequence[LogKey], witnesses: Sequence[LogKey] = ()
) -> tuple[int, Head]:
    """Give the record's index and the tree head under which the receipt proves it to be."""
    top, blank, checkpoint = receipt.partition(b"\n\n")
    lines = top.decode("ascii", "replace").split("\n")
    if not blank or lines[0] != "c2sp.org/tlog-proof@v1":
        raise NotVerified("the receipt does not begin with `c2sp.org/tlog-proof@v1`")
    if len(lines) > 1 and lines[1].startswith("extra "):
        raise NotVerified("the receipt carries extra data, which nothing protects")
    if len(lines) < 2 or not lines[1].startswith("index "):
        raise NotVerified("the receipt has no index")
    index = _decimal(lines[1][len("index ") :], "index")
    proof = [_base64(line, "proof") for line in lines[2:]]
    if len(proof) > 63 or any(len(each) != 32 for each in proof):
        raise NotVerified("the receipt's proof holds something other than hashes")
    head = open_checkpoint(checkpoint, keys, witnesses)
    check_inclusion(index, head, leaf_hash(record), proof)
    read_record(record)
    return index, head


# --- one record ----------------------------------------------------------------------------------

Record = dict[str, Any]
_Schema = dict[str, tuple[type, ...]]


def _schema(texts: str, numbers: str = "", lists: str = "", nullable: str = "") -> _Schema:
    """Build a schema from names; a nullable name that ends in `#` is a number, else a text."""
    schema: _Schema = {"tenant": (str,), "at_us": (int,)}
    for names, kind in ((texts, str), (numbers, int), (lists, list)):
        schema.update(dict.fromkeys(names.split(), (kind,)))
    for name in nullable.split():
        schema[name.rstrip("#")] = (int if name.endswith("#") else str, type(None))
    return schema


_ASKED = "agent subject run tool tool_version effect args_commitment resource_type"
_WHERE = "resource destination"
_JUDGED = _schema(
    _ASKED + " action decision release", "step epoch", "rules", _WHERE + " credential"
)
_BECAME = _schema("action status", "step latency_us", "settled", "verdict reason result_commitment")
_INTENT = _schema("", "attempt deadline_at_us", "approvals holds", "effect_key provider_key_hash")
_SCHEMAS: dict[str, _Schema] = {
    "refused": _schema(
        "action reason", "step", "rules", f"{_ASKED} {_WHERE} decision release epoch#"
    ),
    "parked": _JUDGED | _schema("request", "park_until_us"),
    "intended": _JUDGED | _INTENT,
    "concluded": _BECAME | _schema("intent_hash"),
    "resolved": _schema("action intent_hash status", "", "by settled", "evidence_commitment"),
    "vote": _schema("action voter choice request signature_hash", "", "rules", "reason_commitment"),
    "control": _schema("change", "epoch", "by", "scope target reason_commitment"),
    "release": _schema("digest", "epoch", "by", "previous"),
    "person": _schema("person change account_hash", "", "roles by"),
    "run": _schema("run change", "", "by", "agent"),
    "checkpoint_key": _schema("vkey change", "", "by"),
}
_READ = _JUDGED | _SCHEMAS["concluded"] | _schema("", "", "", "intent_hash")


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) >= 2**53:
        raise ValueError("no integer, or one beyond 2^53 - 1")
    return int(text)


_decode = json.JSONDecoder(parse_int=_integer, parse_float=_integer, parse_constant=_integer).decode
# Equal to RFC 8785 for values without floats whose keys are ASCII, which is checked beside it.
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
).encode


def read_record(data: bytes) -> Record:
    """Give the members of a record in canonical form and of a known schema.

    Members that this verifier does not know are let pass: a later program may have added them.
    """
    try:
        fields = _decode(data.decode("utf-8"))
        canonical = _encode(fields).encode("utf-8") == data
    except (ValueError, RecursionError):
        raise NotVerified("it is not strict JSON") from None
    if not canonical or not (data.isascii() or _has_ascii_keys(fields)):
        raise NotVerified("it is not in canonical form")
    if not isinstance(fields, dict) or type(fields.get("v")) is not int:
        raise NotVerified("it is not an object with a schema version")
    if fields["v"] != SCHEMA_VERSION:
        raise NotVerified(f"its schema version {fields['v']} is not known to this verifier")
    kind = fields.get("kind")
    schema = _SCHEMAS.get(kind) if isinstance(kind, str) else None
    if schema is None:
        raise NotVerified(f"its kind {_shown(kind)} is not known to this verifier")
    if kind == "concluded" and fields.get("intent_hash") is None:
        schema = _READ
    for name, types in schema.items():
        if type(fields.get(name, ...)) not in types:
            raise NotVerified(f"its member `{name}` is missing or has the wrong type")
    return fields


def _has_ascii_keys(value: object) -> bool:
    if isinstance(value, dict):
        return all(key.isascii() and _has_ascii_keys(member) for key, member in value.items())
    return not isinstance(value, list) or all(map(_has_ascii_keys, value))


# --- what the records say together ---------------------------------------------------------------


@dataclass(slots=True)
class Intention:
    """An intended action as far as the log has gone: `status` is empty until it is concluded."""

    index: int
    tenant: str
    action: str
    tool: str
    attempt: int
    at_us: int
    status: str = ""
    in_doubt: bool = False

    @property
    def standing(self) -> str:
        """Where it stands, in words."""
        how = "in doubt" if self.in_doubt else self.status or "without an outcome"
        return f"record {self.index} intended it and is {how}"

    @property
    def ended(self) -> bool:
        """Whether nothing happened in the world, so that another attempt is in order."""
        return self.status in ("failed", "refused") and not self.in_doubt


class History:
    """The state that reading records in order builds up; `take` gives what contradicts it."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.retired: set[str] = set()  # keys of the log
        self.intentions: dict[str, Intention] = {}
        self._actions: dict[tuple[str, str], Intention] = {}
        self._effects: dict[tuple[str, str], Intention] = {}
        self._reads: set[tuple[str, str]] = set()
        self._epochs: dict[str, tuple[int, int]] = {}
        self._votes: set[tuple[object, ...]] = set()

    def take(self, index: int, leaf: bytes, data: bytes) -> list[str]:
        """Read one more record; give the reasons for which it may not stand here."""
        try:
            fields = read_record(data)
        except NotVerified as error:
            return [str(error)]
        kind = fields["kind"]
        self.kinds[kind] += 1
        if kind == "intended":
            return [*self._epoch(index, fields), *self._intended(index, leaf.hex(), fields)]
        if kind == "concluded":
            return list(self._concluded(fields))
        if kind == "resolved":
            return list(self._resolved(fields))
        if kind == "checkpoint_key":
            change = self.retired.add if fields["change"] == "retired" else self.retired.discard
            change(fields["vkey"])
        if kind in ("control", "release"):
            return list(self._epoch(index, fields))
        if kind == "vote" and fields["choice"] == "approve":
            self._votes.update(
                (fields["tenant"], fields["request"], rule, fields["voter"])
                for rule in _items(fields["rules"], str)
            )
        return []

    def _epoch(self, index: int, fields: Record) -> Iterator[str]:
        tenant, epoch = fields["tenant"], fields["epoch"]
        highest, where = self._epochs.get(tenant, (epoch, index))
        if epoch < highest:
            yield f"its control epoch {epoch} is below {highest}, which record {where} had reached"
        else:
            self._epochs[tenant] = (epoch, index)

    def _intended(self, index: int, leaf: str, fields: Record) -> Iterator[str]:
        tenant, action, attempt = fields["tenant"], fields["action"], fields["attempt"]
        new = Intention(index, tenant, action, fields["tool"], attempt, fields["at_us"])
        earlier = self._actions.get((tenant, action))
        if earlier and not (earlier.ended and earlier.attempt < attempt):
            yield f"it intends action {_shown(action)} again: {earlier.standing}"
        if fields["effect_key"] is not None:
            effect = (tenant, fields["effect_key"])
            earlier = self._effects.get(effect)
            if earlier and earlier.action != action and not earlier.ended:
                yield f"it intends the same effect a second time: {earlier.standing}"
            self._effects[effect] = new
        for approval in _items(fields["approvals"], dict):
            rule, request = approval.get("rule"), approval.get("request")
            for voter in _items(approval.get("voters"), str):
                if (tenant, request, rule, voter) not in self._votes:
                    yield f"it rests on a vote of {_shown(voter)} for {_shown(rule)} never recorded"
        self.intentions[leaf] = self._actions[tenant, action] = new

    def _concluded(self, fields: Record) -> Iterator[str]:
        if fields["intent_hash"] is None:
            yield from self._read(fields)
            return
        intention = self.intentions.get(fields["intent_hash"])
        if intention and intention.status:
            yield f"it concludes the intent of record {intention.index} a second time"
        yield from _mismatch(intention, fields)
        if intention and not intention.status:
            status, verdict = fields["status"], fields["verdict"]
            intention.status = status
            intention.in_doubt = status == "unknown" or verdict == "contradicted"

    def _read(self, fields: Record) -> Iterator[str]:
        key = (fields["tenant"], fields["action"])
        if fields["effect"] != "read":
            yield "it concludes a write that was never intended"
        if key in self._reads or key in self._actions:
            yield f"it concludes action {_shown(key[1])} a second time"
        if fields["status"] not in ("failed", "refused"):
            self._reads.add(key)

    def _resolved(self, fields: Record) -> Iterator[str]:
        intention = self.intentions.get(fields["intent_hash"])
        if intention and not intention.in_doubt:
            yield f"it resolves what was not in doubt: {intention.standing}"
        yield from _mismatch(intention, fields)
        if intention and intention.in_doubt:
            intention.status, intention.in_doubt = fields["status"], False


def _mismatch(intention: Intention | None, fields: Record) -> Iterator[str]:
    if intention is None:
        yield "it is the outcome of an intent that no earlier record is"
    elif (intention.tenant, intention.action) != (fields["tenant"], fields["action"]):
        yield f"it names another action than its intent, record {intention.index}"
    elif fields["at_us"] < intention.at_us - CLOCK_SKEW_US:
        yield f"its time is before that of its intent, record {intention.index}"


def _items(value: object, kind: type) -> list[Any]:
    """Give the members of a list that are of the kind; a list of anything else vouches for none."""
    return [item for item in value if isinstance(item, kind)] if isinstance(value, list) else []


# --- the export ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Report:
    """What verifying an export found. `faults` name the record or the file; empty means verified.

    `open` and `in_doubt` are intents without an outcome, and outcomes nobody knows.
    """

    head: Head
    faults: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    open: list[Intention] = field(default_factory=list)
    in_doubt: list[Intention] = field(default_factory=list)


def verify_export(
    folder: Path,
    keys: Sequence[LogKey],
    witnesses: Sequence[LogKey] = (),
    since: bytes | None = None,
) -> Report:
    """Verify an export folder. Raises `NotVerified` if not even its checkpoint holds."""
    head = open_checkpoint((folder / "checkpoint").read_bytes(), keys, witnesses)
    history = History()
    report = Report(head, kinds=history.kinds)
    leaves: list[bytes] = []
    contradictions: list[str] = []
    broken = ""
    for path, width in _tiles("entries", head.size):
        records, why = _read_entries(folder / path, width)
        for record in records:
            leaf = leaf_hash(record)
            for reason in history.take(len(leaves), leaf, record):
                contradictions.append(f"record {len(leaves)}: {reason}")
            leaves.append(leaf)
        if why:
            broken = f"record {len(leaves)}: {path} {why}"
            break
    rows = _check_tree(folder, report, leaves, broken)
    if not report.faults:
        report.faults = contradictions
        _check_upper_tiles(folder, report, rows)
        if since is not None:
            _check_since(report, leaves, open_checkpoint(since, keys, ()))
    if not report.faults and all(key.text in history.retired for key in head.signers):
        report.faults.append("checkpoint: all keys that signed it are retired by its own records")
    intentions = history.intentions.values()
    report.open = [each for each in intentions if not each.status]
    report.in_doubt = [each for each in intentions if each.in_doubt]
    return report


def _check_tree(
    folder: Path, report: Report, leaves: list[bytes], broken: str
) -> dict[int, list[bytes]]:
    """Compare the records' root with the signed one; name the records that differ."""
    hashes = _read_hashes(folder, report)
    root, rows = tree_of(leaves)
    differing = [at for at, (a, b) in enumerate(zip(leaves, hashes, strict=False)) if a != b]
    if not broken and root == report.head.root:
        report.faults += [f"tile/0: the hash of record {index} was changed" for index in differing]
        return rows
    whole = len(hashes) == report.head.size and tree_of(hashes)[0] == report.head.root
    why = "its hash does not match the tree" if whole else "it does not match its hash tile"
    report.faults = [f"record {index}: {why}" for index in differing] + report.faults
    if not differing:
        report.faults.append(broken or "the records do not give the root that was signed")
    return rows


def _read_hashes(folder: Path, report: Report) -> list[bytes]:
    hashes: list[bytes] = []
    for path, width in _tiles("0", report.head.size):
        tile = _read(folder / path)
        if len(tile) != 32 * width:
            report.faults.append(f"{path} is missing or has the wrong length")
            break
        hashes += [tile[at : at + 32] for at in range(0, len(tile), 32)]
    return hashes


def _check_upper_tiles(folder: Path, report: Report, rows: dict[int, list[bytes]]) -> None:
    for level, row in rows.items():
        hashes = iter(row)
        for path, width in _tiles(str(level // 8), len(row)):
            if _read(folder / path) != b"".join(islice(hashes, width)):
                report.faults.append(f"{path} is missing or was changed")


def _check_since(report: Report, leaves: list[bytes], old: Head) -> None:
    if old.origin != report.head.origin:
        report.faults.append("the older checkpoint is of another log")
    elif old.size == 0:
        report.faults.append("an older checkpoint of size 0 proves nothing: every tree extends it")
    elif old.size > len(leaves):
        report.faults.append(f"the log shrank from {old.size} records to {len(leaves)}")
    elif tree_of(leaves[: old.size])[0] != old.root:
        report.faults.append(f"the first {old.size} records are not those of the older checkpoint")


def _tiles(level: str, size: int) -> Iterator[tuple[str, int]]:
    """Name the files of a level, and how many of its `size` entries or hashes each holds."""
    for number in range((size + TILE_WIDTH - 1) // TILE_WIDTH):
        width = min(TILE_WIDTH, size - number * TILE_WIDTH)
        yield _tile(level, number) + ("" if width == TILE_WIDTH else f".p/{width}"), width


def _tile(level: str, number: int) -> str:
    groups, rest = f"{number % 1000:03d}", number // 1000
    while rest:
        groups, rest = f"x{rest % 1000:03d}/{groups}", rest // 1000
    return f"tile/{level}/{groups}"


def _read_entries(path: Path, width: int) -> tuple[list[bytes], str]:
    """Give the records of a bundle, as many as can be told apart, and what is wrong with it."""
    data, records, at = _read(path), list[bytes](), 0
    while at + 2 <= len(data) and len(records) < width:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            break
        records.append(data[at + 2 : end])
        at = end
    if len(records) < width or at != len(data):
        return records, f"does not hold {width} whole records" if data else "is missing"
    return records, ""


def _read(path: Path) -> bytes:
    """Read a tile; a missing one is as bad as an empty one, of which there are none."""
    return path.read_bytes() if path.is_file() else b""


# --- the command ---------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        listed = "\n".join(path.read_text("utf-8", "replace") for path in options.keys)
        keys = [read_key(text) for text in (*options.key, *listed.splitlines()) if text.strip()]
        lines, verified = options.command(options, keys, list(map(read_key, options.witness)))
    except NotVerified as error:
        lines, verified = [f"NOT VERIFIED: {error}"], False
    except OSError as error:
        lines, verified = [f"cannot read {_shown(error.filename)}: {error.strerror}"], None
    sys.stdout.write("\n".join(lines) + "\n")
    return 2 if verified is None else int(not verified)


_Answer = tuple[list[str], bool]


def _run_verify(options: argparse.Namespace, keys: list[LogKey], by: list[LogKey]) -> _Answer:
    since = options.since.read_bytes() if options.since else None
    report = verify_export(options.export, keys, by, since)
    head = report.head
    what = f"{head.size} records of {_shown(head.origin)}"
    if report.faults:
        return [f"NOT VERIFIED: {what}", *_listed(report.faults)], False
    lines = [f"verified: {what}, root {head.root.hex()}"]
    lines += [f"  {count} {kind}" for kind, count in sorted(report.kinds.items())]
    lines += ["it extends the older checkpoint"] if options.since else []
    counted = (("intents without an outcome", report.open), ("outcomes in doubt", report.in_doubt))
    for words, found in counted:
        lines += [f"{words}: {len(found)}", *_listed(map(_intent_line, found))]
    return lines + _trust(head, bool(options.since)), True


def _run_receipt(options: argparse.Namespace, keys: list[LogKey], by: list[LogKey]) -> _Answer:
    record, receipt = options.record.read_bytes(), options.receipt.read_bytes()
    index, head = verify_receipt(record, receipt, keys, by)
    line = f"verified: this is record {index} of {_shown(head.origin)}, in a tree of {head.size}"
    return [line, *_trust(head, False)], True


def _trust(head: Head, anchored: bool) -> list[str]:
    lines = [f"witness {_shown(who)} cosigned at {_time(s)}" for who, s in head.witnessed_s.items()]
    return lines or ([] if anchored else [NO_WITNESS])


def _listed(items: Iterable[str]) -> list[str]:
    every = list(items)
    more = [f"  ... and {len(every) - LISTED} more"] if len(every) > LISTED else []
    return [f"  {item}" for item in every[:LISTED]] + more


def _intent_line(intention: Intention) -> str:
    what = f"action {_shown(intention.action)} of {_shown(intention.tool)}"
    return f"record {intention.index}: {what}, intended {_time(intention.at_us / 1e6)}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(min(seconds, 2**37), UTC).isoformat(timespec="seconds")


def _shown(value: object) -> str:
    """Show outside text in quotes, with escapes for whatever a terminal could act upon."""
    text = ascii(value)[1:-1] if isinstance(value, str) else ascii(value)
    return f"`{text}`" if len(text) <= 200 else f"`{text[:200]}...` ({len(text)} characters)"


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    log = shared.add_mutually_exclusive_group(required=True)
    log.add_argument("--key", action="append", default=[], help="the log's vkey")
    log.add_argument("--keys", action="append", default=[], type=Path, help="a file of them")
    shared.add_argument("--witness", action="append", default=[], help="a witness's vkey")
    parser = argparse.ArgumentParser(prog="bailiwick_verify", epilog=NO_WITNESS)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", parents=[shared], help="verify a whole export")
    verify.add_argument("export", type=Path, help="the export's folder")
    verify.add_argument("--since", type=Path, help="an older checkpoint that it must extend")
    verify.set_defaults(command=_run_verify)
    receipt = commands.add_parser("receipt", parents=[shared], help="verify a record's receipt")
    receipt.add_argument("record", type=Path, help="the record's exact bytes")
    receipt.add_argument("receipt", type=Path, help="the .tlog-proof file")
    receipt.set_defaults(command=_run_receipt)
    return parser


if __name__ == "__main__":
    sys.exit(main())
