"""Breakers: repeated failures of a provider stop calls to it for a while."""

from bailiwick.config import Settings
from bailiwick.nouns import EffectReport, Tool, Verification
from bailiwick.transactions import MarkBreaker

# Answers that speak of the provider's state; any other 4xx speaks of the request, and an agent
# that sends bad requests must not be able to close a tool to everyone.
_BUSY = frozenset({408, 425, 429})
_NO_ANSWER = frozenset({"provider_unreachable", "answer_lost"})


def breaker_targets(tool: Tool) -> tuple[str, ...]:
    """Name the breakers of a tool: its own, and its upstream's if it has one."""
    own = f"tool:{tool.name}"
    return (own, f"upstream:{tool.upstream}") if tool.upstream is not None else (own,)


def breaker_mark(
    settings: Settings, tool: Tool, report: EffectReport, verification: Verification | None
) -> tuple[MarkBreaker, ...]:
    """Give the marks that an effect leaves: a failure, a success, or none where it says neither.

    Failures are an unknown outcome and a provider that was busy, broken or not reached. A
    contradiction counts only where the tool recognises its own object (`found`): anywhere else a
    colleague's change looks the same. A refusal by policy never gets here.
    """
    failed = _failed(tool, report, verification)
    if failed is None:
        return ()
    return tuple(
        MarkBreaker(
            target=target,
            failed=failed,
            threshold=settings.breaker_threshold,
            open_for_us=int(settings.breaker_open_seconds * 1_000_000),
        )
        for target in breaker_targets(tool)
    )


def _failed(tool: Tool, report: EffectReport, verification: Verification | None) -> bool | None:
    if report.code == "tool_error":
        # The tool answered; what it says speaks of the arguments as often as of itself.
        return None
    if report.status == "unknown":
        return True
    if report.status == "failed":
        answer = report.evidence.get("http_status")
        broken = isinstance(answer, int) and (answer in _BUSY or answer >= 500)
        return True if broken or report.code in _NO_ANSWER else None
    if verification is not None and verification.verdict == "contradicted":
        return True if tool.found is not None else None
    return False
