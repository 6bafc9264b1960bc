"""Where a message or request goes, in the one form that rules can compare.

A destination has a kind. What goes to a domain is compared by the domain, and exactly as its
*endpoint*: `address:anna@example.com`, `webhook:https://hooks.example.com/in`. Channels and buckets
have no domain and are `channel:…` and `bucket:…`.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import get_args

import idna

from bailiwick.errors import BadInput
from bailiwick.values import identifier, shown
from bailiwick.vocabulary import DestinationKind

_URL = re.compile(
    r"(?:https?|wss?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#\\@:\[\]]+)(?::[0-9]{1,5})?", re.I
)
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<host>[^@\s]+)")


_WEBHOOK = re.compile(
    r"https://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#\\@:\[\]]+)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^?#]*)?",
    re.I,
)
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_CHANNEL = re.compile(r"[#@]?[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


def destination(kind: DestinationKind, text: str) -> str:
    """Give what stands in the fact `destinations`: a domain, or a channel or bucket with its kind.

    Raises `BadInput` (`destination_invalid`).
    """
    whole = endpoint(kind, text)
    return whole if kind in ("channel", "bucket") else domain(text)


def endpoint(kind: DestinationKind, text: str) -> str:
    """Give exactly where it goes, with its kind: what stands in the fact `endpoints`.

    A mail address is one plain address, in lower case. A webhook is an https URL without user,
    query, fragment, escapes or dot segments; its standard port is left out. Raises `BadInput`
    (`destination_invalid`).
    """
    identifier(text, "the destination")
    if kind == "domain":
        return f"domain:{domain(text)}"
    if kind == "address" and (address := _ADDRESS.fullmatch(text)) is not None:
        return f"address:{text[: address.start('host') - 1].lower()}@{domain(text)}"
    if kind == "webhook" and (url := _WEBHOOK.fullmatch(text)) is not None:
        path = url["path"] or "/"
        if _PATH.fullmatch(path) and {".", ".."}.isdisjoint(path.split("/")):
            host = domain(text)
            host = f"[{host}]" if ":" in host else host
            port = int(url["port"] or 443)
            if 0 < port < 65536:
                return f"webhook:https://{host}{'' if port == 443 else f':{port}'}{path}"
    if kind == "channel" and _CHANNEL.fullmatch(text):
        return f"channel:{text}"
    if kind == "bucket" and _BUCKET.fullmatch(text) and ".." not in text:
        return f"bucket:{text}"
    raise BadInput(
        f"`{shown(text)}` is not a plain {kind}",
        code="destination_invalid",
        help=_PLAIN[kind],
    )


_PLAIN: Mapping[DestinationKind, str] = {
    "domain": "give one domain",
    "address": "give one mail address without a display name",
    "webhook": "give an https URL with host and path: no user, query, fragment or escapes",
    "channel": "give the channel's id or name in letters, digits and `. _ / -`",
    "bucket": "give the bucket's name in lower-case letters, digits and `. _ -`",
}


def allowed(entry: str) -> str:
    """Read an entry of an allow-list: a domain, or a kind and what it names, with a colon between.

    Raises `BadInput`: `destination_kind_unknown`, `destination_invalid`.
    """
    named, colon, rest = entry.partition(":")
    if not colon or entry.startswith("["):
        return domain(entry)
    kind = next((each for each in get_args(DestinationKind) if each == named), None)
    if kind is None:
        raise BadInput(
            f"`{shown(entry)}` has no kind of destination that is known",
            code="destination_kind_unknown",
            help=f"write a domain, or one of {', '.join(get_args(DestinationKind))} before a colon",
        )
    return domain(rest) if kind == "domain" else endpoint(kind, rest)


def domain(text: str) -> str:
    """Give the domain of a URL, a mail address or a domain, in lower case and as A-labels.

    IP addresses come back in their usual form. What can be read in two ways is refused: user names
    in URLs, display names, lists, look-alike letters that IDNA does not allow. Raises `BadInput`
    (`destination_invalid`). Source: RFC 3986, RFC 5321 section 4.1.2, RFC 5891.
    """
    identifier(text, "the destination")
    host = text
    if (url := _URL.match(text)) is not None and text[url.end() : url.end() + 1] in ("", *"/?#"):
        host = url["host"]
    elif (address := _ADDRESS.fullmatch(text)) is not None:
        host = address["host"]
    try:
        return _host(host)
    except (idna.IDNAError, ValueError):
        raise BadInput(
            f"`{shown(text)}` is not a destination",
            code="destination_invalid",
            help="give one plain mail address, one URL without a user name, or one domain",
        ) from None


def _host(host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1]))
    labels = host.lower().removesuffix(".").split(".")
    # Clients read 0x7f.1 or 2130706433 as addresses, so only the dotted quad is let through.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return str(ipaddress.IPv4Address(".".join(labels)))
    return idna.encode(".".join(labels), std3_rules=True).decode("ascii")
