"""What an agent's file says, and how far it may go with a tool."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from msgspec import Struct

from bailiwick.nouns.budgets import Cap
from bailiwick.values import JSON

# The tightest first: decided and never executed; only reads; every write asks; the rules decide.
Mode = Literal["shadow", "read-only", "draft", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)
# How long payloads are kept after an action ended, where its agent's manifest says nothing.
RETENTION_DAYS = 30


class Manifest(Struct, frozen=True, kw_only=True):
    """What an agent's file says: its owner, its tools, its bounds. `source` is the parsed YAML.

    `modes` are by tool, `prefix.*` or `*`. `max_error_ppm` is how many of a million writes with a
    tool may go wrong before the agent is put back to reading there; None leaves it alone.
    `retention_days` is how long an action's payloads are kept after it ended.
    `models` are by the agent's roles: the program asks for them, nothing here calls a model.
    """

    name: str
    owner: str
    tools: tuple[str, ...]
    require_approval: tuple[str, ...] = ()
    caps: tuple[Cap, ...] = ()
    rates: tuple[Cap, ...] = ()
    max_runtime_seconds: int | None = None
    max_attempts_per_step: int = 5
    modes: Mapping[str, Mode] = {}
    max_error_ppm: int | None = None
    asks_over_budget: bool = False
    models: Mapping[str, str] = {}
    retention_days: int = RETENTION_DAYS
    source: Mapping[str, JSON] = {}


class ModeSetting(Struct, frozen=True, kw_only=True):
    """How far one agent may go with a tool, `prefix.*` or `*`; `by` is empty for the runtime."""

    agent: str
    tool: str
    mode: Mode
    by: str
    reason: str
    since_us: int


def mode_of(
    tool: str,
    agents: Iterable[str],
    *,
    manifests: Mapping[str, Manifest] = {},
    settings: Iterable[ModeSetting] = (),
) -> Mode:
    """Give the tightest mode that a manifest or a setting has for any of the agents with a tool."""
    acting = tuple(agents)
    modes = [each.mode for each in settings if each.agent in acting and names_tool(each.tool, tool)]
    for agent in acting:
        if agent in manifests:
            entries = manifests[agent].modes.items()
            modes += [mode for entry, mode in entries if names_tool(entry, tool)]
    return min(modes, key=MODES.index, default="live")


def names_tool(entry: str, tool: str) -> bool:
    """Say whether an entry (a name, `prefix.*` or `*`) names a tool."""
    return entry in (tool, "*") or (entry.endswith(".*") and tool.startswith(entry[:-1]))
