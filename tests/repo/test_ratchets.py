"""Limits on the code. Exceptions are listed by name with a reason, and the lists only shrink."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from tests.repo.sources import ROOT, Source, called, functions, python_sources

Finding = tuple[str, str]  # the name an exception would be listed by, and what is wrong with it

BLOCKS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.Match,
)
CLOCK_CALLS = re.compile(r"(now|utcnow|today)(_us|_ns)?")
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}
IMPORTERS = {"__import__", "import_module", "resolve_name"}
PRAGMA = re.compile(r"\s+# (type: ignore|noqa)\b.*")
SAYS_NOTHING = re.compile(r"(^|_)(utils?|helpers?|common|base|managers?|services?)$")


def long_functions(file: Source) -> Iterator[Finding]:
    lines = file.text.splitlines()
    for function in functions(file.tree):
        documented = ast.get_docstring(function) is not None
        doc = function.body[0] if documented else None
        code = [
            number
            for number in range(function.lineno, (function.end_lineno or function.lineno) + 1)
            if lines[number - 1].strip()
            and not lines[number - 1].lstrip().startswith("#")
            and not (doc and doc.lineno <= number <= (doc.end_lineno or doc.lineno))
        ]
        if len(code) > 60:
            yield function.name, f"{len(code)} code lines"


def depth(node: ast.AST) -> int:
    """How deep the blocks below a node nest. An `elif` is no deeper than its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        level = 1 if isinstance(child, BLOCKS) and not chained else 0
        deepest = max(deepest, level + depth(child))
    return deepest


def deep_nesting(file: Source) -> Iterator[Finding]:
    for function in functions(file.tree):
        if (found := depth(function)) > 4:
            yield function.name, f"nests {found} deep"


def long_signatures(file: Source) -> Iterator[Finding]:
    for function in functions(file.tree):
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        positional = [name for name in names if name not in ("self", "cls")]
        if len(positional) > 5:
            yield function.name, f"{len(positional)} positional parameters"


def long_files(file: Source) -> Iterator[Finding]:
    if (lines := len(file.text.splitlines())) > 700:
        yield "", f"{lines} lines"


def long_spine(file: Source) -> Iterator[Finding]:
    if (lines := len(file.text.splitlines())) > 150:
        yield "", f"{lines} lines"


def long_lines(file: Source) -> Iterator[Finding]:
    for number, line in enumerate(file.text.splitlines(), start=1):
        if len(PRAGMA.sub("", line)) > 100:
            yield "", f"{len(line)} characters in line {number}"


def hidden_imports(file: Source) -> Iterator[Finding]:
    for function in functions(file.tree):
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function)):
            yield function.name, "imports inside a function"


def imports_by_name(file: Source) -> Iterator[Finding]:
    for node in ast.walk(file.tree):
        if called(node) in IMPORTERS:
            yield called(node), "imports by name"


def broad_handlers(file: Source) -> Iterator[Finding]:
    """Handlers of everything. One that ends by raising it again only cleans up."""
    for scope in (file.tree, *functions(file.tree)):
        handlers = (node for node in _own_nodes(scope) if isinstance(node, ast.ExceptHandler))
        for handler in handlers:
            types = ast.walk(handler.type or ast.Name("Exception"))
            caught = {node.id for node in types if isinstance(node, ast.Name)}
            swallows = ast.unparse(handler.body[-1]) != "raise"
            if swallows and caught & {"Exception", "BaseException"}:
                yield getattr(scope, "name", "module"), "catches everything"


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _own_nodes(child)


def environment_reads(file: Source) -> Iterator[Finding]:
    for node in ast.walk(file.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in ENVIRONMENT:
                yield name, "touches the environment"
            case ast.ImportFrom(module="os", names=names):
                yield from ((a.name, "imported") for a in names if a.name in ENVIRONMENT)


def clock_reads(file: Source) -> Iterator[Finding]:
    for node in ast.walk(file.tree):
        match node:
            case ast.Import(names=names) if any(a.name == "time" for a in names):
                yield "time", "imports the clock"
            case ast.ImportFrom(module="time"):
                yield "time", "imports the clock"
            case ast.Call() if CLOCK_CALLS.fullmatch(called(node)):
                yield called(node), "reads a clock"


def mocks(file: Source) -> Iterator[Finding]:
    for node in ast.walk(file.tree):
        match node:
            case ast.Import(names=names):
                modules = [a.name for a in names]
            case ast.ImportFrom(module=str(module), names=names):
                modules = [f"{module}.{a.name}" for a in names]
            case _:
                continue
        for module in modules:
            if module.startswith(("unittest.mock", "mock.", "pytest_mock")) or module == "mock":
                yield module, "is a mock"


def names_that_say_nothing(file: Source) -> Iterator[Finding]:
    for part in file.path.removesuffix(".py").split("/"):
        if SAYS_NOTHING.search(part):
            yield "", f"`{part}` does not say what it holds"


def wide_doors(file: Source) -> Iterator[Finding]:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ClassDef) and len(list(functions(node))) > 7:
            yield node.name, "promises more than seven things"


@dataclass(frozen=True)
class Rule:
    """A limit: how a breach is found, the smallest text that is one, and where the limit holds."""

    find: Callable[[Source], Iterator[Finding]]
    breach: str
    where: str = ""  # a pattern the path begins with
    but: str = "(?!)"  # and one it does not begin with
    path: str = "src/bailiwick/x.py"  # where the smallest breach would stand
    exceptions: Mapping[str, str] = field(default_factory=dict)  # "path name" -> why

    def breaches(self, file: Source) -> list[tuple[str, str]]:
        """What breaks the limit in one file, as ("path name", what)."""
        if not re.match(self.where, file.path) or re.match(self.but, file.path):
            return []
        return [(f"{file.path} {name}".strip(), what) for name, what in self.find(file)]


RULES = [
    Rule(long_functions, breach="def f():\n" + "    x = 1\n" * 60),
    Rule(
        deep_nesting,
        breach="def f():\n" + "".join(" " * n + "if x:\n" for n in range(1, 6)) + " " * 6 + "y",
    ),
    Rule(long_signatures, breach="def f(a, b, c, d, e, f): ..."),
    Rule(long_files, breach="x = 1\n" * 701),
    Rule(long_lines, breach="x = '" + "x" * 96 + "'"),
    Rule(
        long_spine,
        breach="x = 1\n" * 151,
        where=r"src/bailiwick/act\.py",
        path="src/bailiwick/act.py",
    ),
    Rule(
        wide_doors,
        breach="class Door:\n" + "".join(f"    def f{n}(self): ...\n" for n in range(8)),
        where=r"src/bailiwick/ports\.py",
        path="src/bailiwick/ports.py",
    ),
    Rule(names_that_say_nothing, breach="", path="src/bailiwick/store_utils.py"),
    Rule(hidden_imports, breach="def f():\n    import os"),
    Rule(
        imports_by_name,
        breach="importlib.import_module('os')",
        where="src/",
        but=r"src/bailiwick/wiring\.py",
    ),
    Rule(
        broad_handlers,
        breach="def f():\n    try: x\n    except (KeyError, Exception): y",
        exceptions={
            "src/bailiwick/store/writer.py _serve": "hands every fault to its callers, lives on",
            "src/bailiwick/telemetry/watch.py _tell": "telemetry cannot change an answer",
            "src/bailiwick/cli/app.py main": "the outermost edge, where a fault becomes a message",
            "src/bailiwick/wiring.py _module": "a user's file of tools may raise anything",
        },
    ),
    Rule(
        environment_reads,
        breach="import os\nos.environ['HOME']",
        where="src/",
        but=r"src/bailiwick/(config|execution/broker)\.py",
    ),
    Rule(
        clock_reads,
        breach="from datetime import datetime\ndatetime.now()",
        where=r"src/bailiwick/(nouns/|values\.py|policy/|catalog/)",
        path="src/bailiwick/policy/x.py",
    ),
    Rule(mocks, breach="from unittest import mock", where="tests/", path="tests/test_x.py"),
]

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.find.__name__)


@pytest.mark.claim("repo.limits")
@pytest.mark.claim("repo.faults-are-named")
@pytest.mark.claim("repo.environment-read-at-the-edge")
@pytest.mark.claim("repo.pure-core")
@pytest.mark.claim("repo.no-mocks")
@each_rule
def test_the_code_keeps_within_its_limits(rule: Rule) -> None:
    found = [breach for file in python_sources() for breach in rule.breaches(file)]
    over = [f"{name}: {what}" for name, what in found if name not in rule.exceptions]
    assert not over, "\n".join(over)
    assert set(rule.exceptions) <= {name for name, _ in found}, "an exception is no longer needed"


@each_rule
def test_a_breach_is_found(rule: Rule) -> None:
    assert len(rule.breaches(Source.of(rule.path, rule.breach))) == 1


def test_an_elif_is_no_deeper_than_its_if() -> None:
    chain = "def f():\n if a: x\n" + " elif a: x\n" * 9
    assert list(deep_nesting(Source.of("x.py", chain))) == []


def test_a_handler_that_raises_again_swallows_nothing() -> None:
    text = "try: x\nexcept BaseException:\n    rollback()\n    raise"
    assert list(broad_handlers(Source.of("x.py", text))) == []


def test_documentation_is_not_counted_as_code() -> None:
    text = 'def f():\n    """One.\n' + "    more\n" * 90 + '    """\n' + "    # why\n" * 90
    assert list(long_functions(Source.of("x.py", text))) == []


def test_no_two_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = {}
    for file in python_sources():
        if file.path.startswith("src/"):
            for node in ast.walk(file.tree):
                if isinstance(node, ast.ClassDef):
                    homes.setdefault(node.name, []).append(file.path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_the_architecture_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 300
