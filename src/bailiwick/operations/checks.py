"""One line of `doctor`."""

from typing import Literal

from msgspec import Struct

from bailiwick.errors import BailiwickError


class Check(Struct, frozen=True, kw_only=True):
    """One line: what was looked at, how it stands, and what to do if it is not in order."""

    name: str
    level: Literal["ok", "warn", "fail"]
    said: str
    help: str = ""


def failed(name: str, fault: BailiwickError) -> Check:
    """The line of something that cannot be looked at."""
    help = fault.help or "restore what the message names, or a backup"
    return Check(name=name, level="fail", said=f"{fault.message} [{fault.code}]", help=help)
