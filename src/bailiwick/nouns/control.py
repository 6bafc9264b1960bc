"""What stops, holds and pins: switches, legal holds, breakers, releases; and records."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

# `ledger` is set by the runtime alone: the tree is not the one that it was, and nothing is written.
Scope = Literal["everything", "tenant", "agent", "tool", "upstream", "run", "ledger"]


class Stop(Struct, frozen=True, kw_only=True):
    """A pulled kill switch: its scope, who pulled it and why."""

    scope: Scope
    target: str
    by: str
    reason: str
    since_us: int


class LegalHold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nothing of a run, or of a subject, is erased until two people lift it.

    One that was lifted says by whom, and binds nobody.
    """

    kind: Literal["run", "subject"]
    target: str
    by: str
    reason: str
    since_us: int
    lifted_by: tuple[str, ...] = ()


class Breaker(Struct, frozen=True, kw_only=True):
    """The recent failures of a target: how many in a row; open until `open_until_us`.

    `recent` are the newest outcomes if they are counted, newest last: `x` went wrong, `.` did not.
    """

    target: str
    failures: int
    open_until_us: int
    recent: str = ""


class Release(Struct, frozen=True, kw_only=True):
    """A content-addressed bundle of what shapes decisions: path to text of every file."""

    digest: str
    files: Mapping[str, str]
    created_at_us: int
    created_by: str
    note: str = ""


class Record(Struct, frozen=True, kw_only=True):
    """A ledger entry as stored: its canonical bytes, and its place in the tree once sequenced."""

    seq: int
    body: bytes
    leaf_index: int | None = None
