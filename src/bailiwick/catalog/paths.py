"""The plainest expressions, evaluated natively: a path over the names, or a literal.

`args.charge`, `before.charge["amount_minor"]`, `result.items[0].id`, `"USD"`, `7`, `true`. They
mean what they mean in CEL; whatever else an expression says goes to the CEL compiler, whose
package most projects then never load.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bailiwick.errors import CatalogError
from bailiwick.values import JSON, shown

NAMES = ("args", "action", "before", "after", "result")

_ROOT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)")
_STEP = re.compile(
    r"""\.([A-Za-z_][A-Za-z0-9_]*) | \[(?:"([^"\\\n\r]*)"|'([^'\\\n\r]*)'|(0|[1-9][0-9]{0,8}))\]""",
    re.VERBOSE,
)
_TEXT = re.compile(r"""\s*(?:"([^"\\\n\r]*)"|'([^'\\\n\r]*)')\s*""")
_INTEGER = re.compile(r"\s*(-?(?:0|[1-9][0-9]{0,14}))\s*")


class Constant(Struct, frozen=True):
    """An expression that is a constant."""

    value: str | int | bool

    def __call__(self, names: Mapping[str, JSON]) -> JSON:
        return self.value


class Path(Struct, frozen=True):
    """An expression that walks from one name through members (text) and indices (integers)."""

    text: str
    root: str
    steps: tuple[str | int, ...]

    def __call__(self, names: Mapping[str, JSON]) -> JSON:
        """Give what stands there. Raises `CatalogError` (`expression_failed`) if nothing does."""
        try:
            value: Any = names[self.root]
            for step in self.steps:
                # Indexing would also take a character out of a text.
                if type(step) is int and not isinstance(value, (list, tuple)):
                    raise self._absent()
                value = value[step]
        except (KeyError, IndexError, TypeError):
            raise self._absent() from None
        found: JSON = value
        return found

    def _absent(self) -> CatalogError:
        return CatalogError(
            f"there is nothing at `{shown(self.text)}`",
            code="expression_failed",
            help="give a value for it, or let the expression ask `has(…)` first",
        )


def argument_path(name: str) -> str:
    """Give the expression that means the argument of this name."""
    return f"args.{name}" if _ROOT.fullmatch(name) else f"args[{json.dumps(name)}]"


def compile_path(text: str) -> Path | Constant | None:
    """Compile a plain path or literal; None if the text is anything else."""
    if (quoted := _TEXT.fullmatch(text)) is not None:
        return Constant(quoted[1] if quoted[1] is not None else quoted[2])
    if (digits := _INTEGER.fullmatch(text)) is not None:
        return Constant(int(digits[1]))
    if text.strip() in ("true", "false"):
        return Constant(text.strip() == "true")
    root = _ROOT.match(text)
    if root is None or root[1] not in NAMES:
        return None
    steps: list[str | int] = []
    at = root.end()
    while (step := _STEP.match(text, at)) is not None:
        name, double, single, index = step.groups()
        key = next((each for each in (name, double, single) if each is not None), "")
        steps.append(int(index) if index else key)
        at = step.end()
    return None if text[at:].strip() else Path(text.strip(), root[1], tuple(steps))
