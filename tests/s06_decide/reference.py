"""The decision as the design states it, with nothing left out and nothing kept: the whole rule set,
the schema, every entity, one plain call of Cedar for each evaluation. Slow, and easy to believe."""

import json
import re
from dataclasses import dataclass
from typing import Any

import cedarpy

from bailiwick.policy import RuleBook
from bailiwick.policy.schema import Fields
from bailiwick.ports import Question


@dataclass(frozen=True)
class Plain:
    """A decision: its effect, the rules that decided, those that ask, and which fail."""

    effect: str
    rules: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class WholeSet:
    """All rules of a book in one Cedar set."""

    def __init__(self, book: RuleBook) -> None:
        self.book = book
        self.rules = {rule.id: rule for rule in book.rules}
        self.set = cedarpy.PolicySet.from_str("\n".join(rule.text for rule in book.rules))
        self.schema = cedarpy.Schema.from_str(book.schema)

    def decide(self, question: Question) -> Plain:
        first = self.ask(question, question.evidence)
        if first.effect == "allow" or first.errors or not first.rules:
            return first
        if not all(self.rules[id].queue for id in first.rules):
            return first
        second = self.ask(question, (*question.evidence, *first.rules))
        if second.effect == "allow":
            return Plain("ask", tuple(sorted((*first.rules, *second.rules))), asks=first.rules)
        return Plain("deny", first.rules, errors=second.errors)

    def ask(self, question: Question, evidence: tuple[str, ...]) -> Plain:
        answer = cedarpy.is_authorized(
            request(self.book, question, evidence),
            self.set,
            entities(self.book, question),
            schema=self.schema,
        )
        names = answer.diagnostics.id_annotations_by_reason
        reasons = tuple(sorted(names[reason] for reason in answer.diagnostics.reasons))
        errors = tuple(sorted(map(self.failing, answer.diagnostics.errors)))
        if errors:
            return Plain("deny", errors=errors)
        return Plain("allow" if answer.allowed else "deny", reasons)

    def failing(self, error: str) -> str:
        """The rule that an error is about; the error itself if it is about the request."""
        match = re.match(r"error while evaluating policy `policy(\d+)`", error)
        return self.book.rules[int(match[1])].id if match else error


def request(book: RuleBook, question: Question, evidence: tuple[str, ...]) -> dict[str, Any]:
    """The question as a Cedar request, with all that the schema knows."""
    situation, shape = question.situation, book.shapes.get(question.tool)
    seconds = question.now_us // 1_000_000
    nodes = [cap.node for cap in question.over]
    context = {
        "facts": {
            **situation.facts,
            "over_budget": bool(nodes),
            "over_budget_nodes": nodes,
            "data_classes": list(question.data_classes),
        },
        "input": known(shape.input if shape else {}, situation.input),
        "run": {"id": question.caller.capability.run},
        "subject": {"id": question.caller.subject},
        "provenance": {"sources": list(question.sources)},
        "time": {
            "now_us": question.now_us,
            "hour": seconds // 3600 % 24,
            "weekday": (seconds // 86400 + 3) % 7 + 1,
        },
        "mode": question.mode,
        "approvals": {rule: True for rule in evidence if rule in book.gates},
    }
    return {
        "principal": {"type": "Agent", "id": question.caller.agent},
        "action": {"type": "Action", "id": question.tool},
        "resource": {"type": situation.resource.type, "id": situation.resource.id},
        "context": json.dumps(context),
    }


def known(fields: Fields, value: Any) -> Any:
    """The arguments that have a Cedar type; the others are left out by name."""
    if not isinstance(value, dict):
        return value
    return {
        name: member if isinstance(field.type, str) else known(field.type, member)
        for name, field in fields.items()
        if (member := value.get(name, known)) is not known
    }


def entities(book: RuleBook, question: Question) -> list[dict[str, Any]]:
    """Every agent of the book; the schema brings the actions."""
    return [
        {
            "uid": {"type": "Agent", "id": name},
            "attrs": {"owner": manifest.owner, "tenant": question.caller.tenant},
            "parents": [],
        }
        for name, manifest in book.manifests.items()
    ]
