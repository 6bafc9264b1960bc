"""budget, policy, who-can: what the active release says, and what is left."""

import json
from collections.abc import Iterator, Mapping
from typing import cast

import click
import yaml

from bailiwick.cli.frame import FOUND, OK, Command, Frame, Group, findings, pass_frame
from bailiwick.cli.reaching import ask
from bailiwick.cli.releases import judged
from bailiwick.cli.telling import at, fields, line, table
from bailiwick.errors import BadInput, ConfigError
from bailiwick.nouns import Release
from bailiwick.policy import RuleBook
from bailiwick.ports import Bundle
from bailiwick.values import JSON, shown
from bailiwick.wiring import compile_bundle, read_release

Object = Mapping[str, JSON]


@click.command("budget", cls=Command)
@pass_frame
def budget(frame: Frame) -> int:
    """Show what each budget has spent and holds in its current period, and what is left."""
    answer = cast("list[Object]", ask(frame, "budget"))
    names = ("node", "unit", "period", "spent", "held", "limit", "left")
    rows = [[each[name] for name in names] for each in answer]
    headings = ["NODE", "UNIT", "PERIOD", "SPENT", "HELD", "LIMIT", "LEFT"]
    frame.tell(answer, table(headings, rows, "there are no budgets"))
    return OK


@click.command("who-can", cls=Command)
@click.argument("action")
@click.option("--on", "facts", multiple=True, metavar="NAME=VALUE", help="A fact or an argument.")
@click.option("--resource", metavar="TYPE:ID", help="One resource.")
@click.option("--automatic", is_flag=True, help="Without asking people.")
@pass_frame
def who_can(
    frame: Frame, action: str, facts: tuple[str, ...], resource: str | None, automatic: bool
) -> int:
    """Say which agents can use the tool or group ACTION: `who-can money --on currency=USD`.

    Yes comes with its route and a request that was really decided; no is proved.
    """
    on: dict[str, JSON] = dict(map(_fact, facts))
    answer = cast(
        "list[Object]",
        ask(frame, "who-can", action=action, on=on, resource=resource, automatic=automatic),
    )
    rows = [
        [
            each["agent"],
            each["can"],
            each["tool"],
            each["tier"],
            each["reason"] or ", ".join(cast("list[str]", each["rules"])),
        ]
        for each in answer
    ]
    headings = ["AGENT", "CAN", "BY", "TIER", "WHY"]
    frame.tell(answer, table(headings, rows, "there are no agents"))
    return OK


def _fact(text: str) -> tuple[str, JSON]:
    """A name and a value; what reads as JSON is that, anything else is text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadInput("`--on` is not NAME=VALUE", code="usage", help="write --on currency=USD")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@click.group("policy", cls=Group)
def policy() -> None:
    """The rules: of the active release, and of the project's files."""


@policy.command("show")
@click.argument("rule", required=False)
@pass_frame
def policy_show(frame: Frame, rule: str | None) -> int:
    """Show the rules of the active release with their texts, or one RULE; and the tools."""
    answer = cast("Object", ask(frame, "policy show", rule=rule))
    frame.tell(answer, list(_policy(answer, whole=rule is None)))
    return OK


def _policy(answer: Object, *, whole: bool) -> Iterator[str]:
    yield f"release {answer['release']}"
    for rule in cast("list[Object]", answer["rules"]):
        asks = f", asks {rule['asks']}" if rule["asks"] else ""
        yield f"{rule['effect']} {line(rule['id'])}, {line(rule['file'])}:{rule['line']}{asks}"
        for each in str(rule["text"]).strip().split("\n"):
            yield f"    {shown(each, len(each) + 1)}"
    if not whole:
        return
    tools = cast("list[Object]", answer["tools"])
    names = ("name", "effect", "traits", "resource_type")
    rows = [[*(each[name] for name in names), _undo(each), each["description"]] for each in tools]
    headings = ["TOOL", "EFFECT", "TRAITS", "TOUCHES", "UNDONE BY", "SAYS"]
    yield from table(headings, rows, "there are no tools")


def _undo(tool: Object) -> JSON:
    return (tool["reverser"] or "cannot be undone") if tool["effect"] == "write" else None


@policy.command("test")
@pass_frame
def policy_test(frame: Frame) -> int:
    """Run the policy tests and assertions of the project's files."""
    return check_files(frame, "policy")


@policy.command("bisect")
@click.argument("id")
@pass_frame
def policy_bisect(frame: Frame, id: str) -> int:
    """Say which release first decided the action ID as it was decided, and what it changed.

    The action is decided under every release that was ever active, in their order; releases that
    follow one another and say the same are one line.
    """
    answer = cast("Object", ask(frame, "policy bisect", action=id))
    frame.tell(answer, list(_bisected(answer)))
    return OK


def _bisected(answer: Object) -> Iterator[str]:
    yield f"recorded: {line(judged(cast('Object', answer['recorded'])))}"
    for step in cast("list[Object]", answer["series"]):
        said = step["said"]
        what = judged(cast("Object", said)) if said else str(step["cannot"])
        count = f", {step['activations']} activations" if step["activations"] != 1 else ""
        yield f"{at(step['at_us'])} {str(step['release'])[:16]}{count}: {line(what)}"
    if answer["first"] is None:
        yield "no release that was ever active decides it so today"
        return
    yield f"first: {answer['first']}"
    if answer["before"] is None:
        yield "there was no release before it"
        return
    yield f"against {answer['before']}"
    yield from (f"  {line(each, 2000)}" for each in cast("list[str]", answer["changes"]))


@click.command("check", cls=Command)
@pass_frame
def check(frame: Frame) -> int:
    """Check the project's files whole, without activating them: tools, agents, rules, tests."""
    return check_files(frame, "project")


def check_files(frame: Frame, what: str) -> int:
    """Compile the project's files; tell everything that is wrong with them."""
    folder = frame.enter().path(".")
    release = read_release(folder, created_at_us=0, created_by="check")
    try:
        bundle = compile_bundle(release)
    except ConfigError as fault:
        listed = findings(fault) or [line(fault.message, 2000)]
        document: Object = {"ok": False, "findings": _as_data(fault) or listed}
        more = "s" if len(listed) > 1 else ""
        frame.tell(document, [*listed, f"{len(listed)} finding{more}: nothing of it can decide"])
        return FOUND
    counts = _counts(release, bundle)
    left_out = {name: list(names) for name, names in _book(bundle).left_out.items()}
    names = ("tests", "assertions", "rules") if what == "policy" else tuple(counts)
    lines = [*fields({name: counts[name] for name in names})]
    lines += [
        f"note: no rule can read {', '.join(arguments)} of {tool}: Cedar has no type for it"
        for tool, arguments in left_out.items()
    ]
    tools = bundle.catalogue.tools.values()
    final = sorted(each.name for each in tools if each.effect == "write" and not each.reverser)
    lines += [f"note: what {name} does cannot be undone: it names no reverser" for name in final]
    document = {
        "ok": True,
        "release": release.digest,
        "counts": counts,
        "left_out": left_out,
        "cannot_be_undone": cast("list[JSON]", final),
    }
    frame.tell(document, [*lines, f"the {what} holds together"])
    return OK


def _as_data(fault: ConfigError) -> list[JSON]:
    listed = fault.details.get("findings") or fault.details.get("problems")
    return cast("list[JSON]", listed) if isinstance(listed, list) else []


def _counts(release: Release, bundle: Bundle) -> dict[str, int]:
    book = _book(bundle)
    tests = [text for path, text in release.files.items() if path.startswith("policies/tests/")]
    return {
        "files": len(release.files),
        "tools": len(bundle.catalogue.tools),
        "agents": len(bundle.manifests),
        "rules": len(book.rules),
        "tests": sum(_cases(text) for text in tests),
        "assertions": _cases(release.files.get("policies/assertions.yaml", "")),
    }


def _cases(text: str) -> int:
    """How many cases a file lists; that it is a list is checked by now."""
    return len(yaml.safe_load(text) or ())


def _book(bundle: Bundle) -> RuleBook:
    assert isinstance(bundle.policies, RuleBook)
    return bundle.policies


COMMANDS = (budget, who_can, policy, check)
