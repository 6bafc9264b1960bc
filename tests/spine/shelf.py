"""A project whose tools can be undone, some of them: tags and a status on things, and mail."""

import sys
from pathlib import Path
from typing import Any

from bailiwick.operations import found
from bailiwick.testing import write_project
from tests.spine.house import LIMITS, PEOPLE, SETTINGS, given_a_database

KEEPER = """\
name: NAME
owner: support
tools_allowlist: ["shelf.*"]
max_tool_calls: 100000
approvals: {default: "finance:1"}
tiers: [{on: outbound, unit: recipients, auto_up_to: 5}]
"""
WRITER = """\
owner: support
tools_allowlist: [shelf.put]
approvals: {default: "finance:1"}
"""
RULES = """\
@id("shelf.asks")
@approval("finance:1")
forbid (principal, action == Action::"shelf.take", resource)
when { context.input.tag == "dear" }
unless { context.approvals has "shelf.asks" && context.approvals["shelf.asks"] };
"""
TOOLS = '''\
"""Things with tags and a status. What was really done is in `BOOKS`."""

from bailiwick import NotDone, ToolContext, tool

BOOKS = []
READS = []
KEYS = {}
THINGS = {}
LOOK = {"tool": "shelf.look", "arguments": {"on": "args.on"}}
LAW = {"effect": "write", "owner": "o", "resource": ("Thing", "args.on"), "reader": LOOK,
       "key_retention_s": "none", "settles_within_s": 0, "timeout_s": 2}


def thing(on: str) -> dict[str, object]:
    return THINGS.setdefault(on, {"tags": [], "status": "new", "mail": []})


@tool(name="shelf.look", effect="read", owner="o", resource=("Thing", "args.on"))
async def look(on: str) -> dict[str, object]:
    """Looks at a thing."""
    return thing(on)


@tool(name="shelf.put", expect="args.tag in after.tags", reverser="shelf.take",
      reverser_arguments={"on": "args.on", "tag": "args.tag", "of": "action.id"}, **LAW)
async def put(on: str, tag: str, context: ToolContext, how: str = "") -> str:
    """Puts a tag on a thing."""
    if how == "refuse":
        raise NotDone("not today")
    thing(on)["tags"].append(tag)
    BOOKS.append({"did": "put", "on": on, "tag": tag, "action": context.action})
    if how == "raise":
        raise RuntimeError("it went wrong afterwards")
    return tag


@tool(name="shelf.take", expect="!(args.tag in after.tags)", reverser="shelf.put",
      reverser_arguments={"on": "args.on", "tag": "args.tag"}, **LAW)
async def take(on: str, tag: str, context: ToolContext, of: str = "") -> str:
    """Takes a tag off a thing."""
    if KEYS.pop("refuse", None):
        raise NotDone("not today")
    thing(on)["tags"].remove(tag)
    BOOKS.append({"did": "take", "on": on, "tag": tag, "of": of, "action": context.action})
    return tag


@tool(name="shelf.set", expect="after.status == args.status", reverser="shelf.set",
      before={"was": LOOK}, reverser_arguments={"on": "args.on", "status": "before.was.status"},
      **LAW)
async def set_status(on: str, status: str, context: ToolContext) -> str:
    """Gives a thing a status."""
    thing(on)["status"] = status
    BOOKS.append({"did": "set", "on": on, "status": status, "action": context.action})
    return status


@tool(name="shelf.mail", expect="args.text in after.mail", traits=("outbound",),
      facts={"recipients": "1", "destinations": '["example.com"]'}, **LAW)
async def mail(on: str, text: str) -> str:
    """Mails somebody about a thing, for good."""
    thing(on)["mail"].append(text)
    return text
'''
FILES = {
    "bailiwick.yaml": SETTINGS,
    "limits.yaml": LIMITS,
    "agents/keeper.yaml": KEEPER.replace("NAME", "keeper"),
    "agents/undoer.yaml": KEEPER.replace("NAME", "undoer"),
    "agents/writer.yaml": WRITER,
    "policies/shelf.cedar": RULES,
    "tools/shelf.py": TOOLS,
}


async def founded(folder: Path) -> Path:
    """Found the project with people."""
    write_project(folder, FILES)
    given_a_database(folder)
    await found(folder, PEOPLE)
    return folder


def clear_shelf() -> None:
    """Forget the things: modules of one text are one module."""
    for module in _modules():
        module.THINGS.clear()
        module.KEYS.clear()


def refuse_once() -> None:
    """Have the next `shelf.take` do nothing."""
    for module in _modules():
        module.KEYS["refuse"] = True


def _modules() -> list[Any]:
    named = [each for name, each in sys.modules.items() if name.startswith("bailiwick_released_")]
    return [each for each in named if hasattr(each, "THINGS")]


def by_code(steps: Any) -> dict[str, str]:
    """The steps of a plan: what each did, by code, empty for what can be undone."""
    return {step.action: step.code for step in steps}
