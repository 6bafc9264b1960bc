"""The definitions of MCP tools that people accepted: one file for each upstream.

`bailiwick tools accept` writes `tools/<upstream>.pins.yaml`, and like every other file it decides
only once it is released. It holds each definition whole, so that what changed can be said in words,
and beside it the hash that a live definition must have and the confusable names that were accepted.
"""

import json
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from bailiwick.catalog.problems import problem, read_as, unknown_members
from bailiwick.catalog.yaml_text import load_yaml
from bailiwick.errors import CatalogError
from bailiwick.values import JSON, digest, shown, skeleton

SUFFIX = ".pins.yaml"
_MAX_SHOWN = 4000
_WORDS = {
    "title": "title",
    "description": "description",
    "annotations": "annotations",
    "outputSchema": "output schema",
}
_NOT_PLAIN = re.compile(r"[^\x20-\x7e\n]")


class Pin(Struct, frozen=True, kw_only=True):
    """One accepted definition; `beside` are confusable tools, as `upstream/tool`, accepted too."""

    sha256: str
    definition: Mapping[str, JSON]
    beside: tuple[str, ...] = ()


class PinFile(Struct, frozen=True, kw_only=True):
    """All pins of one upstream, by the upstream's own names of its tools."""

    upstream: str
    pins: Mapping[str, Pin]


Pins = Mapping[str, Mapping[str, Pin]]


def read_pins(files: Mapping[str, str]) -> tuple[Pins, list[CatalogError]]:
    """Read every pin of a project, by upstream and tool, and everything that is wrong with them."""
    pins: dict[str, Mapping[str, Pin]] = {}
    problems: list[CatalogError] = []
    for path in sorted(files):
        if not (path.startswith("tools/") and path.endswith(SUFFIX)):
            continue
        try:
            content = load_yaml(files[path], path)
            problems += unknown_members({**content, "pins": {}}, PinFile, path)
            file = read_as(content, PinFile, path)
        except CatalogError as error:
            problems.append(error)
            continue
        if path != path_of(file.upstream):
            problems.append(problem("pin_damaged", path, f"these are pins of `{file.upstream}`"))
        problems += _damaged(file, path)
        pins[file.upstream] = file.pins
    problems += _confused(pins)
    return pins, problems


def path_of(upstream: str) -> str:
    """Where an upstream's pins are in the project."""
    return f"tools/{upstream}{SUFFIX}"


def pins_text(upstream: str, pins: Mapping[str, Pin]) -> str:
    """Write an upstream's pins: ASCII only, so that no character of a file deceives its reader."""
    lines = [
        "# Written by `bailiwick tools accept`. A tool whose definition differs from its pin is",
        "# held until it is accepted again.",
        f"upstream: {_quoted(upstream)}",
        "pins:" if pins else "pins: {}",
    ]
    for name, pin in sorted(pins.items()):
        whole = json.dumps(pin.definition, indent=2, ensure_ascii=False).replace("\n", "\n      ")
        lines += [
            f"  {_quoted(name)}:",
            f"    sha256: {_quoted(pin.sha256)}",
            f"    beside: [{', '.join(map(_quoted, pin.beside))}]",
            f"    definition: {_ascii(whole)}",
        ]
    return "\n".join(lines) + "\n"


def described(definition: Mapping[str, JSON]) -> Iterator[str]:
    """Say what a definition says, in lines with the server's own text made safe and quoted."""
    for name in ("title", "description"):
        if name in definition:
            yield f"its {name}: `{_safe(definition[name])}`"
    for name, each in _arguments(definition).items():
        yield f"takes `{_safe(name)}`: {_safe(each)}"
    for name in ("annotations", "outputSchema"):
        if name in definition:
            yield f"its {_WORDS[name]}: {_safe(definition[name])}"


def changes(old: Mapping[str, JSON], new: Mapping[str, JSON]) -> Iterator[str]:
    """Say in words what changed from one definition to another, likewise."""
    for name in ("title", "description", "annotations", "outputSchema"):
        was, now = old.get(name), new.get(name)
        if was != now:
            yield f"its {_WORDS[name]} was {_shown(was)} and is {_shown(now)}"
    before, after = _arguments(old), _arguments(new)
    for name in sorted(before.keys() | after.keys()):
        quoted = f"the argument `{_safe(name)}`"
        if name not in before:
            yield f"adds {quoted}: {_safe(after[name])}"
        elif name not in after:
            yield f"takes away {quoted}"
        elif before[name] != after[name]:
            yield f"changes {quoted}: was {_safe(before[name])}, is {_safe(after[name])}"
    rest = [
        {each: value for each, value in _schema(one).items() if each != "properties"}
        for one in (old, new)
    ]
    if rest[0] != rest[1]:
        yield f"changes the rest of its input schema: was {_safe(rest[0])}, is {_safe(rest[1])}"


def outside_references(value: JSON) -> Iterator[str]:
    """Give every reference of a definition that leads out of it, in whatever schema it stands."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name in ("$ref", "$dynamicRef") and not str(each).startswith("#"):
                yield str(each)
            yield from outside_references(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from outside_references(each)


def _schema(definition: Mapping[str, JSON]) -> Mapping[str, JSON]:
    schema = definition.get("inputSchema")
    return schema if isinstance(schema, Mapping) else {"": schema}


def _arguments(definition: Mapping[str, JSON]) -> Mapping[str, JSON]:
    properties = _schema(definition).get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _shown(value: JSON) -> str:
    return "not there" if value is None else f"`{_safe(value)}`"


def _safe(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown(text, _MAX_SHOWN)


def _quoted(text: str) -> str:
    return _ascii(json.dumps(text, ensure_ascii=False))


def _ascii(text: str) -> str:
    """Escape as YAML does: the two halves of JSON's pairs would be two characters to it."""
    return _NOT_PLAIN.sub(lambda found: f"\\U{ord(found[0]):08x}", text)


def _damaged(file: PinFile, path: str) -> Iterator[CatalogError]:
    for name, pin in file.pins.items():
        if pin.definition.get("name") != name or digest(pin.definition) != pin.sha256:
            yield problem(
                "pin_damaged",
                f"{path}, {shown(name, 60)}",
                "the definition is not the one of its hash",
                "run `bailiwick tools accept`; a pin is not edited by hand",
            )


def _confused(pins: Pins) -> Iterator[CatalogError]:
    """Say which pinned names can be taken for each other and were not accepted beside it."""
    known = [
        (f"{upstream}/{name}", skeleton(name), pin)
        for upstream, tools in pins.items()
        for name, pin in tools.items()
    ]
    for label, look, pin in known:
        for other, other_look, _ in known:
            if other != label and other_look == look and other not in pin.beside:
                yield problem(
                    "pin_confusable",
                    label,
                    f"its name can be taken for `{shown(other)}`",
                    f"see `bailiwick tools list`, then `bailiwick tools accept {label}`",
                )
