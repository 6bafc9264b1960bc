"""A fault as a problem document (RFC 9457), with the stable code and what to do next."""

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from starlette.responses import JSONResponse

from bailiwick.errors import BailiwickError, StoreUnavailable

MEDIA_TYPE = "application/problem+json"
# The request that is answered, as its client names it, or as we do.
request_id: ContextVar[str] = ContextVar("request_id", default="")

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


def problem(
    status: int,
    code: str,
    message: str,
    *,
    help: str = "",
    headers: Mapping[str, str] = {},
    **extensions: Any,
) -> JSONResponse:
    """A problem document: `type` about:blank, and beside the standard's members our own.

    `code` is stable, `next_action` what to do, `request_id` what to name when asking for help.
    """
    asked_as = request_id.get() or new_request_id("")
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": message,
        "code": code,
        "request_id": asked_as,
        **extensions,
    }
    if help:
        document["next_action"] = help
    return JSONResponse(
        document,
        status_code=status,
        headers={"x-request-id": asked_as, **headers},
        media_type=MEDIA_TYPE,
    )


def new_request_id(given: str) -> str:
    """The name of a request: the client's own, if it is plain, or a new one."""
    return given if _SAFE(given) else f"req_{os.urandom(8).hex()}"


def of_fault(fault: BailiwickError, status: int) -> JSONResponse:
    """A fault as a problem; one of the store says when to come again."""
    headers = {"retry-after": "1"} if isinstance(fault, StoreUnavailable) else {}
    return problem(status, fault.code, fault.message, help=fault.help, headers=headers)


_TITLES: Mapping[int, str] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
