"""The one value: parsed strictly once, then validated, decided, hashed, shown and sent.

Bytes that a caller gave are never forwarded. What leaves this module is a plain JSON value that
has exactly one canonical form (RFC 8785), so that everything said about it is about one thing.
"""

import difflib
import hashlib
import json
import math
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import rfc8785

from bailiwick.errors import BadInput

if TYPE_CHECKING:
    JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]
else:
    JSON = Any  # decoders of the nouns cannot follow a recursive alias

# The canonical form of a value, as a part of a larger one.
Canonical = msgspec.Raw

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1

# Digits and the Cyrillic and Greek letters that look like Latin ones; separators look like nothing.
_LOOKS_LIKE = str.maketrans(
    "01|iіıјѕаеорсухһԁԛԝɡαονικρτυχε",  # noqa: RUF001 - it is about such letters
    "ollllljsaeopcyxhdqwgaovlkptuxe",
    "_- \u200b\u200c\u200d\u2060\ufeff",
)
_PAIRS_LIKE = (("rn", "m"), ("vv", "w"))
_FORBIDDEN_IN_SEGMENT = frozenset("/\\?#%")
# Cc control, Cf format (bidi and zero-width), Co private use, Cs surrogate, Cn unassigned,
# Zl and Zp the line separators: none of them is visible, all of them change what a reader sees.
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
# Letters, marks and spaces of other categories that are drawn as nothing or as a plain space.
_BLANK = frozenset(
    "\u00a0\u034f\u115f\u1160\u1680\u17b4\u17b5\u202f\u205f\u2800\u3000\u3164\uffa0"
) | frozenset(map(chr, (*range(0x2000, 0x200B), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))

_encode = msgspec.json.Encoder(order="deterministic").encode


def parse(
    raw: bytes | str | Mapping[str, object], *, max_bytes: int = MAX_BYTES
) -> dict[str, JSON]:
    """Parse one JSON object strictly into the value that everything downstream is about.

    Refuses duplicate keys, NaN and infinities (1e400 too), a BOM, lone surrogates, U+0000,
    integers beyond 2^53 - 1, anything over `max_bytes` bytes or `MAX_DEPTH` levels. Integral
    floats become integers. A mapping is checked and copied by the same rules. Raises `BadInput`.
    Source: RFC 8259, RFC 7493 (I-JSON).
    """
    value = _loads(raw, max_bytes) if isinstance(raw, (bytes, str)) else raw
    if type(value) is not dict and not isinstance(value, Mapping):
        raise BadInput(
            "the arguments are not a JSON object",
            code="arguments_not_object",
            help="send the arguments as one JSON object",
        )
    checked = _checked(value, "", MAX_DEPTH)
    assert isinstance(checked, dict)
    if not isinstance(raw, (bytes, str)) and len(_encode(checked)) > max_bytes:
        _too_large(max_bytes)
    return checked


def canonical(value: object) -> bytes:
    """Encode a JSON value as its one canonical form, UTF-8 bytes (RFC 8785).

    Values without floats and with ASCII keys take a fast encoder that gives the same bytes; a
    property test holds the two together. A part that is `Canonical` is taken over as it is. Raises
    `BadInput` for what has no canonical form.
    """
    try:
        return _encode(value) if _is_plain(value) else rfc8785.dumps(_decoded(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError) as error:
        raise BadInput(
            "the value has no canonical form",
            code="value_not_canonical",
            reason=str(error),
        ) from error


def plain(value: object) -> bytes:
    """Encode a value that is known to have no floats, no long integers and only ASCII keys.

    For such values these are the canonical bytes (RFC 8785); nothing is checked.
    """
    return _encode(value)


def digest(value: object) -> str:
    """Give the SHA-256 of the canonical form, as 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def identifier(text: str, what: str) -> str:
    """Give back `text` if it may name a resource or stand in a fact, else raise `BadInput`.

    It must be NFC, not empty, at most 512 characters, without control, bidi or invisible ones.
    """
    if not text or len(text) > 512:
        raise BadInput(
            f"{what} is empty or longer than 512 characters",
            code="identifier_length",
            help="give 1 to 512 characters",
        )
    if not text.isascii() and unicodedata.normalize("NFC", text) != text:
        raise BadInput(
            f"{what} `{shown(text)}` is not in normal form C",
            code="identifier_not_nfc",
            help="send the composed (NFC) spelling",
        )
    if not (text.isascii() and text.isprintable()) and any(map(_is_invisible, text)):
        raise BadInput(
            f"{what} `{shown(text)}` has control or invisible characters",
            code="identifier_unsafe",
            help="remove the characters shown as escapes",
        )
    return text


def segment(text: str, what: str) -> str:
    r"""Give back `text` if it is safe as one path segment, else raise `BadInput`.

    `/ \ ? # %`, `.` and `..` are refused rather than quoted: a client that normalises the path
    would undo the quoting and reach another resource.
    """
    identifier(text, what)
    if text in (".", "..") or not _FORBIDDEN_IN_SEGMENT.isdisjoint(text):
        raise BadInput(
            f"{what} `{shown(text)}` is not a single path segment",
            code="path_segment_unsafe",
            help=r"a path parameter may not hold `/ \ ? # %` nor be `.` or `..`",
        )
    return text


def shown(text: str, limit: int = 200) -> str:
    """Make outside text safe to show: escapes for what cannot be seen, a length where it is cut."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    head = "".join(
        f"\\u{{{ord(char):x}}}" if _is_invisible(char) else char for char in text[:limit]
    )
    return head if len(text) <= limit else f"{head}… ({len(text)} characters)"


def legible(value: JSON, words: Collection[str], limit: int) -> JSON:
    """Give the same with the texts under these names made safe to show; their lines stay lines."""
    if isinstance(value, (list, tuple)):
        return [legible(each, words, limit) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: "\n".join(shown(line, limit) for line in each.split("\n"))
        if name in words and isinstance(each, str)
        else legible(each, words, limit)
        for name, each in value.items()
    }


def counted(number: int, noun: str) -> str:
    """Give a number with its noun, in the plural unless it is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Give the known name that is most like a mistyped one; empty if none is."""
    near = difflib.get_close_matches(name, list(known), n=1) if len(name) <= 64 else []
    return near[0] if near else ""


def did_you_mean(name: str, known: Iterable[str], else_say: str = "") -> str:
    """Suggest the known name nearest to `name`, or say something else."""
    near = nearest(name, known)
    return f"did you mean `{near}`" if near else else_say


def skeleton(name: str) -> str:
    """Give what a name looks like: two names with one skeleton are easily taken for each other.

    Case, accents, separators and letters that look alike in most typefaces make no difference.
    Source: UTS 39, section 4, with a table of the letters that names are written in.
    """
    looks = unicodedata.normalize("NFKD", name).casefold()
    looks = "".join(char for char in looks if not unicodedata.combining(char))
    looks = looks.translate(_LOOKS_LIKE)
    for pair, like in _PAIRS_LIKE:
        looks = looks.replace(pair, like)
    return looks


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in _INVISIBLE or char in _BLANK


def _loads(raw: bytes | str, max_bytes: int) -> object:
    if len(raw) > max_bytes or (
        isinstance(raw, str) and len(raw.encode("utf-8", "replace")) > max_bytes
    ):
        _too_large(max_bytes)
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        if text.startswith("\ufeff"):
            raise BadInput(
                "the JSON begins with a byte order mark",
                code="json_bom",
                help="send it without the first three bytes",
            )
        return _decode(text)
    except UnicodeDecodeError as error:
        raise BadInput(
            "the JSON is not UTF-8", code="json_not_utf8", help="send it encoded as UTF-8"
        ) from error
    except RecursionError:
        _too_deep("")
    except json.JSONDecodeError as error:
        raise BadInput(
            f"the JSON is malformed at character {error.pos}: {error.msg.lower()}",
            code="json_malformed",
            help="send one well-formed JSON object",
        ) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadInput(
            f"the key `{shown(twice)}` stands twice in one object",
            code="json_duplicate_key",
            help="send each key once",
        )
    return result


def _integer(text: str) -> int:
    if len(text) > 17:
        _too_big("")
    return int(text)


def _constant(text: str) -> NoReturn:
    raise BadInput(
        f"`{text}` is not a JSON number", code="json_not_finite", help="send a finite number"
    )


# Made once: to hand the hooks to `json.loads` makes a decoder for every text.
_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_constant=_constant
).decode


def _checked(value: object, where: str, depth: int) -> JSON:
    """Check and copy a value. `where` is a JSON Pointer for the message."""
    if type(value) is str and value.isascii() and "\x00" not in value:
        return value  # most values are, and nothing is wrong with them
    if isinstance(value, str):
        return _text(value, where)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            _too_big(where)
        return int(value)
    if isinstance(value, float):
        return _number(value, where)
    if depth == 0:
        _too_deep(where)
    if type(value) is dict or isinstance(value, Mapping):
        return _checked_members(value, where, depth)
    if isinstance(value, (list, tuple)):
        return [_checked(item, f"{where}/{i}", depth - 1) for i, item in enumerate(value)]
    raise BadInput(
        f"a value of type `{type(value).__name__}` at `{shown(where) or '/'}` is not JSON",
        code="value_not_json",
        help="send only objects, arrays, text, numbers, booleans and null",
    )


def _checked_members(value: Mapping[object, object], where: str, depth: int) -> dict[str, JSON]:
    result: dict[str, JSON] = {}
    for key, member in value.items():
        if not isinstance(key, str):
            raise BadInput(
                f"a key at `{where or '/'}` is not text",
                code="json_key_not_text",
                help="send names as text",
            )
        name = _text(key, where)
        kind = type(member)
        if kind is str and member.isascii() and "\x00" not in member:  # type: ignore[attr-defined,operator]
            result[name] = member  # type: ignore[assignment]
        else:
            result[name] = _checked(member, f"{where}/{key}", depth - 1)
    return result


def _text(value: str, where: str) -> str:
    if value.isascii():
        unsafe = "\x00" in value
    else:
        unsafe = any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in value)
    if unsafe:
        raise BadInput(
            f"the text at `{shown(where) or '/'}` holds U+0000 or a lone surrogate",
            code="text_not_unicode",
            help="remove the character",
        )
    return str(value)


def _number(value: float, where: str) -> JSON:
    if not math.isfinite(value):
        raise BadInput(
            f"the number at `{shown(where) or '/'}` is not finite",
            code="json_not_finite",
            help="send a finite number",
        )
    if value.is_integer():
        return int(value) if abs(value) <= MAX_INTEGER else _too_big(where)
    return value


def _decoded(value: object) -> Any:
    """The value with its canonical parts decoded again."""
    if isinstance(value, Canonical):
        return msgspec.json.decode(value)
    if isinstance(value, Mapping):
        return {key: _decoded(member) for key, member in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_plain(value: object) -> bool:
    """Whether the fast encoder's bytes are canonical: no floats, no long integers, ASCII keys."""
    kind = type(value)
    if kind is dict:
        for key, member in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii():
                return False
            # Most members are passed here, without another call.
            inner = type(member)
            if inner is str or member is None or inner is bool or inner is Canonical:
                continue
            if inner is int and -MAX_INTEGER <= member <= MAX_INTEGER:
                continue
            if (inner is dict or inner is list or inner is tuple) and not member:
                continue
            if not _is_plain(member):
                return False
        return True
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return -MAX_INTEGER <= value <= MAX_INTEGER  # type: ignore[operator]
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))  # type: ignore[call-overload]
    return kind is Canonical


def _too_large(max_bytes: int) -> NoReturn:
    raise BadInput(
        f"the arguments are larger than {max_bytes} bytes",
        code="arguments_too_large",
        help="send less, or send a reference to the content",
    )


def _too_deep(where: str) -> NoReturn:
    raise BadInput(
        f"the arguments are nested deeper than {MAX_DEPTH} levels",
        code="arguments_too_deep",
        help="flatten the value",
        where=where,
    )


def _too_big(where: str) -> NoReturn:
    raise BadInput(
        f"an integer at `{shown(where) or '/'}` is beyond 2^53 - 1",
        code="integer_too_big",
        help="send long numbers and ids as text",
    )
