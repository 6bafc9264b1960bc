"""What BFCL brings: tasks, documents of functions, and classes that carry their calls out."""

import ast
import copy
import importlib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_rs

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ".venv-bfcl/lib/python*/site-packages"
_CONFIG = "bfcl_eval.constants.executable_backend_config"
_TASKS = "BFCL_v4_multi_turn_base.json"
_TYPES = {"dict": "object", "float": "number"}
_MAX_EXACT = 2**53 - 1


class Call(NamedTuple):
    """One call of a task: the API, its method, and the arguments by name."""

    api: str
    method: str
    arguments: Mapping[str, Any]


class Task(NamedTuple):
    """A task: the APIs it uses, their state at its beginning, and the calls that solve it."""

    id: str
    apis: tuple[str, ...]
    states: Mapping[str, Any]
    calls: tuple[Call, ...]


class Material:
    """BFCL as it is installed. Raises `FileNotFoundError` if it is not."""

    def __init__(self) -> None:
        found = sorted(ROOT.glob(_PACKAGES))
        if not found:
            raise FileNotFoundError("BFCL is not installed: `make bfcl` does that")
        self._data = found[0] / "bfcl_eval" / "data"
        if str(found[0]) not in sys.path:
            sys.path.append(str(found[0]))
        config = importlib.import_module(_CONFIG)
        modules: Mapping[str, str] = config.CLASS_FILE_PATH_MAPPING
        self._stateless = frozenset(config.STATELESS_CLASSES)
        entries = list(_lines(self._data / _TASKS))
        self.apis = tuple(sorted({api for each in entries for api in each["involved_classes"]}))
        self.classes: Mapping[str, type] = {
            api: getattr(importlib.import_module(modules[api]), api) for api in self.apis
        }
        documents: Mapping[str, str] = config.MULTI_TURN_FUNC_DOC_FILE_MAPPING
        self.documents: Mapping[str, Mapping[str, Any]] = {
            api: {
                each["name"]: each
                for each in _lines(self._data / "multi_turn_func_doc" / documents[api])
            }
            for api in self.apis
        }
        answers = {
            each["id"]: each["ground_truth"]
            for each in _lines(self._data / "possible_answer" / _TASKS)
        }
        self.tasks = tuple(self._task(each, answers[each["id"]]) for each in entries)

    def fresh(self, task: Task) -> dict[str, Any]:
        """New instances of the APIs of a task, in the state in which it begins."""
        made = {api: self.classes[api]() for api in task.apis}
        for api in made.keys() - self._stateless:
            made[api]._load_scenario(copy.deepcopy(task.states.get(api, {})), long_context=False)
        return made

    def fits(self, call: Call) -> bool:
        """Whether a call is what BFCL's own document of the function asks for."""
        document = self.documents[call.api][call.method]["parameters"]
        return bool(jsonschema_rs.is_valid(schema_of(document), dict(call.arguments)))

    def _task(self, entry: Mapping[str, Any], turns: list[list[str]]) -> Task:
        apis = tuple(entry["involved_classes"])
        calls = tuple(self._call(text, apis) for turn in turns for text in turn)
        return Task(entry["id"], apis, entry["initial_config"], calls)

    def _call(self, text: str, apis: tuple[str, ...]) -> Call:
        """Read a call that is written as in Python, with arguments that may have no names."""
        written = ast.parse(text, mode="eval").body
        assert isinstance(written, ast.Call)
        assert isinstance(written.func, ast.Name)
        method = written.func.id
        (api,) = (each for each in apis if method in self.documents[each])
        values = [ast.literal_eval(each) for each in written.args]
        named = {each.arg: ast.literal_eval(each.value) for each in written.keywords}
        signature = inspect.signature(getattr(self.classes[api], method))
        bound = signature.bind(None, *values, **{str(name): each for name, each in named.items()})
        given = {name: each for name, each in bound.arguments.items() if name != "self"}
        return Call(api, method, json.loads(json.dumps(given)))


def plain(result: object) -> Any:
    """A result as JSON has it: keys are text, tuples are lists, and a card's number is text.

    JSON's readers do not agree on integers beyond 2^53, so that no tool may give one.
    """
    return json.loads(json.dumps(result, default=str), parse_int=_exact)


def _exact(digits: str) -> int | str:
    return int(digits) if abs(int(digits)) <= _MAX_EXACT else digits


def schema_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document's type as JSON Schema has it, with closed objects."""
    kind = document["type"]
    schema: dict[str, Any] = {"type": _TYPES.get(kind, kind)}
    if kind == "array":
        schema["items"] = schema_of(document["items"])
    if kind == "dict":
        takes = document["properties"]
        schema["properties"] = {name: schema_of(each) for name, each in takes.items()}
        schema["required"] = document.get("required", [])
        schema["additionalProperties"] = False
    return schema


def state(instances: Mapping[str, object]) -> object:
    """Everything in these instances, so that two of them can be compared; times are left out."""
    return _within(dict(instances), {})


def _within(value: object, seen: dict[int, int]) -> object:
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if id(value) in seen:
        return ["seen", seen[id(value)]]
    seen[id(value)] = len(seen)
    if isinstance(value, Mapping):
        return [[_within(key, seen), _within(each, seen)] for key, each in value.items()]
    if isinstance(value, (list, tuple)):
        return [_within(each, seen) for each in value]
    if isinstance(value, (set, frozenset)):
        return ["set", sorted(map(repr, value))]
    if hasattr(value, "getstate"):  # a generator of random numbers
        return repr(value.getstate())
    if hasattr(value, "__dict__"):
        return [type(value).__name__, _within(vars(value), seen)]
    return type(value).__name__  # a time of the wall clock


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    for line in file.read_text().splitlines():
        yield json.loads(line)
