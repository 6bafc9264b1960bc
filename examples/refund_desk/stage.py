"""What one run of the demo knows, and how it speaks: one line at a time, 100 columns."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import premises
import scoreboard
from scoreboard import Story
from voters import Voters


@dataclass(slots=True)
class Demo:
    """The provider, the people, the forty stories, and what was not as expected.

    `shared` says that two processes of Bailiwick share one PostgreSQL database.
    """

    began: float
    payments: premises.Outside
    project: Path
    voters: Voters
    stories: dict[str, Story]
    shared: bool = False
    port: int = 0
    url: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    votes: dict[str, str] = field(default_factory=dict)
    drilled: list[str] = field(default_factory=list)
    spent_micro_usd: dict[str, int] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print one line with the time since the beginning."""
        stamp = f"{time.monotonic() - self.began:5.1f} s  "
        print(scoreboard.cut(f"{stamp}{text}", scoreboard.WIDTH), flush=True)

    def heading(self, text: str) -> None:
        """Print what comes next."""
        print(f"\n{text}\n", flush=True)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a surprise: the demo goes on, and fails at its end."""
        if not holds:
            self.surprises.append(otherwise)
            self.say(f"NOT AS EXPECTED: {otherwise}")

    def count(self, event: dict[str, Any]) -> None:
        """Count what an action cost, once for each."""
        if event["action"]:
            self.spent_micro_usd[event["action"]] = event["cost_micro_usd"]

    def holders(self) -> dict[str, str]:
        """Which ticket each ticket's decisive action belongs to."""
        return {each.action: each.ticket.id for each in self.stories.values() if each.acts}

    def effects(self) -> list[dict[str, Any]]:
        """The refunds that the provider really made, by its own books."""
        listed: list[dict[str, Any]] = self.payments.ask("GET", "/admin/effects")["data"]
        return listed
