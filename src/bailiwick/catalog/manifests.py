"""Manifests: `agents/*.yaml`, one agent each, with its tools and its bounds.

Bounds become caps at budget nodes: `run`, where the limits organ fills in which, and
`agent:<name>`; rates stand at `rate:tool:<tool>`, `rate:upstream:<upstream>` and
`rate:agent:<agent>`. What the policy compiler reads (tiers, destinations and the like) is kept as
written in `Manifest.source`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from msgspec import Struct, structs

from bailiwick.catalog.ceilings import (
    BudgetForm,
    RateForm,
    ceilings,
    dollars,
    limit_problems,
    unknown_name,
    upstreams_of,
)
from bailiwick.catalog.domains import allowed
from bailiwick.catalog.fallbacks import (
    BudgetBlockForm,
    FallbacksForm,
    LoggingForm,
    RoutingForm,
    asks,
    error_ppm,
    fallback_problems,
    kept_days,
    logging_problems,
)
from bailiwick.catalog.problems import problem, read_as, refuse, unknown_members
from bailiwick.catalog.yaml_text import load_yaml
from bailiwick.errors import BadInput, CatalogError
from bailiwick.nouns import Cap, Manifest, Mode
from bailiwick.ports import Catalogue
from bailiwick.values import JSON, MAX_INTEGER, did_you_mean, shown
from bailiwick.vocabulary import GROUPS

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class ManifestForm(Struct, frozen=True, kw_only=True):
    """The members of a manifest. Those of the policy compiler are checked there.

    Without a `name` the file's is the agent's. `modes` are by tool, `prefix.*` or `*`.
    """

    name: str = ""
    owner: str
    description: str = ""
    tools_allowlist: tuple[str, ...]
    actions_require_approval: tuple[str, ...] = ()
    max_runtime_seconds: int | None = None
    max_tool_calls: int | None = None
    max_cost_usd: str | int | float | None = None
    max_total_cost_usd: str | int | float | None = None
    max_attempts_per_step: int = 5
    budgets: tuple[BudgetForm, ...] = ()
    rates: tuple[RateForm, ...] = ()
    modes: Mapping[str, Mode] = {}
    budget: BudgetBlockForm = BudgetBlockForm()
    model_routing: RoutingForm | None = None
    fallbacks: FallbacksForm | None = None
    logging: LoggingForm = LoggingForm()
    tiers: JSON = None
    destinations: JSON = None
    deny_when: JSON = None
    people_only: JSON = None
    approvals: JSON = None


def load_manifests(files: Mapping[str, str], catalogue: Catalogue) -> Mapping[str, Manifest]:
    """Load the manifests of a release, by the agent's name.

    Raises one `CatalogError` that lists everything that is wrong: `member_unknown`,
    `manifest_member_unsupported` for what cannot take effect, `manifest_tool_unknown` for an
    entry that matches no tool, and others.
    """
    manifests: dict[str, Manifest] = {}
    problems: list[CatalogError] = []
    for path in sorted(files):
        if not (path.startswith("agents/") and path.endswith((".yaml", ".yml"))):
            continue
        try:
            content = load_yaml(files[path], path)
            problems += unknown_members(content, ManifestForm, path)
            form = read_as(content, ManifestForm, path)
            form = structs.replace(form, name=form.name or PurePosixPath(path).stem)
            content = _with_destinations(content, path)
            problems += _form_problems(form, catalogue, path)
            if form.name in manifests:
                problems.append(
                    problem("manifest_duplicate", path, f"`{shown(form.name)}` has a manifest")
                )
            manifests[form.name], found = _manifest(form, content, path)
            problems += found
        except CatalogError as error:
            problems.append(error)
    refuse(problems)
    return manifests


def _with_destinations(content: Mapping[str, JSON], path: str) -> Mapping[str, JSON]:
    """The manifest with its allow-list in the form that facts have. Raises `CatalogError`."""
    entries = content.get("destinations")
    if not isinstance(entries, (list, tuple)) or not all(isinstance(each, str) for each in entries):
        return content  # said by the policy compiler
    try:
        return {**content, "destinations": [allowed(str(each)) for each in entries]}
    except BadInput as error:
        where = f"{path}, destinations"
        raise problem(error.code, where, error.message, error.help) from None


def _form_problems(form: ManifestForm, catalogue: Catalogue, path: str) -> Iterator[CatalogError]:
    if not _NAME.fullmatch(form.name):
        yield problem(
            "manifest_name_invalid",
            path,
            f"`{shown(form.name, 60)}` is not an agent's name",
            "write lower-case letters, digits, `-` and `_`",
        )
    if not form.owner.strip():
        yield problem("manifest_no_owner", path, "the agent has no owner", "add `owner`")
    for budget in form.budgets:
        if budget.node == "tenant":
            yield problem(
                "member_invalid", f"{path}, budgets", "the tenant's ceilings are in limits.yaml"
            )
    for entry in form.tools_allowlist:
        yield from _entry_problems(entry, catalogue, f"{path}, tools_allowlist")
    for entry in form.actions_require_approval:
        if entry not in GROUPS:
            yield from _entry_problems(entry, catalogue, f"{path}, actions_require_approval")
    for index, rate in enumerate(form.rates):
        yield from limit_problems(rate.limit, f"{path}, rates[{index}]")
        if rate.tool is not None:
            yield from _entry_problems(rate.tool, catalogue, f"{path}, rates", exact=True)
        if rate.upstream is not None:
            known = upstreams_of(catalogue)
            yield from unknown_name("upstream", rate.upstream, known, f"{path}, rates")
        named = [name for name in (rate.agent, rate.tool, rate.upstream) if name]
        if rate.agent not in (None, form.name) or len(named) > 1:
            yield problem(
                "member_invalid",
                f"{path}, rates",
                "a rate here is for one tool, one upstream, or for this agent",
                "name a `tool`, an `upstream`, or nothing",
            )
    for entry in form.modes:
        if entry != "*":
            yield from _entry_problems(entry, catalogue, f"{path}, modes")
    yield from fallback_problems(form.fallbacks or FallbacksForm(), f"{path}, fallbacks")
    within = form.budget.fallbacks or FallbacksForm()
    yield from fallback_problems(within, f"{path}, budget.fallbacks")
    yield from logging_problems(form.logging, f"{path}, logging")
    bounds = {
        "budget.max_tool_calls": form.budget.max_tool_calls,
        "max_runtime_seconds": form.max_runtime_seconds,
        "max_tool_calls": form.max_tool_calls,
        "max_attempts_per_step": form.max_attempts_per_step,
    }
    for name, bound in bounds.items():
        if bound is not None and not 0 < bound <= MAX_INTEGER:
            yield problem("member_invalid", path, f"`{name}` is not a positive number")


def _entry_problems(
    entry: str, catalogue: Catalogue, where: str, *, exact: bool = False
) -> Iterator[CatalogError]:
    tools = catalogue.tools
    if entry in tools:
        return
    prefix = entry.removesuffix("*")
    if not exact and entry.endswith(".*") and any(name.startswith(prefix) for name in tools):
        return
    yield problem(
        "manifest_tool_unknown",
        where,
        f"`{shown(entry, 80)}` matches no tool",
        did_you_mean(entry, tools, "write a tool's name, or `prefix.*` for all that begin so"),
    )


def _manifest(
    form: ManifestForm, content: Mapping[str, JSON], path: str
) -> tuple[Manifest, list[CatalogError]]:
    own, problems = ceilings(form.budgets, f"agent:{form.name}", path)
    caps = list(own)
    for calls in (form.max_tool_calls, form.budget.max_tool_calls):
        if calls is not None:
            caps.append(Cap(node="run", unit="calls", limit=calls))
    costs = {
        "max_cost_usd": form.max_cost_usd,
        "max_total_cost_usd": form.max_total_cost_usd,
        "budget.max_cost_usd": form.budget.max_cost_usd,
        "budget.max_total_cost_usd": form.budget.max_total_cost_usd,
    }
    for name, cost in costs.items():
        if cost is not None:
            limit = dollars(cost, f"{path}, {name}")
            caps.append(Cap(node="run", unit="micro_usd", limit=limit))
    rates = [
        Cap(
            node=_rate_node(rate, form.name),
            unit="calls",
            limit=rate.limit,
            period=rate.per,
        )
        for rate in form.rates
    ]
    fallbacks = [each for each in (form.fallbacks, form.budget.fallbacks) if each]
    rates_ppm = [error_ppm(each) for each in fallbacks]
    manifest = Manifest(
        name=form.name,
        owner=form.owner,
        tools=form.tools_allowlist,
        require_approval=form.actions_require_approval,
        caps=tuple(caps),
        rates=tuple(rates),
        max_runtime_seconds=form.max_runtime_seconds,
        max_attempts_per_step=form.max_attempts_per_step,
        modes=form.modes,
        max_error_ppm=min((ppm for ppm in rates_ppm if ppm is not None), default=None),
        asks_over_budget=any(map(asks, fallbacks)),
        models=_models(form),
        retention_days=kept_days(form.logging),
        source=content,
    )
    return manifest, problems


def _rate_node(rate: RateForm, agent: str) -> str:
    if rate.upstream:
        return f"rate:upstream:{rate.upstream}"
    return f"rate:tool:{rate.tool}" if rate.tool else f"rate:agent:{agent}"


def _models(form: ManifestForm) -> dict[str, str]:
    """The model of each role; where both places name one, the block's."""
    both = (form.model_routing, form.budget.model_routing)
    return {
        role: model
        for routing in both
        if routing is not None
        for role, model in structs.asdict(routing).items()
        if model is not None
    }
