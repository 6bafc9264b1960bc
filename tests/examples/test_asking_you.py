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
    async def command(self, person, name, **given):
        return {"rules": [{"queue": "finance", "quorum": 1}], "lines": ["refund of 96.00 USD"]}
    async def vote(self, person, action, choice, reason):
        self.cast.append([person, choice, reason])

conductor.YOUR_TIME_S = float(sys.argv[2])
ticket = next(each for each in TICKETS if each.id == conductor.ASKS_YOU)
demo = SimpleNamespace(voters=Voters(), votes={}, say=print)
asyncio.run(conductor.ask(demo, Story(ticket), "act_1"))
print("CAST", json.dumps(Voters.cast))
"""


def asked(typed: str, time_s: float = 20.0) -> tuple[str, list[str]]:
    """What is printed at a terminal where this is typed, and the one vote that is cast."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        told = subprocess.run(
            [sys.executable, "-c", ASKS, str(REFUND_DESK), str(time_s)],
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
    (cast,) = json.loads(text.partition("CAST ")[2].splitlines()[0])
    return text, cast


def test_with_a_terminal_a_ticket_asks_you() -> None:
    text, voted = asked("deny\nit is not broken\n")
    assert "You are finn of finance, and you are asked:" in text
    assert "refund of 96.00 USD" in text
    assert voted == ["finn", "deny", "it is not broken"]


def test_at_a_terminal_where_nobody_answers_the_script_does() -> None:
    text, (person, choice, _) = asked("", time_s=0.2)
    assert "no answer; the script answers" in text
    assert (person, choice) == ("finn", "approve")


def test_without_a_terminal_nobody_is_asked() -> None:
    told = subprocess.run(
        [sys.executable, "-c", ASKS, str(REFUND_DESK), "20"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "You are finn" not in told.stdout
    assert 'CAST [["fay", "approve", ""]]' in told.stdout
