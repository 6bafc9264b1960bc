"""A fault as a status and a problem document (RFC 9457), with the stable code and what to do next.

Which status a fault has is said here alone, for REST and for the pages. Its code says more, and is
what a program goes by.
"""

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from itertools import count
from typing import Any

from starlette.responses import JSONResponse

from bailiwick.errors import (
    ApprovalError,
    BadInput,
    BailiwickError,
    ConfigError,
    ControlError,
    IdentityError,
    StoreError,
)

MEDIA_TYPE = "application/problem+json"
# The request that is answered, as its client names it, or as we do.
request_id: ContextVar[str] = ContextVar("request_id", default="")

# No two requests of any process have one name.
_PROCESS, _COUNT = os.urandom(8).hex(), count()
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
    return given if _SAFE(given) else f"req_{_PROCESS}{next(_COUNT):08x}"


class BadRequest(BailiwickError):
    """the request cannot be taken as it stands"""

    code = "request_invalid"

    def __init__(self, status: int, message: str, *, code: str, help: str = "", param: str = ""):
        """A no of the protocol's: `status`, and in `param` what it is about."""
        super().__init__(message, code=code, help=help)
        self.status, self.param = status, param


def status_of(fault: BailiwickError) -> int:
    """The status of a fault."""
    code = fault.code
    if isinstance(fault, BadRequest):
        return fault.status
    if isinstance(fault, StoreError):
        return 503
    if code in _BY_CODE:
        return _BY_CODE[code]
    if isinstance(fault, IdentityError) and (code.startswith(_UNAUTHENTICATED) or code in _NOBODY):
        return 401
    if isinstance(fault, BadInput | ConfigError):
        return 422
    if isinstance(fault, IdentityError):
        return 404 if code.endswith("_unknown") else 422
    if isinstance(fault, ApprovalError):
        return 403 if code.startswith(("vote_not_own", "voter_", "review_own")) else 409
    if isinstance(fault, ControlError):
        return 404 if code.endswith("_unknown") else 409
    return 409


def of_fault(fault: BailiwickError, status: int | None = None) -> JSONResponse:
    """A fault as a problem, with what the protocol wants beside its status."""
    status = status or status_of(fault)
    headers: dict[str, str] = {}
    if status == 401:
        error = "" if fault.code == "token_missing" else ' error="invalid_token"'
        headers["www-authenticate"] = f"Bearer{error}"
    if (wait_s := waits_s(fault, status)) is not None:
        headers["retry-after"] = str(wait_s)
    extensions: dict[str, object] = {}
    if isinstance(fault, BadRequest) and fault.param:
        extensions["param"] = fault.param
    if isinstance(fault.details.get("action"), str):
        extensions["decision_id"] = fault.details["action"]
    return problem(
        status, fault.code, fault.message, help=fault.help, headers=headers, **extensions
    )


def waits_s(fault: BailiwickError, status: int) -> int | None:
    """After how many seconds it may be tried again (`Retry-After`); None if time does not help."""
    wait_s = fault.details.get("wait_s")
    if isinstance(wait_s, int):
        return wait_s
    return 1 if status == 503 else None


# By code where the kind of fault does not say it.
_BY_CODE: Mapping[str, int] = {
    "account_waiting": 429,
    "api_key_invalid": 422,
    "api_key_not_enough": 403,
    "body_malformed": 400,
    "form_foreign": 403,
    "form_too_large": 413,
    "host_unknown": 421,
    "json_malformed": 400,
    "key_malformed": 400,
    "not_allowed": 403,
    "not_sequenced": 503,
    "password_wrong": 403,
    "release_unknown": 404,
    "request_foreign": 403,
    "tile_of_others": 403,
    "tile_unknown": 404,
    "tiles_busy": 503,
    "vote_unsigned": 422,
}
_UNAUTHENTICATED = ("session_", "token_", "access_key_", "proof_")
# Who the session is of is not known, or may do nothing.
_NOBODY = ("person_unknown", "person_disabled")
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
