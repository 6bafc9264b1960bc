"""The write-tool law: what every tool owes before the catalogue loads.

A tool that writes is reversible (names its reverser), verifiable (names its reader and what to
expect) or gated (people are always asked); it has an owner, says whether its provider honours an
idempotency key, and says within what time its effect settles. Money and deletion claim an effect
key. Reads and writes never share a credential.
"""

from collections.abc import Iterator, Mapping, Sequence

from bailiwick.catalog.forms import Declaration
from bailiwick.catalog.problems import problem
from bailiwick.catalog.reversers import reverser_problems
from bailiwick.catalog.schemas import parameters
from bailiwick.errors import CatalogError
from bailiwick.nouns import HttpBinding, McpBinding, Reader, Tool
from bailiwick.values import did_you_mean, shown, skeleton
from bailiwick.vocabulary import TRAIT_FACTS

_WRITE_TRAITS = ("money", "destructive", "permission", "code")
_KEYED_TRAITS = ("money", "destructive")


def law_problems(declared: Declaration, tools: Mapping[str, Tool]) -> Iterator[CatalogError]:
    """Say what a tool lacks under the law; `tools` are all tools of the catalogue by name."""
    tool = tools[declared.form.name]
    if tool.effect == "write":
        yield from _write_problems(declared, tool)
    else:
        yield from _read_problems(tool)
    yield from _fact_problems(tool)
    yield from _reference_problems(tool, tools)
    yield from reverser_problems(tool, tools)


def look_alikes(names: Sequence[str]) -> Iterator[CatalogError]:
    """Say which names are the same, or are easily taken for each other."""
    seen: dict[str, str] = {}
    for name in names:
        look = skeleton(name)
        if look not in seen:
            seen[look] = name
        elif seen[look] == name:
            yield problem("tool_duplicate", name, "two tools have this name", "rename one")
        else:
            yield problem(
                "tool_look_alike",
                name,
                f"this name is easily taken for `{seen[look]}`",
                "rename one",
            )


def shared_wire_names(tools: Mapping[str, Tool]) -> Iterator[CatalogError]:
    """Say which tools would have one name at the MCP door."""
    seen: dict[str, str] = {}
    for name, tool in tools.items():
        other = seen.setdefault(tool.wire_name, name)
        if other != name:
            yield problem(
                "wire_name_duplicate",
                name,
                f"MCP clients would know it and `{other}` as `{shown(tool.wire_name)}`",
                "rename one, or leave out `keeps_names` of its upstream",
            )


def shared_credentials(tools: Mapping[str, Tool]) -> Iterator[CatalogError]:
    """Say which credentials serve a write and a read."""
    writing = {tool.credential: name for name, tool in tools.items() if tool.credential}
    reading = {tool.read_credential: name for name, tool in tools.items()}
    for credential in sorted(writing.keys() & reading.keys()):
        yield problem(
            "credential_shared",
            writing[credential],
            f"its credential `{credential}` also reads, for `{reading[credential]}`",
            "use a credential that can only read for the reads",
        )


def fact_type_conflicts(tools: Mapping[str, Tool]) -> Iterator[CatalogError]:
    """Say which facts have different types in different tools."""
    seen: dict[str, tuple[str, str]] = {}
    for tool in tools.values():
        for fact, kind in tool.fact_types.items():
            other, before = seen.setdefault(fact, (tool.name, kind))
            if before != kind:
                yield problem(
                    "fact_type_conflict",
                    tool.name,
                    f"the fact `{fact}` is {kind} here and {before} in `{other}`",
                    "give both the same type, or one of them another name",
                )


def _write_problems(declared: Declaration, tool: Tool) -> Iterator[CatalogError]:
    form, name = declared.form, tool.name
    verifiable = tool.reader is not None and tool.expect is not None
    if not (verifiable or tool.reverser or tool.gated):
        yield problem(
            "law_no_way_back",
            name,
            "it writes, but is neither reversible, nor verifiable, nor gated",
            "add `reverser` with `reverser_arguments`, or `reader` with `expect`, or `gated: true`",
        )
    if not tool.owner:
        yield problem("law_no_owner", name, "it writes, but has no owner", "add `owner`")
    if form.key_retention_s is None:
        yield problem(
            "law_no_idempotency",
            name,
            "it writes, but does not say how long its provider honours an idempotency key",
            "add `key_retention_s` in seconds, or `key_retention_s: none`",
        )
    elif tool.key_retention_s is not None and not _sends_key(tool):
        yield problem(
            "law_key_not_sent",
            name,
            "it relies on an idempotency key that it does not send",
            "add `idempotency_header`; a Python tool takes a `context` and sends its provider_key",
        )
    if form.settles_within_s is None:
        yield problem(
            "law_no_settling_time",
            name,
            "it writes, but does not say within what time the effect can be seen",
            "add `settles_within_s`",
        )
    if tool.effect_key is None and any(trait in tool.traits for trait in _KEYED_TRAITS):
        yield problem(
            "law_no_effect_key",
            name,
            "it moves money or destroys, but nothing keeps it from happening twice",
            "add `effect_key`: what may be acted on once at a time, such as the charge and why",
        )


def _sends_key(tool: Tool) -> bool:
    binding = tool.binding
    if isinstance(binding, McpBinding):
        return True
    if not isinstance(binding, HttpBinding):
        return binding.takes_context
    texts = (*binding.headers.values(), *binding.query.values(), *(binding.body or {}).values())
    return bool(binding.idempotency_header) or any("provider_key" in text for text in texts)


def _read_problems(tool: Tool) -> Iterator[CatalogError]:
    for trait in tool.traits:
        if trait in _WRITE_TRAITS:
            yield problem(
                "law_read_with_write_trait",
                tool.name,
                f"it reads, but has the trait `{trait}` of tools that write",
                "remove the trait, or write `effect: write`",
            )
    if tool.reverser or tool.reader or tool.find or tool.effect_key or tool.gated:
        yield problem(
            "law_read_with_write_members",
            tool.name,
            "it reads, but declares how a write is undone, checked, found, keyed or gated",
            "remove these members, or write `effect: write`",
        )


def _fact_problems(tool: Tool) -> Iterator[CatalogError]:
    for trait in tool.traits:
        for fact in TRAIT_FACTS.get(trait, ()):
            if fact not in tool.facts:
                yield problem(
                    "law_fact_missing",
                    tool.name,
                    f"a tool of trait `{trait}` computes the fact `{fact}`",
                    f"add `{fact}` to its facts",
                )
    if "value" in tool.facts and "currency" not in tool.facts:
        yield problem("law_fact_missing", tool.name, "a `value` needs a `currency`", "add the fact")


def _reference_problems(tool: Tool, tools: Mapping[str, Tool]) -> Iterator[CatalogError]:
    readers: dict[str, Reader] = {f"before.{name}": each for name, each in tool.before.items()}
    if tool.reader:
        readers["reader"] = tool.reader
    if tool.find:
        readers["find"] = tool.find
    for member, reader in readers.items():
        yield from _called(tool, tools, member, reader.tool, "read")
        yield from _passed(tool, tools, f"{member}.arguments", reader.tool, reader.arguments)
    if tool.reverser:
        yield from _called(tool, tools, "reverser", tool.reverser, "write")
        yield from _passed(
            tool, tools, "reverser_arguments", tool.reverser, tool.reverser_arguments
        )
    pairs = (
        ("reader", tool.reader, "expect", tool.expect),
        ("find", tool.find, "found", tool.found),
    )
    for one, first, other, second in pairs:
        if (first is None) != (second is None):
            yield problem(
                "law_half_declared",
                tool.name,
                f"`{one}` and `{other}` need each other",
                f"add `{one if first is None else other}`",
            )


def _called(
    tool: Tool, tools: Mapping[str, Tool], member: str, name: str, effect: str
) -> Iterator[CatalogError]:
    if name not in tools:
        yield problem(
            "law_tool_missing",
            tool.name,
            f"its `{member}` names `{name}`, which is no tool here",
            did_you_mean(name, tools, "declare that tool as well"),
        )
    elif tools[name].effect != effect:
        yield problem(
            "law_wrong_effect",
            tool.name,
            f"its `{member}` names `{name}`, which is not a tool that {effect}s",
            f"name a tool with `effect: {effect}`",
        )


def _passed(
    tool: Tool, tools: Mapping[str, Tool], member: str, name: str, arguments: Mapping[str, str]
) -> Iterator[CatalogError]:
    if name not in tools:
        return
    takes, needs = parameters(tools[name].schema)
    for argument in arguments:
        if argument not in takes:
            yield problem(
                "law_argument_unknown",
                tool.name,
                f"its `{member}` gives `{argument}`, which `{name}` does not take",
                did_you_mean(argument, takes, f"`{name}` takes {', '.join(sorted(takes))}"),
            )
    for argument in sorted(needs - arguments.keys()):
        yield problem(
            "law_argument_missing",
            tool.name,
            f"its `{member}` does not give `{argument}`, which `{name}` needs",
            f"add `{argument}`",
        )
