"""What a new policy changes, in words, and whether it could allow more than the old one."""

from collections.abc import Iterator

from cedarpy import pst

from bailiwick.policy.conditions import covers, principal_of
from bailiwick.policy.rulebook import RuleBook
from bailiwick.policy.rules import Rule


def diff_rules(old: RuleBook, new: RuleBook) -> list[str]:
    """Say each rule that is added, removed or changed, by id, in the order of the ids."""
    before, after = _by_id(old), _by_id(new)
    sentences = []
    for id in sorted(before.keys() | after.keys()):
        was, now = before.get(id), after.get(id)
        if was is None and now is not None:
            sentences.append(f"adds the {now.effect} `{id}` ({now.file})")
        elif was is not None and now is None:
            sentences.append(f"removes the {was.effect} `{id}` ({was.file})")
        elif was is not None and now is not None and was.text_hash != now.text_hash:
            sentences.append(_changed(was, now))
    return sentences


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
    for id, now in after.items():
        was = before.get(id)
        if was is None:
            if now.effect == "permit":
                yield id
        elif was.text_hash != now.text_hash and not _is_tighter(was.tree, now.tree):
            yield id
    for id, was in before.items():
        agent = principal_of(was.tree)
        # An agent that is gone is refused whatever the rules say.
        if was.effect == "forbid" and id not in after and agent in (None, *new.manifests):
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


def _changed(was: Rule, now: Rule) -> str:
    effect = was.effect if was.effect == now.effect else f"{was.effect} to a {now.effect}"
    gate = ""
    if (was.queue, was.quorum) != (now.queue, now.quorum):
        gate = f"; asked of {_gate(was)} before, of {_gate(now)} now"
    return f"changes the {effect} `{now.id}` ({now.file}){gate}"


def _gate(rule: Rule) -> str:
    return f"{rule.queue}:{rule.quorum}" if rule.queue else "nobody"


def _by_id(book: RuleBook) -> dict[str, Rule]:
    return {rule.id: rule for rule in book.rules}
