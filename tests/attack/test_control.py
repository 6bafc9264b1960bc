"""Control changes are heard by whoever is at it, and nothing that nobody consented to runs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bailiwick.cli.frame import Frame
from bailiwick.cli.reaching import send
from bailiwick.errors import ControlError, IdentityError
from bailiwick.operations import COMMANDS, Newcomer, found
from bailiwick.testing import Clock, write_project
from tests.attack.desk import (
    ASKED,
    CLERK,
    HOUR,
    MORE_TOOLS,
    NOW_US,
    activate,
    parked,
    put,
    release,
    tamper,
)
from tests.spine.house import House, books, effects, files, opened

SLOW_LOOK: dict[str, object] = {"on": "t-1", "delay_s": 0.2}


# --- what is at work when control changes --------------------------------------------------------


@pytest.mark.claim("limits.kill-fences")
async def test_a_read_that_ends_after_a_kill_gives_no_answer(house: House) -> None:
    await house.command("ada", "whoami")
    looking = asyncio.create_task((await house.clerk()).act("desk.look", SLOW_LOOK))
    await asyncio.sleep(0.05)
    await house.command("ada", "kill", scope="tool", target="desk.look", reason="test")
    outcome = await looking
    assert (outcome.status, outcome.code, outcome.result) == ("refused", "stopped", None)


@pytest.mark.claim("store.epoch-guard")
async def test_a_no_of_rules_that_no_longer_decide_is_not_given(house: House) -> None:
    await activate(house, clerk=CLERK + "people_only: [money]\n")
    asked = ASKED | {"amount_minor": 100, "wait_s": 0.4}
    acting = asyncio.create_task((await house.clerk()).act("desk.settle", asked))
    await asyncio.sleep(0.1)
    await activate(house, clerk=CLERK)
    assert (await acting).status == "done"
    assert effects("ch-1") == 1


@pytest.mark.claim("limits.kill-without-owner")
async def test_a_kill_past_a_silent_owner_has_been_heard_when_it_returns(house: House) -> None:
    settings, epoch = house.world.settings, house.world.store.epoch
    await house.command("ada", "whoami")
    session = json.loads(house.sessions["ada"])["statement"]
    kill = {"command": "kill", "session": session, "parameters": {"scope": "everything"}}
    # The owner does not answer, and the bell that is rung is not the one that it hears.
    file = settings.path(settings.store)
    file.with_suffix(".sock").unlink()
    file.with_name(f"{file.name}.bell").unlink()
    known = await epoch("default")
    killing = asyncio.create_task(asyncio.to_thread(send, Frame(), settings, kill))
    while not killing.done():
        await epoch("default")  # it goes on trusting what it heard
        await asyncio.sleep(0)
    assert await epoch("default") == known + 1
    told: Any = await killing
    assert told["owner"] == "silent"


# --- a disk that is nearly full ------------------------------------------------------------------


@pytest.fixture
def full(folder: Path) -> Path:
    settings = folder / "bailiwick.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("watermark_mb: 1", "watermark_mb: 1000000000"))
    return folder


@pytest.mark.claim("store.outcomes-still-fit")
@pytest.mark.parametrize(
    ("tool", "asked"),
    [("desk.note", {"on": "t-1"}), ("desk.look", {"on": "t-1"}), ("desk.settle", ASKED)],
)
async def test_below_the_watermark_a_call_is_told_so_and_writes_nothing(
    full: Path, tool: str, asked: dict[str, object]
) -> None:
    async with opened(full) as house:
        outcome = await (await house.clerk()).act(tool, asked)
        assert (outcome.status, outcome.code, outcome.action) == ("refused", "disk_low", "")
        assert await house.world.register.actions("default", (), 9) == []
        assert books() == []


@pytest.mark.claim("store.outcomes-still-fit")
async def test_below_the_watermark_a_no_is_given_and_not_written(full: Path) -> None:
    async with opened(full) as house:
        outcome = await (await house.clerk()).act("desk.note", {"on": 7})
        assert (outcome.status, outcome.step, outcome.action) == ("refused", 4, "")
        assert await house.world.register.actions("default", (), 9) == []


@pytest.mark.claim("store.outcomes-still-fit")
@pytest.mark.parametrize(("choice", "low"), [("approve", "parked"), ("deny", "denied")])
async def test_below_the_watermark_a_yes_waits_for_room_and_a_no_is_kept(
    folder: Path, choice: str, low: str
) -> None:
    settings = folder / "bailiwick.yaml"
    roomy = settings.read_text().replace("tick_seconds: 0.05", "tick_seconds: 900")
    settings.write_text(roomy)
    async with opened(folder) as house:
        await house.bailiwick.settle()
        outcome = await parked(house)
        await house.vote("bo", outcome.action, choice)
    settings.write_text(roomy.replace("watermark_mb: 1", "watermark_mb: 1000000000"))
    async with opened(folder) as house:
        await house.bailiwick.settle()
        assert (await house.bailiwick.outcome(outcome.action)).status == low
        assert effects("ch-1") == 0
    settings.write_text(roomy)
    async with opened(folder) as house:
        ended = await house.until(outcome, timeout_s=5)
        assert ended.status == ("done" if choice == "approve" else "denied")


# --- two people ----------------------------------------------------------------------------------


async def disabled(house: House) -> None:
    await put(house, "dee", enabled=False)


async def demoted(house: House) -> None:
    await put(house, "dee", roles=("viewer",))


@pytest.mark.claim("limits.loosening-needs-two")
@pytest.mark.parametrize("change", [disabled, demoted])
async def test_who_may_not_loosen_any_more_has_not_consented(
    house: House, change: Callable[[House], Awaitable[None]]
) -> None:
    dee, eve = await put(house, "dee"), await put(house, "eve")
    await COMMANDS["agents disable"](house.world, eve, {"agent": "clerk"})
    asked = {"agent": "clerk"}
    waiting: Any = await COMMANDS["agents enable"](house.world, dee, asked)
    assert waiting["proposed_by"] == "dee"
    await change(house)
    waiting = await house.command("ada", "agents enable", agent="clerk")
    assert waiting["proposed_by"] == "ada"
    control = await house.world.store.control("default")
    assert control.standings["clerk"].enabled is False
    made: Any = await COMMANDS["agents enable"](house.world, eve, asked)
    assert "waiting" not in made
    control = await house.world.store.control("default")
    assert control.standings["clerk"].enabled is True
    assert await house.command("ada", "changes list") == []


@pytest.mark.parametrize(
    "wrong", [Newcomer("bo", ("approver",), ("fi nance",)), Newcomer("bo", ("approver",), (), "x")]
)
async def test_a_project_that_cannot_be_founded_can_be_once_its_people_are_put_right(
    tmp_path: Path, wrong: Newcomer
) -> None:
    folder = write_project(tmp_path / "project", files())
    with pytest.raises(IdentityError):
        await found(folder, [wrong])
    assert not (folder / "state").exists()
    assert (await found(folder, [])).release


# --- releases ------------------------------------------------------------------------------------


def trap(folder: Path) -> tuple[Path, dict[str, str]]:
    """A release whose tools write a file as soon as anything runs them."""
    sprung = folder / "sprung"
    code = f'\nfrom pathlib import Path\nPath({str(sprung)!r}).write_text("here")\n'
    return sprung, release(tools=MORE_TOOLS + code)


@pytest.mark.claim("limits.unconsented-code-never-runs")
async def test_looking_at_a_release_or_proposing_it_runs_none_of_its_code(
    house: House, tmp_path: Path
) -> None:
    sprung, given = trap(tmp_path)
    compared = await house.command("ada", "release diff", files=given)
    assert compared["loosens"] is True
    assert any("has Python tools that are new" in line for line in compared["changes"])
    proposed = await house.command("ada", "release propose", files=given)
    assert proposed["checked"] is False
    assert not sprung.exists()
    await house.command("ada", "release diff", digest=proposed["digest"])
    assert not sprung.exists()


@pytest.mark.claim("limits.unconsented-code-never-runs")
async def test_new_code_runs_only_after_the_second_person_activates_it(
    house: House, tmp_path: Path
) -> None:
    sprung, given = trap(tmp_path)
    dee = await put(house, "dee")
    waiting: Any = await COMMANDS["release activate"](house.world, dee, {"files": given})
    assert waiting["proposed_by"] == "dee"
    assert not sprung.exists()
    await house.command("ada", "release activate", files=given)
    assert sprung.exists()


async def test_a_release_of_known_code_is_checked_when_it_is_proposed(house: House) -> None:
    proposed = await house.command("ada", "release propose", files=release(clerk=CLERK + "\n"))
    assert proposed["checked"] is True


@pytest.mark.claim("limits.changed-release-refused")
@pytest.mark.parametrize(("old", "new"), [("500.00", "900.00"), ("BOOKS = []", "BOOKS = [1/0]")])
async def test_a_release_that_was_changed_in_the_database_decides_nothing(
    folder: Path, old: str, new: str
) -> None:
    async with opened(folder) as house:
        tamper(house, "update releases set body = replace(body, ?, ?)", old, new)
        (stored,) = await house.world.register.releases("default")
        assert any(new in text for text in stored.files.values())
        with pytest.raises(ControlError) as caught:
            await house.clerk()
        assert caught.value.code == "release_damaged"


# --- an action that recovery cannot end ----------------------------------------------------------


@pytest.mark.claim("cli.people-resolve-doubts")
@pytest.mark.parametrize("status", ["done", "failed"])
async def test_people_resolve_what_recovery_cannot_end(folder: Path, status: str) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        outcome = await (await house.clerk()).act("desk.file", {"on": "t-1", "how": "raise"})
        assert outcome.status == "running"
        told = {"action": outcome.action, "status": status, "evidence": "I looked"}
        with pytest.raises(ControlError, match="not in doubt"):
            await house.command("ada", "in-doubt resolve", **told)
        tamper(house, "update actions set proposal = null where id = ?", outcome.action)
        clock.advance(HOUR / 2)
        await house.bailiwick.settle()
        assert (await house.action(outcome)).state == "intended"
        (doubt,) = await house.command("ada", "in-doubt list")
        assert doubt["doubt"] == "it has not been looked up in time; resolve it if you know"
        await house.command("ada", "in-doubt resolve", **told)
        assert (await house.action(outcome)).state == status
        assert (await house.balances())["run:run-1 calls"] == (1, 0)
        assert await house.command("ada", "in-doubt list") == []


async def test_the_lease_of_an_intent_covers_reading_back(house: House) -> None:
    acting = asyncio.create_task(
        (await house.clerk()).act("desk.note", {"on": "t-1", "how": "slow:0.2"})
    )
    await asyncio.sleep(0.1)
    (intended,) = await house.world.register.actions("default", ("intended",), 9)
    bundle = await house.world.bundle("default", intended.release)
    looks_us = 2 * int(bundle.catalogue.tools["desk.made"].timeout_s * 1_000_000)
    assert intended.lease_until_us is not None
    assert intended.deadline_at_us is not None
    assert intended.lease_until_us > intended.deadline_at_us + looks_us
    assert (await acting).status == "done"
