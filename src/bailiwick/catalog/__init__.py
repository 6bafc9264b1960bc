"""The catalogue, step 4: what each tool is, what its arguments may be and what they mean.

`load_catalogue`, `load_manifests` and `load_limits` read a release's files. The catalogue validates
arguments and computes the resource, the facts, the effect key and the destination; it is pure.
`declared_upstreams` and the functions of `pins` are about MCP servers and what of them is accepted.
`tool` declares a Python function as a tool, `left_out` names the arguments that no rule can read,
and `compile_path` and `compile_plain` compile the plainest expressions without the CEL package.
"""

from bailiwick.catalog.catalogue import load_catalogue
from bailiwick.catalog.ceilings import load_limits, load_queues
from bailiwick.catalog.input_types import left_out
from bailiwick.catalog.manifests import load_manifests
from bailiwick.catalog.mcp_tools import DeclaredUpstream, declared_upstreams
from bailiwick.catalog.paths import compile_path
from bailiwick.catalog.pins import (
    Pin,
    changes,
    described,
    outside_references,
    path_of,
    pins_text,
    read_pins,
)
from bailiwick.catalog.plain import compile_plain
from bailiwick.catalog.python_tools import tool
from bailiwick.nouns import ToolContext

__all__ = [
    "DeclaredUpstream",
    "Pin",
    "ToolContext",
    "changes",
    "compile_path",
    "compile_plain",
    "declared_upstreams",
    "described",
    "left_out",
    "load_catalogue",
    "load_limits",
    "load_manifests",
    "load_queues",
    "outside_references",
    "path_of",
    "pins_text",
    "read_pins",
    "tool",
]
