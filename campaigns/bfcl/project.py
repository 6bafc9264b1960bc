"""The project of the campaign: a file of tools for each API, written from BFCL's documents."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from campaigns.bfcl.effects import reads
from campaigns.bfcl.material import Material

AGENT = "solver"
SETTINGS = """\
tick_seconds: 0.5
free_space_watermark_mb: 16
"""
MANIFEST = """\
name: solver
owner: nobody
tools_allowlist: TOOLS
max_tool_calls: 1000000
"""
# What a write did is read from the journal of the calls, by the action that made it.
JOURNAL = '''\
"""The journal of the calls."""

from bailiwick import tool
from campaigns.bfcl import worlds


@tool(name="journal.made", effect="read", owner="nobody")
async def made(action: str) -> dict[str, int]:
    """How many calls an action made."""
    return {"times": worlds.made(action)}
'''
_LAW = """\
owner="nobody", timeout_s=30, key_retention_s="none", settles_within_s=0, \
reader={"tool": "journal.made", "arguments": {"action": "action.id"}}, expect="after.times == 1"\
"""
_HINTS = {"string": "str", "integer": "int", "float": "float", "boolean": "bool"}
_NONE = "None"  # as BFCL's documents write a default of no value


def project_files(material: Material) -> Mapping[str, str]:
    """Every file of the project."""
    spaces = [space(api) for api in material.apis]
    files = {f"tools/{space(api)}.py": _module(material, api) for api in material.apis}
    return {
        **files,
        "tools/journal.py": JOURNAL,
        "bailiwick.yaml": SETTINGS,
        "agents/solver.yaml": MANIFEST.replace(
            "TOOLS", json.dumps([f"{each}.*" for each in spaces])
        ),
    }


def space(api: str) -> str:
    """The first part of the names of an API's tools."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", api).lower()


def named(api: str, method: str) -> str:
    """The name of the tool that a method is."""
    return f"{space(api)}.{method.lower()}"


def _module(material: Material, api: str) -> str:
    lines = [
        f'"""{api}."""',
        "from typing import Any, TypedDict",
        "from bailiwick import ToolContext, tool",
        "from campaigns.bfcl import worlds",
    ]
    for method, document in material.documents[api].items():
        lines += _tool(material.classes[api], api, method, document)
    return "\n".join(lines) + "\n"


def _tool(of: type, api: str, method: str, document: Mapping[str, Any]) -> Iterator[str]:
    effect = 'effect="read", owner="nobody"' if reads(of, method) else f'effect="write", {_LAW}'
    takes: Mapping[str, Any] = document["parameters"]["properties"]
    required = document["parameters"]["required"]
    hints = {}
    for name, schema in takes.items():
        hints[name] = _hint(schema, f"{method.capitalize()}{name.capitalize()}")
        if schema["type"] == "dict":
            members = {each: _hint(within, "") for each, within in schema["properties"].items()}
            inside = ", ".join(f"{each!r}: {hint}" for each, hint in members.items())
            yield f"{hints[name]} = TypedDict({hints[name]!r}, {{{inside}}}, total=False)"
    parameters = [
        f"{name}: {hint}" if name in required else _optional(name, hint, takes[name].get("default"))
        for name, hint in hints.items()
    ]
    yield f"@tool(name={named(api, method)!r}, description={document['description']!r}, {effect})"
    taken = ", ".join(["context: ToolContext", *(parameters and ["*"]), *parameters])
    yield f"async def {method}({taken}) -> Any:"
    given = ", ".join(f"{name!r}: {name}" for name in takes)
    yield f"    return worlds.call(context, {api!r}, {method!r}, {{{given}}})"


def _optional(name: str, hint: str, default: object) -> str:
    if default in (None, _NONE):
        return f"{name}: {hint} | None = None"
    return f"{name}: {hint} = {default!r}"


def _hint(schema: Mapping[str, Any], name: str) -> str:
    if schema["type"] == "array":
        return f"list[{_hint(schema['items'], name)}]"
    return _HINTS.get(schema["type"], name)
