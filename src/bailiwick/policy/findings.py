"""What is wrong with a policy: every finding at once, each with where, why and what to do."""

from collections.abc import Sequence
from typing import NoReturn

from msgspec import Struct, structs

from bailiwick.errors import PolicyError


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that keeps a policy from being released.

    `rule` is a rule's id, a test's name or a tool; `line` counts from 1, 0 where there is none.
    """

    file: str
    rule: str
    reason: str
    help: str
    line: int = 0


def refuse(findings: Sequence[Finding]) -> NoReturn:
    """Raise the `PolicyError` that holds all findings, as data in `details["findings"]`."""
    first = findings[0]
    more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
    raise PolicyError(
        f"`{first.file}`, `{first.rule}`: {first.reason}{more}",
        help=first.help,
        findings=[structs.asdict(finding) for finding in findings],
    )
