"""Modes: what an agent may do with a tool, tightened by one person or by its own errors."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bailiwick import Outcome
from bailiwick.errors import ControlError, IdentityError
from bailiwick.operations import Newcomer, found
from bailiwick.operations.auditing import audit
from bailiwick.testing import write_project
from tests.spine.house import AGENT, PASSWORD, PEOPLE, House, books, effects, files, opened

SMALL = {"on": "ch-1", "amount_minor": 100}
LARGE = {"on": "ch-2", "amount_minor": 20_000}
EURO = {"on": "ch-3", "amount_minor": 100, "currency": "EUR"}
CLERK = AGENT.replace("NAME", "clerk") + "approvals: {default: finance:1}\n"
OLGA = Newcomer("olga", ("operator",), (), PASSWORD)


async def project(folder: Path, clerk: str = "", **more: Any) -> Path:
    people = more.pop("people", PEOPLE)
    await found(write_project(folder / "p", {**files(clerk=CLERK + clerk), **more}), people)
    return folder / "p"


async def set_mode(house: House, mode: str, tool: str = "desk.*", by: str = "ada") -> Any:
    return await house.command(by, "mode set", agent="clerk", tool=tool, mode=mode, reason="why")


async def act(house: House, tool: str, arguments: dict[str, Any], agent: str = "clerk") -> Outcome:
    return await (await house.clerk(agent=agent)).act(tool, arguments)


async def modes(house: House, tool: str) -> Any:
    rows: Any = await house.command("ada", "mode list")
    (row,) = [row for row in rows if (row["agent"], row["tool"]) == ("clerk", tool)]
    return row


async def control_records(house: House) -> list[dict[str, Any]]:
    await house.bailiwick.settle()
    records = [json.loads(r.body) for r in await house.world.ledger.records(0, 1000)]
    return [each for each in records if each["kind"] == "control"]


@pytest.mark.claim("limits.shadow-executes-nothing")
@pytest.mark.parametrize(
    ("tool", "arguments", "decision", "said"),
    [
        ("desk.refund", SMALL, "allow", "it would be allowed"),
        ("desk.refund", LARGE, "ask", "it would be asked of 1 of finance"),
        ("desk.look", {"on": "t-1"}, "allow", "it would be allowed"),
    ],
)
async def test_in_shadow_it_is_decided_and_recorded_and_never_executed(
    tmp_path: Path, tool: str, arguments: dict[str, Any], decision: str, said: str
) -> None:
    async with opened(await project(tmp_path, 'modes: {"*": shadow}\n')) as house:
        reads, effects_before = len(books("READS")), len(books())
        outcome = await act(house, tool, arguments)
        assert (outcome.status, outcome.code, outcome.step) == ("refused", "shadowed", 8)
        assert said in outcome.message
        assert (len(books()), len(books("READS"))) == (effects_before, reads)
        (record,) = [
            json.loads(each.body)
            for each in await house.world.ledger.records(0, 0, of=("default", outcome.action))
        ]
        told = (record["kind"], record["decision"], record["reason"])
        assert told == ("refused", decision, "shadowed")
        assert record["rules"]
        assert all(held == (0, 0) for held in (await house.balances()).values())
        story = await house.command("ada", "actions show", action=outcome.action)
        assert story["decision"]["effect"] == decision
        assert await house.command("bo", "approvals list") == []


@pytest.mark.claim("limits.shadow-executes-nothing")
async def test_in_shadow_a_denial_is_a_denial(tmp_path: Path) -> None:
    async with opened(await project(tmp_path, "modes: {desk.refund: shadow}\n")) as house:
        assert (await act(house, "desk.refund", EURO)).code == "denied"
        assert (await act(house, "desk.look", {"on": "t-1"})).status == "done"


@pytest.mark.claim("limits.read-only-writes-nothing")
async def test_in_read_only_reads_are_made_and_writes_are_refused(house: House) -> None:
    await set_mode(house, "read-only")
    outcome = await act(house, "desk.refund", SMALL)
    assert (outcome.status, outcome.code, outcome.step) == ("refused", "read_only", 3)
    assert "set by `ada`" in outcome.message
    assert "why" in outcome.message
    assert effects("ch-1") == 0
    assert (await act(house, "desk.look", {"on": "t-1"})).status == "done"
    assert (await act(house, "desk.refund", SMALL, agent="rival")).status == "done"


@pytest.mark.claim("limits.read-only-writes-nothing")
@pytest.mark.parametrize(("mode", "code"), [("read-only", "read_only"), ("shadow", "shadowed")])
async def test_what_people_allowed_is_judged_under_the_mode_of_its_waking(
    house: House, mode: str, code: str
) -> None:
    outcome = await act(house, "desk.refund", LARGE)
    assert outcome.status == "parked"
    await set_mode(house, mode)
    await house.vote("bo", outcome.action)
    ended = await house.until(outcome)
    assert (ended.status, ended.code, effects("ch-2")) == ("refused", code, 0)


@pytest.mark.claim("limits.draft-asks")
async def test_in_draft_every_write_is_asked_for(tmp_path: Path) -> None:
    async with opened(await project(tmp_path, 'modes: {"desk.*": draft}\n')) as house:
        outcome = await act(house, "desk.note", {"on": "n-1"})
        assert outcome.status == "parked"
        shown = await house.command("bo", "approvals show", action=outcome.action)
        assert [each["rule"] for each in shown["rules"]] == ["clerk.draft"]
        await house.vote("bo", outcome.action)
        assert (await house.until(outcome)).status == "done"
        assert (await act(house, "desk.look", {"on": "t-1"})).status == "done"


@pytest.mark.claim("limits.draft-asks")
async def test_an_agent_put_into_draft_asks_from_the_next_call_on(tmp_path: Path) -> None:
    async with opened(await project(tmp_path)) as house:
        assert (await act(house, "desk.note", {"on": "n-1"})).status == "done"
        await set_mode(house, "draft", "desk.note")
        assert (await act(house, "desk.note", {"on": "n-2"})).status == "parked"
        assert (await act(house, "desk.file", {"on": "f-1"})).status == "done"


@pytest.mark.claim("limits.tighter-mode-holds")
@pytest.mark.parametrize(
    ("manifest", "setting", "holds"),
    [
        ("read-only", "draft", "read-only"),
        ("draft", "read-only", "read-only"),
        ("shadow", "live", "shadow"),
        ("live", "draft", "draft"),
    ],
)
async def test_of_the_manifests_mode_and_a_setting_the_tighter_holds(
    tmp_path: Path, manifest: str, setting: str, holds: str
) -> None:
    clerk = f"modes: {{'*': live, 'desk.*': {manifest}, desk.note: live}}\n"
    async with opened(await project(tmp_path, clerk)) as house:
        await set_mode(house, setting, "desk.note")
        row = await modes(house, "desk.note")
        assert (row["mode"], row["manifest"]) == (holds, manifest)
        codes = {"draft": "approval_required", "read-only": "read_only", "shadow": "shadowed"}
        assert (await act(house, "desk.note", {"on": "n-1"})).code == codes[holds]


@pytest.mark.claim("policy.rules-read-the-mode")
async def test_a_rule_reads_the_mode(tmp_path: Path) -> None:
    rule = """@id("no-drafts") forbid (principal, action == Action::"desk.note", resource)
        when { context.mode == "draft" };"""
    tests = """
        - {test: live, agent: clerk, tool: desk.note, input: {on: a, how: "", words: ""},
           expect: allow}
        - {test: draft, agent: clerk, tool: desk.note, input: {on: a, how: "", words: ""},
           mode: draft, expect: deny}
    """
    written = {"policies/more.cedar": rule, "policies/tests/more.yaml": tests}
    async with opened(await project(tmp_path, **written)) as house:
        assert (await act(house, "desk.note", {"on": "n-1"})).status == "done"
        await set_mode(house, "draft")
        assert (await act(house, "desk.note", {"on": "n-2"})).code == "denied"


@pytest.mark.claim("limits.mode-loosening-needs-two")
async def test_one_person_tightens_at_once_and_loosening_takes_a_second(tmp_path: Path) -> None:
    async with opened(await project(tmp_path, people=(*PEOPLE, OLGA))) as house:
        await set_mode(house, "draft", by="ada")
        assert (await set_mode(house, "read-only", by="olga"))["was"] == "draft"
        waits = await set_mode(house, "draft", by="ada")
        assert waits["waiting"]
        assert (await set_mode(house, "draft", by="ada"))["waiting"] == waits["waiting"]
        assert (await modes(house, "desk.note"))["mode"] == "read-only"
        assert (await set_mode(house, "draft", by="olga"))["mode"] == "draft"
        assert (await modes(house, "desk.note"))["mode"] == "draft"
        records = await control_records(house)
        changes = [(each["change"], each["target"], len(each["by"])) for each in records[-3:]]
        assert changes == [
            ("mode-draft", "clerk/desk.*", 1),
            ("mode-read-only", "clerk/desk.*", 1),
            ("mode-draft", "clerk/desk.*", 2),
        ]


@pytest.mark.claim("limits.mode-loosening-needs-two")
async def test_a_mode_that_would_bind_nobody_is_refused(house: House) -> None:
    for changed, code, help in (
        ({"agent": "clrek"}, "agent_unknown", "did you mean `clerk`"),
        ({"tool": "desk.noet"}, "tool_unknown", "did you mean `desk.note`"),
        ({"mode": "off"}, "mode_unknown", "shadow"),
    ):
        given = {"agent": "clerk", "tool": "desk.note", "mode": "draft", **changed}
        with pytest.raises(ControlError) as error:
            await house.command("ada", "mode set", **given)
        assert error.value.code == code
        assert help in error.value.help
    with pytest.raises(IdentityError):
        await set_mode(house, "draft", by="bo")


@pytest.mark.claim("limits.errors-degrade")
async def test_an_agent_whose_writes_go_wrong_too_often_only_reads(tmp_path: Path) -> None:
    clerk = "fallbacks: {on_tool_error_rate_gt: 0.2}\n"
    async with opened(await project(tmp_path, clerk)) as house:
        session = await house.clerk()
        for number in range(9):  # too few to tell anything, all of them wrong
            how = "raise" if number < 2 else "refuse"
            await session.act("desk.note", {"on": f"n-{number}", "how": how})
        assert (await modes(house, "desk.note"))["mode"] == "live"
        assert (await session.act("desk.note", {"on": "n-9", "how": "refuse"})).status == "failed"
        refused = await session.act("desk.note", {"on": "n-10"})
        assert (refused.code, effects("n-10")) == ("read_only", 0)
        assert "set by the runtime" in refused.message
        assert "10 of the newest 10 writes went wrong" in refused.message
        assert (await session.act("desk.file", {"on": "f-1"})).status == "done"
        record = (await control_records(house))[-1]
        assert (record["change"], record["target"]) == ("mode-read-only", "clerk/desk.note")
        assert record["by"] == []
        # Only people lift it; and what went wrong before counts no more.
        await set_mode(house, "live", "desk.note")
        assert (await session.act("desk.note", {"on": "n-11", "how": "refuse"})).status == "failed"
        assert (await session.act("desk.note", {"on": "n-12"})).status == "done"


@pytest.mark.claim("limits.errors-degrade")
async def test_a_rate_at_its_bound_and_what_people_kept_back_change_nothing(
    tmp_path: Path,
) -> None:
    clerk = 'budget: {fallbacks: {on_tool_error_rate_gt: "20%"}}\n'
    async with opened(await project(tmp_path, clerk)) as house:
        session = await house.clerk()
        for number in range(20):  # one in five, and that last
            how = "refuse" if number % 5 == 4 else ""
            await session.act("desk.note", {"on": f"n-{number}", "how": how})
        assert (await modes(house, "desk.note"))["mode"] == "live"
        await session.act("desk.note", {"on": "n-20", "how": "refuse"})
        assert (await modes(house, "desk.note"))["mode"] == "read-only"


@pytest.mark.claim("policy.who-can")
async def test_who_can_answers_in_the_mode_of_today(tmp_path: Path) -> None:
    async with opened(await project(tmp_path, "modes: {desk.file: draft}\n")) as house:

        async def can(tool: str, **more: Any) -> tuple[str, str]:
            answers: Any = await house.command("ada", "who-can", action=tool, **more)
            (answer,) = [each for each in answers if each["agent"] == "clerk"]
            return answer["can"], answer["reason"]

        assert await can("desk.note", automatic=True) == ("yes", "")
        assert (await can("desk.file", automatic=True))[0] == "no"
        assert (await can("desk.file"))[0] == "yes"
        await set_mode(house, "read-only", "desk.note")
        assert await can("desk.note") == ("no", "it is in mode read-only")
        assert (await can("desk.look"))[0] == "yes"


@pytest.mark.claim("policy.loosening-is-seen")
async def test_a_release_with_looser_modes_is_seen_to_loosen(tmp_path: Path) -> None:
    tight = "modes: {desk.note: draft}\nfallbacks: {on_tool_error_rate_gt: 0.1}\n"
    folder = await project(tmp_path, tight)
    loose = "modes: {desk.file: draft}\nfallbacks: {on_tool_error_rate_gt: 0.2}\n"
    async with opened(folder) as house:
        for clerk, loosens in ((CLERK + loose, True), (CLERK + tight, False)):
            told = await house.command("ada", "release diff", files=released(clerk))
            assert told["loosens"] is loosens, told
        told = await house.command("ada", "release diff", files=released(CLERK + loose))
        assert "lets agent `clerk` go from draft to live with `desk.note`" in told["changes"]
        assert "raises or removes the bound on the error rate of agent `clerk`" in told["changes"]


@pytest.mark.claim("ledger.row-against-record")
async def test_a_mode_that_was_changed_in_the_database_is_found(tmp_path: Path) -> None:
    folder = await project(tmp_path)
    async with opened(folder) as house:
        await set_mode(house, "read-only", "desk.note")
        await house.bailiwick.settle()
        assert (await audit(house.world))["findings"] == []
    with closing(sqlite3.connect(folder / "state" / "bailiwick.sqlite")) as writer, writer:
        writer.execute("update modes set body = replace(body, 'read-only', 'live')")
    async with opened(folder) as house:
        told = (await audit(house.world))["findings"]
        assert told == [
            {"what": "mode of clerk/desk.note", "reason": "it is not what is on record"}
        ]


def released(clerk: str) -> dict[str, str]:
    return {path: text for path, text in files(clerk=clerk).items() if path != "bailiwick.yaml"}
