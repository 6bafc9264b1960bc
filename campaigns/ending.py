"""How a campaign on what others wrote is told: one line of JSON, and exit code 1 on a miss."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

M = TypeVar("M")

_TOLD = 20


class Result(Protocol):
    """The figures of a campaign."""

    @property
    def findings(self) -> Sequence[str]:
        """What was not as it should be."""

    @property
    def holds(self) -> bool:
        """Whether everything was as it should be."""

    @property
    def line(self) -> dict[str, Any]:
        """What is printed."""


def carried_out(
    material: Callable[[], M], campaign: Callable[[Path, M], Coroutine[Any, Any, Result]]
) -> int:
    """Run a campaign in an empty folder, print its line, and give the exit code.

    It is 2, with what to do, if the material is not installed (`FileNotFoundError`).
    """
    try:
        installed = material()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(campaign(Path(folder) / "project", installed))
    for finding in result.findings[:_TOLD]:
        print(finding, file=sys.stderr)
    print(f"{time.monotonic() - begun_s:.1f} s", file=sys.stderr)
    print(json.dumps(result.line))
    return 0 if result.holds else 1
