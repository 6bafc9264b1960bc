"""A project that can only be read is looked at; what would write says so and does nothing."""

import json
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.desk import Answer, Desk, acting

# The superuser may write whatever the modes say, unless he gives that power up.
AS_ANYBODY = """
import contextlib, ctypes, io, json, sys
from bailiwick.cli import main
library = ctypes.CDLL(None)
if hasattr(library, "capset"):
    version, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert library.capset(version, nothing) == 0
answers = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""

LOOKS = (
    ("actions", "list"),
    ("approvals", "list"),
    ("ledger", "verify"),
    ("budget",),
    ("stops", "list"),
    ("whoami",),
)
WRITES = (
    ("kill", "everything"),
    acting("notes.add", customer="c_1", text="likes tea"),
    ("release", "activate"),
    ("people", "add", "eve", "--role", "viewer"),
    ("keys", "rotate", "vault"),
    ("migrate",),
)


@pytest.fixture
def read_only(desk: Desk) -> Iterator[Callable[[], None]]:
    """Takes the right to write away from all of the project; it is given back at the end."""

    def close() -> None:
        _let(desk.project, lambda mode: mode & 0o555)

    yield close
    _let(desk.project, lambda mode: mode | 0o200)


def _let(folder: Path, changed: Callable[[int], int]) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(changed(stat.S_IMODE(path.stat().st_mode)))


def as_anybody(desk: Desk, *commands: Sequence[str]) -> list[Answer]:
    """Give commands in one process that may do no more than the modes of the files say."""
    done = desk.program(AS_ANYBODY, "ada", json.dumps(commands))
    assert done.code == 0, done.err
    return [Answer(*each) for each in done.data]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.claim("cli.read-only-is-read")
@pytest.mark.parametrize("beside", ["as it was left", "nothing beside the database"])
def test_a_project_that_can_only_be_read_is_looked_at(
    desk: Desk, read_only: Callable[[], None], beside: str
) -> None:
    desk.log_in("ada")
    made = desk.act("notes.add", customer="c_1", text="likes tea")["action"]
    state = desk.project / "state"
    # What was closed in order is one file with everything in it.
    assert not (state / "bailiwick.sqlite-wal").exists()
    if beside == "nothing beside the database":
        for name in ("lock", "bell"):
            (state / f"bailiwick.sqlite.{name}").unlink()
    read_only()
    before = contents(desk.project)
    looks = (*LOOKS, ("actions", "show", made), ("doctor", "--json"))
    *answers, examined = as_anybody(desk, *looks)
    assert [(each.code, each.err) for each in answers] == [(0, "")] * len(answers)
    assert examined.code == 1
    (no,) = [check for check in examined.data if check["level"] == "fail"]
    assert (no["name"], "it can only be read" in no["said"]) == ("store", True)
    assert {"release", "log", "people", "owner"} <= {check["name"] for check in examined.data}
    assert contents(desk.project) == before


@pytest.mark.claim("cli.read-only-is-read")
def test_what_a_killed_owner_left_is_read_too(desk: Desk, read_only: Callable[[], None]) -> None:
    desk.log_in("ada")
    (desk.homes / "ends.py").write_text(
        "import os\nasync def main(session):\n"
        "    await session.act('notes.add', {'customer': 'c_1', 'text': 'likes tea'})\n"
        "    os._exit(9)\n"
    )
    script = ("--script", str(desk.homes / "ends.py"))
    assert desk.run("ada", "run", "note-taker", "--subject", "sue", *script).code == 9
    # The last commits are in the write-ahead log alone.
    assert (desk.project / "state" / "bailiwick.sqlite-wal").stat().st_size > 0
    read_only()
    (listed,) = as_anybody(desk, ("actions", "list", "--json"))
    assert [each["state"] for each in listed.data] == ["done"], listed.err


@pytest.mark.claim("cli.read-only-is-read")
def test_what_would_write_says_so_and_does_nothing(
    desk: Desk, read_only: Callable[[], None]
) -> None:
    desk.log_in("ada")
    read_only()
    before = contents(desk.project)
    *answers, keys, migrated = as_anybody(desk, *WRITES)
    for answer in answers:
        assert (answer.code, answer.fault, answer.out) == (69, "store_read_only", "")
        assert answer.err.count("error [") == 1
        assert "check the permissions" in answer.err
    assert (keys.code, keys.fault) == (2, "system_refused")
    assert migrated.code == 0  # there is nothing to do
    assert contents(desk.project) == before
