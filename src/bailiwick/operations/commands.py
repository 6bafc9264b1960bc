"""The table of commands, and the one way in: session, role, then the command."""

from collections.abc import Awaitable, Callable, Mapping

from bailiwick import identity
from bailiwick.errors import BadInput, ControlError, IdentityError
from bailiwick.nouns import Person
from bailiwick.operations import (
    accounts,
    agents,
    approvals,
    backtesting,
    bisecting,
    changes,
    delegations,
    doubts,
    emergencies,
    envelopes,
    keeping,
    mandates,
    modes,
    proofs,
    redeciding,
    releases,
    rotation,
    stops,
    stories,
    undoing,
)
from bailiwick.operations.channel import text_of
from bailiwick.ports import World
from bailiwick.values import JSON, shown

_TRIES = 20

Command = Callable[[World, Person, Mapping[str, JSON]], Awaitable[JSON]]

COMMANDS: Mapping[str, Command] = {
    "actions export": envelopes.actions_export,
    "actions list": stories.actions_list,
    "actions payload": stories.actions_payload,
    "actions redecide": redeciding.actions_redecide,
    "actions show": stories.actions_show,
    "agents access-key": agents.agents_access_key,
    "agents disable": agents.agents_disable,
    "agents enable": agents.agents_enable,
    "agents list": agents.agents_list,
    "agents register": agents.agents_register,
    "agents revoke-key": agents.agents_revoke_key,
    "agents rotate": agents.agents_rotate,
    "agents show": agents.agents_show,
    "approvals approve": approvals.approvals_approve,
    "approvals deny": approvals.approvals_deny,
    "approvals list": approvals.approvals_list,
    "approvals show": approvals.approvals_show,
    "break-glass": emergencies.break_glass,
    "break-glass draft": emergencies.break_glass_draft,
    "break-glass end": emergencies.break_glass_end,
    "budget": releases.budget,
    "changes list": changes.changes_list,
    "delegation draft": delegations.delegation_draft,
    "delegation end": delegations.delegation_end,
    "delegation grant": delegations.delegation_grant,
    "delegation list": delegations.delegation_list,
    "in-doubt list": doubts.in_doubt_list,
    "in-doubt resolve": doubts.in_doubt_resolve,
    "keys rewrap": rotation.keys_rewrap,
    "kill": stops.kill,
    "ledger accept-restore": proofs.ledger_accept_restore,
    "ledger checkpoint": proofs.ledger_checkpoint,
    "ledger prove": proofs.ledger_prove,
    "ledger records": proofs.ledger_records,
    "ledger tile": proofs.ledger_tile,
    "mode list": modes.mode_list,
    "mode set": modes.mode_set,
    "people add": accounts.people_add,
    "people api-key": accounts.people_api_key,
    "people disable": accounts.people_disable,
    "people list": accounts.people_list,
    "people password": accounts.people_password,
    "policy bisect": bisecting.policy_bisect,
    "policy show": releases.policy_show,
    "policy tools": releases.policy_tools,
    "release activate": releases.release_activate,
    "release backtest": backtesting.release_backtest,
    "release check": releases.release_check,
    "release diff": releases.release_diff,
    "release list": releases.release_list,
    "release propose": releases.release_propose,
    "release rollback": releases.release_rollback,
    "resume": stops.resume,
    "reviews close": emergencies.reviews_close,
    "reviews list": emergencies.reviews_list,
    "revoke": stops.revoke,
    "standing confirm": mandates.standing_confirm,
    "standing draft": mandates.standing_draft,
    "standing grant": mandates.standing_grant,
    "standing list": mandates.standing_list,
    "standing withdraw": mandates.standing_withdraw,
    "stops list": stops.stops_list,
    "undo": undoing.undo,
    "undo plan": undoing.undo_plan,
    "vault erase": keeping.vault_erase,
    "vault hold": keeping.vault_hold,
    "vault holds": keeping.vault_holds,
    "vault overdue": keeping.vault_overdue,
    "vault release-hold": keeping.vault_release_hold,
    "who-can": releases.who_can,
    "whoami": accounts.whoami,
}

# What writes nothing but, perhaps, the place of records in the log.
READS = frozenset(
    {
        "actions export",
        "actions list",
        "actions payload",
        "actions redecide",
        "actions show",
        "agents list",
        "agents show",
        "approvals list",
        "approvals show",
        "break-glass draft",
        "budget",
        "changes list",
        "delegation draft",
        "delegation list",
        "in-doubt list",
        "ledger checkpoint",
        "ledger prove",
        "ledger records",
        "ledger tile",
        "mode list",
        "people list",
        "policy bisect",
        "policy show",
        "policy tools",
        "release backtest",
        "release check",
        "release diff",
        "release list",
        "reviews list",
        "standing draft",
        "standing list",
        "stops list",
        "undo plan",
        "vault holds",
        "vault overdue",
        "who-can",
        "whoami",
    }
)


# What takes the person: a password, or the signing key that it opens. A program has neither.
_NOT_BY_API_KEY = (
    *("approvals approve", "approvals deny", "people ", "standing ", "delegation ", "break-glass"),
)
_LOOKS = ("people list", "standing list", "delegation list")


async def perform(world: World, command: Mapping[str, JSON]) -> JSON:
    """Carry out one command: `session` is the signed statement, `command` a name of the table.

    Raises `IdentityError` when nobody is logged in or the role does not allow it, `ControlError`
    for a command there is not, and what the command raises.
    """
    name, given = text_of(command, "command"), command.get("parameters", {})
    if not isinstance(given, Mapping):
        raise BadInput("`parameters` is not an object", code="parameter_invalid")
    if name == "login":
        return await accounts.login(world, given)
    function = COMMANDS.get(name)
    if function is None:
        raise ControlError(
            f"there is no command `{shown(name)}`",
            code="command_unknown",
            help="see `bailiwick --help`",
        )
    statement = text_of(command, "session")
    for _ in range(_TRIES):
        person = await _logged_in(world, statement)
        if not identity.allowed(person.roles, name):
            raise IdentityError(
                f"`{shown(person.name)}` may not `{name}` as {', '.join(person.roles)}",
                code="not_allowed",
                help="ask somebody whose role allows it; see `bailiwick people list`",
            )
        if _takes_the_person(name) and identity.is_api_key(statement):
            raise IdentityError(
                f"an API key may not `{name}`: that takes the person",
                code="api_key_not_enough",
                help="log in with the password; votes are signed by the key that it opens",
            )
        try:
            return await function(world, person, given)
        except changes.Moved:
            continue  # what it went by has changed: it looks again
    raise changes.contended()


def _takes_the_person(name: str) -> bool:
    return name.startswith(_NOT_BY_API_KEY) and name not in _LOOKS


async def _logged_in(world: World, statement: str) -> Person:
    tenant = world.settings.tenant
    people = {each.name: each for each in await world.register.people(tenant)}
    control = await world.store.control(tenant)
    return identity.check_session(world.keys, control, people, statement, world.now_us())
