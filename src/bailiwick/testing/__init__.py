"""The fakes that our own tests use: a project with a till in the process, and a clock to set.

`founded` writes and founds the sample project (or yours); `Clock` stands in for the store's clock.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bailiwick.operations.founding import Founded, Newcomer, found
from bailiwick.testing.sample import FILES, write_project

__all__ = ["FILES", "PEOPLE", "Clock", "Newcomer", "founded", "write_project"]

PASSWORD = "correct horse battery staple"  # noqa: S105 - a made-up one
PEOPLE: Sequence[Newcomer] = (
    Newcomer("ada", ("admin", "operator", "auditor"), (), PASSWORD),
    Newcomer("bo", ("approver",), ("finance",), PASSWORD),
    Newcomer("cy", ("approver",), ("finance",), PASSWORD),
)


async def founded(
    folder: Path,
    files: Mapping[str, str] = FILES,
    people: Sequence[Newcomer] = PEOPLE,
) -> Founded:
    """Write a project and found it, with an admin and two approvers of the queue `finance`."""
    return await found(write_project(folder, files), people)


class Clock:
    """A clock to set by hand: microseconds since the epoch. Give its `now_us` to the world."""

    def __init__(self, at_us: int) -> None:
        self.at_us = at_us

    def now_us(self) -> int:
        """The time it was set to."""
        return self.at_us

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at_us += int(seconds * 1_000_000)
