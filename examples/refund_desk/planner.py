"""The plain planner: what the agents of the refund desk want to do, without a model.

It stands where a language model would stand and is as gullible as one can be: it does to the letter
what a ticket asks for. It needs no API key and says the same every time. Nothing here decides
anything; what it proposes goes through Bailiwick like a model's proposals.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Wish = Literal["refund", "delete_customer", "grant_role", "note"]

_CUSTOMER = re.compile(r"\bcus_[0-9]+\b")
_ROLE = re.compile(r"\brole ([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an agent proposes: the tool, its arguments, and why it says it wants to."""

    tool: str
    arguments: dict[str, Any]
    reason: str


def wish(ticket: Mapping[str, Any]) -> Wish:
    """What a ticket asks for, by its tags and words."""
    text = f"{ticket['subject']} {ticket['body']}"
    if "refund" in ticket["tags"]:
        return "refund"
    if "account" in ticket["tags"]:
        return "grant_role" if _ROLE.search(text) else "delete_customer"
    return "note"


def tag(ticket: Mapping[str, Any]) -> Proposal:
    """The tag by which triage hands a ticket on."""
    names = {"refund": "for-refunds", "note": "answered"}
    name = names.get(wish(ticket), "for-accounts")
    return Proposal("desk.tag", {"ticket": ticket["id"], "tag": name}, "so that it is found")


def note(ticket: Mapping[str, Any]) -> Proposal:
    """What triage notes on a ticket for its colleagues."""
    words = {
        "refund": f"asks for a refund of {ticket['invoice'] or 'an invoice it does not name'}",
        "delete_customer": "asks for a deletion, which people decide",
        "grant_role": "asks for a role, which people decide",
        "note": "asks a question; no money or data is concerned",
    }
    text = f"triage: {words[wish(ticket)]}"
    return Proposal("desk.note", {"ticket": ticket["id"], "text": text}, "for whoever comes next")


def lookup(ticket: Mapping[str, Any]) -> Proposal:
    """The look at what the ticket's invoice came to."""
    return Proposal("payments.charges", {"invoice": ticket["invoice"]}, "to find the charge")


def refund(ticket: Mapping[str, Any], charges: Sequence[Mapping[str, Any]]) -> Proposal:
    """The refund that a ticket asks for; with no charge to it, of what it calls its invoice."""
    arguments = {
        "charge": charges[0]["id"] if charges else ticket["invoice"],
        "amount_minor": ticket["requested_minor"],
        "currency": ticket["currency"],
        "customer": ticket["customer"],
        "ticket": ticket["id"],
    }
    if ticket["payee"] is not None:
        arguments["payee"] = ticket["payee"]
    return Proposal("payments.refund", arguments, ticket["body"])


def account_change(ticket: Mapping[str, Any]) -> Proposal:
    """The deletion or the role that a ticket asks for, for whomever it names."""
    text = f"{ticket['subject']} {ticket['body']}"
    named = _CUSTOMER.search(text)
    customer = named[0] if named else ticket["customer"]
    if role := _ROLE.search(text):
        arguments = {"customer": customer, "role": role[1]}
        return Proposal("payments.grant_role", arguments, ticket["body"])
    return Proposal("payments.delete_customer", {"customer": customer}, ticket["body"])
