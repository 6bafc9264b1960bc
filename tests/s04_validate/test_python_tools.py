"""Python functions as tools: the decorator changes nothing, the hints are the schema."""

import asyncio
import dataclasses
import datetime
import decimal
import enum
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pytest
from msgspec import Meta

from bailiwick.catalog import ToolContext, tool
from bailiwick.catalog.hints import signature_of
from bailiwick.errors import CatalogError, NotDone
from bailiwick.nouns import PythonBinding
from bailiwick.ports import Catalogue
from tests.s04_validate.projects import load, problems_in, refusal_of, situation_of

SOURCE = '''
import asyncio
from typing import Annotated, Literal
from msgspec import Meta, Struct
from bailiwick.catalog import ToolContext, tool
from bailiwick.errors import NotDone

class Place(Struct, frozen=True):
    city: str
    floor: int = 0

@tool(name="crm.customer", effect="read", owner="support", resource=("Customer", "args.customer"))
def customer(customer: str) -> dict[str, object]:
    """Shows a customer.

    With everything we know.
    """
    return {"id": customer, "notes": []}

@tool(
    name="crm.note",
    effect="write",
    owner="support",
    key_retention_s=3600,
    settles_within_s=1,
    resource=("Customer", "args.customer"),
    reader={"tool": "crm.customer", "arguments": {"customer": "args.customer"}},
    expect="after.notes.exists(n, n == args.text)",
    cost_usd=0.01,
)
async def note(
    customer: str,
    text: Annotated[str, Meta(max_length=20, description="What to say.")],
    place: Place,
    kind: Literal["call", "visit"] = "call",
    *,
    score: float = 1.0,
    context: ToolContext,
) -> Place:
    """Adds a note."""
    await asyncio.sleep(0)
    if text == "no":
        raise NotDone("not today")
    assert isinstance(place, Place) and isinstance(score, float)
    return Place(f"{context.action} {kind} {place.city}", place.floor + 1)

def helper(x):
    return x
'''


def module_of(source: str, name: str = "released_tools") -> ModuleType:
    """Run a source as a module, as a release does."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, "tools/crm.py", "exec"), module.__dict__)  # noqa: S102 - the test's own
    return module


@pytest.fixture
def modules() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("released"):
            del sys.modules[name]


def catalogue_of(source: str) -> Catalogue:
    return load({"tools/crm.py": source}, {"tools/crm.py": module_of(source)})


def problems_of(source: str) -> list[tuple[str, str]]:
    with pytest.raises(CatalogError) as error:
        catalogue_of(source)
    return problems_in(error)


pytestmark = pytest.mark.usefixtures("modules")


def test_the_decorator_gives_the_function_back() -> None:
    def plain(x: int) -> int:
        return x + 1

    decorated = tool(name="a.b", effect="read")(plain)
    assert decorated is plain
    assert plain(1) == 2
    declared: Any = vars(plain)["__bailiwick_tool__"]
    with pytest.raises(TypeError):
        declared["effect"] = "write"


def test_a_function_is_a_tool_with_the_schema_of_its_hints() -> None:
    found = catalogue_of(SOURCE).tools["crm.note"]
    assert found.description == "Adds a note."
    assert found.cost_micro_usd == 10_000
    assert found.schema == {
        "type": "object",
        "properties": {
            "customer": {"type": "string"},
            "text": {"type": "string", "maxLength": 20, "description": "What to say."},
            "place": {"$ref": "#/$defs/Place", "unevaluatedProperties": False},
            "kind": {"enum": ["call", "visit"], "default": "call"},
            "score": {"type": "number", "default": 1},
        },
        "required": ["customer", "text", "place"],
        "$defs": {
            "Place": {
                "title": "Place",
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "floor": {"type": "integer", "default": 0},
                },
                "required": ["city"],
            }
        },
        "additionalProperties": False,
    }
    assert isinstance(found.binding, PythonBinding)
    assert found.binding.reference == "tools/crm.py:note"
    assert found.binding.takes_context
    assert set(catalogue_of(SOURCE).tools) == {"crm.note", "crm.customer"}


def test_the_first_line_of_the_docstring_describes_the_tool() -> None:
    assert catalogue_of(SOURCE).tools["crm.customer"].description == "Shows a customer."


CONTEXT = ToolContext(action="act_1", run="run_1", agent="desk", provider_key="bw-1")


def test_an_async_function_takes_the_one_value_and_returns_json() -> None:
    catalogue = catalogue_of(SOURCE)
    given: Any = {"customer": "c", "text": "hello", "place": {"city": "Rome"}}
    found = situation_of(catalogue, "crm.note", given)
    assert found.arguments == {
        **given,
        "place": {"city": "Rome", "floor": 0},
        "kind": "call",
        "score": 1,
    }
    function: Any = catalogue.function(catalogue.tools["crm.note"])
    assert inspect.iscoroutinefunction(function)
    result = asyncio.run(function(**found.arguments, context=CONTEXT))
    assert result == {"city": "act_1 call Rome", "floor": 1}


def test_a_sync_function_stays_sync() -> None:
    catalogue = catalogue_of(SOURCE)
    function: Any = catalogue.function(catalogue.tools["crm.customer"])
    assert not inspect.iscoroutinefunction(function)
    assert function(customer="c") == {"id": "c", "notes": []}


def test_what_a_function_raises_comes_through() -> None:
    catalogue = catalogue_of(SOURCE)
    function: Any = catalogue.function(catalogue.tools["crm.note"])
    arguments = {"customer": "c", "text": "no", "place": {"city": "x", "floor": 0}}
    with pytest.raises(NotDone, match="not today"):
        asyncio.run(function(**arguments, context=CONTEXT))


def test_arguments_that_do_not_fit_are_certainly_not_done() -> None:
    catalogue = catalogue_of(SOURCE)
    function: Any = catalogue.function(catalogue.tools["crm.note"])
    with pytest.raises(NotDone, match="do not fit"):
        asyncio.run(function(customer="c", text="x", place=5, context=CONTEXT))


@pytest.mark.parametrize(
    "arguments",
    [
        {"customer": "c", "text": "x" * 21, "place": {"city": "x"}},
        {"customer": "c", "text": "x", "place": {"city": "x", "street": "y"}},
        {"customer": "c", "text": "x", "place": {}},
        {"customer": "c", "text": "x", "place": {"city": "x"}, "kind": "mail"},
        {"customer": "c", "text": "x", "place": {"city": "x"}, "context": {}},
        {"customer": "c", "place": {"city": "x"}},
    ],
)
def test_arguments_are_held_to_the_hints(arguments: Any) -> None:
    assert refusal_of(catalogue_of(SOURCE), "crm.note", arguments).code == "arguments_invalid"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(msgspec.Struct):
    sku: str
    count: Annotated[int, Meta(ge=1)] = 1
    tags: list[str] = []


class Named(TypedDict):
    name: str
    age: NotRequired[int]


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("hint", "described"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Literal["a", 1], {"enum": [1, "a"]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (dict[str, Any], {"type": "object", "additionalProperties": True}),
        (dict, {"type": "object", "additionalProperties": True}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (str | int, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (Any, {}),
        (Annotated[int, Meta(ge=1, le=9)], {"type": "integer", "minimum": 1, "maximum": 9}),
        (Annotated[str, Meta(pattern="^a")], {"type": "string", "pattern": "^a"}),
        (Annotated[list[str], Meta(max_length=3)], {"type": "array", "maxItems": 3}),
        (Colour, {"enum": ["blue", "red"]}),
        (Line, {"required": ["sku"]}),
        (Named, {"required": ["name"]}),
        (Point, {"required": ["x"]}),
    ],
)
def test_hints_become_json_schema(hint: Any, described: dict[str, Any]) -> None:
    def function(a: object) -> None: ...

    function.__annotations__["a"] = hint
    found = signature_of(function, "here").schema
    member = found["properties"]["a"]
    if "$ref" in member:
        member = found["$defs"][member["$ref"].rpartition("/")[2]]
    assert described.items() <= member.items()
    assert found["required"] == ["a"]


def test_defaults_of_any_shape_are_in_the_schema() -> None:
    def function(
        colour: Colour = Colour.RED,
        line: Line | None = None,
        lines: list[Line] = [Line("x")],  # noqa: B006, B008 - what people write
        point: Point = Point(1),  # noqa: B008
    ) -> None: ...

    members = signature_of(function, "here").schema["properties"]
    assert {name: member["default"] for name, member in members.items()} == {
        "colour": "red",
        "line": None,
        "lines": [{"sku": "x", "count": 1, "tags": []}],
        "point": {"x": 1, "y": 0},
    }


@dataclasses.dataclass
class Stamped:
    name: str
    tags: list[str] = dataclasses.field(default_factory=list)


class Ticket(msgspec.Struct):
    id: str = msgspec.field(default_factory=lambda: "random")


class Row(msgspec.Struct, array_like=True):
    x: int


class A(msgspec.Struct, tag=True):
    x: int


class B(msgspec.Struct, tag=True):
    y: int


@pytest.mark.claim("catalog.no-hidden-default")
@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        (Stamped, "made at run time"),
        (Ticket, "made at run time"),
        (list[Ticket], "made at run time"),
        (dict[str, Stamped], "made at run time"),
        (Ticket | None, "made at run time"),
        (A | B, "union of several objects"),
        (Row, "array"),
        (datetime.datetime, "`datetime`"),
        (decimal.Decimal, "`decimal`"),
        (bytes, "`bytes`"),
        (set[str], "`set`"),
        (tuple[int, str], "`tuple`"),
        (dict[int, str], "keys of a dict"),
        (object, "custom"),
        ("Missing", "resolved"),
    ],
)
def test_a_hint_that_the_schema_cannot_state_whole_is_refused(hint: Any, reason: str) -> None:
    def function(a: object) -> None: ...

    function.__annotations__["a"] = hint
    with pytest.raises(CatalogError, match=reason) as error:
        signature_of(function, "here")
    assert error.value.code == "hint_unsupported"


def positional_only(a: int, /) -> None: ...
def many(*a: int) -> None: ...
def named(**a: int) -> None: ...
def unhinted(a) -> None: ...  # type: ignore[no-untyped-def]
def other_name(ctx: ToolContext) -> None: ...
def generator(a: int) -> Iterator[int]:
    yield a


@pytest.mark.parametrize(
    "function", [positional_only, many, named, unhinted, other_name, generator]
)
def test_a_signature_that_cannot_be_called_by_name_is_refused(function: Any) -> None:
    with pytest.raises(CatalogError) as error:
        signature_of(function, "here")
    assert error.value.code == "hint_unsupported"


def test_an_argument_may_be_named_context_if_it_is_no_context() -> None:
    def function(context: str) -> None: ...

    found = signature_of(function, "here")
    assert not found.takes_context
    assert list(found.schema["properties"]) == ["context"]


ONE = """
from bailiwick.catalog import tool
@tool({members})
def one(a: str) -> str:
    return a
"""


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ("name='a.b'", "tool_unclassified"),
        ("effect='read'", "member_missing"),
        ("name='a.b', effect='read', onwer='x'", "member_unknown"),
        ("name='a.b', effect='read', reader={'tool': 'a.b', 'args': {}}", "member_unknown"),
        ("name='a.b', effect='read', resource=('X',)", "member_invalid"),
        ("name='a.b', effect='read', resource=('x', 'args.a')", "resource_type_invalid"),
        ("name='a.b', effect='read', resource=('X', 'args.b')", "expression_invalid"),
        ("name='a.b', effect='read', cost_usd='much'", "member_invalid"),
        ("name='a.b', effect='write', gated=True", "law_no_idempotency"),
        (
            "name='a.b', effect='write', gated=True, owner='x', settles_within_s=0,"
            " key_retention_s=60",
            "law_key_not_sent",
        ),
    ],
)
def test_a_declaration_that_says_something_wrong_does_not_load(members: str, code: str) -> None:
    assert code in [found for found, _ in problems_of(ONE.format(members=members))]


def test_a_complaint_names_file_and_function() -> None:
    source = ONE.format(members="name='a.b', effect='read', onwer='x'")
    assert problems_of(source) == [
        ("member_unknown", "tools/crm.py, one: there is no member `onwer`")
    ]


def test_a_tool_belongs_to_the_module_that_defines_it() -> None:
    module_of(ONE.format(members="name='a.b', effect='read'"), "released_first")
    source = "from released_first import one\nalso = one\n"
    assert catalogue_of(source).tools == {}


def test_two_names_for_one_function_are_one_tool() -> None:
    source = ONE.format(members="name='a.b', effect='read'") + "\nalso = one\n"
    assert list(catalogue_of(source).tools) == ["a.b"]


def test_a_class_is_not_a_tool() -> None:
    source = (
        "from bailiwick.catalog import tool\n"
        "@tool(name='a.b', effect='read')\nclass One:\n    pass\n"
    )
    assert [code for code, _ in problems_of(source)] == ["tool_not_function"]


@pytest.mark.parametrize(
    ("files", "modules"),
    [
        ({"tools/a.py": ""}, {}),
        ({}, {"tools/a.py": ModuleType("a")}),
    ],
)
def test_text_and_module_come_together(files: Any, modules: Any) -> None:
    with pytest.raises(CatalogError) as error:
        load(files, modules)
    assert error.value.code == "module_missing"


@pytest.mark.claim("catalog.changed-definition-is-another-version")
def test_a_changed_source_is_another_version_of_its_tools() -> None:
    before = catalogue_of(SOURCE).tools["crm.note"]
    again = catalogue_of(SOURCE).tools["crm.note"]
    after = catalogue_of(SOURCE.replace("return x", "return  x")).tools["crm.note"]
    assert before.digest == again.digest != after.digest
