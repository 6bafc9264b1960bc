"""What must be true of a rule set before it may decide: every finding, not the first."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from cedarpy import Schema, pst, validate_policies

from bailiwick.policy.conditions import applies
from bailiwick.policy.findings import Finding
from bailiwick.policy.rules import Rule, Use, hidden_has
from bailiwick.policy.schema import PRINCIPAL, Shape, lookup
from bailiwick.vocabulary import GROUPS

# What Cedar says of a scope that no tool meets.
_NO_ACTION = "unable to find an applicable action"
_ACTION = re.compile(r' for Action::"[^"]*"')


def check_rules(
    rules: Sequence[Rule],
    schema: str,
    shapes: Mapping[str, Shape],
    agents: Collection[str],
) -> list[Finding]:
    """Give everything that is wrong with the rules, in the order of the rules."""
    findings = list(_ids(rules))
    types = _type_errors(rules, schema)
    for index, rule in enumerate(rules):
        wrong = [*_evidence(rule), *_agents(rule, agents)]
        if errors := types.get(index):
            wrong += [_explained(error) for error in errors]
        else:
            wrong += _has(rule, [s for s in shapes.values() if applies(rule.tree, s)])
        findings += [_finding(rule, reason, help) for reason, help in wrong]
    return findings


def _ids(rules: Sequence[Rule]) -> Iterator[Finding]:
    count = Counter(rule.id for rule in rules)
    first: dict[str, Rule] = {}
    for rule in rules:
        if count[rule.id] > 1 and rule.id in first and not rule.id.startswith("line "):
            where = first[rule.id]
            reason = f"the id stands in `{where.file}`, line {where.line}, too"
            yield _finding(rule, reason, "give each rule an id of its own")
        first.setdefault(rule.id, rule)


def _type_errors(rules: Sequence[Rule], schema: str) -> dict[int, list[str]]:
    """Cedar's own complaints, by the index of the rule."""
    text = "\n".join(rule.text for rule in rules)
    result = validate_policies(text, Schema.from_str(schema))
    errors: dict[int, list[str]] = {}
    for error in result.errors:
        # Cedar numbers the rules of a text: policy0, policy1, …
        index = int(error.policy_id.removeprefix("policy"))
        reason = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
        # The same complaint comes once for each action of the scope; one of them is enough.
        same = _ACTION.sub("", reason)
        if same not in [_ACTION.sub("", known) for known in errors.setdefault(index, [])]:
            errors[index].append(reason)
    if not result.validation_passed and not errors:
        errors = {index: ["the rules do not type-check"] for index in range(len(rules))}
    return errors


def _explained(error: str) -> tuple[str, str]:
    if _NO_ACTION in error:
        return (
            "no tool meets the rule's scope, so it can never match",
            f"name a tool of the catalogue, a group that has one ({', '.join(GROUPS)}), and the"
            " resource type of its tools",
        )
    return error, "read only what the tools in the rule's scope declare, and by its type"


def _evidence(rule: Rule) -> Iterator[tuple[str, str]]:
    """Evidence belongs to forbids, under their own id, and both or neither is there."""
    read: set[str] = set()
    for use in rule.uses:
        if use.variable == "context" and not use.path:
            yield "reads the whole context at once", "name the attribute that the rule is about"
        elif use.variable == "context" and use.path[0] == "approvals":
            if len(use.path) > 1:
                read.add(use.path[1])
            elif not use.has:
                yield (
                    "reads the evidence for every rule at once",
                    f'read context.approvals["{rule.id}"]',
                )
    annotated = "approval" in rule.tree.annotations
    if rule.effect == "permit" and (read or annotated):
        yield (
            "a permit asks for evidence, which is never asked of people",
            "permit without it, and write a forbid that people may satisfy",
        )
        return
    for other in sorted(read - {rule.id}):
        yield (
            f"reads the evidence for `{other}`",
            f'evidence is given for each rule; read context.approvals["{rule.id}"]',
        )
    if rule.id in read and not annotated:
        yield (
            "reads evidence, but says of nobody that they give it",
            'write @approval("queue:quorum") above the rule',
        )
    if annotated and rule.id not in read:
        yield (
            "says who approves, but no evidence lifts it",
            f'end it with: unless {{ context.approvals has "{rule.id}" &&'
            f' context.approvals["{rule.id}"] }}',
        )


def _agents(rule: Rule, agents: Collection[str]) -> Iterator[tuple[str, str]]:
    named = {uid.id for uid in pst.entity_uids(rule.tree) if str(uid.type) == "Agent"}
    for name in sorted(named - set(agents)):
        yield (
            f"names the agent `{name}`, which has no manifest, so this can never match",
            "correct the name, or add the agent's manifest",
        )


def _has(rule: Rule, shapes: Sequence[Shape]) -> Iterator[tuple[str, str]]:
    """A mistyped `has` is never true and says nothing: the rule would silently never fire."""
    for use in rule.uses:
        if use.has and not _declared(use, shapes):
            yield (
                f"asks `has` of `{'.'.join((use.variable, *use.path))}`, which no action of the"
                " rule's scope declares",
                "correct the name, or remove the condition",
            )
    for names in hidden_has(rule.tree):
        yield (
            f"asks `has {names}` of a computed value, which cannot be checked",
            "ask it of an attribute: context.input has …",
        )


def _declared(use: Use, shapes: Sequence[Shape]) -> bool:
    if use.variable == "context":
        return any(shape.lookup(use.path) for shape in shapes)
    return use.variable == "principal" and lookup(PRINCIPAL, use.path) is not None


def _finding(rule: Rule, reason: str, help: str) -> Finding:
    return Finding(file=rule.file, line=rule.line, rule=rule.id, reason=reason, help=help)
