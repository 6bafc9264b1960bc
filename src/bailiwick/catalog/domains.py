"""Where a message or request goes, as a domain that rules can compare."""

import ipaddress
import re

import idna

from bailiwick.errors import BadInput
from bailiwick.values import identifier, shown

_URL = re.compile(
    r"(?:https?|wss?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#\\@:\[\]]+)(?::[0-9]{1,5})?", re.I
)
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?P<host>[^@\s]+)")


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
