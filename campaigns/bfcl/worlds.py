"""Where the governed tools carry their calls out: the instances of each run, and a journal.

The tools of the project are in this process and call `call`; who drives the campaign puts the
instances of a run here before, and looks at them afterwards.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bailiwick import ToolContext
from campaigns.bfcl.material import plain

RUNS: dict[str, Mapping[str, Any]] = {}
BY_ACTION = Counter[str]()
BY_RUN = Counter[str]()


def call(context: ToolContext, api: str, method: str, arguments: Mapping[str, Any]) -> Any:
    """Call a method of an API in the run of the action, and note that this was done."""
    BY_ACTION[context.action] += 1
    BY_RUN[context.run] += 1
    given = {name: each for name, each in arguments.items() if each is not None}
    return plain(getattr(RUNS[context.run][api], method)(**given))


def made(action: str) -> int:
    """How many calls an action made."""
    return BY_ACTION[action]


def forget() -> None:
    """Begin anew."""
    for each in (RUNS, BY_ACTION, BY_RUN):
        each.clear()
