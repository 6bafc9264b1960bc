"""What may be told of arguments and results, where a project asks for them: redacted and bounded.

Three things are left out: members whose name says that they are secret (or that the settings name),
members that the tool's schema marks (`writeOnly`, `format: password`), and texts that look like
credentials. What was left out of the arguments is left out of the result too, wherever it stands.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

import msgspec

from bailiwick.values import JSON, shown

T = TypeVar("T")

MOST_BYTES = 8192
_MOST_MEMBERS = 500
_MOST_WALKED = 20_000
_MOST_SECRETS = 50
_MOST_DEPTH = 16
_MOST_TEXT = 1024
# Shorter secrets are parts of ordinary words: to look for them would redact half of a result.
_SHORTEST_SECRET = 6
REDACTED = "[redacted]"
CUT = "[cut]"

_SECRET_NAMES = re.compile(
    r"pass(word|wd|phrase|code)|secret|token|credential|apikey|accesskey|privatekey|signature"
    r"|authorization|cookie|session(id|key)|^(auth|pin|otp|cvv|cvc|pan|ssn|iban|cardnumber)$"
)
# Source: RFC 7519 and 7617 forms, PEM (RFC 7468), and the prefixes that large providers document.
_CREDENTIALS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|\b(?:bearer|basic)\s+[\w.~+/=-]{8,}"
    r"|\b(?:sk|pk|rk|whsec)[-_][\w-]{12,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abeoprs]-[\w-]{10,}"
    r"|\bAIza[\w-]{30,}|://[^/\s:@]*:[^/\s@]+@",
    re.IGNORECASE,
)


class Redaction:
    """Tells one action's arguments, then its result."""

    def __init__(self, names: Collection[str], schema: Mapping[str, JSON]) -> None:
        """`names` are the settings' own, `schema` is the tool's."""
        self._names = frozenset(map(_plain, names)) | _marked(msgspec.json.encode(schema))
        self._secrets: set[str] = set()
        self._left = 0

    def text(self, value: JSON) -> str:
        """The value as JSON, redacted, and of at most 8 KiB; what is cut is said."""
        self._collect(value)
        self._left = _MOST_MEMBERS
        told = msgspec.json.encode(self._told(value, _MOST_DEPTH))
        if len(told) <= MOST_BYTES:
            return told.decode()
        return msgspec.json.encode({"cut": True, "bytes": len(told)}).decode()

    def _told(self, value: JSON, depth: int) -> JSON:
        self._left -= 1
        if isinstance(value, str):
            return self._scrubbed(value)
        if not isinstance(value, Mapping | list | tuple):
            return REDACTED if str(value) in self._secrets else value
        if depth == 0 or self._left <= 0:
            return CUT
        if isinstance(value, Mapping):
            told = {
                self._scrubbed(name): REDACTED
                if self._is_secret(name)
                else self._told(each, depth - 1)
                for name, each in self._some(value.items())
            }
            return told if len(told) == len(value) else {**told, CUT: len(value) - len(told)}
        listed = [self._told(each, depth - 1) for each in self._some(value)]
        return listed if len(listed) == len(value) else [*listed, CUT]

    def _collect(self, value: JSON) -> None:
        """Note what stands under secret names, before anything is told: it may stand elsewhere."""
        waiting, left = [value], _MOST_WALKED
        while waiting and left > 0:
            left -= 1
            each = waiting.pop()
            if isinstance(each, Mapping):
                for name, member in each.items():
                    if not self._is_secret(name):
                        waiting.append(member)
                    elif len(self._secrets) < _MOST_SECRETS:
                        self._secrets.update(_leaves(member, _MOST_SECRETS))
            elif isinstance(each, list | tuple):
                waiting += each

    def _is_secret(self, name: str) -> bool:
        plain = _plain(name)
        return plain in self._names or _SECRET_NAMES.search(plain) is not None

    def _some(self, members: Iterable[T]) -> Iterator[T]:
        for each in members:
            if self._left <= 0:
                return
            yield each

    def _scrubbed(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        # What is looked through is bounded as well: the pattern is not linear in every text.
        if _CREDENTIALS.search(text[: 2 * _MOST_TEXT]):
            return REDACTED
        return shown(text, _MOST_TEXT)


@lru_cache(256)
def _marked(schema: bytes) -> frozenset[str]:
    """The members that a schema marks as secret, at any depth or by a reference to its own part."""
    whole = msgspec.json.decode(schema)
    found: set[str] = set()
    for node in _nodes(whole):
        properties = node.get("properties")
        for name, member in (properties if isinstance(properties, dict) else {}).items():
            if isinstance(member, dict) and _is_marked(member, whole):
                found.add(_plain(name))
    return frozenset(found)


def _is_marked(member: Mapping[str, JSON], whole: Mapping[str, JSON]) -> bool:
    reference, parts = member.get("$ref"), whole.get("$defs")
    if isinstance(reference, str) and isinstance(parts, Mapping):
        part = parts.get(reference.rpartition("/")[2])
        if isinstance(part, Mapping) and _is_marked(part, {}):
            return True
    return member.get("writeOnly") is True or member.get("format") == "password"


def _nodes(value: JSON) -> Iterator[Mapping[str, JSON]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _nodes(each)


def _leaves(value: JSON, most: int) -> Iterator[str]:
    """The texts and numbers in a value that are long enough to be looked for elsewhere."""
    waiting = [value]
    while waiting and most > 0:
        most -= 1
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
        elif len(text := str(each)) >= _SHORTEST_SECRET:
            yield text


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
