"""actions, approvals, in-doubt: what was proposed, what waits for people, what nobody knows."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import cast, get_args

import click
import msgspec

from bailiwick import approval
from bailiwick.approval.quoting import block, quoted
from bailiwick.cli.frame import (
    FOUND,
    OK,
    REFUSED,
    Frame,
    Group,
    agreed,
    pass_frame,
)
from bailiwick.cli.reaching import (
    ask,
    by_agent,
    log_in,
)
from bailiwick.cli.releases import (
    judged,
)
from bailiwick.cli.telling import at, fields, line, table, took
from bailiwick.errors import ApprovalError, BadInput
from bailiwick.nouns import State, Vote
from bailiwick.values import JSON, shown

Object = Mapping[str, JSON]

_STATES = get_args(State)
_REQUESTS = ("open", "granted", "denied", "expired", "consumed", "withdrawn")


# --- actions -------------------------------------------------------------------------------------


@click.group("actions", cls=Group)
def actions() -> None:
    """What agents proposed and what became of it."""


@actions.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES))
@click.option("--agent")
@click.option("--tool")
@click.option("--run")
@click.option("--subject")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@pass_frame
def actions_list(
    frame: Frame, /, states: tuple[str, ...], limit: int, **filters: str | None
) -> int:
    """List the newest actions."""
    given: dict[str, JSON] = dict(filters)
    answer = cast(
        "list[Object]", ask(frame, "actions list", states=list(states), limit=limit, **given)
    )
    frame.tell(answer, _action_table(answer, "there are no such actions"))
    return OK


@actions.command("show")
@click.argument("id")
@pass_frame
def actions_show(frame: Frame, id: str) -> int:
    """Tell the whole story of the action ID: each step, the rules, people, records, and why."""
    story = cast("Object", ask(frame, "actions show", action=id))
    frame.tell(story, list(_story(story)))
    return OK


@actions.command("redecide")
@click.argument("id")
@pass_frame
def actions_redecide(frame: Frame, id: str) -> int:
    """Decide the action ID again, under the release that decided it, on what was kept of it.

    Exit code 1 if it is decided otherwise, or cannot be decided again.
    """
    answer = cast("Object", ask(frame, "actions redecide", action=id))
    if answer["same"] is None:
        told = [f"it cannot be decided again [{answer['code']}]: {line(answer['message'])}"]
    else:
        recorded, again = cast("Object", answer["recorded"]), cast("Object", answer["again"])
        told = [f"release {answer['release']}", f"recorded: {line(judged(recorded))}"]
        told.append(f"again: {line(judged(again))}")
        differs = ", ".join(cast("list[str]", answer["differs"]))
        told.append("the same" if answer["same"] else f"NOT THE SAME: {differs}")
    frame.tell(answer, told)
    return OK if answer["same"] else FOUND


@actions.command("export")
@click.option("--format", "form", type=click.Choice(["envelope"]), required=True)
@click.option("--run")
@click.option("--agent")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--payloads", is_flag=True, help="With arguments in clear, if you may read them.")
@pass_frame
def actions_export(frame: Frame, /, form: str, limit: int, **given: str | bool | None) -> int:
    """Write the newest runs, each as one line of JSON: its steps, outcome, cost and time."""
    answer = cast(
        "list[Object]",
        ask(frame, "actions export", limit=limit, **given),
    )
    frame.tell(answer, [json.dumps(each) for each in answer])
    return OK


@actions.command("cancel")
@click.argument("id")
@click.option("--agent", required=True, help="The agent that proposed it; its key signs this.")
@click.option("--subject", required=True, help="On whose behalf it was proposed.")
@pass_frame
def actions_cancel(frame: Frame, id: str, agent: str, subject: str) -> int:
    """Take back the parked action ID, as the agent that proposed it.

    The request to people is withdrawn. Exit code 3 if it is not parked, or another's.
    """
    outcome = by_agent(frame.enter(), agent, subject, id)
    frame.tell(msgspec.to_builtins(outcome), [f"{outcome.code}: {shown(outcome.message, 2000)}"])
    return OK if outcome.code == "cancelled" else REFUSED


def _action_table(listed: Sequence[Object], empty: str) -> list[str]:
    headings = ["ACTION", "STATE", "VERDICT", "CODE", "AGENT", "FOR", "TOOL", "RESOURCE", "CREATED"]
    names = ("action", "state", "verdict", "code", "agent", "subject", "tool", "resource")
    rows = [[*(each[name] for name in names), at(each["created_at_us"])] for each in listed]
    return table(headings, rows, empty)


def _story(story: Object) -> Iterator[str]:
    yield f"action {shown(str(story['action']))}: {story['state']}"
    yield from fields(
        {
            "agent": story["agent"],
            "for": story["subject"],
            "through": story["actors"],
            "run": story["run"],
            "tool": story["tool"],
            "version": story["tool_digest"],
            "touches": story["resource"],
            "attempt": story["attempt"],
            "undoes": story["undoes"],
            "undone by": _undone(cast("Object | None", story["undone_by"])),
            "verdict": story["verdict"],
            "code": story["code"],
            "message": story["message"],
            "cost": f"{story['cost_micro_usd']} micro-USD" if story["cost_micro_usd"] else None,
            "release": story["release"],
            "capability": story["capability"],
            "intent": story["intent_hash"],
            "effect key": story["effect_key"],
            "created": at(story["created_at_us"]),
            "updated": at(story["updated_at_us"]),
            "took": took(story["took_us"]),
        },
        "  ",
    )
    yield from _steps(cast("list[Object]", story["steps"]))
    yield from _decision(cast("Object | None", story["decision"]))
    yield from _approval(cast("Object | None", story["approval"]))
    for each in cast("list[Object]", story["ahead"]):
        what = "broken glass" if str(each["id"]).startswith("brk_") else "standing approval"
        yield f"by the {what} {line(each['id'])} of {line(each['person'])}"
    yield from _records(cast("list[Object]", story["records"]))
    erased = cast("Object | None", story["erased"])
    if erased is not None:
        by = f"by {line(erased['by'])}" if erased["by"] else "by the agent's retention"
        yield f"payloads were erased at {at(erased['at_us'])} {by}: {line(erased['reason'])}"
    else:
        yield from _payloads(cast("Object | None", story["payloads"]))


def _undone(by: Object | None) -> str:
    return f"{by['action']}, which is {by['state']}" if by else ""


def _steps(steps: Sequence[Object]) -> Iterator[str]:
    yield "steps"
    for each in steps:
        when = f", {at(each['at_us'])}" if each["at_us"] is not None else ""
        spent = f" ({took(each['took_us'])})" if each["took_us"] is not None else ""
        name = f"{each['step']:>2} {each['name']}"
        yield f"  {name:<15} {line(each['settled'], 1000)}{when}{spent}"


def _decision(decision: Object | None) -> Iterator[str]:
    if decision is None:
        yield "rules: none was asked"
        return
    yield f"rules: {decision['effect']}"
    for error in cast("list[str]", decision["errors"]):
        yield f"  error: {line(error)}"
    for rule in cast("list[Object]", decision["rules"]):
        yield f"  {rule['effect']} {line(rule['id'])}, text {line(rule['text_hash'])}"
        yield from _rule_text(rule)


def _rule_text(rule: Object) -> Iterator[str]:
    for each in str(rule["text"] or "(the text is not there any more)").strip().split("\n"):
        yield f"    {shown(each, len(each) + 1)}"


def _approval(asked: Object | None) -> Iterator[str]:
    if asked is None:
        return
    yield f"approval: {asked['state']}, until {at(asked['expires_at_us'])}"
    yield f"  digest {asked['digest']}"
    for rule in cast("list[Object]", asked["rules"]):
        yield f"  {_needs(rule)}"
        yield from _rule_text(rule)
    for vote in cast("list[Object]", asked["votes"]):
        word = "approved" if vote["choice"] == "approve" else "denied"
        lent = f" on behalf of {line(vote['on_behalf_of'])}" if vote["on_behalf_of"] else ""
        yield f"  {word} by {line(vote['person'])}{lent} at {at(vote['cast_at_us'])}"
        if vote["reason"]:
            yield from block(str(vote["reason"]))


def _needs(rule: Object) -> str:
    names = ", ".join(map(str, cast("list[str]", rule["approved_by"]))) or "nobody yet"
    rest = f"{rule['missing']} missing" if rule["missing"] else "satisfied"
    asked = f"{line(rule['rule'])} asks {rule['quorum']} of {line(rule['queue'])}"
    return f"{asked}: {shown(names)}, {rest}"


def _records(records: Sequence[Object]) -> Iterator[str]:
    yield "ledger"
    for each in records:
        place = "no place yet" if each["leaf_index"] is None else f"leaf {each['leaf_index']}"
        yield f"  {each['kind']}, {place}, {at(each['at_us'])}, hash {each['hash']}"
        members = cast("Object", each["fields"])
        for name in (
            "args_commitment",
            "result_commitment",
            "reason_commitment",
            "evidence_commitment",
        ):
            if members.get(name):
                yield f"    {name} {members[name]}"
    if not records:
        yield "  no record: run `bailiwick ledger verify`"


def _payloads(payloads: Object | None) -> Iterator[str]:
    """Payloads, and last what the agent gave as reason and sources, quoted."""
    if payloads is None:
        yield "payloads and reasons are told to approvers and auditors"
        return
    proposal = dict(cast("Object", payloads.get("proposal") or {}))
    why = [("reason", proposal.pop("reason", "")), ("uncertainty", proposal.pop("uncertainty", ""))]
    sources = cast("list[str]", proposal.pop("sources", None) or [])
    why += [(f"source {n} of {len(sources)}", source) for n, source in enumerate(sources, 1)]
    if proposal.get("asked") == proposal.get("arguments"):
        proposal.pop("asked", None)
    proposal.pop("holds", None)  # step 5 tells them
    yield from _payload("proposal", proposal or None)
    yield from _payload("result", payloads.get("result"))
    if payloads.get("resolution") is not None:
        yield from _payload("what a person found out", payloads["resolution"])
    yield "why, in the agent's words, which nobody has checked"
    for label, text in why:
        if text:
            yield f"  {label}"
            yield from block(str(text))
    if not any(text for _, text in why):
        yield "  nothing was said"


def _payload(name: str, value: JSON) -> Iterator[str]:
    """A payload's members, one a line; a long one is cut with its length (`--json` has it all)."""
    if not isinstance(value, Mapping):
        yield f"{name}: none, or erased"
        return
    yield name
    texts = {
        member: each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
        for member, each in value.items()
        if each not in (None, "", {}, [])
    }
    yield from fields(texts, "  ")


# --- approvals -----------------------------------------------------------------------------------


@click.group("approvals", cls=Group)
def approvals() -> None:
    """What people are asked, and their votes."""


@approvals.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(_REQUESTS))
@click.option("--all", "every", is_flag=True, help="Those that are decided too.")
@click.option("--mine", is_flag=True, help="Only those of your queues.")
@pass_frame
def approvals_list(frame: Frame, states: tuple[str, ...], every: bool, mine: bool) -> int:
    """List the requests that wait for people, oldest first."""
    wanted = list(_REQUESTS if every else states)
    answer = cast("list[Object]", ask(frame, "approvals list", states=wanted))
    listed = [each for each in answer if each["mine"] or not mine]
    headings = ["ACTION", "STATE", "AGENT", "FOR", "TOOL", "RESOURCE", "WAITS FOR", "UNTIL"]
    names = ("action", "state", "agent", "subject", "tool", "resource")
    rows = [
        [*(each[name] for name in names), _waits_for(each), at(each["expires_at_us"])]
        for each in listed
    ]
    frame.tell(listed, table(headings, rows, "nobody is asked anything"))
    return OK


def _waits_for(asked: Object) -> str:
    rules = cast("list[Object]", asked["rules"])
    waits = [f"{rule['missing']} of {rule['queue']}" for rule in rules if rule["missing"]]
    return ", ".join(waits) if asked["state"] == "open" else ""


@approvals.command("show")
@click.argument("id")
@click.option("--whole", is_flag=True, help="Cut nothing.")
@pass_frame
def approvals_show(frame: Frame, id: str, whole: bool) -> int:
    """Show what is asked about the action ID: facts first, the words of others last."""
    answer = cast("Object", ask(frame, "approvals show", action=id, whole=whole))
    frame.tell(answer, cast("list[str]", answer["lines"]))
    return OK


@approvals.command("approve")
@click.argument("id")
@click.option("--reason", default="", help="Why; it is kept, sealed.")
@click.option("--digest", help="The digest that `show` gave: vote only on exactly that.")
@click.option("--yes", is_flag=True, help="Vote on what is asked now, without being shown it.")
@click.option("--on-behalf-of", "lender", default="", help="Who lent you the vote.")
@pass_frame
def approvals_approve(
    frame: Frame, id: str, *, reason: str, digest: str | None, yes: bool, lender: str
) -> int:
    """Approve the request on the action ID, signed with your key.

    On a terminal the request is shown first, and you are asked; elsewhere give `--digest`.
    """
    return _vote(frame, id, "approve", reason, digest=digest, yes=yes, lender=lender)


@approvals.command("deny")
@click.argument("id")
@click.option("--reason", required=True, help="Why, for whoever asked.")
@click.option("--digest", help="The digest that `show` gave: vote only on exactly that.")
@click.option("--yes", is_flag=True, help="Vote on what is asked now, without being shown it.")
@click.option("--on-behalf-of", "lender", default="", help="Who lent you the vote.")
@pass_frame
def approvals_deny(
    frame: Frame, id: str, *, reason: str, digest: str | None, yes: bool, lender: str
) -> int:
    """Deny the request on the action ID, signed with your key: one denial is enough."""
    return _vote(frame, id, "deny", reason, digest=digest, yes=yes, lender=lender)


def _vote(
    frame: Frame,
    id: str,
    choice: str,
    reason: str,
    *,
    digest: str | None,
    yes: bool,
    lender: str,
) -> int:
    asked = cast("Object", ask(frame, "approvals show", action=id))
    seen = str(asked["digest"])
    # What is signed is what is shown: the digest is computed here, from the document itself.
    if approval.digest_of(cast("Object", asked["document"])) != seen:
        raise ApprovalError(
            "the request is not what its digest says",
            code="request_changed",
            help="do not vote on it; run `bailiwick ledger verify`",
        )
    _agree(asked, choice, digest, yes)
    login = log_in(frame.enter())
    account = cast("Object", ask(frame, "whoami"))
    vote = Vote(
        action=str(asked["action"]),
        person=str(account["name"]),
        choice="approve" if choice == "approve" else "deny",
        request_digest=seen,
        reason=reason,
        cast_at_us=cast("int", asked["now_us"]),
        signature="",
        on_behalf_of=lender,
    )
    signed = approval.sign_vote(vote, login.key)
    members: Object = {name: getattr(signed, name) for name in signed.__struct_fields__}
    answer = cast("Object", ask(frame, f"approvals {choice}", vote=members))
    lines = [f"{'approved' if choice == 'approve' else 'denied'}; the request is {answer['state']}"]
    if answer["state"] == "open":
        lines += [f"  {_needs(rule)}" for rule in cast("list[Object]", answer["rules"])]
    else:
        lines.append(f"see what becomes of it: bailiwick actions show {vote.action}")
    frame.tell(answer, lines)
    return OK


def _agree(asked: Object, choice: str, digest: str | None, yes: bool) -> None:
    """Make sure that the person means this request: by its digest, or by being shown it."""
    seen = str(asked["digest"])
    if digest is not None:
        if len(digest) < 8 or not seen.startswith(digest):
            raise ApprovalError(
                f"the request is not {quoted(digest)} any more",
                code="vote_stale",
                help="look at it as it is now with `bailiwick approvals show`",
            )
        return
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput(
            "it is not said which request is meant",
            code="digest_missing",
            help="give `--digest`, which `bailiwick approvals show` tells, or `--yes`",
        )
    for each in cast("list[str]", asked["lines"]):
        click.echo(each, err=True)
    agreed(f"{choice} this?")


# --- in doubt ------------------------------------------------------------------------------------


@click.group("in-doubt", cls=Group)
def in_doubt() -> None:
    """Outcomes that nobody knows, or that the world contradicts."""


@in_doubt.command("list")
@pass_frame
def in_doubt_list(frame: Frame) -> int:
    """List what is in doubt, oldest first."""
    answer = cast("list[Object]", ask(frame, "in-doubt list"))
    headings = ["ACTION", "STATE", "AGENT", "TOOL", "RESOURCE", "SINCE", "WHY"]
    names = ("action", "state", "agent", "tool", "resource")
    rows = [
        [*(each[name] for name in names), at(each["updated_at_us"]), each["doubt"]]
        for each in answer
    ]
    frame.tell(answer, table(headings, rows, "nothing is in doubt"))
    return OK


@in_doubt.command("resolve")
@click.argument("id")
@click.argument("status", type=click.Choice(["done", "failed"]))
@click.option("--evidence", required=True, help="How you know.")
@pass_frame
def in_doubt_resolve(frame: Frame, id: str, status: str, evidence: str) -> int:
    """Say what became of the action ID. `done` spends what it held, `failed` gives it back."""
    answer = cast(
        "Object", ask(frame, "in-doubt resolve", action=id, status=status, evidence=evidence)
    )
    frame.tell(answer, [f"action {answer['action']} is {answer['state']}, on your word"])
    return OK


COMMANDS = (actions, approvals, in_doubt)
