"""The blocking face as scripts use it: processes of their own, which leave nothing on stderr."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OPENED = """
from bailiwick import open_blocking

with open_blocking(".") as bailiwick:
    clerk = bailiwick.session("clerk", subject="sue", run="run-1")
"""
ONE = """
    outcome = clerk.act("desk.note", {"on": "t-1"}, key="k")
    again = bailiwick.outcome(outcome.action)
    print(outcome.status, outcome.verdict, again.action == outcome.action)
"""
THREADS = """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        notes = [{"on": f"t-{number % 8}"} for number in range(32)]
        told = list(pool.map(lambda note: clerk.act("desk.note", note), notes))
    print({each.status for each in told}, len({each.action for each in told}))
"""
FAULT = """
    clerk.act("desk.note", {"on": "t-1"})
    raise SystemExit("the script's own fault")
"""
REFUSED = """
    from bailiwick import BailiwickError
    try:
        bailiwick.session("nobody", subject="sue")
    except BailiwickError as error:
        print(error.code)
"""


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.claim("spine.blocking-face")
@pytest.mark.parametrize(
    ("body", "code", "out", "err"),
    [
        pytest.param(ONE, 0, "done verified True\n", "", id="one action"),
        pytest.param(THREADS, 0, "{'done'} 8\n", "", id="threads"),
        pytest.param(FAULT, 1, "", "the script's own fault\n", id="a fault in the block"),
        pytest.param(REFUSED, 0, "agent_unknown\n", "", id="a refusal is raised"),
    ],
)
def test_a_plain_script_works_and_ends_without_a_word(
    folder: Path, body: str, code: int, out: str, err: str
) -> None:
    ran = run(OPENED + body, folder)
    assert (ran.stderr, ran.stdout, ran.returncode) == (err, out, code)
    # It gave the database back: the next one owns it.
    assert run(OPENED, folder).stderr == ""
