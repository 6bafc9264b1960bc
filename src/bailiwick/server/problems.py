"""A fault as a problem document (RFC 9457), with the stable code and what to do next."""

import secrets
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from bailiwick.errors import BailiwickError, StoreUnavailable

MEDIA_TYPE = "application/problem+json"


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
    request_id = f"req_{secrets.token_hex(8)}"
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": message,
        "code": code,
        "request_id": request_id,
        **extensions,
    }
    if help:
        document["next_action"] = help
    return JSONResponse(
        document,
        status_code=status,
        headers={"x-request-id": request_id, **headers},
        media_type=MEDIA_TYPE,
    )


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
    503: "Service Unavailable",
}
