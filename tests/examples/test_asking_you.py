"""At a terminal one ticket of the refund desk asks you; without one a script answers."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.examples.outside_system import REFUND_DESK

ASKS = """
import asyncio, json, sys
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
import conductor
from scoreboard import Story
from seed import TICKETS

class Voters:
    cast = []
    looked = 0
    async def command(self, person, name, **given):
        self.looked += 1
        on_the_page = [{"person": "finn", "choice": sys.argv[3]}] if sys.argv[3] else []
        votes = on_the_page if self.looked > 2 else []
        return {"rules": [{"queue": "finance", "quorum": 1}], "votes": votes}
    async def vote(self, person, action, choice, reason):
        self.cast.append([person, choice, reason])

conductor.YOUR_TIME_S = float(sys.argv[2])
conductor.LOOK_S = 0.05
ticket = next(each for each in TICKETS if each.id == conductor.ASKS_YOU)
demo = SimpleNamespace(voters=Voters(), votes={}, say=print, url="http://127.0.0.1:1")
story = Story(ticket)
asyncio.run(conductor.ask(demo, story, "act_1"))
print("CAST", json.dumps([Voters.cast, story.votes]))
"""


def asked(decided: str, time_s: float = 20.0) -> tuple[str, list[list[str]], list[list[str]]]:
    """What is printed at a terminal while this is decided on the page; script's votes, and all."""
    ours, theirs = pty.openpty()
    try:
        told = subprocess.run(
            [sys.executable, "-c", ASKS, str(REFUND_DESK), str(time_s), decided],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=Path(REFUND_DESK),
            timeout=60,
            check=False,
        )
        text = os.read(ours, 65_536).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert told.returncode == 0, text
    cast, votes = json.loads(text.partition("CAST ")[2].splitlines()[0])
    return text, cast, votes


def test_with_a_terminal_a_ticket_asks_you_on_the_page() -> None:
    text, cast, votes = asked("deny")
    assert "You are finn of finance, and you are asked:" in text
    assert "http://127.0.0.1:1/approvals/act_1" in text
    assert "log in as  finn" in text
    assert (cast, votes) == ([], [["finn", "deny"]])


def test_at_a_terminal_where_nobody_decides_the_script_does() -> None:
    text, cast, votes = asked("", time_s=0.2)
    assert "nobody decided; the script does" in text
    assert cast == [["fay", "approve", ""]]
    assert votes == [["fay", "approve"]]


def test_without_a_terminal_nobody_is_asked() -> None:
    told = subprocess.run(
        [sys.executable, "-c", ASKS, str(REFUND_DESK), "20", "deny"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "You are finn" not in told.stdout
    assert '[["fay", "approve", ""]]' in told.stdout
