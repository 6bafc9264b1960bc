"""How an action would be undone, as data: a step of a plan that people see first."""

from collections.abc import Mapping

from msgspec import Struct

from bailiwick.nouns import Resource
from bailiwick.values import JSON


class Reversal(Struct, frozen=True, kw_only=True):
    """How an action would be taken back: by which tool, with which arguments; or why it cannot be.

    `code` is empty if it can be undone, else it says stably why not and `message` in words; `by`
    are the actions that stand in the way, the one that undid it among them. `agent` would do it.
    """

    action: str
    tool: str
    resource: Resource | None
    agent: str
    reverser: str = ""
    arguments: Mapping[str, JSON] = {}
    reverses: Resource | None = None
    code: str = ""
    message: str = ""
    help: str = ""
    by: tuple[str, ...] = ()
