"""A project's own policy tests and assertions: requests with the answers they must get.

`policies/tests/*.yaml` is a list of cases. Facts are given whole: a request that does not fit the
schema is denied whatever the rules say, so it would prove nothing.

    - test: a small refund is automatic
      agent: refund-desk
      tool: payments.refund
      resource: ch_1
      facts: {value: 4200, currency: USD, new_payee: false}
      input: {charge: ch_1}
      expect: allow              # or deny, or ask
      queues: [finance:2]        # for ask: exactly these
      rules: [refund-desk.may]   # exactly these rules decided, if given

`policies/assertions.yaml` is a list of statements about every request there can be:

    - who_can: destructive       # a tool or a group
      on: {environment: production}
      automatic: true            # without people
      agents: []                 # exactly these

A statement that cannot be told fails.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

import msgspec

from bailiwick.errors import ConfigError, PolicyError
from bailiwick.nouns import Caller, Cap, Capability, Decision, Mode, Resource, Situation, mode_of
from bailiwick.policy.findings import Finding
from bailiwick.policy.rulebook import RuleBook
from bailiwick.policy.who_can import Answer, who_can
from bailiwick.ports import Question
from bailiwick.values import JSON
from bailiwick.yaml_text import read_yaml

TESTS, ASSERTIONS = "policies/tests/", "policies/assertions.yaml"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PolicyCase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request and the decision it must get. `at` is UTC unless it says otherwise.

    `mode` is by default the one that the agent's manifest has for the tool.
    """

    test: str
    agent: str
    tool: str
    expect: Literal["allow", "deny", "ask"]
    resource: str = "some-resource"
    facts: Mapping[str, JSON] = {}
    input: Mapping[str, JSON] = {}
    over: tuple[str, ...] = ()
    data_classes: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    subject: str = "somebody"
    run: str = "a-run"
    tenant: str = "default"
    at: datetime = datetime(2026, 1, 5, 9, tzinfo=UTC)
    queues: tuple[str, ...] | None = None
    rules: tuple[str, ...] | None = None
    mode: Mode | None = None


class Assertion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who can do something, and nobody else."""

    who_can: str
    agents: tuple[str, ...]
    on: Mapping[str, JSON] = {}
    automatic: bool = False


_T = TypeVar("_T")


def run_cases(book: RuleBook, files: Mapping[str, str]) -> Iterator[Finding]:
    """Give the project's policy tests and assertions that fail, in the order of the files."""
    for file, text in sorted(files.items()):
        if file.startswith(TESTS) and file.endswith((".yaml", ".yml")):
            cases, findings = _read(file, text, list[PolicyCase])
            yield from findings
            for case in cases or ():
                reason = _failed(book, case)
                if reason:
                    help = "correct the rule, or the test if the rule is meant"
                    yield Finding(file=file, rule=case.test, reason=reason, help=help)
        elif file == ASSERTIONS:
            assertions, findings = _read(file, text, list[Assertion])
            yield from findings
            for assertion in assertions or ():
                yield from _contradicted(book, file, assertion)


def question_of(case: PolicyCase, resource_type: str, mode: Mode = "live") -> Question:
    """The question a case asks, in its mode or else in this one."""
    at = case.at if case.at.tzinfo else case.at.replace(tzinfo=UTC)
    return Question(
        caller=Caller(
            tenant=case.tenant,
            agent=case.agent,
            subject=case.subject,
            capability=Capability(
                id="policy-test",
                run=case.run,
                grants=(),
                issued_at_us=0,
                expires_at_us=0,
                key_thumbprint="",
            ),
        ),
        tool=case.tool,
        situation=Situation(
            arguments=case.input,
            canonical=b"",
            resource=Resource(type=resource_type, id=case.resource),
            facts=case.facts,
            input=case.input,
            before={},
        ),
        over=tuple(Cap(node=node, unit="calls", limit=0) for node in case.over),
        evidence=case.evidence,
        now_us=(at - _EPOCH) // timedelta(microseconds=1),
        sources=case.sources,
        mode=case.mode or mode,
        data_classes=case.data_classes,
    )


def _failed(book: RuleBook, case: PolicyCase) -> str:
    """Why a case fails; empty if it does not."""
    shape = book.shapes.get(case.tool)
    mode = mode_of(case.tool, (case.agent,), manifests=book.manifests)
    decision = book.decide(question_of(case, shape.tool.resource_type if shape else "", mode))
    if decision.errors:
        return f"the request is not decided by a rule: {'; '.join(decision.errors)}"
    if decision.effect != case.expect:
        return f"expected {case.expect}, but the policy says {_said(decision)}"
    queues = sorted(f"{ask.queue}:{ask.quorum}" for ask in decision.asks)
    if case.queues is not None and sorted(case.queues) != queues:
        return f"expected to ask {_listed(case.queues)}, but it asks {_listed(queues)}"
    rules = [rule.id for rule in decision.rules]
    if case.rules is not None and sorted(case.rules) != rules:
        return f"expected {_listed(case.rules)} to decide, but {_listed(rules)} did"
    return ""


def _contradicted(book: RuleBook, file: str, assertion: Assertion) -> Iterator[Finding]:
    name = f"who can {assertion.who_can}"
    try:
        answers = who_can(
            book, assertion.who_can, assertion.on or None, automatic=assertion.automatic
        )
    except PolicyError as error:
        yield Finding(file=file, rule=name, reason=error.message, help=error.help)
        return
    for unknown in sorted(set(assertion.agents) - book.manifests.keys()):
        yield Finding(
            file=file, rule=name, reason=f"`{unknown}` is no agent", help="correct the name"
        )
    for answer in answers:
        reason = _differs(answer, answer.agent in assertion.agents)
        if reason:
            help = "correct the rules, or the assertion if they are meant"
            yield Finding(file=file, rule=name, reason=reason, help=help)


def _differs(answer: Answer, expected: bool) -> str:
    if answer.can == "cannot tell":
        return f"it cannot be told of `{answer.agent}` and `{answer.tool}`: {answer.reason}"
    if answer.can == "no" and expected:
        return f"`{answer.agent}` cannot: {answer.reason}"
    if answer.can == "yes" and not expected:
        route = f"by {_listed(answer.rules)}, tier {_listed(answer.tier)}"
        return f"`{answer.agent}` can use `{answer.tool}`, {route}"
    return ""


def _read(file: str, text: str, kind: type[_T]) -> tuple[_T | None, list[Finding]]:
    try:
        return msgspec.convert(read_yaml(text, file) or [], kind), []
    except (ConfigError, msgspec.ValidationError) as error:
        reason = f"the file cannot be read: {error}"
        help = "write it as a list of mappings, with no members but the documented ones"
        return None, [Finding(file=file, rule="", reason=reason, help=help)]


def _said(decision: Decision) -> str:
    rules = [rule.id for rule in decision.rules]
    if not rules:
        return f"{decision.effect}, because no rule permits it"
    return f"{decision.effect}, by {_listed(rules)}"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nobody"
