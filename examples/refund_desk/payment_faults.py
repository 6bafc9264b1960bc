"""What can be made to go wrong at the payments provider, for one charge or for all.

Faults act on POST /v1/refunds, `reader_lag` on every GET under /v1. Several may be on at once: each
says something about another stage of a request, in the order of FAULTS.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from loopback_http import Json, Refused, clock_us, only_fields, optional_text, text_field

# Each fault with the parameters it takes and their defaults.
FAULTS: dict[str, dict[str, float | str]] = {
    "connection_reset": {},  # the connection is reset, nothing is made
    "status_429": {"retry_after_s": 1.0},  # turned away with Retry-After, nothing is made
    "status_500": {},  # an error at the door, nothing is made
    "late_effect": {"delay_s": 3.0},  # waits before its key is looked at, client gone or not
    "ignore_key": {},  # the Idempotency-Key is neither looked at nor kept
    "forget_key": {"key_ttl_s": 1.0},  # the key counts for this long only
    "ok_no_effect": {},  # a 201 that looks right, nothing is made and no key is kept
    "act_twice": {},  # two refunds for one request, even if the charge has not enough for both
    "status_500_after_effect": {},  # made, answered with an error, and that is kept under the key
    "slow": {"delay_s": 1.0},  # made at once, answered later; the key is in work until then
    "timeout_after_effect": {"delay_s": 30.0},  # made, never answered; dropped after this long
    "person_same_change": {"when": "after"},  # once, a person makes the same refund by hand
    "reader_lag": {"lag_s": 5.0},  # reads see what was so this long ago
}
KEY_RETENTION_S = 86_400.0
NEVER_US = 2**62


@dataclass(slots=True)
class Fault:
    """One fault that is on: for one charge or for all, for the next `times` requests or for all."""

    name: str
    charge: str | None
    times: int | None
    params: dict[str, float | str]

    def seconds(self, param: str) -> float:
        """Gives a duration in seconds."""
        return float(self.params[param])


def parse_fault(body: Json) -> Fault:
    """Reads `{name or fault, charge?, times?, ...params}`; Refused with 4xx for anything else."""
    name = text_field(body, "fault" if "fault" in body else "name")
    if name not in FAULTS:
        raise Refused(422, "unknown_fault", f"there is no fault `{name}`")
    only_fields(body, {"name", "fault", "charge", "times", *FAULTS[name]})
    times = body.get("times", 1 if name == "person_same_change" else None)
    if times is not None and (not isinstance(times, int) or times < 1):
        raise Refused(422, "bad_parameter", "`times` must be a positive integer")
    params = {param: parse_param(body, param, usual) for param, usual in FAULTS[name].items()}
    return Fault(name, optional_text(body, "charge"), times, params)


def parse_param(body: Json, param: str, usual: float | str) -> float | str:
    """Reads one parameter: seconds, or `before` or `after`."""
    value = body.get(param, usual)
    if isinstance(usual, str):
        if value in ("before", "after"):
            return str(value)
        raise Refused(422, "bad_parameter", f"`{param}` must be `before` or `after`")
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 3600:
        return float(value)
    raise Refused(422, "bad_parameter", f"`{param}` must be 0 to 3600 seconds")


def switch_on(faults: list[Fault], fault: Fault) -> None:
    """Adds a fault; the same one of the same charge is replaced."""
    faults[:] = [f for f in faults if (f.name, f.charge) != (fault.name, fault.charge)]
    faults.append(fault)


def take_faults(faults: list[Fault], charge: str) -> dict[str, Fault]:
    """Gives the faults that act on one refund request, the charge's own first, and counts it."""
    own_last = sorted(faults, key=lambda fault: fault.charge is not None)
    taken = {
        fault.name: fault
        for fault in own_last
        if fault.name != "reader_lag" and fault.charge in (None, charge)
    }
    count_request(faults, taken.values())
    return taken


def count_request(faults: list[Fault], used: Iterable[Fault]) -> None:
    """Takes one from `times` of the faults used and drops those that are spent."""
    for fault in used:
        if fault.times is not None:
            fault.times -= 1
    faults[:] = [fault for fault in faults if fault.times != 0]


def key_ttl_us(faults: Iterable[Fault], charge: str) -> int:
    """Gives how long the keys of this charge count: a day, if they are not forgotten."""
    ttls = [
        fault.seconds("key_ttl_s")
        for fault in faults
        if fault.name == "forget_key" and fault.charge in (None, charge)
    ]
    return int(min([KEY_RETENTION_S, *ttls]) * 1e6)


class Sight:
    """What one GET may see: all there is, or under `reader_lag` what was so some time ago."""

    def __init__(self, faults: list[Fault]) -> None:
        self.now_us = clock_us()
        self.lags = [fault for fault in faults if fault.name == "reader_lag"]
        self.used = [fault for fault in self.lags if fault.charge is None]

    def until_us(self, charge: str | None) -> int:
        """Gives the time up to which rows of the charge (or of none) are seen."""
        lag_s = 0.0
        for fault in self.lags:
            if fault.charge in (None, charge):
                lag_s = max(lag_s, fault.seconds("lag_s"))
                if fault not in self.used:
                    self.used.append(fault)
        return self.now_us - int(lag_s * 1e6) if lag_s else NEVER_US
