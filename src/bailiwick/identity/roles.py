"""Which role may give which command. What is not in the table, nobody may do.

No role holds another: an administrator who also votes has both roles, and it shows. Tightening
(kill, disable, revoke) needs one person; loosening is a change that a second one confirms.
"""

from collections.abc import Collection, Mapping
from typing import get_args

from bailiwick.nouns import Role

ROLES: frozenset[str] = frozenset(get_args(Role))

_ANYONE: frozenset[Role] = frozenset(get_args(Role))
_STOPPERS: frozenset[Role] = frozenset({"operator", "approver", "admin"})
_OPERATORS: frozenset[Role] = frozenset({"operator", "admin"})
_VOTERS_AND_AUDITORS: frozenset[Role] = frozenset({"approver", "auditor"})
# Who signs ahead has to be an approver of each rule's queue; the second person may be either.
_GIVERS: frozenset[Role] = frozenset({"approver", "admin"})
_ADMINS: frozenset[Role] = frozenset({"admin"})
_KEEPERS: frozenset[Role] = frozenset({"auditor", "admin"})

# Who has `actions payload` is told the contents of payloads wherever they stand.
COMMANDS: Mapping[str, frozenset[Role]] = {
    "actions export": _ANYONE,
    "actions list": _ANYONE,
    "actions payload": _VOTERS_AND_AUDITORS,
    "actions redecide": _ANYONE,
    "actions show": _ANYONE,
    "agents access-key": _ADMINS,
    "agents disable": _STOPPERS,
    "agents enable": _ADMINS,
    "agents list": _ANYONE,
    "agents register": _ADMINS,
    "agents revoke-key": _STOPPERS,
    "agents rotate": _ADMINS,
    "agents show": _ANYONE,
    "approvals approve": frozenset({"approver"}),
    "approvals deny": frozenset({"approver"}),
    "approvals list": _ANYONE,
    "approvals show": _VOTERS_AND_AUDITORS,
    "break-glass": frozenset({"responder"}),
    "break-glass draft": frozenset({"responder"}),
    "break-glass end": _STOPPERS | {"responder"},
    "budget": _ANYONE,
    "changes list": _ANYONE,
    "delegation draft": frozenset({"approver"}),
    "delegation end": _STOPPERS,
    "delegation grant": frozenset({"approver"}),
    "delegation list": _ANYONE,
    "in-doubt list": _ANYONE,
    "in-doubt resolve": frozenset({"operator"}),
    "keys rewrap": _ADMINS,
    "kill": _STOPPERS,
    "ledger accept-restore": _ADMINS,
    "ledger checkpoint": _ANYONE,
    "ledger prove": _ANYONE,
    "ledger records": _ANYONE,
    "ledger tile": _ANYONE,
    "mode list": _ANYONE,
    "mode set": _OPERATORS,
    "people add": _ADMINS,
    "people api-key": _ANYONE,
    "people disable": _ADMINS,
    "people list": _ANYONE,
    "people password": _ANYONE,
    "policy bisect": _ANYONE,
    "policy show": _ANYONE,
    "policy tools": _ANYONE,
    "release activate": _ADMINS,
    # Rules that somebody writes for it tell what the payloads hold.
    "release backtest": _VOTERS_AND_AUDITORS | _ADMINS,
    "release check": _ANYONE,
    "release diff": _ANYONE,
    "release list": _ANYONE,
    "release propose": _OPERATORS,
    "release rollback": _ADMINS,
    "resume": _OPERATORS,
    "reviews close": frozenset({"approver", "auditor", "admin"}),
    "reviews list": _ANYONE,
    "revoke": _STOPPERS,
    "standing confirm": _GIVERS,
    "standing draft": _GIVERS,
    "standing grant": _GIVERS,
    "standing list": _ANYONE,
    "standing withdraw": _STOPPERS,
    "stops list": _ANYONE,
    "undo": _OPERATORS,
    "undo plan": _ANYONE,
    "vault erase": _KEEPERS,
    "vault hold": _KEEPERS,
    "vault holds": _ANYONE,
    "vault overdue": _ANYONE,
    "vault release-hold": _KEEPERS,
    "who-can": _ANYONE,
    "whoami": _ANYONE,
}


def allowed(roles: Collection[Role], command: str) -> bool:
    """Whether somebody with these roles may give a command. A command not in the table: no."""
    return not COMMANDS.get(command, frozenset()).isdisjoint(roles)
