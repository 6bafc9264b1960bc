"""Templates, and what others wrote made safe to show: escapes, and a length where it is cut."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bailiwick.approval.quoting import MAX_TEXT, MAX_VALUES, leaves, pointer
from bailiwick.values import JSON, counted, shown
from bailiwick.vocabulary import decimals_of

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FactRow(NamedTuple):
    """A value before and as asked, each under its JSON Pointer; empty where there is none."""

    name: str
    before: str
    asked: str
    state: str


def environment() -> Environment:
    """The templates, which escape everything, with the filters below."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        visible=visible,
        sentence=sentence,
        utc=utc,
        iso=iso,
        span=span,
        took=took,
        money=money,
        plural=counted,
    )
    made.globals.update(version=_version(), spoken=spoken)
    return made


def visible(value: object) -> str:
    r"""Give all of a text with `\u{…}` for what cannot be seen, and `\\` for a backslash."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    result = text.replace("\\", "\\\\")
    return shown(result, limit=len(result))


def sentence(text: str) -> str:
    """A message, which begins in lower case, as a sentence begins."""
    return text[:1].upper() + text[1:]


def spoken(text: object, whole: bool) -> Mapping[str, object]:
    """A text of others: its lines made visible, and its length where it is cut."""
    said = str(text)
    kept = said if whole else said[:MAX_TEXT]
    return {
        "lines": [visible(line) for line in kept.split("\n")],
        "length": len(said),
        "cut": len(kept) if len(kept) < len(said) else 0,
    }


def differences(
    before: Mapping[str, JSON], arguments: Mapping[str, JSON], whole: bool
) -> tuple[list[FactRow], int]:
    """What was read before, beside what is asked: one row a value, and how many are left out.

    An argument stands beside a value that was read if both have the same name and nothing else
    has it; their names are shown whole.
    """
    read = dict(leaves(before)) if before else {}
    asked = dict(leaves(arguments)) if arguments else {}
    pairs = {_last(path): path for path in asked}
    rows: list[FactRow] = []
    taken: set[str] = set()
    for path, value in read.items():
        twin = pairs.get(_last(path), "")
        once = sum(_last(each) == _last(path) for each in (*read, *asked)) == 2
        if twin and once:
            taken.add(twin)
            state = "same" if value == asked[twin] else "changed"
            rows.append(
                FactRow(f"{pointer(path)} → {pointer(twin)}", *_both(value, asked[twin]), state)
            )
        else:
            rows.append(FactRow(pointer(path), visible(value), "", "read"))
    rows += [
        FactRow(pointer(path), "", visible(value), "asked")
        for path, value in asked.items()
        if path not in taken
    ]
    rows.sort(key=lambda row: ("changed", "asked", "same", "read").index(row.state))
    return (rows, 0) if whole else (rows[:MAX_VALUES], max(0, len(rows) - MAX_VALUES))


def _both(one: JSON, other: JSON) -> tuple[str, str]:
    return visible(one), visible(other)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def utc(moment_us: int) -> str:
    """A moment in UTC, to the second."""
    return (_EPOCH + timedelta(microseconds=moment_us)).strftime("%Y-%m-%d %H:%M:%SZ")


def iso(moment_us: int) -> str:
    """A moment as HTML's `datetime` takes it."""
    return (_EPOCH + timedelta(microseconds=moment_us)).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(span_us: int) -> str:
    """How long something took or takes, in two units at most."""
    minutes, seconds = divmod(abs(span_us) // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def took(span_us: int) -> str:
    """A short time, in the unit that suits it."""
    if span_us < 50:
        return "<0.1 ms"
    return f"{span_us / 1000:.1f} ms" if span_us < 1_000_000 else f"{span_us / 1_000_000:.1f} s"


def money(value: JSON, currency: JSON) -> str:
    """An amount in minor units as people write it."""
    if not isinstance(value, int) or isinstance(value, bool):
        return visible(value)
    if not isinstance(currency, str):
        return f"{value:,}"
    decimals = decimals_of(currency)
    whole, rest = divmod(abs(value), 10**decimals)
    sign = "-" if value < 0 else ""
    part = f".{rest:0{decimals}d}" if decimals else ""
    return f"{sign}{whole:,}{part} {visible(currency)}"


def _version() -> str:
    """Changes with any of the static files, so that browsers may keep them for ever."""
    files: Sequence[Path] = sorted(STATIC.iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
