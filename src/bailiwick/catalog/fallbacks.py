"""What a manifest may say beside its bounds: budget blocks, fallbacks, model routing, logging.

    budget:
      max_total_cost_usd: 0.50
      max_tool_calls: 20
      model_routing: {classifier: small, planner: large, executor: small}
      fallbacks:
        on_budget_exceeded: ask          # or deny, which is the default
        on_tool_error_rate_gt: 0.2       # or "20%": back to reading with that tool
    logging: {trace_all_runs: true, store_retrieval_sources: true, retention_days: 90}

What cannot take effect is refused by name, with what it would mean and what to write instead.
"""

from collections.abc import Iterator
from decimal import Decimal

from msgspec import Struct

from bailiwick.catalog.money import micro_usd
from bailiwick.catalog.problems import problem
from bailiwick.errors import BadInput, CatalogError
from bailiwick.nouns import RETENTION_DAYS
from bailiwick.values import did_you_mean, shown

# The words that people use for the two things that can happen over budget.
ASK = frozenset(
    {
        "ask",
        "ask_human",
        "ask_people",
        "escalate",
        "escalate_to_human",
        "handoff_to_human",
        "human_approval",
        "human_review",
        "request_approval",
        "require_approval",
        "require_human_approval",
    }
)
DENY = frozenset({"abort", "block", "deny", "fail", "halt", "refuse", "stop"})
_MOST_DAYS = 36_500
_MODEL_WORDS = ("model", "cheap", "downgrade", "route", "summar")


class FallbacksForm(Struct, frozen=True, kw_only=True):
    """What happens over budget, and above which part of writes gone wrong the agent only reads."""

    on_budget_exceeded: str | None = None
    on_tool_error_rate_gt: str | int | float | None = None


class RoutingForm(Struct, frozen=True, kw_only=True):
    """Which model serves which role of the agent; `Session.models` tells them to the program."""

    classifier: str | None = None
    planner: str | None = None
    executor: str | None = None


class BudgetBlockForm(Struct, frozen=True, kw_only=True):
    """A run's budget in one block: the same members as beside it; of two bounds the lower holds."""

    max_total_cost_usd: str | int | float | None = None
    max_cost_usd: str | int | float | None = None
    max_tool_calls: int | None = None
    model_routing: RoutingForm | None = None
    fallbacks: FallbacksForm | None = None


class LoggingForm(Struct, frozen=True, kw_only=True):
    """What is kept of runs. All of it is, always: only the length of time can be chosen."""

    trace_all_runs: bool = True
    store_retrieval_sources: bool = True
    retention_days: int | None = None


def fallback_problems(form: FallbacksForm, where: str) -> Iterator[CatalogError]:
    """Say what of the fallbacks cannot be meant, or not yet."""
    word = form.on_budget_exceeded
    if word is not None and _plain(word) not in ASK | DENY:
        name = f"`on_budget_exceeded: {shown(word, 60)}`"
        if any(part in word.lower() for part in _MODEL_WORDS):
            yield unsupported(
                where,
                name,
                "would go on with another model or less text; no model is called here yet",
                "write `ask` or `deny`, and choose the model in your program",
            )
        else:
            help = did_you_mean(_plain(word), sorted(ASK | DENY), "write `ask` or `deny`")
            yield problem("member_invalid", where, f"{name} says nothing that can be done", help)
    rate = form.on_tool_error_rate_gt
    if rate is not None and error_ppm(form) is None:
        yield problem(
            "member_invalid",
            where,
            f"`on_tool_error_rate_gt: {shown(str(rate), 40)}` is no part of all calls",
            'write a number from 0 to 1, such as 0.2, or "20%"',
        )


def logging_problems(form: LoggingForm, where: str) -> Iterator[CatalogError]:
    """Say what of the logging cannot be kept: nothing can be left out of the record."""
    if not form.trace_all_runs:
        yield unsupported(
            where,
            "`trace_all_runs: false`",
            "would leave runs out of the record; every action is recorded",
            "write `true`, or leave it out",
        )
    if not form.store_retrieval_sources:
        yield unsupported(
            where,
            "`store_retrieval_sources: false`",
            "would forget what an agent went by; rules and people see it while it waits",
            "write `true`, and have the program send no `sources`",
        )
    if not 1 <= kept_days(form) <= _MOST_DAYS:
        yield problem(
            "member_invalid",
            where,
            f"`retention_days: {form.retention_days}` is not from 1 to {_MOST_DAYS}",
            "write after how many days payloads are erased; a legal hold keeps them longer",
        )


def kept_days(form: LoggingForm) -> int:
    """After how many days an ended action's payloads are erased."""
    return RETENTION_DAYS if form.retention_days is None else form.retention_days


def asks(form: FallbacksForm) -> bool:
    """Whether people are asked over budget."""
    return _plain(form.on_budget_exceeded or "") in ASK


def error_ppm(form: FallbacksForm) -> int | None:
    """Give the error rate in parts of a million, exactly; None for one that is none."""
    rate = form.on_tool_error_rate_gt
    if rate is None or isinstance(rate, bool):
        return None
    percent = isinstance(rate, str) and rate.endswith("%")
    try:
        number = Decimal(rate.removesuffix("%")) if isinstance(rate, str) else Decimal(repr(rate))
        ppm = micro_usd(format(number / 100 if percent else number, "f"))
    except (ArithmeticError, BadInput):
        return None
    return ppm if ppm < 1_000_000 else None


def unsupported(where: str, name: str, meaning: str, help: str) -> CatalogError:
    """Refuse by name what cannot take effect: a bound that is not kept is worse than none."""
    return problem("manifest_member_unsupported", where, f"{name} {meaning}", help)


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")
