"""Whether a new policy could allow more than the old one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cedarpy import pst

from bailiwick.policy.conditions import covers, principal_of
from bailiwick.policy.granted import tiers_of
from bailiwick.policy.manifests import agent_file, tier_id
from bailiwick.policy.rulebook import RuleBook
from bailiwick.policy.rules import Rule
from bailiwick.policy.tiers import NEVER, queue_at


def is_loosening(old: RuleBook, new: RuleBook) -> bool:
    """Whether the new rules might allow what the old ones did not. In doubt they might.

    They cannot if no forbid is removed or changed, no permit added or changed, no known tool has
    changed its groups or resource type, no new tool falls under a permit that is open to it, and no
    owner has changed that a rule may read. A permit for fewer actions, or a forbid for more, is no
    loosening either.
    """
    return any(True for _ in _loosenings(old, new))


def _loosenings(old: RuleBook, new: RuleBook) -> Iterator[str]:
    before, after = _by_id(old), _by_id(new)
    tighter = _tighter_tiers(old, new)
    for id, now in after.items():
        was = before.get(id)
        if was is None:
            if now.effect == "permit":
                yield id
        elif was.text_hash != now.text_hash and not (
            id in tighter or _is_tighter(was.tree, now.tree) or _is_moot(was.tree, now.tree, after)
        ):
            yield id
    for id, was in before.items():
        agent = principal_of(was.tree)
        # An agent that is gone is refused whatever the rules say.
        gone = was.effect == "forbid" and id not in after and agent in (None, *new.manifests)
        if gone and id not in tighter:
            yield id
    uses = [use for rule in new.rules for use in rule.uses if use.variable == "principal"]
    if any(use.path for use in uses):
        for name, manifest in new.manifests.items():
            if name in old.manifests and old.manifests[name].owner != manifest.owner:
                yield name
    for name, shape in new.shapes.items():
        known = old.shapes.get(name)
        if known is None:
            permits = (rule for rule in new.rules if rule.effect == "permit")
            yield from (rule.id for rule in permits if covers(rule.tree.action, shape))
        elif known.groups != shape.groups or known.tool.resource_type != shape.tool.resource_type:
            yield name


def _is_tighter(was: pst.Template, now: pst.Template) -> bool:
    """Whether two rules differ in their actions alone, and in the safe direction."""
    if (was.effect, was.principal, was.resource, was.annotations) != (
        now.effect,
        now.principal,
        now.resource,
        now.annotations,
    ):
        return False
    if was.clauses == now.clauses:
        fewer, more = (now, was) if now.effect == "permit" else (was, now)
        return _within(_actions(fewer.action), _actions(more.action))
    same = now.effect == "forbid" and was.action == now.action
    return same and _within(_spared(now), _spared(was))


def _is_moot(was: pst.Template, now: pst.Template, after: Mapping[str, Rule]) -> bool:
    """Whether a forbid of an agent leaves out only actions that its manifest no longer names.

    Those are refused by the rule that keeps the agent to its manifest, which nobody may lift.
    """
    agent = principal_of(was)
    only = after.get(f"{agent}.only")
    if agent is None or only is None or only.file != agent_file(agent) or was.effect != "forbid":
        return False
    fewer, more, named = _actions(now.action), _actions(was.action), _spared(only.tree)
    same = replace(was, action=now.action) == now
    return None not in (fewer, more, named) and same and not (more - fewer) & named  # type: ignore[operator]


def _tighter_tiers(old: RuleBook, new: RuleBook) -> set[str]:
    """The rules of the tiers that, at each amount, ask the same queue, or ask or refuse more."""
    proved: set[str] = set()
    for agent in old.manifests.keys() & new.manifests.keys():
        before, after = tiers_of(old, agent), tiers_of(new, agent)
        for key in before.keys() & after.keys():
            was, now = before[key], after[key]
            ends = {end for tier in (was, now) for step in tier.steps for end in step[:2]}
            ends |= {was.limit, now.limit}
            amounts = [amount for end in ends if end is not None for amount in (end, end + 1)]
            if was.names <= now.names and all(
                queue_at(was, amount) in (None, queue_at(now, amount))
                or queue_at(now, amount) == NEVER
                for amount in amounts
            ):
                proved |= set(_rules_of(tier_id(agent, now), agent, old, new))
    return proved


def _rules_of(tier: str, agent: str, *books: RuleBook) -> Iterator[str]:
    """The ids of a tier's rules: its steps by number, and its end."""
    for rule in (rule for book in books for rule in book.rules):
        step = rule.id.removeprefix(f"{tier}.")
        if rule.file == agent_file(agent) and (step.isdecimal() or step == "limit"):
            yield rule.id


def _within(few: frozenset[pst.EntityUid] | None, many: frozenset[pst.EntityUid] | None) -> bool:
    return few is not None and many is not None and few <= many


def _actions(constraint: pst.ActionConstraint) -> frozenset[pst.EntityUid] | None:
    """The actions a scope names; None for an open one."""
    match constraint:
        case pst.ActionEq(entity=entity):
            return frozenset((entity,))
        case pst.ActionIn(entities=entities):
            return frozenset(entities)
        case _:
            return None


def _spared(rule: pst.Template) -> frozenset[pst.EntityUid] | None:
    """The actions that a rule spares, if `unless { action in […] }` is its whole condition."""
    match rule.clauses:
        case (
            pst.Unless(
                expr=pst.BinaryOp(
                    op="in",
                    left=pst.Var(name="action"),
                    right=pst.EntityLit() | pst.Set() as spared,
                )
            ),
        ):
            return pst.entity_uids(spared)
        case _:
            return None


def _by_id(book: RuleBook) -> dict[str, Rule]:
    return {rule.id: rule for rule in book.rules}
