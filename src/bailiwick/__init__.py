"""Bailiwick: a governed runtime for AI agents. A model proposes; Bailiwick decides and does.

`Bailiwick.open` opens a project, `session` acts for an agent, `tool` declares a Python tool.
`open_blocking` is the synchronous face, for plain scripts.
"""

from bailiwick.blocking import open_blocking
from bailiwick.catalog import ToolContext, tool
from bailiwick.errors import (
    BadInput,
    BailiwickError,
    ConfigError,
    NotDone,
    StoreError,
    StoreUnavailable,
)
from bailiwick.nouns import Grant, Outcome
from bailiwick.runtime import Bailiwick, Session

__all__ = [
    "BadInput",
    "Bailiwick",
    "BailiwickError",
    "ConfigError",
    "Grant",
    "NotDone",
    "Outcome",
    "Session",
    "StoreError",
    "StoreUnavailable",
    "ToolContext",
    "open_blocking",
    "tool",
]
