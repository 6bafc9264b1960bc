"""login, logout, whoami, people: who acts is who is logged in; nothing says "as"."""

import sys
from collections.abc import Mapping
from typing import cast, get_args

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick import identity
from bailiwick.cli.frame import OK, WAITS, Command, Frame, Group, pass_frame
from bailiwick.cli.reaching import ask, send
from bailiwick.cli.telling import fields, table
from bailiwick.config import session_file
from bailiwick.errors import BadInput
from bailiwick.identity import LogIn
from bailiwick.identity.jose import decode
from bailiwick.nouns import Role
from bailiwick.values import JSON


@click.command("login", cls=Command)
@click.argument("name")
@pass_frame
def login(frame: Frame, name: str) -> int:
    """Log in as NAME. The password is asked for, or read from standard input.

    The session lasts twelve hours and is kept in a file that only you can read.
    """
    settings = frame.enter()
    password = _password("password")
    parameters: dict[str, JSON] = {"name": name, "password": password}
    answer = cast(
        "Mapping[str, JSON]",
        send(frame, settings, {"command": "login", "parameters": parameters}),
    )
    key = Ed25519PrivateKey.from_private_bytes(decode(str(answer["key"])))
    session = LogIn(str(answer["statement"]), key)
    identity.write_session(session_file(settings.path(".")), session)
    told = {name: answer[name] for name in ("person", "roles", "queues")}
    frame.tell(told, [f"logged in as {_account(told)}"])
    return OK


@click.command("logout", cls=Command)
@pass_frame
def logout(frame: Frame) -> int:
    """Log out: the session and the opened signing key are removed."""
    settings = frame.enter()
    identity.end_session(session_file(settings.path(".")))
    frame.tell({"logged_out": True}, ["logged out"])
    return OK


@click.command("whoami", cls=Command)
@pass_frame
def whoami(frame: Frame) -> int:
    """Say who is logged in, as the account is now."""
    answer = cast("Mapping[str, JSON]", ask(frame, "whoami"))
    frame.tell(answer, [_account({**answer, "person": answer["name"]})])
    return OK


@click.group("people", cls=Group)
def people() -> None:
    """Accounts: list, add and disable them; change one's own password."""


@people.command("list")
@pass_frame
def people_list(frame: Frame) -> int:
    """List all accounts."""
    answer = cast("list[Mapping[str, JSON]]", ask(frame, "people list"))
    rows = [[each[name] for name in ("name", "roles", "queues", "enabled")] for each in answer]
    frame.tell(answer, table(["NAME", "ROLES", "QUEUES", "ENABLED"], rows, "nobody has an account"))
    return OK


@people.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(get_args(Role)))
@click.option("--queue", "queues", multiple=True, help="An approval queue the person answers for.")
@pass_frame
def people_add(frame: Frame, name: str, roles: tuple[str, ...], queues: tuple[str, ...]) -> int:
    """Make an account for NAME, with a password that is shown once.

    An account that was disabled is made anew. With two administrators the second one makes it.
    """
    answer = ask(frame, "people add", name=name, roles=list(roles), queues=list(queues))
    if (waits := waiting(frame, answer)) is not None:
        return waits
    made = cast("Mapping[str, JSON]", answer)
    lines = fields({"account": made["name"], "roles": made["roles"], "queues": made["queues"]})
    lines += [
        f"password  {made['password']}",
        "",
        "The password is shown this once. Whoever saw it could act as this person until",
        f"{made['name']} has run `bailiwick people password --new-key`.",
    ]
    frame.tell(made, lines)
    return OK


@people.command("disable")
@click.argument("name")
@pass_frame
def people_disable(frame: Frame, name: str) -> int:
    """Disable the account NAME. With two administrators the second one does it."""
    answer = ask(frame, "people disable", name=name)
    if (waits := waiting(frame, answer)) is not None:
        return waits
    frame.tell(answer, [f"the account {name} is disabled"])
    return OK


@people.command("password")
@click.option("--new-key", is_flag=True, help="Make a new signing key too: old copies end.")
@pass_frame
def people_password(frame: Frame, new_key: bool) -> int:
    """Change your own password: the old one, then the new one, are asked for.

    With `--new-key` votes cast on requests that are still open no longer count.
    """
    old, new = _password("old password"), _password("new password", confirm=True)
    answer = ask(frame, "people password", password=old, new_password=new, new_key=new_key)
    more = ["log in again: the signing key is another one"] if new_key else []
    frame.tell(answer, ["the password is changed", *more])
    return OK


@people.command("api-key")
@click.option("--days", type=int, default=90, show_default=True, help="For how long.")
@pass_frame
def people_api_key(frame: Frame, days: int) -> int:
    """Make an API key of your own, for a program; it is shown this once.

    It does what you may do, but vote, sign ahead and keep accounts. `bailiwick revoke ID` ends it.
    """
    answer = cast("Mapping[str, JSON]", ask(frame, "people api-key", days=days))
    lines = fields({"id": answer["id"], "days": answer["days"]})
    frame.tell(answer, [*lines, f"api key  {answer['api_key']}"])
    return OK


def waiting(frame: Frame, answer: JSON, second: str = "") -> int | None:
    """Tell that a change waits for a second person, who gives `second`; None if it does not."""
    if not isinstance(answer, Mapping) or "waiting" not in answer:
        return None
    what = f"`{second}`" if second else "the same command"
    frame.tell(
        answer,
        [
            f"proposed as {answer['waiting']}: {answer['change']} waits for a second person",
            f"another person who may do it gives {what} within a day",
        ],
    )
    return WAITS


def _account(account: Mapping[str, JSON]) -> str:
    roles = ", ".join(map(str, cast("list[str]", account["roles"])))
    queues = ", ".join(map(str, cast("list[str]", account["queues"]))) or "no queue"
    return f"{account['person']}: {roles}; answers for {queues}"


def _password(what: str, *, confirm: bool = False) -> str:
    """Ask for a password without showing it; without a terminal, read the next line of input."""
    if sys.stdin.isatty():
        given: str = click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True)
        return given
    text = sys.stdin.readline().removesuffix("\n")
    if not text:
        raise BadInput(
            f"there is no {what} on standard input",
            code="password_missing",
            help="give it as a line of standard input, or use a terminal",
        )
    return text


COMMANDS = (login, logout, whoami, people)
