"""Which status a fault has. Its code says more, and is what a program goes by."""

from collections.abc import Mapping

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
from bailiwick.server.problems import problem

# By code where the kind of fault does not say it.
_BY_CODE: Mapping[str, int] = {
    "account_waiting": 429,
    "json_malformed": 400,
    "body_malformed": 400,
    "key_malformed": 400,
    "not_allowed": 403,
    "password_wrong": 403,
    "api_key_not_enough": 403,
    "api_key_invalid": 422,
    "release_unknown": 404,
    "tile_unknown": 404,
    "tile_of_others": 403,
    "vote_unsigned": 422,
}
_UNAUTHENTICATED = ("session_", "token_", "access_key_", "proof_")
# Who the session is of is not known, or may do nothing.
_NOBODY = ("person_unknown", "person_disabled")
_SOON = ("not_sequenced", "tiles_busy", "account_waiting")


class BadRequest(BailiwickError):
    """the request cannot be taken as it stands"""

    code = "request_invalid"

    def __init__(self, status: int, message: str, *, code: str, help: str = "", param: str = ""):
        """A no of the protocol's: `status`, and in `param` what it is about."""
        super().__init__(message, code=code, help=help)
        self.status, self.param = status, param


def status_of(fault: BailiwickError) -> int:
    """The status of a fault that a command raised."""
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


def told(fault: BailiwickError) -> JSONResponse:
    """A fault as a problem document, with what the protocol wants beside its status."""
    status = status_of(fault)
    headers: dict[str, str] = {}
    if status == 401:
        error = "" if fault.code == "token_missing" else ' error="invalid_token"'
        headers["www-authenticate"] = f"Bearer{error}"
    wait_s = fault.details.get("wait_s")
    if status == 503 or fault.code in _SOON:
        headers["retry-after"] = str(wait_s if isinstance(wait_s, int) else 1)
    extensions: dict[str, object] = {}
    if isinstance(fault, BadRequest) and fault.param:
        extensions["param"] = fault.param
    if isinstance(fault.details.get("action"), str):
        extensions["decision_id"] = fault.details["action"]
    return problem(
        status, fault.code, fault.message, help=fault.help, headers=headers, **extensions
    )
