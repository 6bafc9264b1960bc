"""What is told on a terminal: plain aligned tables, UTC times, and text of others made safe.

Nothing that came from outside reaches a terminal as it is: control, bidi and invisible characters
are shown as escapes, and what is cut says how long it was.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from bailiwick.values import JSON, shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CELL = 60


def table(headings: Sequence[str], rows: Sequence[Sequence[JSON]], empty: str) -> list[str]:
    """Give the lines of an aligned table; what is said instead when there are no rows."""
    if not rows:
        return [empty]
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in (list(headings), *cells)
    ]


def cell(value: JSON) -> str:
    """Give a value as the text of a cell."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return shown(", ".join(map(str, value)) or "-", _CELL)
    return shown(str(value), _CELL)


def fields(pairs: Mapping[str, JSON], indent: str = "") -> list[str]:
    """Give names and values, one a line, aligned; what has no value is left out."""
    there = {name: value for name, value in pairs.items() if value not in (None, "", [], ())}
    width = max(map(len, there), default=0)
    return [f"{indent}{name.ljust(width)}  {line(value)}" for name, value in there.items()]


def line(value: JSON, limit: int = 500) -> str:
    """Give a value as one safe line."""
    if isinstance(value, (list, tuple)):
        return shown(", ".join(map(str, value)), limit)
    return shown(cell(value) if isinstance(value, bool) else str(value), limit)


def pretty(value: JSON, indent: str = "") -> Iterator[str]:
    """Give a JSON value as safe lines."""
    for each in json.dumps(value, indent=2, ensure_ascii=False).split("\n"):
        yield f"{indent}{shown(each, len(each) + 1)}"


def at(moment_us: JSON) -> str:
    """Give a moment in UTC, to the second; `-` for none."""
    if not isinstance(moment_us, int) or isinstance(moment_us, bool):
        return "-"
    return (_EPOCH + timedelta(microseconds=moment_us)).strftime("%Y-%m-%d %H:%M:%SZ")


def took(span_us: JSON) -> str:
    """Give a span of time, in the unit that suits it."""
    if not isinstance(span_us, int):
        return ""
    return f"{span_us / 1000:.1f} ms" if span_us < 1_000_000 else f"{span_us / 1_000_000:.1f} s"
