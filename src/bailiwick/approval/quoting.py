"""Outside text made safe to show: quoted, escaped, wrapped with marks, cut only with its length.

What a terminal does with text is what an attacker writes for: escape sequences, right-to-left
marks, characters without a shape, and lines so long that they wrap to where our own lines begin.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from bailiwick.values import JSON, canonical, shown

WIDTH = 64  # columns of a value: a digest fits, and with its name before it a line is 80 wide
MAX_TEXT = 2000  # characters of one text that are shown unless the whole is asked for
MAX_VALUES = 100  # values of one object, likewise

_PLAIN = re.compile(r"[!-~]{1,64}").fullmatch
_PLAIN_PATH = re.compile(r"(/[\w.~-]+)*", re.ASCII).fullmatch


def escaped(text: str) -> str:
    r"""Give all of the text with `\u{…}` for what cannot be seen and `\\` for a backslash."""
    result = text.replace("\\", "\\\\")
    return shown(result, limit=len(result))


def quoted(text: str, limit: int | None = MAX_TEXT) -> str:
    """Give the text between quotation marks that it cannot close; its length where it is cut."""
    inner = escaped(text[:limit]).replace('"', '\\"')
    cut = limit is not None and len(text) > limit
    return f'"{inner}"' + (f" … the first {limit} of {len(text)} characters" if cut else "")


def block(text: str, limit: int | None = MAX_TEXT) -> list[str]:
    """Give the text as lines, each marked `|`, or `+` where a line goes on; cut with its length."""
    lines = [
        f"    {'|' if first else '+'} {piece}"
        for line in text[:limit].split("\n")
        for first, piece in _pieces(escaped(line))
    ]
    if limit is not None and len(text) > limit:
        lines.append(f"    … the first {limit} of {len(text)} characters are shown")
    return lines


def field(name: str, values: Sequence[str]) -> list[str]:
    """Give lines of safe text after a name; a line that is too long goes on after a `+`."""
    lines = []
    for number, value in enumerate(values):
        for first, piece in _pieces(value):
            label = name if number == 0 and first else ""
            lines.append(f"  {label:<11} {' ' if first else '+'} {piece}")
    return lines


def heading(label: str) -> list[str]:
    """Give a label of safe text as lines, as `field` does."""
    return [f"  {'' if first else '+ '}{piece}" for first, piece in _pieces(label)]


def leaves(value: JSON, path: str = "") -> Iterator[tuple[str, JSON]]:
    """Give each value of a JSON value with its JSON Pointer (RFC 6901); empty objects too."""
    if isinstance(value, Mapping) and value:
        for key, member in value.items():
            yield from leaves(member, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for number, member in enumerate(value):
            yield from leaves(member, f"{path}/{number}")
    else:
        yield path, value


def pointer(path: str) -> str:
    """Give a JSON Pointer as it can be shown: quoted if it holds more than plain names."""
    return path if _PLAIN_PATH(path) and len(path) <= WIDTH else quoted(path)


def scalar(value: JSON) -> str | None:
    """Give a value to be shown in one line; None for text that could say something to a reader."""
    if isinstance(value, str):
        return quoted(value) if _PLAIN(value) or not value else None
    return canonical(value).decode()


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Cut a line into pieces of at most `WIDTH` columns; True marks the first."""
    start, columns = 0, 0
    for index, char in enumerate(text):
        wide = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if columns + wide > WIDTH:
            yield start == 0, text[start:index]
            start, columns = index, 0
        columns += wide
    yield start == 0, text[start:]
