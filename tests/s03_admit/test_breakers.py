"""Breakers and run time: what trips them, what does not, and when they let go."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bailiwick import limits
from bailiwick.config import Settings
from bailiwick.nouns import EffectReport, Manifest, Refusal, Tool, Verification
from tests.s03_admit.samples import CALLER, MANIFEST, NOW_US, TENANT, TOOL, Shop, open_shop

SETTINGS = Settings(breaker_threshold=3, breaker_open_seconds=30.0)
FOUND = replace(TOOL, found="after.metadata.action == action.id")
UNKNOWN = EffectReport(status="unknown", code="timeout")
DONE = EffectReport(status="done")
VERIFIED = Verification(verdict="verified")
CONTRADICTED = Verification(verdict="contradicted")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


async def admitted(
    shop: Shop,
    tool: Tool = TOOL,
    manifest: Manifest = MANIFEST,
    started: tuple[int, int] | None = None,
) -> Refusal | None:
    case = await shop.case(CALLER, tool, manifest)
    return await limits.admit(shop.world, case, started)


async def report(
    shop: Shop, tool: Tool, effect: EffectReport, verification: Verification | None = None
) -> None:
    await shop.commit(*limits.breaker_mark(SETTINGS, tool, effect, verification))


async def test_failures_in_a_row_open_the_breaker_until_its_time_is_over(shop: Shop) -> None:
    for _ in range(2):
        await report(shop, TOOL, UNKNOWN)
        assert await admitted(shop) is None
    await report(shop, TOOL, UNKNOWN)
    shop.clock.now_us += 10_000_000
    refusal = await admitted(shop)
    assert refusal is not None
    assert (refusal.step, refusal.code, refusal.retry_after_s) == (3, "breaker_open", 20.0)
    shop.clock.now_us += 20_000_000
    assert await admitted(shop) is None


@pytest.mark.claim("limits.errors-degrade")
@pytest.mark.parametrize(
    ("effect", "verification", "counts"),
    [
        (UNKNOWN, None, "x"),
        (EffectReport(status="failed", code="refused_by_tool"), None, "x"),
        (DONE, CONTRADICTED, "x"),
        (DONE, VERIFIED, "."),
        (DONE, Verification(verdict="unverifiable"), "."),
        (EffectReport(status="failed", code="stopped"), None, ""),
    ],
)
async def test_an_outcome_counts_as_what_it_is(
    shop: Shop, effect: EffectReport, verification: Verification | None, counts: str
) -> None:
    bounded = replace(MANIFEST, max_error_ppm=200_000)
    for manifest in (MANIFEST, bounded):
        await shop.commit(*limits.outcome_mark(manifest, TOOL, effect, verification))
    newest = await shop.world.shelf.breaker(TENANT, limits.outcomes_of(MANIFEST.name, TOOL.name))
    assert (newest.recent if newest else "") == counts


@pytest.mark.claim("limits.errors-degrade")
async def test_only_the_newest_outcomes_count(shop: Shop) -> None:
    bounded = replace(MANIFEST, max_error_ppm=500_000)
    target = limits.outcomes_of(MANIFEST.name, TOOL.name)
    for effect in [UNKNOWN] * 30 + [DONE] * 45:
        await shop.commit(*limits.outcome_mark(bounded, TOOL, effect, None))
    newest = await shop.world.shelf.breaker(TENANT, target)
    assert newest is not None
    assert newest.recent == "x" * 5 + "." * 45
    assert limits.degraded(bounded, TOOL, newest, NOW_US) is None
    worse = replace(newest, recent="x" * 26 + "." * 24)
    setting = limits.degraded(bounded, TOOL, worse, NOW_US)
    assert setting is not None
    assert (setting.mode, setting.by) == ("read-only", "")


async def test_a_success_starts_the_count_again(shop: Shop) -> None:
    for effect in (UNKNOWN, UNKNOWN, DONE, UNKNOWN, UNKNOWN):
        await report(shop, TOOL, effect, VERIFIED if effect is DONE else None)
    assert await admitted(shop) is None


async def test_failures_of_one_tool_close_its_upstream_to_the_others(shop: Shop) -> None:
    for _ in range(3):
        await report(shop, TOOL, UNKNOWN)
    neighbour = replace(TOOL, name="payments.payout")
    refusal = await admitted(shop, neighbour)
    assert refusal is not None
    assert refusal.details["target"] == "upstream:pay.example"
    assert await admitted(shop, replace(neighbour, upstream="mail.example")) is None
    assert await admitted(shop, replace(neighbour, upstream=None)) is None


async def test_a_tool_named_like_an_upstream_has_a_breaker_of_its_own(shop: Shop) -> None:
    for _ in range(3):
        await report(shop, TOOL, UNKNOWN)
    assert await admitted(shop, replace(TOOL, name="pay.example", upstream=None)) is None


def failed(code: str, status: int | None = None) -> EffectReport:
    evidence = {} if status is None else {"http_status": status}
    return EffectReport(status="failed", code=code, evidence=evidence)


@pytest.mark.claim("limits.breaker-counts-the-provider")
@pytest.mark.parametrize(
    ("effect", "verification", "tool", "counts"),
    [
        (UNKNOWN, None, TOOL, True),
        (failed("provider_error", 500), None, TOOL, True),
        (failed("provider_error", 503), None, TOOL, True),
        (failed("provider_busy", 429), None, TOOL, True),
        (failed("answer_lost"), None, TOOL, True),
        (failed("provider_unreachable"), None, TOOL, True),
        (failed("provider_refused", 400), None, TOOL, None),
        (EffectReport(status="unknown", code="tool_error"), None, TOOL, None),
        (failed("definition_changed"), None, TOOL, None),
        (failed("provider_refused", 402), None, TOOL, None),
        (failed("provider_refused", 404), None, TOOL, None),
        (failed("not_done"), None, TOOL, None),
        (failed("stopped"), None, TOOL, None),
        (DONE, None, TOOL, False),
        (DONE, VERIFIED, TOOL, False),
        (DONE, Verification(verdict="unverifiable"), TOOL, False),
        (DONE, CONTRADICTED, FOUND, True),
        (DONE, CONTRADICTED, TOOL, None),
    ],
)
def test_only_what_speaks_of_the_provider_is_counted(
    effect: EffectReport, verification: Verification | None, tool: Tool, counts: bool | None
) -> None:
    marks = limits.breaker_mark(SETTINGS, tool, effect, verification)
    assert {mark.failed for mark in marks} == (set() if counts is None else {counts})
    if marks:
        assert [mark.target for mark in marks] == ["tool:payments.refund", "upstream:pay.example"]
        assert {(mark.threshold, mark.open_for_us) for mark in marks} == {(3, 30_000_000)}


# --- run time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "started", "code"),
    [
        (60, None, None),
        (60, (NOW_US - 59_999_999, 0), None),
        (60, (NOW_US - 60_000_000, 0), "run_time_exceeded"),
        (60, (NOW_US - 86_400_000_000, 0), "run_time_exceeded"),
        (60, (NOW_US - 86_400_000_000, 86_350_000_000), None),
        (60, (NOW_US - 86_400_000_000, 86_340_000_000), "run_time_exceeded"),
        (None, (NOW_US - 86_400_000_000, 0), None),
    ],
)
async def test_a_run_ends_when_its_seconds_without_parking_are_used_up(
    shop: Shop, seconds: int | None, started: tuple[int, int] | None, code: str | None
) -> None:
    refusal = await admitted(
        shop, manifest=replace(MANIFEST, max_runtime_seconds=seconds), started=started
    )
    assert (refusal and refusal.code) == code
    assert refusal is None or refusal.step == 3
