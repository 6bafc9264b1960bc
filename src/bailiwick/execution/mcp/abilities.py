"""What a server hears that its client can do, with each call in the revision without sessions.

An upstream's file bounds what may be asked at all; who listens to a call can be asked some of it,
or nothing. A server is told what is in both, so that it refuses at once what could not be answered
(2026-07-28, -32021), where it would else begin and be declined. Older revisions say it once, for a
session that several share.
"""

from collections.abc import Mapping

import mcp_types

from bailiwick.values import JSON

# The forms of each kind of question. Elicitation without any is of forms (MCP, elicitation).
_FORMS: Mapping[str, frozenset[str]] = {
    "elicitation": frozenset({"form", "url"}),
    "sampling": frozenset({"context", "tools"}),
    "roots": frozenset(),
}
Abilities = Mapping[str, frozenset[str]]


def abilities(declared: object) -> Abilities:
    """The kinds of questions that capabilities of a client name, with their forms."""
    told = declared if isinstance(declared, Mapping) else {}
    able = {
        kind: frozenset(name for name in forms if told[kind].get(name) is not None)
        for kind, forms in _FORMS.items()
        if isinstance(told.get(kind), Mapping)
    }
    if able.get("elicitation") == frozenset():
        able["elicitation"] = frozenset({"form"})
    return able


def as_capabilities(able: Abilities) -> dict[str, JSON]:
    """The same as the protocol has it."""
    return {kind: {form: {} for form in sorted(forms)} for kind, forms in able.items()}


def required(error: mcp_types.ErrorData) -> Abilities:
    """What a server refused for want of; nothing if that was not why."""
    if error.code != mcp_types.MISSING_REQUIRED_CLIENT_CAPABILITY:
        return {}
    data = error.data if isinstance(error.data, Mapping) else {}
    return abilities(data.get("requiredCapabilities"))
