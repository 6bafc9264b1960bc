"""Modes: how far an agent may go with a tool, and what tightens that without anybody asking."""

from bailiwick.errors import ControlError
from bailiwick.nouns import (
    MODES,
    Breaker,
    EffectReport,
    Manifest,
    Mode,
    ModeSetting,
    Refusal,
    Tool,
    Verification,
)
from bailiwick.ports import Case
from bailiwick.transactions import MarkBreaker, PutMode, RaiseEpoch
from bailiwick.values import MAX_INTEGER, shown

# The newest outcomes that the error rate is taken of, and the fewest that tell anything.
WINDOW = 50
LEAST = 10

# What was kept back by people, or by doubt about them, says nothing of the tool.
_KEPT_BACK = frozenset({"stopped", "control_unreadable"})


def is_tighter(mode: Mode, than: Mode) -> bool:
    """Say whether a mode allows less than another."""
    return MODES.index(mode) < MODES.index(than)


def mode_ops(setting: ModeSetting) -> tuple[RaiseEpoch, PutMode, MarkBreaker]:
    """Give the operations that put an agent into a mode with a tool.

    The outcomes that were counted until now are forgotten. Raises `ControlError` `mode_unknown`.
    """
    if setting.mode not in MODES:
        raise ControlError(
            f"there is no mode `{shown(setting.mode)}`",
            code="mode_unknown",
            help=f"a mode is one of {', '.join(MODES)}",
        )
    target = outcomes_of(setting.agent, setting.tool)
    return RaiseEpoch(), PutMode(setting=setting), _mark(target, failed=False, keep=0)


def shadowed(case: Case) -> Refusal | None:
    """Refuse, in shadow, what the rules would allow or ask for, and say which of the two."""
    decision = case.decision
    if case.mode != "shadow" or decision is None or decision.effect == "deny":
        return None
    queues = " and ".join(f"{ask.quorum} of {ask.queue}" for ask in decision.asks)
    would = f"asked of {queues}" if decision.effect == "ask" else "allowed"
    return Refusal(
        step=8,
        code="shadowed",
        message=f"it would be {would}; in mode shadow nothing is executed",
        help="a person lifts it with `bailiwick mode set`",
        details={"decision": decision.effect, "rules": [rule.id for rule in decision.rules]},
    )


def outcomes_of(agent: str, tool: str) -> str:
    """Name where the newest outcomes of an agent's writes with a tool are kept."""
    return f"outcomes:{agent}/{tool}"


def outcome_mark(
    manifest: Manifest, tool: Tool, report: EffectReport, verification: Verification | None
) -> tuple[MarkBreaker, ...]:
    """Give the mark that an outcome leaves where the manifest bounds the error rate."""
    if manifest.max_error_ppm is None or tool.effect == "read" or report.code in _KEPT_BACK:
        return ()
    contradicted = verification is not None and verification.verdict == "contradicted"
    wrong = report.status != "done" or contradicted
    return (_mark(outcomes_of(manifest.name, tool.name), failed=wrong, keep=WINDOW),)


def degraded(
    manifest: Manifest, tool: Tool, newest: Breaker | None, now_us: int
) -> ModeSetting | None:
    """Give the setting that puts the agent back to reading, if too many newest outcomes are bad."""
    recent = newest.recent if newest else ""
    wrong, of = recent.count("x"), len(recent)
    bound = manifest.max_error_ppm
    if bound is None or of < LEAST or wrong * 1_000_000 <= bound * of:
        return None
    return ModeSetting(
        agent=manifest.name,
        tool=tool.name,
        mode="read-only",
        by="",
        reason=f"{wrong} of the newest {of} writes went wrong",
        since_us=now_us,
    )


def _mark(target: str, *, failed: bool, keep: int) -> MarkBreaker:
    return MarkBreaker(
        target=target, failed=failed, threshold=MAX_INTEGER, open_for_us=0, keep=keep
    )
