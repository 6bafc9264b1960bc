"""Who can do this? Yes, with a request that was evaluated; no, proved; or cannot tell.

Every case that the rules can tell apart is decided by the rule book itself, so a *yes* is a
decision, with its rules and its approvals, and a *no* is the absence of one among cases that stand
for all requests. Where rules look in a way the cases do not capture, they are taken for the most
generous that they could be; if that still refuses everything the answer is *no*, else it is
*cannot tell*. What the world can hold is not known here: a fact that is read from it may have any
value of its type.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, product
from math import prod
from typing import Literal, cast

from msgspec import Struct, structs

from bailiwick.errors import PolicyError
from bailiwick.nouns import (
    Caller,
    Cap,
    Capability,
    Decision,
    Mode,
    ModeSetting,
    Resource,
    Situation,
    mode_of,
)
from bailiwick.policy.conditions import always
from bailiwick.policy.domains import (
    ABSENT,
    HOUR,
    MODE,
    NOW,
    OVER,
    RESOURCE,
    WEEKDAY,
    Looks,
    TooMany,
    Variable,
    alias_of,
    excluded,
    looks_of,
    variable_of,
)
from bailiwick.policy.endpoints import ENDPOINTS, looked_at, placed
from bailiwick.policy.rulebook import RuleBook
from bailiwick.policy.rules import Path, Rule
from bailiwick.policy.schema import BOOL, LONG, STRING, STRINGS, Field, Shape
from bailiwick.ports import Question
from bailiwick.values import JSON
from bailiwick.vocabulary import GROUPS

_CASES = 4096
_HOUR_US = 3_600_000_000
_MONDAY_US = 4 * 24 * _HOUR_US  # 1970-01-05, the first Monday

_SOMETHING: Mapping[str, JSON] = {BOOL: False, LONG: 0, STRING: "something", STRINGS: []}

Values = Mapping[Path, object]


class Answer(Struct, frozen=True, kw_only=True):
    """Whether one agent can, by which tool. A yes has its route; a no or cannot tell its reason.

    `tier` is `auto`, or the queues that are asked, as `finance:2`. `question` is the request that
    was evaluated, and `rules` those that decided it.
    """

    agent: str
    can: Literal["yes", "no", "cannot tell"]
    tool: str = ""
    tier: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    question: Question | None = None
    reason: str = ""


class Inquiry(Struct, frozen=True, kw_only=True):
    """What is asked of one agent and one tool: what is fixed, and what the rules look at."""

    agent: str
    shape: Shape
    fixed: Values
    variables: Sequence[Variable]
    automatic: bool


def who_can(
    book: RuleBook,
    action: str,
    on: Mapping[str, JSON] | Resource | None = None,
    *,
    automatic: bool = False,
    settings: Sequence[ModeSetting] = (),
) -> tuple[Answer, ...]:
    """Answer for every agent whether it can use a tool, or any tool of a group.

    It is answered in the mode of its manifest and of `settings`. `on` narrows to requests with
    these facts or arguments, or to one resource. With `automatic`, what needs people's approval
    does not count. Raises `PolicyError` for no tool and no group.
    """
    if action in GROUPS:
        tools = [name for name, shape in book.shapes.items() if action in shape.groups]
    elif action in book.shapes:
        tools = [action]
    else:
        raise PolicyError(
            f"`{action}` is no tool and no group of actions",
            code="action_unknown",
            help=f"name a tool of the catalogue or one of {', '.join(GROUPS)}",
        )
    rank = {"yes": 0, "cannot tell": 1, "no": 2}
    answers = []
    for agent in sorted(book.manifests):
        modes = {
            tool: mode_of(tool, (agent,), manifests=book.manifests, settings=settings)
            for tool in sorted(tools)
        }
        found = [_can(book, (agent, tool), on, automatic, mode) for tool, mode in modes.items()]
        nobody = Answer(agent=agent, can="no", reason="no tool is in the group")
        answers.append(min(found, key=lambda a: (rank[a.can], a.tier != ("auto",)), default=nobody))
    return tuple(answers)


def _can(
    book: RuleBook,
    whom: tuple[str, str],
    on: Mapping[str, JSON] | Resource | None,
    automatic: bool,
    mode: Mode,
) -> Answer:
    agent, tool = whom
    no = partial(Answer, agent=agent, can="no", tool=tool)
    unclear = partial(Answer, agent=agent, can="cannot tell", tool=tool)
    shape, matching = book.shapes[tool], book.matching(agent, tool)
    rules = [rule for rule, _ in matching]
    if mode == "shadow" or (mode == "read-only" and shape.tool.effect == "write"):
        return no(reason=f"it is in mode {mode}")
    if not any(rule.effect == "permit" for rule in rules):
        return no(reason="no rule permits it")
    for rule, condition in matching:
        if rule.effect == "forbid" and condition is always:
            return no(reason=f"`{rule.id}` always forbids it")
    fixed, unknown, impossible = _fixed(on, shape)
    if impossible:
        return no(reason=impossible)
    fixed[MODE] = mode
    looks = looks_of(rules, shape)
    try:
        variables = _variables(looks, fixed, shape)
    except TooMany:
        return unclear(reason="a set is compared with too many texts")
    inquiry = Inquiry(
        agent=agent, shape=shape, fixed=fixed, variables=variables, automatic=automatic
    )
    best, unsure = _search(book, inquiry)
    if best is not None:
        return unclear(reason=unknown) if unknown else best
    if prod(len(variable.values) for variable in variables) > _CASES:
        return unclear(reason=f"there are more than {_CASES} cases")
    if looks.opaque:
        best, unsure = _search(_generous(book, agent, rules, looks), inquiry)
        if best is not None or unsure:
            names = (f"`{id}`: {why}" for id, why in sorted(looks.opaque.items()))
            return unclear(reason="; ".join(names))
    return unclear(reason=unknown or unsure) if unsure else no(reason="every case is refused")


def _fixed(
    on: Mapping[str, JSON] | Resource | None, shape: Shape
) -> tuple[dict[Path, object], str, str]:
    """Read `on` for one tool: the variables it fixes, what the tool does not have, why it is no."""
    fixed: dict[Path, object] = {}
    unknown = ""
    if isinstance(on, Resource):
        if on.type != shape.tool.resource_type:
            return {}, "", f"the tool touches {shape.tool.resource_type}, not {on.type}"
        return {RESOURCE: on.id}, "", ""
    for name, value in (on or {}).items():
        group = "facts" if name in shape.facts or name == "data_classes" else "input"
        field = shape.lookup((group, name))
        if field is None or not isinstance(field.type, str):
            return {}, f"the tool has no typed fact or argument `{name}`", ""
        path = alias_of((group, name), shape)
        given = _set(value) if isinstance(value, list | tuple) else value
        if not _has_type(given, field.type):
            raise PolicyError(
                f"`{name}` is a {field.type} for `{shape.tool.name}`",
                code="value_mistyped",
                help="give a value of that type",
            )
        if excluded(given, path, shape):
            return {}, "", f"the tool takes no such `{name}`"
        if not _surely(given, path, shape):
            unknown = f"it is not known whether `{name}` can have this value"
        fixed[path] = given
    return fixed, unknown, ""


def _surely(given: object, path: Path, shape: Shape) -> bool:
    """Whether requests can have this value, as far as the tool's schema says."""
    members = set(given) if isinstance(given, tuple) else {given}
    try:
        return given in variable_of(path, members, shape).sure
    except TooMany:
        return False


def _set(values: Sequence[JSON]) -> tuple[JSON, ...]:
    """A set of texts in the one order in which sets are tried."""
    texts = [value for value in values if isinstance(value, str)]
    return tuple(sorted(set(texts))) if len(texts) == len(values) else tuple(values)


def _has_type(value: object, kind: str) -> bool:
    if kind == BOOL:
        return isinstance(value, bool)
    if kind == LONG:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == STRING:
        return isinstance(value, str)
    return isinstance(value, tuple) and all(isinstance(member, str) for member in value)


def _variables(looks: Looks, fixed: Values, shape: Shape) -> list[Variable]:
    merged: dict[Path, set[object]] = {}
    for path, constants in looks.constants.items():
        merged.setdefault(alias_of(path, shape), set()).update(constants)
    for endpoint in cast("tuple[str, ...]", fixed.get(ENDPOINTS, ())):
        for path, constant in looked_at(ENDPOINTS, endpoint, shape):
            merged.setdefault(path, set()).add(constant)
    return [
        variable_of(path, constants, shape)
        for path, constants in sorted(merged.items())
        if path not in fixed
    ]


def _search(book: RuleBook, inquiry: Inquiry) -> tuple[Answer | None, str]:
    """Decide every case: the best yes among those that can surely occur, and why one is unsure."""
    shape, variables = inquiry.shape, inquiry.variables
    best: Answer | None = None
    unsure = ""
    something = _something(shape)
    for values in islice(product(*(variable.values for variable in variables)), _CASES):
        case = {variable.path: value for variable, value in zip(variables, values, strict=True)}
        question = _question(inquiry.agent, shape, {**case, **inquiry.fixed}, something)
        if question is None:
            continue
        decision = book.decide(question)
        if decision.errors:
            unsure = unsure or f"a case fails: {decision.errors[0]}"
        if decision.effect == "deny" or (inquiry.automatic and decision.effect == "ask"):
            continue
        doubtful = [
            variable.path for variable in variables if case[variable.path] not in variable.sure
        ]
        if doubtful:
            unsure = f"it is not known which values `{'.'.join(doubtful[0])}` can have"
            continue
        found = _yes(inquiry.agent, shape, question, decision)
        if decision.effect == "allow":
            return found, ""
        best = best or found
    return best, unsure


def _yes(agent: str, shape: Shape, question: Question, decision: Decision) -> Answer:
    asked = tuple(sorted({f"{ask.queue}:{ask.quorum}" for ask in decision.asks}))
    return Answer(
        agent=agent,
        can="yes",
        tool=shape.tool.name,
        tier=asked or ("auto",),
        rules=tuple(rule.id for rule in decision.rules),
        question=question,
    )


def _generous(book: RuleBook, agent: str, rules: Sequence[Rule], looks: Looks) -> RuleBook:
    """The same rules, but opaque permits always permit and opaque forbids never forbid."""
    kept = [
        structs.replace(rule, tree=replace(rule.tree, clauses=()), uses=())
        if rule.id in looks.opaque
        else rule
        for rule in rules
        if rule.effect == "permit" or rule.id not in looks.opaque
    ]
    return RuleBook(kept, book.shapes, {agent: book.manifests[agent]})


# --- a case as a request -------------------------------------------------------------------------


def _something(shape: Shape) -> dict[Path, JSON]:
    """Some value for every fact, and for every argument that is always there."""
    found: dict[Path, JSON] = {}
    for group, fields in (("input", shape.input), ("facts", shape.facts)):
        for name, field in fields.items():
            if field.required:
                found[group, name] = _default(field, shape, (group, name))
    return found


def _default(field: Field, shape: Shape, path: Path) -> JSON:
    if not isinstance(field.type, str):
        members = field.type.items()
        return {
            name: _default(inner, shape, (*path, name)) for name, inner in members if inner.required
        }
    if len(path) != 2:
        return _SOMETHING[field.type]
    variable = variable_of(path, set(), shape)
    values = [v for v in (*variable.sure, *variable.values) if v is not ABSENT]
    return _plain(values[0]) if values else None


def _question(agent: str, shape: Shape, case: Values, something: Values) -> Question | None:
    """The request of a case; None if there is none, because a fact's argument is absent."""
    values = {**something, **case}
    facts: dict[str, object] = {}
    for name in shape.facts:
        source = alias_of(("facts", name), shape)
        facts[name] = values.setdefault(source, values["facts", name])
    input_ = {name: values.get(("input", name), ABSENT) for name in shape.input}
    if any(value is ABSENT for value in facts.values()):
        return None
    if "endpoints" in facts:
        facts["endpoints"] = placed(case, cast("Sequence[str]", facts["destinations"]), shape)
        if facts["endpoints"] is None:
            return None
    arguments = {name: _plain(value) for name, value in input_.items() if value is not ABSENT}
    over, sources = case.get(OVER, ()), case.get(("provenance", "sources"), ())
    classes = case.get(("facts", "data_classes"), ())
    assert isinstance(classes, tuple)
    assert isinstance(over, tuple)
    assert isinstance(sources, tuple)
    return Question(
        caller=Caller(
            tenant="default",
            agent=agent,
            subject=str(case.get(("subject", "id"), "somebody")),
            capability=Capability(
                id="who-can",
                run=str(case.get(("run", "id"), "a-run")),
                grants=(),
                issued_at_us=0,
                expires_at_us=0,
                key_thumbprint="",
            ),
        ),
        tool=shape.tool.name,
        situation=Situation(
            arguments=arguments,
            canonical=b"",
            resource=Resource(
                type=shape.tool.resource_type, id=str(case.get(RESOURCE, "some-resource"))
            ),
            facts={name: _plain(value) for name, value in facts.items()},
            input=arguments,
            before={},
        ),
        over=tuple(Cap(node=node, unit="calls", limit=0) for node in over),
        now_us=_instant(case),
        sources=sources,
        mode=cast("Mode", case.get(MODE, "live")),
        data_classes=classes,
    )


def _instant(case: Values) -> int:
    if NOW in case:
        now_us = case[NOW]
        assert isinstance(now_us, int)
        return now_us
    hour, weekday = case.get(HOUR, 9), case.get(WEEKDAY, 1)
    assert isinstance(hour, int)
    assert isinstance(weekday, int)
    return _MONDAY_US + ((weekday - 1) * 24 + hour) * _HOUR_US


def _plain(value: object) -> JSON:
    if isinstance(value, tuple | list):
        return list(value)
    assert value is None or isinstance(value, bool | int | str | dict)
    return value
