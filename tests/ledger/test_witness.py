"""The witness as a log meets it: over HTTP, with its own key, and killed at any moment."""

import ast
import contextlib
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

import bailiwick_verify
import bailiwick_witness
from bailiwick.ledger import note
from bailiwick.ledger.tree import consistency_proof
from tests.ledger.samples import LOG, ROLLED, STRANGER, SampleLog, signed

RECORDS = [b"record %d" % number for number in range(40)]
FORKED = [b"another", *RECORDS[1:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A witness that trusts the log's key."""
    bailiwick_witness.create(tmp_path / "witness", "witness.example/w1")
    bailiwick_witness.Witness(tmp_path / "witness").trust(LOG.key.vkey)
    return tmp_path / "witness"


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The witness as a process of its own: its port, and the process."""
    command = [sys.executable, bailiwick_witness.__file__, "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2]), process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def asked(old: int, new: int, log: SampleLog | None = None, by: SampleLog | None = None) -> bytes:
    """A request: a head of `log` of the size `new`, with the proof from `old` of the log `by`."""
    of = log or signed(RECORDS[:new])
    proof = consistency_proof(old, new, (by or of).node_at) if old else ()
    lines = [f"old {old}", *map(note.base64_text, proof)]
    return "\n".join(lines).encode() + b"\n\n" + of.checkpoint


def post(port: int, body: bytes, path: str = "/add-checkpoint") -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Content-Type", "")
    finally:
        connection.close()


def size_of(folder: Path) -> int:
    """How many records the witness has cosigned."""
    kept = bailiwick_witness.Witness(folder).held(LOG.key.name)
    return bailiwick_witness.read_note(kept)[0].size if kept else 0


@pytest.mark.claim("witness.only-extensions")
def test_it_cosigns_a_head_that_extends_its_own_and_two_verifiers_agree(folder: Path) -> None:
    vkey = bailiwick_witness.Witness(folder).vkey
    with served(folder) as (port, _):
        for old, new in ((0, 3), (3, 3), (3, 4), (4, 8), (8, 40)):
            status, line, _ = post(port, asked(old, new))
            assert status == 200
            whole = signed(RECORDS[:new]).checkpoint + line
            head = note.verify_checkpoint(whole, [LOG.key], [note.parse_vkey(vkey)])
            read = bailiwick_verify.read_key
            heard = bailiwick_verify.open_checkpoint(whole, [read(LOG.key.vkey)], [read(vkey)])
            assert (head.size, heard.size, heard.root) == (new, new, head.root)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        place = f"/{sha256(LOG.key.name.encode()).hexdigest()}/checkpoint"
        connection.request("GET", place)
        assert connection.getresponse().read() == whole
        connection.close()


@pytest.mark.claim("witness.only-extensions")
def test_what_does_not_extend_its_head_is_refused_as_the_protocol_says(folder: Path) -> None:
    forked = signed(FORKED)
    same_size = signed(FORKED[:8])
    rolled = signed(RECORDS[:9], ROLLED)
    stranger = signed(RECORDS[:9], STRANGER)
    good = signed(RECORDS[:9])
    spoilt = good.checkpoint[:-8] + b"AAAAAA=\n"
    other = good.checkpoint.replace(b"ledger.example", b"ledger.elsewhere")
    cases: list[tuple[bytes, int]] = [
        (asked(5, 9), 409),  # an older head of its own: its size is told
        (asked(0, 3), 409),
        (asked(8, 40, forked), 422),  # a fork, with the fork's own proof
        (asked(8, 40, forked, signed(RECORDS)), 422),  # and with the honest one
        (asked(8, 8, same_size, same_size), 422),
        (asked(8, 9).replace(b"old 8\n", b"old 8\n" + b"A" * 43 + b"=\n", 1), 422),
        (asked(8, 9, stranger), 403),
        (asked(8, 9, rolled), 403),
        (b"old 8\n\n" + spoilt, 403),
        (b"old 8\n\n" + other, 404),
        (asked(9, 9).replace(b"old 9", b"old 10", 1), 400),
        (asked(8, 9).replace(b"old 8", b"old 08", 1), 400),
        (b"old 8\n" + good.checkpoint, 400),
        (b"nonsense", 400),
        (b"\xff\xfe\n\n\xff", 400),
        (b"", 400),
    ]
    with served(folder) as (port, _):
        assert post(port, asked(0, 8))[0] == 200
        for body, expected in cases:
            status, said, kind = post(port, body)
            assert (status, size_of(folder)) == (expected, 8), body
            assert (said == b"8\n") == (kind == "text/x.tlog.size") == (status == 409)
        assert post(port, asked(8, 9), "/sign-subtree")[0] == 404
        bailiwick_witness.Witness(folder).trust(ROLLED.key.vkey)
        assert post(port, asked(8, 9, rolled))[0] == 200


@pytest.mark.claim("witness.survives-kill")
def test_what_it_has_answered_it_still_knows_after_kill_9(folder: Path) -> None:
    rng = random.Random(8)
    answered = 0
    for _ in range(4):
        with served(folder) as (port, process):
            assert size_of(folder) >= answered
            killer = threading.Timer(rng.uniform(0.02, 0.2), os.kill, (process.pid, signal.SIGKILL))
            killer.start()
            with contextlib.suppress(OSError, http.client.HTTPException):
                while (size := size_of(folder)) < 40:
                    assert post(port, asked(size, size + 1))[0] == 200
                    answered = size + 1
            killer.join()
        assert size_of(folder) in (answered, answered + 1)
    # A tree without what it has answered is still refused, and its own goes on.
    with served(folder) as (port, _):
        size = size_of(folder)
        assert size >= answered > 0
        assert post(port, asked(0, 1))[:2] == (409, b"%d\n" % size)


@pytest.mark.claim("witness.only-extensions")
def test_callers_that_race_never_take_it_back(folder: Path) -> None:
    witness = bailiwick_witness.Witness(folder)
    witness.add_checkpoint(asked(0, 1))
    cosigned: list[int] = []
    statuses: set[int] = set()

    def race(size: int) -> None:
        try:
            witness.add_checkpoint(asked(1, size))
            cosigned.append(size)
        except bailiwick_witness.Refused as no:
            statuses.add(no.status)

    threads = [threading.Thread(target=race, args=(size,)) for size in range(2, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (cosigned, statuses) == ([size_of(folder)], {409})


def test_the_command_makes_shows_and_forgets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = str(tmp_path / "w"), bailiwick_witness.main
    assert run(["init", folder, "--name", "witness.example/w1"]) == 0
    vkey = capsys.readouterr().out.strip()
    assert note.parse_vkey(vkey).algorithm == note.COSIGNATURE
    assert run(["init", folder, "--name", "witness.example/w1"]) == 1
    assert run(["trust", folder, vkey]) == 1  # a witness's key is not a log's
    assert run(["trust", folder, LOG.key.vkey]) == 0
    witness = bailiwick_witness.Witness(Path(folder))
    witness.add_checkpoint(asked(0, 8))
    capsys.readouterr()
    assert run(["show", folder]) == 0
    assert capsys.readouterr().out == f"{vkey}\n{LOG.key.name}: 8 records cosigned\n"
    assert run(["forget", folder, "elsewhere"]) == 1
    assert run(["forget", folder, LOG.key.name]) == 0
    witness.add_checkpoint(asked(0, 3))
    assert run(["serve", folder, "--listen", "nowhere"]) == 1
    (Path(folder) / "key").chmod(0o644)
    assert run(["show", folder]) == 1
    assert run(["show", str(tmp_path / "nowhere")]) == 2


@pytest.mark.claim("witness.independent")
def test_it_needs_cryptography_and_the_standard_library_only() -> None:
    parsed = ast.parse(Path(bailiwick_witness.__file__).read_text("utf-8"))
    named = {
        name.partition(".")[0]
        for found in ast.walk(parsed)
        if isinstance(found, ast.Import | ast.ImportFrom)
        for name in (
            [found.module]
            if isinstance(found, ast.ImportFrom)
            else [alias.name for alias in found.names]
        )
        if name
    }
    assert named - set(sys.stdlib_module_names) == {"cryptography"}
