"""YAML read as JSON: what is written is what is meant.

Only `null`, `true`, `false`, JSON numbers and text are known, so `NO` is a text and so is
`2026-01-01`; 0o7, 0x1F and 1:30 are texts as well. Keys are text and stand once. Tags, anchors,
aliases and merge keys are refused: a file that shapes decisions reads the same to everyone.
"""

import math
import re

import yaml

from bailiwick.errors import ConfigError
from bailiwick.values import JSON, MAX_BYTES, MAX_DEPTH, MAX_INTEGER, shown

_TAG = "tag:yaml.org,2002:"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")


class _JsonLoader(yaml.SafeLoader):
    """The parser alone, with JSON's scalars; values are built by `_value`, not by constructors."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_JsonLoader.add_implicit_resolver(f"{_TAG}null", re.compile(r"(null|~|)$"), ["n", "~", ""])
_JsonLoader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(true|false)$"), ["t", "f"])
_JsonLoader.add_implicit_resolver(
    f"{_TAG}float", re.compile(_NUMBER.pattern + "$"), list("-0123456789")
)


def read_yaml(text: str, path: str) -> JSON:
    """Read a YAML file. Raises `ConfigError` with the file and the line in `where`."""
    if len(text) > MAX_BYTES:
        raise _problem("yaml_too_large", path, f"the file is larger than {MAX_BYTES} bytes")
    try:
        node = _JsonLoader(text).get_single_node()
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise _problem("yaml_malformed", path, f"this is not YAML: {shown(said, 300)}") from None
    except RecursionError:
        raise _problem("yaml_too_deep", path, "the file is nested too deeply") from None
    return {} if node is None else _value(node, path, set(), MAX_DEPTH)


def _value(node: yaml.Node, path: str, seen: set[int], depth: int) -> JSON:
    where = f"{path}, line {node.start_mark.line + 1}"
    if id(node) in seen:
        raise _problem("yaml_alias", where, "an alias stands for another value", "write it out")
    if depth == 0:
        raise _problem("yaml_too_deep", where, f"deeper than {MAX_DEPTH} levels")
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, where)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return [_value(item, path, seen, depth - 1) for item in node.value]
    if not isinstance(node, yaml.MappingNode) or node.tag != f"{_TAG}map":
        raise _tagged(node, where)
    result: dict[str, JSON] = {}
    for key, member in node.value:
        name = _value(key, path, seen, depth - 1)
        if not isinstance(name, str):
            raise _problem("yaml_key_not_text", where, "a key is not text", "put it in quotes")
        if name in result:
            at = f"{path}, line {key.start_mark.line + 1}"
            raise _problem("yaml_duplicate_key", at, f"the key `{shown(name)}` stands twice")
        result[name] = _value(member, path, seen, depth - 1)
    return result


def _scalar(node: yaml.ScalarNode, where: str) -> JSON:
    text: str = node.value
    # YAML reads the two halves of an escaped pair as two characters, neither of which is one.
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise _problem("yaml_not_unicode", where, "text holds U+0000 or half of a surrogate pair")
    match node.tag.removeprefix(_TAG):
        case "str":
            return text
        case "null" if text in ("", "~", "null"):
            return None
        case "bool" if text in ("true", "false"):
            return text == "true"
        case "float" if (number := _NUMBER.fullmatch(text)) is not None:
            return _number(text, integral=not (number[2] or number[3]), where=where)
    raise _tagged(node, where)


def _number(text: str, *, integral: bool, where: str) -> JSON:
    if integral and len(text) <= 17 and abs(int(text)) <= MAX_INTEGER:
        return int(text)
    if integral or not math.isfinite(value := float(text)):
        raise _problem("yaml_number", where, f"the number `{shown(text)}` is too big", "quote it")
    return value


def _tagged(node: yaml.Node, where: str) -> ConfigError:
    return _problem(
        "yaml_tag",
        where,
        f"the tag `{shown(str(node.tag))}` is not known",
        "write plain JSON values: text, numbers, true, false, null, lists and mappings",
    )


def _problem(code: str, where: str, message: str, help: str = "") -> ConfigError:
    return ConfigError(f"{where}: {message}", code=code, help=help, where=where)
