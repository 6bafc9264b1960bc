"""tau2's retail shop as it is installed: its tasks, its data, and the class that acts on them.

The class hangs on a framework that is not installed, of which it uses a base for models, an
exception and two types: `_stand_in` gives it these. Every run has a shop of its own.
"""

import importlib
import json
import sys
import types
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from bailiwick import NotDone

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ".venv-tau2/lib/python*/site-packages"
_FOLDERS = ("", ".tau2", ".tau2.retail", ".tau2.environment")
_READING = ("find", "get", "list")

RUNS: dict[str, Any] = {}
CHANGES = Counter[str]()


class RefusedByShop(Exception):
    """What the shop's own code raises when it does not do something."""


class Step(NamedTuple):
    """One call of a task: a method of the shop and its arguments."""

    method: str
    arguments: Mapping[str, Any]


class Task(NamedTuple):
    """A task: its customer, the calls that solve it, and how many of its calls are not the shop's.

    These compute, or hand over to a person.
    """

    id: str
    customer: str
    steps: tuple[Step, ...]
    left_out: int


class Material:
    """What tau2 brings. Raises `FileNotFoundError` if it is not installed."""

    def __init__(self) -> None:
        found = sorted(ROOT.glob(_PACKAGES))
        if not found:
            raise FileNotFoundError("tau2 is not installed: `make tau2` does that")
        _stand_in(found[0])
        retail = importlib.import_module("inspect_evals.tau2.retail.RetailAgentTools")
        # The shop as every task begins. Nobody may change it, which `unchanged` tells at the end.
        self.base = retail.RetailAgentTools()
        self.base.initialize()
        self._begun = self.base.db.model_dump()
        text = (found[0] / "inspect_evals/tau2/data/domains/retail/tasks.json").read_text()
        self.tasks = tuple(_task(each, self.base) for each in json.loads(text))

    def fresh(self, customer: str) -> Any:
        """A shop in which this customer's profile and orders may change; the rest is shared."""
        shop, db = self.base.model_copy(), self.base.db.model_copy()
        own = [order for order in db.orders.values() if order.user_id == customer]
        db.orders = {**db.orders, **{each.order_id: each.model_copy(deep=True) for each in own}}
        if customer in db.users:
            db.users = {**db.users, customer: db.users[customer].model_copy(deep=True)}
        shop.db = db
        return shop

    @property
    def unchanged(self) -> bool:
        """Whether nothing was changed but what `fresh` gave."""
        return bool(self.base.db.model_dump() == self._begun)


def call(run: str, method: str, /, **arguments: Any) -> Any:
    """Call a method of a run's shop. Raises `NotDone` if the shop refuses, before it does any."""
    if not method.startswith(_READING):
        CHANGES[run] += 1
    try:
        return directly(RUNS[run], Step(method, arguments))
    except RefusedByShop as error:
        raise NotDone(str(error)) from error


def directly(shop: Any, step: Step) -> Any:
    """Call a method without us. Raises `RefusedByShop`."""
    answer = getattr(shop, step.method)(**step.arguments)
    is_json = isinstance(answer, str) and answer.startswith("{")
    return json.loads(answer) if is_json else answer


def state(shop: Any, customer: str) -> Any:
    """A customer's profile and orders in a shop, to be compared."""
    orders = [each for each in shop.db.orders.values() if each.user_id == customer]
    return [each.model_dump() for each in (shop.db.users.get(customer), *orders) if each]


def cents(dollars: float) -> int:
    """An amount of the shop, which counts in dollars, in minor units."""
    return round(dollars * 100)


def _task(entry: Mapping[str, Any], shop: Any) -> Task:
    given = entry["evaluation_criteria"]["actions"] or []
    steps = tuple(Step(each["name"], each["arguments"]) for each in given)
    kept = tuple(each for each in steps if hasattr(shop, each.method))
    customers = {found for each in kept if (found := customer_of(each, shop))}
    assert len(customers) <= 1, entry["id"]
    return Task(
        entry["id"], customers.pop() if customers else "nobody", kept, len(steps) - len(kept)
    )


def customer_of(step: Step, shop: Any) -> str:
    """Whom a call finds, or whose profile or order it names; empty if nobody's."""
    if step.method.startswith("find"):
        try:
            return str(directly(shop, step))
        except RefusedByShop:
            return ""
    order = shop.db.orders.get(step.arguments.get("order_id"))
    return str(order.user_id if order else step.arguments.get("user_id", ""))


def _stand_in(packages: Path) -> None:
    """Let the shop's modules be imported by themselves, without their framework and packages."""
    if str(packages) not in sys.path:
        sys.path.append(str(packages))
    for name in _FOLDERS:
        package = types.ModuleType(f"inspect_evals{name}")
        package.__path__ = [str(packages / f"inspect_evals{name}".replace(".", "/"))]
        sys.modules.setdefault(package.__name__, package)
    for name, members in (
        ("", {}),
        (".tool", {"ToolError": RefusedByShop}),
        (".util", {"StoreModel": BaseModel}),
        (".model", {"Content": object, "ContentText": object}),
    ):
        module = types.ModuleType(f"inspect_ai{name}")
        vars(module).update(members)
        sys.modules.setdefault(module.__name__, module)
