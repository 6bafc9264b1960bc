"""The separate verifier, as a stranger would run it: on an export, with a key, and nothing else."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import bailiwick_verify
from bailiwick.errors import LedgerError
from bailiwick.ledger.export import export_files, tile_path, write_export
from bailiwick.ledger.note import Checkpoint, NoteSigner, checkpoint_text, cosign, sign
from bailiwick.ledger.receipt import Receipt, encode_receipt
from bailiwick.ledger.records import Fields, encode
from bailiwick.ledger.tree import inclusion_proof, leaf_hash
from tests.ledger.samples import (
    LOG,
    ORIGIN,
    ROLLED,
    START_US,
    STRANGER,
    WITNESS,
    ballot,
    intent,
    kill,
    outcome,
    read,
    resolution,
    signed,
    story,
    token,
)

PROGRAM = Path(bailiwick_verify.__file__)
KEY = bailiwick_verify.read_key(LOG.key.vkey)

# Runs the program as a script in an interpreter that forbids the network, databases, child
# processes, writing, and any module of the product.
CONFINED = """
import runpy, sys
def forbid(event, args):
    if event.split(".")[0] in ("socket", "sqlite3", "subprocess", "os.system", "urllib"):
        raise RuntimeError(event)
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        raise RuntimeError("writes " + str(args[0]))
    if event == "import" and args[0].split(".")[0] == "bailiwick":
        raise RuntimeError("imports " + args[0])
sys.dont_write_bytecode = True
sys.addaudithook(forbid)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments: object) -> tuple[int, str]:
    """Run the verifier as a program of its own; give its exit code and what it said."""
    command = [sys.executable, "-I", "-c", CONFINED, str(PROGRAM), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "RuntimeError" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def faults(folder: Path, since: bytes | None = None) -> list[str]:
    """What the verifier has against an export."""
    try:
        return bailiwick_verify.verify_export(folder, [KEY], since=since).faults
    except bailiwick_verify.NotVerified as error:
        return [str(error)]


def verdict(folder: Path, records: Sequence[Fields]) -> list[str]:
    """What the verifier has against records that are correctly signed."""
    return faults(signed([encode(fields) for fields in records]).export(folder / "export"))


def files(folder: Path) -> Iterator[Path]:
    """Every file of an export."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


# --- as a program --------------------------------------------------------------------------------


@pytest.mark.claim("ledger.verifier-independent")
def test_the_verifier_imports_the_standard_library_and_cryptography_alone() -> None:
    imported = set()
    for node in ast.walk(ast.parse(PROGRAM.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    assert "cryptography" in imported
    assert imported - {"cryptography"} <= sys.stdlib_module_names
    assert imported.isdisjoint({"importlib", "runpy", "socket", "sqlite3", "subprocess", "urllib"})


@pytest.mark.claim("ledger.verifier-independent")
def test_an_export_verifies_without_network_database_or_the_product(tmp_path: Path) -> None:
    folder = signed(story(300)).export(tmp_path / "export")
    code, said = run("verify", folder, "--key", LOG.key.vkey)
    assert code == 0, said
    assert f"verified: 597 records of `{ORIGIN}`" in said
    assert "300 intended" in said
    assert "297 concluded" in said
    assert "intents without an outcome: 3\n  record 591: action `act-297`" in said


def test_the_confinement_of_these_tests_works(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    for line in (
        "import socket; socket.socket()",
        "import sqlite3; sqlite3.connect(':memory:')",
        "import bailiwick",
        f"open({str(tmp_path / 'new')!r}, 'w')",
    ):
        program.write_text(line, encoding="utf-8")
        command = [sys.executable, "-I", "-c", CONFINED, str(program)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "RuntimeError" in done.stderr, line


@pytest.mark.claim("ledger.receipt-offline")
def test_a_receipt_verifies_from_three_files_of_bytes(tmp_path: Path) -> None:
    log = signed(story(30))
    record, receipt = tmp_path / "record.json", tmp_path / "record.tlog-proof"
    record.write_bytes(log.records[40])
    proof = inclusion_proof(40, log.size, log.node_at)
    receipt.write_bytes(encode_receipt(Receipt(40, proof, log.checkpoint)))
    code, said = run("receipt", record, receipt, "--key", LOG.key.vkey)
    assert code == 0, said
    assert f"verified: this is record 40 of `{ORIGIN}`, in a tree of 57" in said
    assert "no witness" in said
    record.write_bytes(log.records[41])
    code, said = run("receipt", record, receipt, "--key", LOG.key.vkey)
    assert code == 1
    assert "NOT VERIFIED: the record is not in the tree" in said
    assert run("receipt", record, tmp_path / "missing", "--key", LOG.key.vkey)[0] == 2


@pytest.mark.claim("ledger.no-witness-said")
def test_without_a_witness_the_verifier_says_what_it_cannot_see(tmp_path: Path) -> None:
    log = signed(story(5))
    folder = log.export(tmp_path / "export")
    code, said = run("verify", folder, "--key", LOG.key.vkey)
    assert code == 0
    assert "no witness: whoever holds the log's key could have rewritten the whole log" in said
    code, said = run("verify", folder, "--key", LOG.key.vkey, "--witness", WITNESS.key.vkey)
    assert code == 1
    assert "NOT VERIFIED: the witness `witness.example/w1` did not cosign" in said
    with (folder / "checkpoint").open("ab") as file:
        file.write(cosign(log.checkpoint, WITNESS, START_US // 1_000_000))
    code, said = run("verify", folder, "--key", LOG.key.vkey, "--witness", WITNESS.key.vkey)
    assert code == 0
    assert "no witness" not in said
    assert "witness `witness.example/w1` cosigned at 2026-11-18T11:06:40+00:00" in said


def test_the_program_names_the_changed_record_and_fails(tmp_path: Path) -> None:
    folder = signed(story(20)).export(tmp_path / "export")
    bundle = folder / tile_path(None, 0, 37)
    bundle.write_bytes(bundle.read_bytes().replace(b'"act-9"', b'"act-8"', 1))
    code, said = run("verify", folder, "--key", LOG.key.vkey)
    assert code == 1
    assert "NOT VERIFIED" in said
    assert "record 15: its hash does not match the tree" in said


def test_the_program_tells_a_wrong_command_from_a_wrong_ledger(tmp_path: Path) -> None:
    folder = signed(story(2)).export(tmp_path / "export")
    assert run("verify", folder)[0] == 2
    assert run("verify", folder / "nowhere", "--key", LOG.key.vkey)[0] == 2
    assert run("verify", folder, "--key", "nonsense")[0] == 1
    assert run("verify", folder, "--key", STRANGER.key.vkey)[0] == 1


def test_what_a_record_says_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    hostile = {**kill(1), "kind": "\x1b[2J\u202e"}
    log = signed([encode(kill(1))])
    body = bailiwick_verify._encode(hostile).encode()
    folder = signed([body, *log.records]).export(tmp_path / "export")
    code, said = run("verify", folder, "--key", LOG.key.vkey)
    assert code == 1
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert r"`\x1b[2J\u202e`" in said


# --- bytes that were changed ---------------------------------------------------------------------


def places(records: Sequence[bytes]) -> list[int]:
    """For each byte of an entry bundle, the record that it belongs to."""
    return [index for index, record in enumerate(records) for _ in range(len(record) + 2)]


@pytest.mark.claim("ledger.any-changed-byte")
def test_every_changed_byte_of_an_export_is_found_and_its_record_named(tmp_path: Path) -> None:
    log = signed([encode(kill(epoch)) for epoch in range(6)])
    folder = log.export(tmp_path / "export")
    assert faults(folder) == []
    owners = places(log.records)
    for path in files(folder):
        original = path.read_bytes()
        for at, byte in enumerate(original):
            for mask in (0x01, 0x20, 0x80):
                path.write_bytes(original[:at] + bytes([byte ^ mask]) + original[at + 1 :])
                found = faults(folder)
                assert found, (path, at)
                if "entries" in path.parts:
                    assert found[0].startswith(f"record {owners[at]}: "), (at, found)
                elif "tile" in path.parts:
                    assert found == [f"tile/0: the hash of record {at // 32} was changed"]
        path.write_bytes(original)


@pytest.mark.claim("ledger.any-changed-byte")
def test_every_cut_missing_or_longer_file_is_found(tmp_path: Path) -> None:
    log = signed(story(200))
    folder = log.export(tmp_path / "export")
    names = [str(path.relative_to(folder)) for path in files(folder)]
    assert names == [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/141",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/141",
    ]
    for path in files(folder):
        original = path.read_bytes()
        for changed in (original[:-1], original + b"\0", b""):
            path.write_bytes(changed)
            assert faults(folder), path
        path.write_bytes(original)
        if path.name != "checkpoint":
            path.rename(tmp_path / "away")
            assert faults(folder), path
            (tmp_path / "away").rename(path)
    assert faults(folder) == []


def test_a_record_in_a_later_bundle_is_named_too(tmp_path: Path) -> None:
    log = signed(story(400))
    folder = log.export(tmp_path / "export")
    bundle = folder / tile_path(None, 1)
    start = sum(len(record) + 2 for record in log.records[256:300])
    content = bytearray(bundle.read_bytes())
    content[start + 20] ^= 1
    bundle.write_bytes(content)
    assert faults(folder) == ["record 300: its hash does not match the tree"]


def test_the_first_missing_record_of_a_cut_bundle_is_named(tmp_path: Path) -> None:
    log = signed(story(10))
    folder = log.export(tmp_path / "export")
    bundle = folder / tile_path(None, 0, 17)
    bundle.write_bytes(bundle.read_bytes()[: -len(log.records[16]) - 2])
    assert faults(folder) == ["record 16: tile/entries/000.p/17 does not hold 17 whole records"]
    bundle.unlink()
    assert faults(folder) == ["record 0: tile/entries/000.p/17 is missing"]


def test_a_record_exchanged_with_its_hash_is_found(tmp_path: Path) -> None:
    log = signed(story(10))
    folder = log.export(tmp_path / "export")
    forged = signed([*log.records[:4], encode(kill(9)), *log.records[5:]])
    shutil.rmtree(folder / "tile")
    forged.export(tmp_path / "forged")
    shutil.move(tmp_path / "forged" / "tile", folder / "tile")
    assert faults(folder) == ["the records do not give the root that was signed"]


@pytest.mark.claim("ledger.rollback-found-with-older-checkpoint")
def test_a_log_that_was_cut_or_rewritten_fails_against_an_older_checkpoint(tmp_path: Path) -> None:
    log = signed(story(10))
    later = signed([*log.records, encode(kill(9))])
    assert faults(later.export(tmp_path / "later"), log.checkpoint) == []
    assert faults(log.export(tmp_path / "same"), log.checkpoint) == []
    cut = signed(log.records[:-1])
    assert faults(cut.export(tmp_path / "cut")) == []
    assert faults(cut.export(tmp_path / "cut2"), log.checkpoint) == [
        "the log shrank from 17 records to 16"
    ]
    forged = signed([*log.records[:16], encode(kill(99)), encode(kill(100))])
    assert faults(forged.export(tmp_path / "forged")) == []
    assert faults(forged.export(tmp_path / "forged2"), log.checkpoint) == [
        "the first 17 records are not those of the older checkpoint"
    ]


@pytest.mark.claim("ledger.consistency-from-zero-refused")
def test_an_older_checkpoint_of_nothing_or_of_another_log_is_refused(tmp_path: Path) -> None:
    folder = signed(story(10)).export(tmp_path / "export")
    assert "size 0 proves nothing" in faults(folder, signed([]).checkpoint)[0]
    assert "not signed by the key" in faults(folder, signed(story(2), STRANGER).checkpoint)[0]


def test_a_whole_ledger_under_another_key_is_refused(tmp_path: Path) -> None:
    folder = signed(story(3), STRANGER).export(tmp_path / "export")
    assert "not signed by the key given" in faults(folder)[0]


def test_a_log_whose_key_was_rolled_verifies_with_both_keys(tmp_path: Path) -> None:
    old, new = signed(story(3)), signed(story(4), ROLLED)
    folder = new.export(tmp_path / "export")
    assert faults(folder)
    keys = [KEY, bailiwick_verify.read_key(ROLLED.key.vkey)]
    report = bailiwick_verify.verify_export(folder, keys, since=old.checkpoint)
    assert report.faults == []


def test_an_empty_ledger_verifies(tmp_path: Path) -> None:
    assert faults(signed([]).export(tmp_path / "export")) == []


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n0\n",
        checkpoint_text(Checkpoint(ORIGIN, 1, bytes(32))) + "extension\n",
        checkpoint_text(Checkpoint(ORIGIN, 1, bytes(32))).replace("\n1\n", "\n01\n"),
        checkpoint_text(Checkpoint(ORIGIN, 1, bytes(32))).replace("AA=", "AB="),
        checkpoint_text(Checkpoint("other.example", 1, bytes(32))),
    ],
)
def test_a_signed_checkpoint_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "checkpoint").write_bytes(sign(text, [LOG]))
    assert faults(tmp_path)


# --- what the records say together ---------------------------------------------------------------

A, B = intent("act-a"), intent("act-b")
UNKNOWN = {"status": "unknown", "verdict": None}
FAILED = {"status": "failed", "verdict": None}
TWICE = {"effect_key": token("effect", "the same refund")}
APPROVED = {
    "approvals": [
        {
            "rule": "refund.large",
            "voters": [token("person", "dave"), token("person", "erin")],
            "request": token("request", "act-a"),
        }
    ]
}


@pytest.mark.parametrize(
    "records",
    [
        [A, outcome(A)],
        [A, B, outcome(B), outcome(A)],
        [A],
        [A, outcome(A, **UNKNOWN), resolution(A)],
        [A, outcome(A, verdict="contradicted"), resolution(A)],
        [A, outcome(A, **FAILED), intent("act-a", attempt=2)],
        [A, outcome(A, status="refused", verdict=None), intent("act-a", attempt=2)],
        [A, outcome(A, **UNKNOWN), resolution(A), intent("act-a", attempt=2)],
        [
            intent("act-a", **TWICE),
            outcome(intent("act-a", **TWICE), **FAILED),
            intent("act-b", **TWICE),
        ],
        [intent("act-a", effect_key=None), intent("act-b", effect_key=None)],
        [intent("act-a", **TWICE), intent("act-b", **TWICE, tenant="other")],
        [A, intent("act-a", tenant="other", effect_key=None)],
        [read("rd-1"), read("rd-2")],
        [read("rd-1", **FAILED), read("rd-1")],
        [kill(1), kill(1), intent("act-a", epoch=1), kill(2), intent("act-b", epoch=2)],
        [kill(5), kill(1, tenant="other")],
        [ballot("act-a", "dave"), ballot("act-a", "erin"), intent("act-a", **APPROVED)],
        [A, outcome(A, at_us=START_US - 1_000_000)],
    ],
)
@pytest.mark.claim("ledger.verifier-semantics")
def test_records_that_agree_verify(tmp_path: Path, records: list[Fields]) -> None:
    assert verdict(tmp_path, records) == []


ORPHAN = "it is the outcome of an intent that no earlier record is"


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([outcome(A)], f"record 0: {ORPHAN}"),
        ([outcome(A), A], f"record 0: {ORPHAN}"),
        ([A, outcome(B)], f"record 1: {ORPHAN}"),
        ([resolution(A)], f"record 0: {ORPHAN}"),
        (
            [A, outcome(A), outcome(A, status="failed")],
            "record 2: it concludes the intent of record 0 a second time",
        ),
        (
            [A, outcome(A, action="act-b")],
            "record 1: it names another action than its intent, record 0",
        ),
        (
            [A, outcome(A, tenant="other")],
            "record 1: it names another action than its intent, record 0",
        ),
        (
            [A, outcome(A, at_us=START_US - 6_000_000)],
            "record 1: its time is before that of its intent, record 0",
        ),
        (
            [A, intent("act-a", attempt=2)],
            "record 1: it intends action `act-a` again: record 0 intended it and is"
            " without an outcome",
        ),
        (
            [A, outcome(A), intent("act-a", attempt=2)],
            "record 2: it intends action `act-a` again: record 0 intended it and is done",
        ),
        (
            [A, outcome(A, **UNKNOWN), intent("act-a", attempt=2)],
            "record 2: it intends action `act-a` again: record 0 intended it and is in doubt",
        ),
        (
            [A, outcome(A, **FAILED), intent("act-a", at_us=START_US + 1)],
            "record 2: it intends action `act-a` again: record 0 intended it and is failed",
        ),
        (
            [A, A],
            "record 1: it intends action `act-a` again: record 0 intended it and is"
            " without an outcome",
        ),
        (
            [intent("act-a", **TWICE), intent("act-b", **TWICE)],
            "record 1: it intends the same effect a second time: record 0 intended it and is"
            " without an outcome",
        ),
        (
            [A, outcome(A), resolution(A)],
            "record 2: it resolves what was not in doubt: record 0 intended it and is done",
        ),
        (
            [A, resolution(A)],
            "record 1: it resolves what was not in doubt: record 0 intended it and is"
            " without an outcome",
        ),
        (
            [A, outcome(A, **UNKNOWN), resolution(A), resolution(A, status="done")],
            "record 3: it resolves what was not in doubt: record 0 intended it and is failed",
        ),
        ([read("rd-1"), read("rd-1")], "record 1: it concludes action `rd-1` a second time"),
        ([A, read("act-a")], "record 1: it concludes action `act-a` a second time"),
        (
            [kill(2), intent("act-a", epoch=1)],
            "record 1: its control epoch 1 is below 2, which record 0 had reached",
        ),
        (
            [kill(1), kill(3), kill(2)],
            "record 2: its control epoch 2 is below 3, which record 1 had reached",
        ),
        (
            [ballot("act-a", "dave"), intent("act-a", **APPROVED)],
            f"record 1: it rests on a vote of `{token('person', 'erin')}` for `refund.large`"
            " never recorded",
        ),
    ],
)
@pytest.mark.claim("ledger.verifier-semantics")
def test_records_that_contradict_each_other_are_named(
    tmp_path: Path, records: list[Fields], fault: str
) -> None:
    assert verdict(tmp_path, records) == [fault]


@pytest.mark.claim("ledger.verifier-semantics")
def test_a_second_conclusion_does_not_undo_the_first(tmp_path: Path) -> None:
    again = [A, outcome(A), outcome(A, **FAILED), intent("act-a", attempt=2)]
    assert verdict(tmp_path, again) == [
        "record 2: it concludes the intent of record 0 a second time",
        "record 3: it intends action `act-a` again: record 0 intended it and is done",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "deny"},
        {"rules": ["another.rule"]},
        {"request": token("request", "act-b")},
        {"tenant": "other"},
    ],
)
@pytest.mark.claim("ledger.verifier-semantics")
def test_only_an_approving_vote_on_that_rule_and_request_counts(
    tmp_path: Path, change: dict[str, object]
) -> None:
    ballots = [ballot("act-a", "dave"), ballot("act-a", "erin", **change)]
    found = verdict(tmp_path, [*ballots, intent("act-a", **APPROVED)])
    assert [fault.split(" for ")[0] for fault in found] == [
        f"record 2: it rests on a vote of `{token('person', 'erin')}`"
    ]


def test_open_intents_and_doubts_are_listed_and_are_no_fault(tmp_path: Path) -> None:
    records = [A, B, outcome(A, **UNKNOWN), intent("act-c")]
    folder = signed([encode(fields) for fields in records]).export(tmp_path / "export")
    report = bailiwick_verify.verify_export(folder, [KEY])
    assert report.faults == []
    assert [each.action for each in report.open] == ["act-b", "act-c"]
    assert [each.action for each in report.in_doubt] == ["act-a"]


@pytest.mark.claim("ledger.records-canonical")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ((b'"epoch":4', b'"epoch": 4'), "it is not in canonical form"),
        ((b'"epoch":4', b'"epoch":4.0'), "it is not strict JSON"),
        ((b'"v":1', b'"v":2'), "its schema version 2 is not known to this verifier"),
        ((b'"control"', b'"magic"'), "its kind `magic` is not known to this verifier"),
        ((b'"scope":"agent",', b""), "its member `scope` is missing or has the wrong type"),
        ((b'"epoch":4', b'"epoch":"4"'), "its member `epoch` is missing or has the wrong type"),
        ((b'"epoch":4', b'"epoch":true'), "its member `epoch` is missing or has the wrong type"),
    ],
)
def test_a_signed_record_of_another_form_is_named(
    tmp_path: Path, change: tuple[bytes, bytes], fault: str
) -> None:
    good = encode(kill(4))
    log = signed([good, good.replace(*change), good])
    assert faults(log.export(tmp_path / "export")) == [f"record 1: {fault}"]


# --- the export's own promises -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (7, 12, "tile/0/007.p/12"),
        (1_000, 256, "tile/0/x001/000"),
        (1_234_067, 256, "tile/0/x001/x234/067"),
    ],
)
def test_tiles_are_named_as_the_specification_says(index: int, width: int, path: str) -> None:
    assert tile_path(0, index, width) == path
    assert bailiwick_verify._tile("0", index) == path.split(".")[0]


def test_tiles_of_70000_records_are_those_of_the_specifications_example() -> None:
    records = [b"%d" % number for number in range(70_000)]
    log = signed(records)
    names = [name for name, _ in export_files(records, log.checkpoint)]
    levels = [[name for name in names if name.startswith(f"tile/{level}/")] for level in range(4)]
    assert [len(level) for level in levels] == [274, 2, 1, 0]
    assert levels[0][-1] == "tile/0/273.p/112"
    assert levels[1] == ["tile/1/000", "tile/1/001.p/17"]
    assert levels[2] == ["tile/2/000.p/1"]
    contents = dict(export_files(records, log.checkpoint))
    assert contents["tile/2/000.p/1"] == log.nodes[16, 0]
    assert contents["tile/0/273.p/112"][:32] == leaf_hash(b"%d" % (273 * 256))
    assert names[-1] == "checkpoint"


@pytest.mark.parametrize("wrong", [story(9), story(11), [*story(9), b"x"], []])
def test_records_other_than_the_checkpoints_are_not_exported(wrong: list[bytes]) -> None:
    checkpoint = signed(story(10)).checkpoint
    with pytest.raises(LedgerError) as caught:
        list(export_files(wrong, checkpoint))
    assert caught.value.code == "export_mismatch"


def test_a_record_that_no_bundle_can_hold_is_not_exported() -> None:
    log = signed([b"x" * 65_536])
    with pytest.raises(LedgerError) as caught:
        list(export_files(log.records, log.checkpoint))
    assert caught.value.code == "record_too_large"
    fits = signed([b"x" * 65_535])
    assert len(dict(export_files(fits.records, fits.checkpoint))[tile_path(None, 0, 1)]) == 65_537


def test_an_export_never_overwrites(tmp_path: Path) -> None:
    log = signed(story(2))
    log.export(tmp_path)
    with pytest.raises(FileExistsError):
        write_export(tmp_path, export_files(log.records, log.checkpoint))


def test_the_verifier_and_the_product_agree_on_keys() -> None:
    signers: list[NoteSigner] = [LOG, WITNESS]
    for each in signers:
        key = bailiwick_verify.read_key(each.key.vkey)
        assert (key.name, key.id, key.algorithm, key.public) == (
            each.key.name,
            each.key.id,
            each.key.algorithm,
            each.key.public,
        )
    other_id = LOG.key.vkey.replace(LOG.key.id.hex(), ROLLED.key.id.hex())
    for text in ("", "a+b+c", LOG.key.vkey[:-1], LOG.key.vkey.replace("+", "-"), other_id):
        with pytest.raises(bailiwick_verify.NotVerified):
            bailiwick_verify.read_key(text)
