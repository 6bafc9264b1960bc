"""The kinds of fault: what each provider does wrong, and how an honest owner declares its tool."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """One provider. `always` are its faults at every request, `once` those of a charge's first.

    Times are in seconds, as the tool declares them; `key_retention_s` is None for a provider that
    is not known to honour keys. Without `finds` the tool declares no read that finds its refund.
    `key_settles` says that repeating under the key tells what became of an earlier send.
    """

    name: str
    always: tuple[Mapping[str, Any], ...] = ()
    once: tuple[Mapping[str, Any], ...] = ()
    timeout_s: float = 1.0
    settles_within_s: float = 0.3
    key_retention_s: float | None = 86_400.0
    finds: bool = True
    amount_minor: int = 100

    @property
    def key_settles(self) -> bool:
        """Whether the provider keeps keys for longer than a campaign lasts."""
        return self.key_retention_s is not None and self.key_retention_s > 3600

    @property
    def settled_s(self) -> float:
        """From an intent on: when what became of it may be asked."""
        return self.timeout_s + self.settles_within_s


_NEVER_ENDING = 10**9
_TIMES_OUT = {"name": "timeout_after_effect", "delay_s": 30.0}
_HANGS_UP = {"name": "timeout_after_effect", "delay_s": 0.2}
_IGNORES_KEYS = {"name": "ignore_key"}
_BY_A_PERSON = {"name": "person_same_change", "when": "before", "times": _NEVER_ENDING}
_NOTHING_DONE = {"name": "ok_no_effect"}

KINDS: tuple[Kind, ...] = (
    Kind("sound"),
    # Times out after the effect: the answer to the first request never comes.
    Kind("mute", once=(_TIMES_OUT,), timeout_s=0.6),
    # The same, and nothing but its key tells what became of it.
    Kind("unseen", once=(_HANGS_UP,), finds=False),
    # The effect lands 3 s after the client is gone.
    Kind("late", always=({"name": "late_effect"},), timeout_s=4.0, settles_within_s=3.5),
    # Answers 200 (201, to be exact) and does nothing.
    Kind("idle", always=(_NOTHING_DONE,)),
    Kind("double", always=({"name": "act_twice"},)),
    Kind("busy", once=({"name": "status_429", "retry_after_s": 1.0},), timeout_s=3.0),
    Kind("broken", once=({"name": "status_500"},)),
    # Done, but answered with a 500, which is what its key answers from then on.
    Kind("confused", once=({"name": "status_500_after_effect"},)),
    # Ignores the key, and hangs up instead of its first answer.
    Kind("keyless", always=(_IGNORES_KEYS,), once=(_HANGS_UP,), key_retention_s=None),
    # The same, and nothing tells what became of it.
    Kind("blind", always=(_IGNORES_KEYS,), once=(_HANGS_UP,), key_retention_s=None, finds=False),
    # Forgets keys after 3 s; its owner counts on 2.5.
    Kind(
        "forgetful",
        always=({"name": "forget_key", "key_ttl_s": 3.0},),
        once=(_TIMES_OUT,),
        timeout_s=0.6,
        key_retention_s=2.5,
    ),
    # What its reader shows is 5 s old.
    Kind("lagging", always=({"name": "reader_lag", "lag_s": 5.0},), settles_within_s=5.5),
    # A person at the provider makes the same refund, just before ours.
    Kind("rivalled", always=(_BY_A_PERSON,)),
    # So does one here, and ours is answered as done and never made.
    Kind("replaced", always=(_BY_A_PERSON, _NOTHING_DONE)),
)

# An amount at which one person of finance is asked first.
ASKED = Kind("asked", amount_minor=6_000)
