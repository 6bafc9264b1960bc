"""Pages of lists: a cursor is opaque, of one list of one tenant, and forged by nobody."""

import base64
import binascii
import hmac
from collections.abc import Sequence

from bailiwick.ports import World
from bailiwick.server.problems import BadRequest
from bailiwick.values import JSON, canonical

_MAC_BYTES = 12


def cursor(world: World, path: str, at: str) -> str:
    """The cursor of the place `at` in the list at a path."""
    return base64.urlsafe_b64encode(_mac(world, path, at) + at.encode()).decode().rstrip("=")


def place(world: World, path: str, given: str) -> str:
    """The place that a cursor names, empty for none. Raises `BadRequest` (`cursor_invalid`)."""
    if not given:
        return ""
    try:
        raw = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
        mac, at = raw[:_MAC_BYTES], raw[_MAC_BYTES:].decode()
    except (binascii.Error, ValueError):
        mac, at = b"", ""
    if not at or not hmac.compare_digest(mac, _mac(world, path, at)):
        raise BadRequest(
            422,
            "the cursor is not one of this list",
            code="cursor_invalid",
            help="begin without a cursor",
            param="cursor",
        )
    return at


def page(world: World, path: str, items: Sequence[JSON], given: str, limit: int) -> dict[str, JSON]:
    """A page of a list that a command gave whole."""
    at = place(world, path, given)
    first = int(at) if at.isascii() and at.isdecimal() else 0
    after = first + limit
    more = after < len(items)
    return {
        "items": list(items[first:after]),
        "next": cursor(world, path, str(after)) if more else None,
    }


def _mac(world: World, path: str, at: str) -> bytes:
    text = canonical(["cursor", world.settings.tenant, path, at])
    return hmac.digest(world.keys.secret_key("equality"), text, "sha256")[:_MAC_BYTES]
