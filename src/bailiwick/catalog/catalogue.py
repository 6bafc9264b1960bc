"""The catalogue: the tools of one release, compiled, and what step 4 asks of them.

Everything that can be known from the files is settled at load; a call only evaluates.
"""

from collections.abc import Callable, Mapping
from types import ModuleType

from msgspec import Struct

from bailiwick.catalog.data_classes import classes_of
from bailiwick.catalog.expressions import compile_expressions
from bailiwick.catalog.facts import FactPlan, compute, fact_plans
from bailiwick.catalog.forms import Declaration, complete, form_problems
from bailiwick.catalog.http_tools import PARAMETER, http_declarations
from bailiwick.catalog.input_types import Plan, project, projection
from bailiwick.catalog.law import (
    fact_type_conflicts,
    law_problems,
    look_alikes,
    shared_credentials,
    shared_wire_names,
)
from bailiwick.catalog.mcp_tools import is_mcp_file, mcp_declarations
from bailiwick.catalog.pins import SUFFIX, Pins, read_pins
from bailiwick.catalog.problems import problem, refuse
from bailiwick.catalog.python_tools import python_declarations
from bailiwick.catalog.schemas import ArgumentSchema, filled, judge
from bailiwick.errors import BadInput, CatalogError
from bailiwick.nouns import HttpBinding, Refusal, Resource, Situation, Tool
from bailiwick.ports import Expression
from bailiwick.values import JSON, canonical, did_you_mean, identifier, segment, shown


class CompiledTool(Struct, frozen=True):
    """One tool, ready: its schema, its expressions by text, and the plans of step 4."""

    tool: Tool
    schema: ArgumentSchema
    expressions: Mapping[str, Expression]
    facts: tuple[FactPlan, ...]
    inputs: Plan
    path_parameters: tuple[str, ...]
    function: Callable[..., object] | None


class ToolCatalogue:
    """The tools of one release, compiled. Pure: it reads no clock and does no I/O."""

    def __init__(self, compiled: Mapping[str, CompiledTool]) -> None:
        self._compiled = compiled
        self._tools = {name: each.tool for name, each in compiled.items()}

    @property
    def tools(self) -> Mapping[str, Tool]:
        """All tools by name."""
        return self._tools

    def arguments(self, tool: Tool, arguments: Mapping[str, JSON]) -> Mapping[str, JSON] | Refusal:
        """Give the arguments with defaults filled, if they meet the tool's schema.

        Refuses with `arguments_invalid`, or with the code of `values.segment` for a path parameter.
        """
        compiled = self._of(tool)
        whole = filled(compiled.schema, arguments)
        refusal = judge(compiled.schema, whole)
        if refusal is not None:
            return refusal
        try:
            for name in compiled.path_parameters:
                value = whole[name]
                if isinstance(value, str):
                    segment(value, f"the argument `{name}`")
        except BadInput as error:
            return _refusal(error.code, error.message, error.help)
        return whole

    def resource(self, tool: Tool, arguments: Mapping[str, JSON]) -> Resource | Refusal:
        """Say what the action touches; a tool that names no resource touches itself."""
        compiled = self._of(tool)
        found = _identifier(compiled, "resource", tool.resource_id, {"args": arguments})
        if isinstance(found, Refusal):
            return found
        return Resource(type=tool.resource_type, id=tool.name if found is None else found)

    def situation(
        self,
        tool: Tool,
        arguments: Mapping[str, JSON],
        resource: Resource,
        before: Mapping[str, JSON],
    ) -> Situation | Refusal:
        """Compute facts, typed input, effect key and destination from arguments and reads."""
        compiled = self._of(tool)
        names: Mapping[str, JSON] = {"args": arguments, "before": before}
        facts = compute(compiled.facts, names)
        if isinstance(facts, Refusal):
            return facts
        effect_key = _identifier(compiled, "effect_key", tool.effect_key, names)
        if isinstance(effect_key, Refusal):
            return effect_key
        destination = _identifier(compiled, "destination", tool.destination, names)
        if isinstance(destination, Refusal):
            return destination
        return Situation(
            arguments=arguments,
            canonical=canonical(arguments),
            resource=resource,
            facts=facts,
            input=project(compiled.inputs, arguments),
            before=before,
            effect_key=effect_key,
            destination=destination,
            data_classes=classes_of(tool, arguments),
        )

    def evaluate(self, tool: Tool, text: str, names: Mapping[str, JSON]) -> JSON:
        """Evaluate one of the tool's own expressions. Raises `CatalogError`."""
        expression = self._of(tool).expressions.get(text)
        if expression is None:
            raise CatalogError(
                f"`{shown(text)}` is not an expression of `{tool.name}`", code="expression_unknown"
            )
        return expression(names)

    def function(self, tool: Tool) -> Callable[..., object]:
        """Give a Python tool's function: JSON arguments by keyword, `context` if it takes one."""
        function = self._of(tool).function
        if function is None:
            raise CatalogError(f"`{tool.name}` is not a Python tool", code="tool_not_python")
        return function

    def _of(self, tool: Tool) -> CompiledTool:
        compiled = self._compiled.get(tool.name)
        if compiled is None or compiled.tool.digest != tool.digest:
            raise CatalogError(
                f"this release has no `{shown(tool.name)}` of that version",
                code="tool_unknown",
                help=did_you_mean(tool.name, self._tools),
            )
        return compiled


def load_catalogue(
    files: Mapping[str, str],
    modules: Mapping[str, ModuleType],
    compile: Callable[[str], Expression],
) -> ToolCatalogue:
    """Load the tools of a release: `tools/*.yaml` and `tools/*.py`.

    `files` maps paths to text; `modules` maps the paths of the Python files to the modules imported
    from them; `compile` compiles an expression that is not a plain path. Raises one `CatalogError`
    that lists everything that is wrong.
    """
    declarations, problems = _declared(files, modules)
    sound: list[Declaration] = []
    for declared in declarations:
        found = list(form_problems(declared))
        problems += found
        if not found:
            sound.append(declared)
    tools = {each.form.name: complete(each) for each in sound}
    broken = bool(problems)
    for declared in sound:
        # A tool that names a broken one would only repeat its problem under another name.
        problems += (
            each
            for each in law_problems(declared, tools)
            if not (broken and each.code == "law_tool_missing")
        )
    problems += look_alikes([each.form.name for each in sound])
    problems += shared_credentials(tools)
    problems += shared_wire_names(tools)
    problems += fact_type_conflicts(tools)
    compiled: dict[str, CompiledTool] = {}
    for declared in sound:
        tool = tools[declared.form.name]
        expressions, found = compile_expressions(tool, tool.name, compile)
        problems += found
        if not found:
            compiled[tool.name] = CompiledTool(
                tool,
                declared.schema,
                expressions,
                fact_plans(
                    tool.facts,
                    tool.fact_types,
                    expressions,
                    declared.form.destination_kind or "domain",
                ),
                projection(tool.input_type),
                _path_parameters(tool),
                declared.function,
            )
    refuse(problems)
    return ToolCatalogue(compiled)


def _declared(
    files: Mapping[str, str], modules: Mapping[str, ModuleType]
) -> tuple[list[Declaration], list[CatalogError]]:
    declarations: list[Declaration] = []
    pins, problems = read_pins(files)
    for path in sorted(files.keys() | modules.keys()):
        if not path.startswith("tools/"):
            continue
        if path.endswith(SUFFIX):
            continue
        if path.endswith((".yaml", ".yml")):
            found = _from_yaml(files[path], path, pins)
        elif not path.endswith(".py"):
            continue
        elif path not in files or path not in modules:
            missing = "source text" if path in modules else "module"
            found = [], [problem("module_missing", path, f"its {missing} was not given")]
        else:
            found = python_declarations(modules[path], files[path], path)
        declarations += found[0]
        problems += found[1]
    return declarations, problems


def _from_yaml(text: str, path: str, pins: Pins) -> tuple[list[Declaration], list[CatalogError]]:
    try:
        if is_mcp_file(text, path):
            return mcp_declarations(text, path, pins)
    except CatalogError as error:
        return [], [error]
    return http_declarations(text, path)


def _path_parameters(tool: Tool) -> tuple[str, ...]:
    if not isinstance(tool.binding, HttpBinding):
        return ()
    return tuple(PARAMETER.findall(tool.binding.path))


def _identifier(
    compiled: CompiledTool, what: str, text: str | None, names: Mapping[str, JSON]
) -> str | Refusal | None:
    """Evaluate what names something: safe text, or an integer as text; None if undeclared."""
    if text is None:
        return None
    said = f"the {what.replace('_', ' ')}"
    try:
        value = compiled.expressions[text](names)
        if type(value) is int:
            return str(value)
        if isinstance(value, str):
            return identifier(value, said)
    except (CatalogError, BadInput) as error:
        return _refusal(f"{what}_invalid", error.message, error.help)
    return _refusal(f"{what}_invalid", f"{said} is not text", "give text or an integer for it")


def _refusal(code: str, message: str, help: str) -> Refusal:
    return Refusal(step=4, code=code, message=message, help=help)
