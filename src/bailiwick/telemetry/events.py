"""Events: one line of JSON an action or control change, to a file or to standard error.

Members are named after OCSF 1.9 (API Activity 6003, Entity Management 3004; profiles `ai_operation`
and `security_control`); what has no name there stands in `unmapped`. A line holds names, codes,
times and amounts: no argument, subject or resource; people are the pseudonyms of the ledger.
"""

import time
from collections.abc import Mapping

import msgspec

from bailiwick.config import Settings
from bailiwick.ports import Told
from bailiwick.telemetry.lines import STDERR, Lines
from bailiwick.telemetry.postbox import Postbox
from bailiwick.telemetry.watch import error_of
from bailiwick.values import JSON

_MOST_TEXT, _MOST_PEOPLE = 256, 10
_METADATA: Mapping[str, JSON] = {
    "version": "1.9.0",
    "product": {"name": "Bailiwick"},
    "profiles": ["ai_operation", "security_control"],
}

# By status: status_id (1 success, 2 failure, 99 other), action_id (1 allowed, 2 denied) and
# disposition_id (1 allowed, 2 blocked, 14 delayed, 23 challenge, 25 rejected, 27 error).
_STATUS = {
    "done": (1, 1, 1),
    "failed": (2, 1, 27),
    "unknown": (99, 1, 27),
    "refused": (2, 2, 2),
    "denied": (2, 2, 25),
    "parked": (99, 2, 23),
    "running": (99, 1, 14),
}
_INFORMATIONAL, _LOW, _HIGH = 1, 2, 4


class EventLog:
    """Writes lines in the background; what a full queue cannot take is dropped, and said so."""

    def __init__(self, settings: Settings) -> None:
        events = settings.telemetry.events
        assert events is not None
        self._lines = Lines(None if events == STDERR else settings.path(events))
        self._postbox: Postbox[tuple[int, Told | bytes]] = Postbox(
            "bailiwick-events", self._deliver
        )
        self._said = 0

    @property
    def dropped(self) -> int:
        """How many events could not be kept, or not be written."""
        return self._postbox.dropped

    def report(self, told: Told) -> None:
        """Write a line about an action."""
        self._postbox.put((time.time_ns(), told))

    def change(self, record: bytes) -> None:
        """Write a line about a control change."""
        self._postbox.put((time.time_ns(), record))

    def wants_standing(self) -> bool:
        """Never: how things stand is no event."""
        return False

    def stands(self, tenant: str, *, in_doubt: int, unsequenced_us: int) -> None:
        """How things stand is no event."""

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        self._postbox.close()

    def _deliver(self, batch: list[tuple[int, Told | bytes]]) -> float | None:
        lost = self._postbox.dropped
        events = [_event(at_ns, what) for at_ns, what in batch]
        if lost > self._said:
            events.append(_dropped(time.time_ns(), lost - self._said))
        lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        try:
            self._lines.write(lines)
        except OSError:
            return 1.0
        self._said = lost
        return None


def _event(at_ns: int, what: Told | bytes) -> dict[str, JSON]:
    return _action(at_ns, what) if isinstance(what, Told) else _change(at_ns, what)


def _action(at_ns: int, told: Told) -> dict[str, JSON]:
    read = told.effect == "read"
    status_id, action_id, disposition_id = _STATUS[told.status]
    wrong = bool(error_of(told))
    return {
        "time": at_ns // 1_000_000,
        "class_uid": 6003,
        "category_uid": 6,
        "activity_id": 2 if read else 99,
        "activity_name": told.effect or "unknown",
        "type_uid": 600302 if read else 600399,
        "severity_id": _HIGH if wrong else _LOW if action_id == 2 else _INFORMATIONAL,
        "status_id": status_id,
        "status": told.status,
        "status_code": _text(told.code),
        "action_id": action_id,
        "disposition_id": disposition_id,
        "duration": sum(told.steps_us) // 1000,
        "metadata": {
            **_METADATA,
            "tenant_uid": _text(told.tenant),
            "correlation_uid": _text(told.run),
        },
        "ai_agent": {"name": _text(told.agent)},
        "api": {"operation": _text(told.tool), "request": {"uid": _text(told.action)}},
        "policy": {"version": told.release},
        "unmapped": {
            "verdict": told.verdict,
            "earlier": told.earlier,
            "cost_micro_usd": told.cost_micro_usd,
            "waited_us": told.waited_us,
            "steps_us": list(told.steps_us),
        },
    }


def _change(at_ns: int, record: bytes) -> dict[str, JSON]:
    fields = msgspec.json.decode(record)
    kind, by = fields["kind"], fields["by"][:_MOST_PEOPLE]
    change = "activate" if kind == "release" else fields["change"]
    name = fields.get("digest") or fields.get("person") or fields.get("target") or ""
    return {
        "time": at_ns // 1_000_000,
        "class_uid": 3004,
        "category_uid": 3,
        "activity_id": 3,
        "activity_name": "update",
        "type_uid": 300403,
        "severity_id": _LOW,
        "status_id": 1,
        "status": "done",
        "metadata": {**_METADATA, "tenant_uid": _text(fields["tenant"])},
        "actor": {"user": {"uid": by[0] if by else ""}},
        "entity": {"type": fields.get("scope") or kind, "name": _text(name)},
        "unmapped": {"change": _text(change), "epoch": fields.get("epoch"), "by": by},
    }


def _dropped(at_ns: int, count: int) -> dict[str, JSON]:
    return {
        "time": at_ns // 1_000_000,
        "class_uid": 0,
        "category_uid": 0,
        "activity_id": 99,
        "activity_name": "dropped",
        "type_uid": 99,
        "severity_id": _HIGH,
        "count": count,
        "message": "events were dropped",
        "metadata": dict(_METADATA),
    }


def _text(text: str) -> str:
    return text[:_MOST_TEXT]
