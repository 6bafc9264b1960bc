"""agents, token: who the agents are and what they do; their keys, and what ends a right to act."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import click

from bailiwick import identity
from bailiwick.cli.connecting import address, snippets
from bailiwick.cli.control import revoked
from bailiwick.cli.frame import OK, Frame, Group, pass_frame
from bailiwick.cli.people import waiting
from bailiwick.cli.reaching import ask
from bailiwick.cli.telling import at, fields, line, table
from bailiwick.errors import BadInput
from bailiwick.identity.jose import public_jwk
from bailiwick.values import JSON, parse
from bailiwick.wiring import agent_key_file

Object = Mapping[str, JSON]


@click.group("agents", cls=Group)
def agents() -> None:
    """The agents: their accounts and keys, and what they do."""


@agents.command("list")
@pass_frame
def agents_list(frame: Frame) -> int:
    """List the agents: whether each may act, how far, by which keys, and what it does."""
    answer = cast("list[Object]", ask(frame, "agents list"))
    rows = [
        [
            *(each[name] for name in ("agent", "owner", "enabled", "mode")),
            list(_keys(each)),
            list(_budget(each)),
            each["open"],
            at(each["seen_us"]),
        ]
        for each in answer
    ]
    headings = ["AGENT", "OWNER", "ENABLED", "MODE", "KEYS", "TODAY", "OPEN", "LAST SEEN"]
    frame.tell(answer, table(headings, rows, "there are no agents"))
    return OK


@agents.command("show")
@click.argument("agent")
@pass_frame
def agents_show(frame: Frame, agent: str) -> int:
    """Show AGENT: its account, its keys with their ages, its budget, and what is open of it."""
    told = cast("Object", ask(frame, "agents show", agent=agent))
    lines = fields(
        {
            **{name: told[name] for name in ("agent", "owner", "registered", "enabled", "mode")},
            "tools": told["tools"],
            "payloads kept": f"{told['retention_days']} days" if told["retention_days"] else None,
            "keys": list(_keys(told)),
            "budget": list(_budget(told)),
            "last seen": at(told["seen_us"]),
        }
    )
    opened = cast("list[Object]", told["open_actions"])
    rows = [[each[name] for name in ("action", "state", "tool", "run")] for each in opened]
    frame.tell(told, [*lines, *table(["OPEN", "STATE", "TOOL", "RUN"], rows, "nothing is open")])
    return OK


def _keys(row: Object) -> Iterator[str]:
    since = cast("Object", row["keys_since_us"])
    revoked = cast("Sequence[str]", row["revoked_keys"])
    for kid in cast("list[str]", row["keys"]):
        age = f" since {at(since[kid])[:10]}" if since[kid] is not None else ""
        yield f"{kid}{' (revoked)' if kid in revoked else age}"


def _budget(row: Object) -> Iterator[str]:
    for each in cast("list[Object]", row["budget"]):
        held = f" and {each['held']} held" if each["held"] else ""
        yield f"{each['spent']} {each['unit']}{held} ({each['bucket']})"


@agents.command("register")
@click.argument("agent")
@click.option(
    "--jwk",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True),
    help="The agent's public key (JWK). Without it a key is made in the project's keys.",
)
@click.option(
    "--subject",
    "subjects",
    multiple=True,
    help="Whom its holder may speak for at the token endpoint, beside the agent itself.",
)
@pass_frame
def agents_register(frame: Frame, agent: str, file: Path | None, subjects: tuple[str, ...]) -> int:
    """Register a key of AGENT. With two administrators the second one does it."""
    settings = frame.enter()
    if file is not None:
        jwk: Object = parse(file.read_bytes())
    else:
        path = agent_key_file(settings, _agent_name(agent))
        if not path.exists():
            identity.create_agent_key(path, os.urandom)
        jwk = public_jwk(identity.read_agent_key(path))
    more = {"subjects": list(subjects)} if subjects else {}
    answer = ask(frame, "agents register", agent=agent, jwk=_public(jwk), **more)
    if (waits := waiting(frame, answer)) is not None:
        return waits
    told = cast("Object", answer)
    frame.tell(told, [f"registered: {told['agent']} with the key {told['key']}"])
    return OK


@agents.command("access-key")
@click.argument("agent")
@click.option("--subject", required=True, help="On whose behalf whoever has the key acts.")
@click.option("--days", type=int, default=90, show_default=True, help="For how long.")
@pass_frame
def agents_access_key(frame: Frame, agent: str, subject: str, days: int) -> int:
    """Make an access key of AGENT, for clients that can only send a fixed header.

    With two administrators the second one makes it, and is shown it. `revoke-key` ends it.
    """
    answer = ask(frame, "agents access-key", agent=agent, subject=subject, days=days)
    if (waits := waiting(frame, answer)) is not None:
        return waits
    told = cast("Object", answer)
    lines = [
        *fields({name: told[name] for name in ("agent", "subject", "days", "key")}),
        f"access key  {told['access_key']}",
        "",
        "It is shown this once and kept nowhere. Whoever has it may act as the agent.",
        "",
        *snippets(address(frame.enter().serve), str(told["access_key"])),
    ]
    frame.tell(told, lines)
    return OK


@agents.command("rotate")
@click.argument("agent")
@pass_frame
def agents_rotate(frame: Frame, agent: str) -> int:
    """Give AGENT of this project a new key; the keys it had are revoked.

    With two administrators the second one does it. Whoever runs as the agent has to start again.
    For a while with both keys, `register` another one first, and `revoke-key` the old one later.
    """
    path = agent_key_file(frame.enter(), _agent_name(agent))
    fresh = path.with_suffix(".next")
    if not fresh.exists():
        identity.create_agent_key(fresh, os.urandom)
    jwk = public_jwk(identity.read_agent_key(fresh))
    answer = ask(frame, "agents rotate", agent=agent, jwk=_public(jwk))
    if (waits := waiting(frame, answer)) is not None:
        return waits
    fresh.replace(path)
    told = cast("Object", answer)
    frame.tell(told, [f"rotated: {told['agent']} has the key {told['key']} and no other"])
    return OK


@agents.command("revoke-key")
@click.argument("agent")
@click.argument("key")
@click.option("--reason", default="", help="Why.")
@pass_frame
def agents_revoke_key(frame: Frame, agent: str, key: str, reason: str) -> int:
    """Revoke the KEY of AGENT at once, and for good."""
    told = cast("Object", ask(frame, "agents revoke-key", agent=agent, key=key, reason=reason))
    lines = [f"revoked: {line(key)}"]
    if not told["keys_left"]:
        lines.append(f"{line(agent)} has no key now: `bailiwick agents rotate {line(agent)}`")
    frame.tell(told, lines)
    return OK


@agents.command("disable")
@click.argument("agent")
@pass_frame
def agents_disable(frame: Frame, agent: str) -> int:
    """Disable AGENT at once."""
    frame.tell(ask(frame, "agents disable", agent=agent), [f"disabled: {line(agent)}"])
    return OK


@agents.command("enable")
@click.argument("agent")
@pass_frame
def agents_enable(frame: Frame, agent: str) -> int:
    """Enable AGENT. With two administrators the second one does it."""
    answer = ask(frame, "agents enable", agent=agent)
    if (waits := waiting(frame, answer)) is not None:
        return waits
    frame.tell(answer, [f"enabled: {line(agent)}"])
    return OK


def _agent_name(agent: str) -> str:
    """A name that may be a file's; the owner checks it again."""
    if not agent.replace("-", "").replace("_", "").isalnum():
        raise BadInput(f"{agent!r} cannot name an agent", code="agent_name_invalid")
    return agent


def _public(jwk: Object) -> Object:
    """The public members alone: a private key given by mistake goes nowhere."""
    return {name: jwk[name] for name in ("kty", "crv", "x") if name in jwk}


@click.group("token", cls=Group)
def token() -> None:
    """Capability tokens: short-lived rights to act."""


@token.command("revoke")
@click.argument("id")
@click.option("--reason", default="", help="Why.")
@pass_frame
def token_revoke(frame: Frame, id: str, reason: str) -> int:
    """Revoke the token ID, and all that was delegated from it, at once and for good.

    `actions show` tells an action's token as its capability.
    """
    frame.tell(ask(frame, "revoke", id=id, reason=reason), revoked(id))
    return OK


COMMANDS = (agents, token)
