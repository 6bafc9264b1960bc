"""An operator's switches, as operations of one commit; nothing here writes."""

from typing import get_args

from bailiwick.errors import BadInput, ControlError
from bailiwick.nouns import Scope, Stop
from bailiwick.transactions import LiftStop, PutStop, RaiseEpoch
from bailiwick.values import identifier, shown

# What people may stop. That a ledger is held is no switch of theirs.
SCOPES: tuple[str, ...] = tuple(scope for scope in get_args(Scope) if scope != "ledger")

# What only takes rights away. Disabling a person is not among them: it could leave one
# administrator, who would then need nobody's consent to loosen anything.
TIGHTENING = frozenset({"stop", "revoke", "disable_agent"})


def stop_ops(stop: Stop) -> tuple[RaiseEpoch, PutStop]:
    """Give the operations that pull a kill switch; with them the tenant's epoch rises.

    Raises `ControlError`: scope_unknown, target_invalid, operator_unknown.
    """
    _check(stop.scope, stop.target)
    if not stop.by:
        raise ControlError(
            "a stop has no operator", code="operator_unknown", help="log in, then stop it"
        )
    return RaiseEpoch(), PutStop(stop=stop)


def lift_ops(scope: str, target: str) -> tuple[RaiseEpoch, LiftStop]:
    """Give the operations that lift a kill switch. Raises `ControlError` as `stop_ops` does."""
    _check(scope, target)
    return RaiseEpoch(), LiftStop(scope=scope, target=target)


def needs_second(kind: str, admins: int) -> bool:
    """Say whether a control change waits for a second person's consent.

    `admins` is how many enabled administrators there are. Tightening never waits; everything
    else, a kind not known here too, waits as soon as there are two.
    """
    return kind not in TIGHTENING and admins >= 2


def _check(scope: str, target: str) -> None:
    if scope not in SCOPES:
        raise ControlError(
            f"there is no scope `{shown(scope)}` to stop",
            code="scope_unknown",
            help=f"a scope is one of {', '.join(SCOPES)}",
        )
    if scope == "everything":
        if target:
            raise ControlError(
                f"`everything` has no target, but `{shown(target)}` was given",
                code="target_invalid",
                help="leave the target out, or name the scope it belongs to",
            )
        return
    try:
        identifier(target, f"the {scope} to stop")
    except BadInput as error:
        raise ControlError(
            error.message, code="target_invalid", help=f"give the name of the {scope}"
        ) from error
