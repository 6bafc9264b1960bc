"""What became of the tickets: outcomes in the words of seed.py, reasons in words of their own."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seed import SeedTicket

from bailiwick.values import shown

WIDTH = 100

# Which outcome a rule stands for, the weightiest first, and what it says in plain words.
RULES = {
    "refunds.not-owner": ("denied:not_owner", "the invoice is another customer's"),
    "refund-desk.currency.payments.refund": ("denied:currency", "only US dollars have a tier"),
    "refunds.new-payee": ("denied:new_payee", "not an account known for the customer"),
    "refunds.above-charge": ("malformed", "more than was paid"),
    "rubric.over-budget": ("over_cap", "above what is left of $2,000 a day"),
}
_MALFORMED = ("arguments_invalid", "expression_failed", "fact_invalid", "path_segment_unsafe")
_QUEUES = {"finance": ("asked_one", "asked_two"), "accounts": ("people_only", "people_only")}

Event = Mapping[str, Any]


@dataclass(slots=True)
class Story:
    """One ticket: what the agents did about it, who was asked, and how they voted."""

    ticket: SeedTicket
    acts: list[Event] = field(default_factory=list)
    queue: str = ""
    quorum: int = 0
    votes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def last(self) -> Event | None:
        """The last thing that was wanted of the payments provider; None if nothing was."""
        wanted = [act for act in self.acts if act["tool"].startswith("payments.")]
        return wanted[-1] if wanted else None

    @property
    def outcome(self) -> str:
        """What became of it, in the words of seed.py; anything else is a surprise."""
        act = self.last
        if act is None:
            return "note_only"
        if self.queue:
            right = act["status"] == ("denied" if self.denied else "done")
            right = right and (self.denied or act["verdict"] == "verified")
            return _QUEUES[self.queue][self.quorum - 1] if right else _surprise(act)
        if act["status"] == "done" and act["verdict"] == "verified":
            return "refunded"
        if act["status"] == "refused":
            if act["code"] == "effect_key_held":
                return "duplicate"
            if act["code"] in _MALFORMED:
                return "malformed"
            for rule, (outcome, _) in RULES.items():
                if rule in act["rules"]:
                    return outcome
        return _surprise(act)

    @property
    def denied(self) -> bool:
        """Whether somebody who was asked said no."""
        return any(choice == "deny" for _, choice in self.votes)

    @property
    def action(self) -> str:
        """The id under which the whole story is on record."""
        act = self.last or (self.acts[-1] if self.acts else None)
        return str(act["action"]) if act else ""


def _surprise(act: Event) -> str:
    return f"{act['status']}:{act['code'] or act['verdict']}"


def asked(ticket: SeedTicket) -> str:
    """What a ticket asks for, in a few words."""
    if ticket.asks_for == "delete_customer":
        return f"delete {ticket.target or ticket.customer}"
    if ticket.asks_for == "grant_role":
        return f"role for {ticket.target or ticket.customer}"
    if ticket.asks_for == "note":
        return "a question"
    amount = ticket.requested_minor
    sum_ = money(amount, ticket.currency) if isinstance(amount, int) else shown(str(amount))
    return f"{sum_} of {ticket.invoice or '(nothing)'}"


def why(story: Story, holders: Mapping[str, str]) -> str:
    """Why a ticket came to what it came to; `holders` maps action ids to tickets."""
    act = story.last
    if act is None:
        return "nothing but a note was wanted"
    if story.queue:
        said = {"approve": "approved", "deny": "denied"}
        votes = ", ".join(f"{person} {said[choice]}" for person, choice in story.votes)
        return votes if story.denied else f"{votes}; {act['verdict']}"
    if act["code"] == "effect_key_held":
        holder = next((ticket for id, ticket in holders.items() if id in act["message"]), "?")
        return f"same refund as {holder}, in another run"
    if act["status"] == "refused":
        plain = [words for rule, (_, words) in RULES.items() if rule in act["rules"]]
        if act["code"] == "fact_invalid":
            plain.append("there is no charge of that name")
        said = act["message"].replace("the value is ", "").replace("the minimum of ", "")
        return plain[0] if plain else shown(said, 80)
    if act["found"]:
        return f"found after the crash; {act['verdict']}"
    return f"by the agent itself; {act['verdict']}"


def money(minor: int, currency: str | None = "USD") -> str:
    """An amount of minor units as people write it."""
    sign, cents = ("-" if minor < 0 else ""), abs(minor)
    symbol = "$" if currency == "USD" else f"{currency} "
    return f"{sign}{symbol}{cents // 100:,}.{cents % 100:02d}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def latencies(acts: Iterable[Event]) -> Iterator[tuple[str, list[float]]]:
    """How long actions took, in milliseconds, by what they were; without those that waited."""
    kinds: dict[str, list[float]] = {"reads": [], "writes": [], "refunds": [], "refusals": []}
    for act in acts:
        if act["waited"] or act["earlier"]:
            continue
        if act["status"] == "refused":
            kinds["refusals"].append(act["took_ms"])
        elif act["tool"] == "payments.refund":
            kinds["refunds"].append(act["took_ms"])
        else:
            kinds["writes" if act["verdict"] else "reads"].append(act["took_ms"])
    yield from kinds.items()


def cut(text: str, width: int) -> str:
    """A text made to fit, with a sign where it is cut."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Lines of columns; the last column takes the rest of the line."""
    left = WIDTH - sum(widths) - 2 * len(widths)
    for row in rows:
        cells = [f"{cut(cell, width):<{width}}" for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, cut(row[-1], left)]).rstrip()
