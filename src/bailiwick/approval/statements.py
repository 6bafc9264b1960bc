"""What people sign ahead as bytes: the statement, its signature, its digest."""

from collections.abc import Mapping
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import asdict, replace

from bailiwick.approval.signing import is_signed, signature
from bailiwick.nouns import Person
from bailiwick.nouns.mandates import BreakGlass, Delegation, StandingApproval, Statement
from bailiwick.values import canonical, digest

S = TypeVar("S", StandingApproval, Delegation, BreakGlass)

_TYPES: Mapping[type[Statement], str] = {
    StandingApproval: "bailiwick.standing-approval.v1",
    Delegation: "bailiwick.delegation.v1",
    BreakGlass: "bailiwick.break-glass.v1",
}


def mandate_statement(statement: Statement) -> bytes:
    """Give the bytes that its person signs: all of it but the signature, canonical JSON."""
    members = asdict(statement)
    del members["signature"]
    if isinstance(statement, StandingApproval | BreakGlass):
        members["rules"] = [asdict(rule) for rule in statement.rules]
    return canonical({"type": _TYPES[type(statement)], **members})


def sign_mandate(statement: S, key: Ed25519PrivateKey) -> S:
    """Give the statement with its signature, as votes are signed."""
    return replace(statement, signature=signature(key, mandate_statement(statement)))


def mandate_digest(statement: Statement) -> str:
    """Give the SHA-256 of what was signed, in hex: the record of a mandate names it."""
    return digest([mandate_statement(statement).decode()])


def is_signed_by(statement: Statement, person: Person) -> bool:
    """Say whether the statement carries the person's own signature."""
    return is_signed(person, statement.signature, mandate_statement(statement))
