"""Configurations as people paste them: they load as they are, and every bound of them holds."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bailiwick.errors import CatalogError, PolicyError
from bailiwick.nouns import Release
from bailiwick.operations import found
from bailiwick.testing import Clock, write_project
from bailiwick.values import digest
from bailiwick.wiring import compile_bundle
from tests.spine.house import PEOPLE, SETTINGS, House, books, empty_books, opened

PASTED = Path(__file__).parent / "pasted"
NOW_US = 1_800_000_000_000_000
SUPPORT, BUDGETED = "agents/support-agent.yaml", "agents/budgeted-agent.yaml"


def pasted(**changed: str) -> dict[str, str]:
    paths = [path for path in sorted(PASTED.rglob("*.*")) if path.suffix != ".pyc"]
    return {
        path.relative_to(PASTED).as_posix(): path.read_text(encoding="utf-8") for path in paths
    } | changed


def compiled(files: dict[str, str]) -> Any:
    release = Release(digest=digest(files), files=files, created_at_us=0, created_by="")
    return compile_bundle(release)


@pytest.fixture
async def house(tmp_path: Path, clock: Clock) -> AsyncIterator[House]:
    files = {"bailiwick.yaml": SETTINGS, **pasted()}
    await found(write_project(tmp_path / "p", files), PEOPLE)
    empty_books()
    async with opened(tmp_path / "p", now_us=clock.now_us) as house:
        yield house


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW_US)


@pytest.mark.claim("catalog.pasted-bounds-hold")
async def test_a_run_that_makes_too_many_calls_is_refused_for_that(house: House) -> None:
    session = await house.clerk(agent="support-agent")
    for number in range(6):
        assert (await session.act("crm.read", {"customer": f"c-{number}"})).status == "done"
    outcome = await session.act("crm.read", {"customer": "c-6"})
    assert (outcome.status, outcome.code) == ("refused", "denied")
    assert outcome.details["rules"] == ["rubric.over-budget"]
    other = await house.clerk(agent="support-agent", run="run-2")
    assert (await other.act("crm.read", {"customer": "c-6"})).status == "done"


@pytest.mark.claim("catalog.pasted-bounds-hold")
async def test_a_run_that_takes_too_long_is_refused_for_that(house: House, clock: Clock) -> None:
    session = await house.clerk(agent="support-agent")
    assert (await session.act("crm.read", {"customer": "c-1"})).status == "done"
    clock.advance(121.0)
    outcome = await session.act("crm.read", {"customer": "c-2"})
    assert (outcome.status, outcome.code) == ("refused", "run_time_exceeded")
    assert "120 s" in outcome.message


@pytest.mark.claim("catalog.pasted-bounds-hold")
async def test_what_the_allowlist_does_not_name_is_refused_and_what_asks_asks(
    house: House,
) -> None:
    session = await house.clerk(agent="support-agent")
    asked = await session.act("crm.update", {"customer": "c-1"})
    assert (asked.status, asked.code) == ("parked", "approval_required")
    budgeted = await house.clerk(agent="budgeted-agent")
    mail = {"to": ["a@example.com"], "text": "hello"}
    assert (await budgeted.act("mail.send", mail)).status == "refused"
    deleted = await session.act("users.delete", {"user": "u-1"})
    assert deleted.details["rules"] == ["rubric.people-only"]


@pytest.mark.claim("catalog.pasted-bounds-hold")
async def test_a_run_over_its_cost_asks_people_where_the_block_says_so(house: House) -> None:
    session = await house.clerk(agent="budgeted-agent")
    for number in range(2):  # two cents each, of five
        assert (await session.act("crm.update", {"customer": f"c-{number}"})).status == "done"
    outcome = await session.act("crm.update", {"customer": "c-2"})
    assert (outcome.status, books()) == ("parked", ["c-0", "c-1"])
    shown = await house.command("bo", "approvals show", action=outcome.action)
    assert [each["rule"] for each in shown["rules"]] == ["budgeted-agent.over-budget"]


@pytest.mark.claim("catalog.pasted-bounds-hold")
async def test_a_run_over_its_cost_is_refused_where_nothing_is_said(tmp_path: Path) -> None:
    plain = pasted()[SUPPORT].replace("max_cost_usd: 0.50", "max_cost_usd: 0.01")
    plain = plain.replace("actions_require_approval:\n  - crm.update\n", "")
    files = {"bailiwick.yaml": SETTINGS, **pasted(**{SUPPORT: plain})}
    await found(write_project(tmp_path / "p", files), PEOPLE)
    async with opened(tmp_path / "p") as house:
        session = await house.clerk(agent="support-agent")
        outcome = await session.act("crm.update", {"customer": "c-2"})
        assert (outcome.status, outcome.details["rules"]) == ("refused", ["rubric.over-budget"])


@pytest.mark.claim("limits.errors-degrade")
async def test_an_error_rate_over_the_blocks_puts_the_agent_back_to_reading(house: House) -> None:
    for run in range(10):
        session = await house.clerk(agent="budgeted-agent", run=f"run-{run}")
        await session.act("crm.update", {"customer": f"c-{run}", "fails": True})
    session = await house.clerk(agent="budgeted-agent", run="run-10")
    assert (await session.act("crm.update", {"customer": "c"})).code == "read_only"
    assert (await session.act("crm.read", {"customer": "c"})).status == "done"


async def test_a_session_tells_the_models_that_the_release_routes_to(house: House) -> None:
    session = await house.clerk(agent="budgeted-agent")
    assert session.models == {
        "classifier": "small-model",
        "planner": "large-model",
        "executor": "small-model",
    }
    await session.act("crm.read", {"customer": "c"})
    ((run),) = await house.command("ada", "actions export", payloads=True)
    assert run["model"] == session.models
    assert run["steps"][0]["args"] == {"customer": "c"}


@pytest.mark.claim("policy.tests-hold-the-release")
@pytest.mark.parametrize(
    ("was", "now", "test"),
    [
        (">= 10000", "> 10000", "a refund at the threshold needs a person"),
        ("when { context.facts.new_payee }", "when { false }", "a new payee is blocked"),
        ("> 50", "> 51", "bulk mail to more than 50 recipients is blocked"),
    ],
)
def test_the_pasted_policy_holds_its_own_tests(was: str, now: str, test: str) -> None:
    compiled(pasted())
    rules = pasted()["policies/support.cedar"]
    assert was in rules
    with pytest.raises(PolicyError) as error:
        compiled(pasted(**{"policies/support.cedar": rules.replace(was, now)}))
    found: Any = error.value.details["findings"]
    assert [each["rule"] for each in found] == [test]


@pytest.mark.claim("catalog.unknown-member-refused")
@pytest.mark.parametrize(
    ("file", "was", "now", "said"),
    [
        (SUPPORT, "max_tool_calls", "max_tool_cals", "did you mean `max_tool_calls`"),
        (SUPPORT, "trace_all_runs", "trace_al_runs", "did you mean `trace_all_runs`"),
        (SUPPORT, "tools_allowlist", "tool_allowlist", "did you mean `tools_allowlist`"),
        (SUPPORT, "- crm.read", "- crm.raed", "did you mean `crm.read`"),
        (BUDGETED, "max_total_cost_usd", "max_totl_cost_usd", "did you mean `max_total_cost_usd`"),
        (BUDGETED, "planner", "plannr", "did you mean `planner`"),
        (BUDGETED, "on_budget_exceeded", "on_budget_exeeded", "did you mean `on_budget_exceeded`"),
        (BUDGETED, "escalate_to_human", "esclate_to_human", "did you mean `escalate_to_human`"),
    ],
)
def test_a_typo_in_what_was_pasted_is_an_error(file: str, was: str, now: str, said: str) -> None:
    text = pasted()[file]
    assert was in text
    with pytest.raises(CatalogError) as error:
        compiled(pasted(**{file: text.replace(was, now)}))
    assert said in error.value.help


@pytest.mark.claim("catalog.unknown-member-refused")
def test_what_cannot_take_effect_is_refused_by_name() -> None:
    text = pasted()[SUPPORT].replace("trace_all_runs: true", "trace_all_runs: false")
    with pytest.raises(CatalogError) as error:
        compiled(pasted(**{SUPPORT: text}))
    assert error.value.code == "manifest_member_unsupported"
    assert "would leave runs out of the record" in error.value.message
    assert "leave it out" in error.value.help


def test_without_a_name_the_files_is_the_agents() -> None:
    text = pasted()[SUPPORT].replace("name: support-agent\n", "")
    assert "support-agent" in compiled(pasted(**{SUPPORT: text})).manifests
