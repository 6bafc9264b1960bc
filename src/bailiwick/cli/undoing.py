"""undo: take back what an action or a run did, after showing what that would be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import click

from bailiwick.cli.frame import (
    DOUBT,
    FAILED,
    FOUND,
    OK,
    REFUSED,
    WAITS,
    Command,
    Frame,
    agreed,
    pass_frame,
)
from bailiwick.cli.reaching import ask, keep_house
from bailiwick.cli.telling import line, pretty
from bailiwick.errors import BadInput
from bailiwick.values import JSON, shown

Object = Mapping[str, JSON]

# The worst that happened decides the exit code; the worst first.
_WORST = (DOUBT, FAILED, REFUSED, WAITS, FOUND)
_CODES: Mapping[str, int] = {
    "done": OK,
    "unknown": DOUBT,
    "running": DOUBT,
    "failed": FAILED,
    "refused": REFUSED,
    "denied": REFUSED,
    "parked": WAITS,
}
# There is nothing left to do about these.
_SETTLED = frozenset({"already_undone", "not_done"})
# And about these keeping house may do something.
_UNDER_WAY = frozenset({"being_undone", "undo_waits", "in_doubt"})


@click.command("undo", cls=Command)
@click.argument("target", metavar="RUN|ACTION")
@click.option("--agent", help="Which agent undoes it; by default the one that did it.")
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--anyway", is_flag=True, help="Also where others have written on it since.")
@click.option("--reason", default="", help="Why, for whoever is asked to approve it.")
@pass_frame
def undo(
    frame: Frame,
    /,
    target: str,
    agent: str | None,
    reason: str,
    **flags: bool,
) -> int:
    """Undo what RUN or ACTION did: first the plan, the newest first, then each after asking.

    Each step is a governed action on your behalf, through the tool that undoes it: the rules hold
    for it, and people may be asked. Given again, it goes on where it was, and undoes nothing twice.
    Exit code: 0 all that was done is undone, 1 something cannot be, else as `run` has it.
    """
    given: dict[str, JSON] = {"agent": agent or "", "anyway": flags["anyway"]}
    plan, steps, going = _planned(frame, target, given)
    if not flags["only_plan"] and not going and _UNDER_WAY & {step["code"] for step in steps}:
        keep_house(frame)  # whose process began it may be gone, and nobody else there
        plan, steps, going = _planned(frame, target, given)
    if not frame.json:
        for each in _plan(steps):
            click.echo(each)
    if flags["only_plan"] or not going:
        if frame.json:
            frame.tell({**plan, "outcomes": []})
        return OK if flags["only_plan"] else _code(steps, [])
    if not flags["yes"]:
        if frame.json:
            raise BadInput("nobody can be asked", code="usage", help="add `--yes` or `--plan`")
        agreed(f"undo {len(going)} of these?")
    outcomes: list[Object] = []
    for step in going:
        asked = {"action": step["action"], "run": plan["run"], "reason": reason, **given}
        outcome = {**cast("Object", ask(frame, "undo", **asked)), "undoes": step["action"]}
        outcomes.append(outcome)
        if not frame.json:
            click.echo(_became(outcome))
    if frame.json:
        frame.tell({**plan, "outcomes": cast("list[JSON]", outcomes)})
    return _code(steps, outcomes)


def _planned(
    frame: Frame, target: str, given: Mapping[str, JSON]
) -> tuple[Object, list[Object], list[Object]]:
    """The plan, its steps, and those that can be undone."""
    plan = cast("Object", ask(frame, "undo plan", target=target, **given))
    steps = cast("list[Object]", plan["steps"])
    return plan, steps, [step for step in steps if step["can_be_undone"]]


def _plan(steps: Sequence[Object]) -> Iterator[str]:
    if not steps:
        yield "nothing was written: there is nothing to undo"
    for step in steps:
        on = f" on {line(step['resource'])}" if step["resource"] else ""
        yield f"{line(step['action'])}  {line(step['tool'])}{on}"
        if not step["can_be_undone"]:
            yield f"    cannot be undone [{step['code']}]: {line(step['message'], 1000)}"
            if step["help"]:
                yield f"    help: {line(step['help'], 1000)}"
            continue
        by, on, actor = (line(step[name]) for name in ("reverser", "reverses", "agent"))
        yield f"    by {by} on {on}, as {actor}"
        if step["arguments"] is not None:
            yield from pretty(step["arguments"], "    ")
        else:
            names = cast("list[str]", step["argument_names"])
            yield f"    with {shown(', '.join(names)) or 'no arguments'}; approvers see the values"


def _became(outcome: Object) -> str:
    """One step's end, in a line: an outcome, or why it could not begin."""
    undoes = line(outcome["undoes"])
    if "status" not in outcome:
        return f"{undoes}  cannot be undone [{outcome['code']}]: {line(outcome['message'], 1000)}"
    word = {"done": "undone", "parked": "waits for people"}.get(
        str(outcome["status"]), str(outcome["status"])
    )
    by = f" by {line(outcome['action'])}" if outcome["action"] else ""
    code = f" [{outcome['code']}]" if outcome["code"] else ""
    verdict = f", {outcome['verdict']}" if outcome["verdict"] else ""
    said = f": {line(outcome['message'], 1000)}" if outcome["message"] else ""
    return f"{undoes}  {word}{by}{verdict}{code}{said}"


def _code(steps: Sequence[Object], outcomes: Sequence[Object]) -> int:
    codes = [FOUND for step in steps if step["code"] and step["code"] not in _SETTLED]
    for outcome in outcomes:
        if "status" not in outcome:
            codes.append(OK if outcome["code"] in _SETTLED else FOUND)
        elif outcome["verdict"] == "contradicted":
            codes.append(DOUBT)
        else:
            codes.append(_CODES[str(outcome["status"])])
    return next((code for code in _WORST if code in codes), OK)


COMMANDS = (undo,)
