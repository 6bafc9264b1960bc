"""The compiled policy of a release: decide, in one place, from first look to last.

Every rule is Cedar and Cedar judges every rule that fires. What happens here around it: the request
is fitted to the schema, rules that certainly cannot matter are left out, and a forbid that people
may satisfy turns a denial into a question.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from cedarpy import Entities, PolicySet, Schema, _internal
from msgspec import Struct

from bailiwick.nouns import Ask, Decision, Manifest, MatchedRule
from bailiwick.policy.buckets import Bucket
from bailiwick.policy.conditions import (
    Condition,
    Context,
    Look,
    applies,
    compile_rule,
    principal_of,
)
from bailiwick.policy.request import Slot, context_of, slots_of
from bailiwick.policy.rules import Rule, policy_set
from bailiwick.policy.schema import Shape, schema_text
from bailiwick.ports import Question
from bailiwick.values import shown

# Bounds of what is kept between decisions. When they overflow only time is lost.
_BUCKETS = 4096
_JUDGES = 1024
_TENANTS = 64
# Above this many rules that may fire, the whole bucket costs less than making a set of its own.
_FEW = 12


class Judgement(Struct, frozen=True):
    """What Cedar said of one request: whether it allows, the rules that decided, the errors."""

    allowed: bool
    reasons: tuple[str, ...]
    errors: tuple[str, ...]


class Judge(Struct, frozen=True):
    """A few rules ready for Cedar, and the part of the context that they look at.

    For each member of the context the attributes that are looked at, or None for all of them.
    """

    rules: PolicySet
    looks_at: tuple[tuple[str, tuple[str, ...] | None], ...]


class _Diagnostics(Struct):
    reason: list[str] = []
    errors: list[str] = []


class _Response(Struct):
    decision: str
    diagnostics: _Diagnostics


_ERROR = re.compile(r"error while evaluating policy `([^`]*)`: ([^`]*)")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Response).decode


class RuleBook:
    """The rules of one release, compiled (`ports.Policies`). Pure: no clock, no I/O."""

    def __init__(
        self,
        rules: Sequence[Rule],
        shapes: Mapping[str, Shape],
        manifests: Mapping[str, Manifest],
    ) -> None:
        """Take rules that passed `check`; nothing is checked again here."""
        self.rules = tuple(rules)
        self.shapes = shapes
        self.manifests = manifests
        self.gates = frozenset(rule.id for rule in rules if rule.queue)
        self.schema = schema_text(shapes.values(), self.gates)
        self._schema = Schema.from_str(self.schema)
        self._by_id = {rule.id: rule for rule in rules}
        self._reads_data_classes = any("data_classes" in rule.text for rule in rules)
        self._matched = {
            rule.id: MatchedRule(id=rule.id, effect=rule.effect, text_hash=rule.text_hash)
            for rule in rules
        }
        self._slots: Mapping[str, tuple[tuple[Slot, ...], tuple[Slot, ...]]] = {
            name: (slots_of(shape.facts), slots_of(shape.input)) for name, shape in shapes.items()
        }
        self._compiled = lru_cache(_BUCKETS)(self._compile)
        self._bucket = lru_cache(_BUCKETS)(self._fill_bucket)
        self._judge = lru_cache(_JUDGES)(self._make_judge)
        self._entities = lru_cache(_TENANTS)(self._make_entities)

    # --- the door --------------------------------------------------------------------------------

    def decide(self, question: Question) -> Decision:
        """Allow, deny or ask. Any error, a request that does not fit, or no permit, denies.

        Ask means: no errors, every forbid that fires can be satisfied by people, and with exactly
        their evidence Cedar allows.
        """
        slots = self._slots.get(question.tool)
        if slots is None or question.caller.agent not in self.manifests:
            return self._unknown(question, slots is None)
        context, misfits = context_of(question, *slots, self.gates)
        if question.situation.resource.type != self.shapes[question.tool].tool.resource_type:
            misfits.append(f"the resource is of type `{shown(question.situation.resource.type)}`")
        if misfits:
            return Decision(effect="deny", errors=tuple(misfits))
        first = self._evaluate(question, context)
        if first.allowed:
            return Decision(effect="allow", rules=self._matches(first.reasons))
        if first.errors:
            return Decision(effect="deny", errors=first.errors)
        asking = [self._by_id[id] for id in first.reasons]
        if not asking or not all(rule.queue for rule in asking):
            return Decision(effect="deny", rules=self._matches(first.reasons))
        context["approvals"].update({rule.id: True for rule in asking})
        second = self._evaluate(question, context)
        if not second.allowed:
            rules = self._matches(first.reasons)
            return Decision(effect="deny", rules=rules, errors=second.errors)
        return Decision(
            effect="ask",
            rules=self._matches((*first.reasons, *second.reasons)),
            asks=tuple(
                Ask(rule=rule.id, queue=rule.queue, quorum=rule.quorum, text_hash=rule.text_hash)
                for rule in asking
            ),
        )

    def rule_text(self, rule: str) -> str:
        """The text of a rule as it was written, for people. Raises `KeyError` for no rule."""
        return self._by_id[rule].text

    @property
    def reads_data_classes(self) -> bool:
        """Whether any rule looks at the classes of data."""
        return self._reads_data_classes

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """The arguments no rule can read, by tool, because Cedar has no type for them."""
        return {name: shape.left_out for name, shape in self.shapes.items() if shape.left_out}

    def matching(self, agent: str, tool: str) -> list[tuple[Rule, Look]]:
        """The rules that can match when an agent uses a tool, each with its condition."""
        conditions = self._bucket(agent, tool).conditions
        return [(self.rules[index], condition) for index, condition in conditions]

    # --- judging ---------------------------------------------------------------------------------

    def _evaluate(self, question: Question, context: Context) -> Judgement:
        """Ask Cedar about the rules that may matter. An error beside an Allow takes it back."""
        agent, resource = question.caller.agent, question.situation.resource
        bucket = self._bucket(agent, question.tool)
        kept = bucket.that_may_matter(context, agent, resource.id)
        if not kept:
            return Judgement(False, (), ())
        judge = self._judge(kept if len(kept) <= _FEW else bucket.indices)
        request = {
            "principal": {"type": "Agent", "id": agent},
            "action": {"type": "Action", "id": question.tool},
            "resource": {"type": resource.type, "id": resource.id},
            "context": _projected(context, judge.looks_at),
        }
        # The engine's own entry: the public one copies the request and parses the answer twice.
        (answer,) = _internal.is_authorized_batch(
            [request], judge.rules, self._entities(question.caller.tenant), None, False
        )
        response = _decode(answer)
        errors = tuple(sorted(map(_without_values, response.diagnostics.errors)))
        return Judgement(
            response.decision == "Allow" and not errors,
            tuple(sorted(response.diagnostics.reason)),
            errors,
        )

    def _matches(self, ids: Sequence[str]) -> tuple[MatchedRule, ...]:
        return tuple(self._matched[id] for id in sorted(ids))

    def _unknown(self, question: Question, is_tool: bool) -> Decision:
        name, kind = (question.tool, "tool") if is_tool else (question.caller.agent, "agent")
        return Decision(effect="deny", errors=(f"`{shown(name)}` is no {kind} of this release",))

    # --- what is made once and kept --------------------------------------------------------------

    def _compile(self, tool: str) -> tuple[tuple[int, str | None, Condition], ...]:
        shape = self.shapes[tool]
        compiled = []
        for index, rule in enumerate(self.rules):
            if applies(rule.tree, shape):
                condition = compile_rule(rule.tree, shape)
                if condition is not None:
                    compiled.append((index, principal_of(rule.tree), condition))
        return tuple(compiled)

    def _fill_bucket(self, agent: str, tool: str) -> Bucket:
        return Bucket(
            [
                (index, condition)
                for index, principal, condition in self._compiled(tool)
                if principal in (None, agent)
            ]
        )

    def _make_judge(self, indices: tuple[int, ...]) -> Judge:
        rules = [self.rules[index] for index in indices]
        looks: dict[str, set[str] | None] = {}
        for use in (use for rule in rules for use in rule.uses if use.variable == "context"):
            group, *names = use.path
            if not names:
                looks[group] = None
            elif (attributes := looks.setdefault(group, set())) is not None:
                attributes.add(names[0])
        return Judge(
            policy_set(tuple(rule.tree for rule in rules)),
            tuple(
                (group, None if names is None else tuple(sorted(names)))
                for group, names in sorted(looks.items())
            ),
        )

    def _make_entities(self, tenant: str) -> _internal.Entities:
        agents = [
            {
                "uid": {"type": "Agent", "id": name},
                "attrs": {"owner": manifest.owner, "tenant": tenant},
                "parents": [],
            }
            for name, manifest in self.manifests.items()
        ]
        entities = Entities.from_json_str(_encode(agents).decode(), schema=self._schema)
        return entities._inner


def _without_values(error: str) -> str:
    """Say which rule fails and how, but not on what: the engine quotes what it stumbled over."""
    match = _ERROR.match(error)
    if match is None:
        return "the engine cannot read the request"
    return f"`{match[1]}` fails: {match[2].strip()}"


def _projected(context: Context, looks_at: Sequence[tuple[str, tuple[str, ...] | None]]) -> str:
    """The part of the context that a set of rules looks at, as JSON."""
    if not looks_at:
        return "{}"
    part = {}
    for group, names in looks_at:
        whole = context[group]
        part[group] = (
            whole if names is None else {name: whole[name] for name in names if name in whole}
        )
    return _encode(part).decode()
