"""Python functions as tools, by a decorator that only attaches what was declared.

    @tool(name="crm.note", effect="write", owner="support", gated=True,
          key_retention_s="none", settles_within_s=1, resource=("Customer", "args.customer"))
    async def note(customer: str, text: Annotated[str, Meta(max_length=500)]) -> dict[str, str]:
        \"\"\"Adds a note to a customer.\"\"\"

The function is returned unchanged. Its parameters are the tool's arguments; one named `context`
with the hint `ToolContext` is filled by Bailiwick and is no argument.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, Literal, Required, TypedDict, TypeVar, Unpack

from bailiwick.catalog.forms import Declaration, ToolForm
from bailiwick.catalog.hints import signature_of, with_json
from bailiwick.catalog.problems import problem, read_as, unknown_members
from bailiwick.catalog.schemas import compile_schema
from bailiwick.errors import CatalogError
from bailiwick.nouns import Effect, PythonBinding, Trait
from bailiwick.vocabulary import DestinationKind, FactType

F = TypeVar("F", bound=Callable[..., object])

_MARK = "__bailiwick_tool__"


class ReadMembers(TypedDict, total=False):
    """A read made for another tool: its name, its arguments as expressions."""

    tool: Required[str]
    arguments: Mapping[str, str]
    authoritative: bool


class ToolMembers(TypedDict, total=False):
    """What `tool` takes. Times are seconds; expressions are paths such as `args.charge`, or CEL."""

    name: Required[str]
    effect: Required[Effect]
    traits: Sequence[Trait]
    owner: str
    resource: tuple[str, str]
    facts: Mapping[str, str]
    fact_types: Mapping[str, FactType]
    before: Mapping[str, ReadMembers]
    reader: ReadMembers
    expect: str
    find: ReadMembers
    found: str
    reverser: str
    reverser_arguments: Mapping[str, str]
    gated: bool
    cost_usd: str | int | float
    cost_micro_usd: int
    timeout_s: float
    retries: int
    settles_within_s: float
    key_retention_s: float | Literal["none"]
    effect_key: str
    destination: str
    destination_kind: DestinationKind
    data_classes: Sequence[str]
    credential: str
    read_credential: str
    upstream: str


class PythonForm(ToolForm, frozen=True, kw_only=True):
    """A tool's form with the credentials its broker may give it and the upstream it speaks to."""

    credential: str | None = None
    read_credential: str | None = None
    upstream: str | None = None


def tool(**members: Unpack[ToolMembers]) -> Callable[[F], F]:
    """Declare a function as a tool; nothing is checked before the catalogue loads.

    The function stays as it is and may be called directly; only actions are governed.
    """
    declared = MappingProxyType(dict(members))

    def attach(function: F) -> F:
        setattr(function, _MARK, declared)
        return function

    return attach


def python_declarations(
    module: ModuleType, source: str, path: str
) -> tuple[list[Declaration], list[CatalogError]]:
    """Read the tools that a module defines; those it imports belong to their own module."""
    digest = hashlib.sha256(source.encode()).hexdigest()
    declarations: list[Declaration] = []
    problems: list[CatalogError] = []
    marked = {
        id(function): (name, function)
        for name, function in vars(module).items()
        if isinstance(getattr(function, _MARK, None), MappingProxyType)
        and function.__module__ == module.__name__
    }
    for name, function in marked.values():
        where = f"{path}, {name}"
        members = _members(function)
        problems += unknown_members(members, PythonForm, where)
        try:
            if not isinstance(function, FunctionType):
                raise problem("tool_not_function", where, "`@tool` is for functions")
            declarations.append(_declaration(function, members, digest, where))
        except CatalogError as error:
            problems.append(error)
    return declarations, problems


def _members(function: Any) -> dict[str, Any]:
    """Write the declaration as a file would: plain mappings, the docstring's first line in it."""
    members = dict(getattr(function, _MARK))
    resource = members.get("resource")
    if isinstance(resource, (tuple, list)) and len(resource) == 2:
        members["resource"] = {"type": resource[0], "id": resource[1]}
    members.setdefault("description", (inspect.getdoc(function) or "").partition("\n")[0].strip())
    return members


def _declaration(
    function: FunctionType, members: Mapping[str, Any], digest: str, where: str
) -> Declaration:
    form = read_as(members, PythonForm, where)
    signature = signature_of(function, where)
    path = where.partition(", ")[0]
    return Declaration(
        where=where,
        form=form,
        schema=compile_schema(signature.schema, where),
        binding=PythonBinding(
            reference=f"{path}:{function.__qualname__}",
            source_digest=digest,
            takes_context=signature.takes_context,
        ),
        function=with_json(function, signature.hints),
        upstream=form.upstream,
        credential=form.credential,
        read_credential=form.read_credential,
    )
