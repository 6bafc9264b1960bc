"""Which call is an earlier one again: own keys, derived names, and whose they are."""

from pathlib import Path

import pytest

from bailiwick.act import act
from bailiwick.cases import propose
from bailiwick.identity import open_door
from bailiwick.nouns import Credential
from bailiwick.testing import Clock
from tests.spine.house import AGENT, House, books, effects, founded, opened

NOTE = {"on": "t-1", "words": "ok"}


@pytest.mark.claim("spine.equal-calls-attach")
async def test_an_equal_call_gets_the_earlier_answer_and_is_told_so(house: House) -> None:
    clerk = await house.clerk()
    first = await clerk.act("desk.note", NOTE)
    again = await clerk.act("desk.note", {"words": "ok", "on": "t-1"})
    assert (first.earlier, again.earlier) == (False, True)
    assert (again.action, again.result) == (first.action, first.result)
    assert f"the earlier action {first.action}" in again.message
    assert effects("t-1") == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"run": "run-2"}, id="of another run"),
        pytest.param({"subject": "tom"}, id="for another subject"),
        pytest.param({"agent": "rival"}, id="of another agent"),
        pytest.param({"words": "ok!"}, id="with other arguments"),
        pytest.param({"tool": "desk.file"}, id="of another tool"),
    ],
)
async def test_a_call_is_another_one(house: House, other: dict[str, str]) -> None:
    await (await house.clerk()).act("desk.note", NOTE)
    who = {name: other[name] for name in ("run", "subject", "agent") if name in other}
    asked = {"on": "t-1"} if "tool" in other else NOTE | {"words": other.get("words", "ok")}
    again = await (await house.clerk(**who)).act(other.get("tool", "desk.note"), asked)
    assert (again.status, again.earlier, effects("t-1")) == ("done", False, 2)


@pytest.mark.claim("spine.equal-calls-attach")
async def test_what_was_done_long_ago_is_done_again(folder: Path) -> None:
    clock = Clock(1_800_000_000_000_000)
    async with opened(folder, now_us=clock.now_us) as house:
        clerk = await house.clerk()
        first = await clerk.act("desk.note", NOTE)
        clock.advance(599)
        assert (await clerk.act("desk.note", NOTE)).action == first.action
        clock.advance(2)
        late = await clerk.act("desk.note", NOTE)
        assert (late.status, late.earlier, effects("t-1")) == ("done", False, 2)
        assert (await house.action(late)).attempt == 2


@pytest.mark.claim("spine.equal-calls-attach")
async def test_an_answer_that_people_took_long_for_is_kept_as_long_again(folder: Path) -> None:
    clock = Clock(1_800_000_000_000_000)
    asked = {"on": "ch-1", "amount_minor": 20_000}
    async with opened(folder, now_us=clock.now_us) as house:
        clerk = await house.clerk()
        first = await clerk.act("desk.refund", asked)
        assert first.status == "parked"
        clock.advance(7200)
        await house.vote("bo", first.action)
        assert (await house.until(first)).status == "done"
        clock.advance(7100)
        again = await clerk.act("desk.refund", asked)
        assert (again.action, again.status, again.earlier) == (first.action, "done", True)
        clock.advance(200)
        assert not (await clerk.act("desk.refund", asked)).earlier
        assert effects("ch-1") == 1


@pytest.mark.claim("spine.unnamed-runs-attach")
async def test_where_nobody_named_a_run_a_fresh_token_is_no_other_call(house: House) -> None:
    world = house.world
    made = await house.command("ada", "agents access-key", agent="clerk", subject="sue", days=1)
    told = []
    for run in (None, None, "run-1", "run-2"):
        control = await world.store.control("default")
        bundle = await world.bundle("default", control.release)
        credential = open_door(
            world,
            control,
            bundle.manifests,
            made["access_key"],
            door="http://here/mcp",
            run=run,
            now_us=world.now_us(),
        )
        told.append(await act(world, propose("desk.note", NOTE, credential)))
    assert [each.status for each in told] == ["done"] * 4
    assert [each.earlier for each in told] == [False, True, False, False]
    assert effects("t-1") == 3


@pytest.mark.claim("spine.equal-calls-attach")
@pytest.mark.parametrize(
    ("tool", "asked", "status"),
    [
        ("desk.note", {"on": "t-1", "how": "refuse"}, "failed"),
        ("desk.refund", {"on": "t-1", "amount_minor": 4_000, "currency": "EUR"}, "refused"),
    ],
)
async def test_a_no_frees_the_name(
    house: House, tool: str, asked: dict[str, object], status: str
) -> None:
    clerk = await house.clerk()
    first = await clerk.act(tool, asked)
    again = await clerk.act(tool, asked)
    assert (first.status, again.status) == (status, status)
    assert (again.earlier, again.action != first.action) == (False, True)
    assert (await house.action(again)).attempt == 2


@pytest.mark.claim("spine.equal-calls-attach")
async def test_a_failure_says_at_once_what_is_told_of_it_later(house: House) -> None:
    clerk = await house.clerk()
    first = await clerk.act("desk.note", {"on": "t-1", "how": "refuse"}, key="k")
    again = await clerk.act("desk.note", {"on": "t-1", "how": "refuse"}, key="k")
    assert first.message == "not today"
    assert again.message.endswith(f"{first.action}: {first.message}")


REFUSED = {"on": "t-1", "how": "refuse"}  # fails each time, which frees the name
ABROAD = {"on": "t-1", "amount_minor": 4_000, "currency": "EUR"}  # the rules say no each time


@pytest.mark.claim("spine.attempts-bounded")
@pytest.mark.parametrize(
    ("tool", "asked", "key", "code"),
    [
        pytest.param("desk.note", REFUSED, None, "not_done", id="failures"),
        pytest.param("desk.refund", ABROAD, None, "denied", id="denials"),
        pytest.param("desk.refund", ABROAD, "mine", "denied", id="denials under a key"),
    ],
)
async def test_a_step_has_so_many_attempts_and_no_more(
    tmp_path: Path, tool: str, asked: dict[str, object], key: str | None, code: str
) -> None:
    few = AGENT.replace("NAME", "clerk") + "max_attempts_per_step: 2\n"
    async with opened(await founded(tmp_path / "project", clerk=few)) as house:
        clerk = await house.clerk()
        tried = [await clerk.act(tool, asked, key=key) for _ in range(2)]
        assert [each.code for each in tried] == [code, code]
        no = await clerk.act(tool, asked, key=key)
        assert (no.status, no.step, no.code) == ("refused", 3, "attempts_exhausted")
        assert "2 attempts" in no.message
        assert await house.kinds(no.action) == ["refused"]
        # However often it asks from now on, it is told the same and nothing more is written.
        again = [await clerk.act(tool, asked, key=key) for _ in range(3)]
        assert {(each.code, each.action) for each in again} == {(no.code, no.action)}
        # Other arguments are another step.
        other = {**asked, "on": "t-2"}
        assert (await clerk.act(tool, other, key=key and "other")).code == code
        if key is None:  # and so are the same ones in another run
            assert (await (await house.clerk("run-2")).act(tool, asked)).code == code


@pytest.mark.claim("spine.own-key-one-answer")
async def test_a_key_keeps_its_answer_even_a_failure_and_however_long(folder: Path) -> None:
    clock = Clock(1_800_000_000_000_000)
    async with opened(folder, now_us=clock.now_us) as house:
        clerk = await house.clerk()
        asked = {"on": "t-1", "how": "refuse"}
        first = await clerk.act("desk.note", asked, key="mine")
        clock.advance(86_400)
        again = await clerk.act("desk.note", asked, key="mine")
        assert (first.status, again.status) == ("failed", "failed")
        assert (again.action, again.earlier) == (first.action, True)


@pytest.mark.claim("spine.own-key-one-answer")
@pytest.mark.parametrize(
    ("tool", "asked"),
    [("desk.note", NOTE | {"words": "no"}), ("desk.file", {"on": "t-1"})],
)
async def test_a_key_means_one_call(house: House, tool: str, asked: dict[str, str]) -> None:
    clerk = await house.clerk()
    first = await clerk.act("desk.note", NOTE, key="mine")
    other = await clerk.act(tool, asked, key="mine")
    assert (other.status, other.code, other.result) == ("refused", "key_conflict", None)
    assert other.details == {"action": first.action}
    assert effects("t-1") == 1


@pytest.mark.claim("spine.own-key-one-answer")
async def test_a_refusal_is_not_kept_under_a_key(house: House) -> None:
    clerk = await house.clerk()
    asked = {"on": "t-1", "amount_minor": 4_000}
    await house.command("ada", "kill", scope="tool", target="desk.refund", reason="test")
    stopped = await clerk.act("desk.refund", asked, key="mine")
    assert (stopped.status, stopped.code) == ("refused", "stopped")
    await house.command("ada", "resume", scope="tool", target="desk.refund")
    assert (await clerk.act("desk.refund", asked, key="mine")).status == "done"


@pytest.mark.claim("spine.owner-only-lookup")
@pytest.mark.parametrize("who", [{"agent": "rival"}, {"subject": "tom"}])
async def test_a_known_key_shows_nothing_of_another_owners_action(
    house: House, who: dict[str, str]
) -> None:
    mine = await (await house.clerk()).act("desk.note", NOTE, key="mine")
    theirs = await (await house.clerk(**who)).act("desk.note", NOTE, key="mine")
    assert (theirs.status, theirs.earlier) == ("done", False)
    assert theirs.action != mine.action
    # Not even that the key is taken: other arguments under it are no conflict for them.
    more = await (await house.clerk(**who)).act("desk.note", {"on": "t-2"}, key="another")
    assert (more.status, mine.action in more.message) == ("done", False)


@pytest.mark.claim("spine.own-key-one-answer")
async def test_a_key_is_the_same_call_in_another_run(house: House) -> None:
    first = await (await house.clerk("run-1")).act("desk.note", NOTE, key="mine")
    again = await (await house.clerk("run-2")).act("desk.note", NOTE, key="mine")
    assert (again.action, again.earlier, again.result) == (first.action, True, first.result)
    assert effects("t-1") == 1


@pytest.mark.claim("spine.equal-calls-attach")
async def test_a_read_without_a_key_is_made_anew_each_time(house: House) -> None:
    clerk = await house.clerk()
    first = await clerk.act("desk.look", {"on": "t-1"})
    await clerk.act("desk.note", NOTE)
    again = await clerk.act("desk.look", {"on": "t-1"})
    assert (first.result, again.result) == ({"on": "t-1", "times": 0}, {"on": "t-1", "times": 1})
    assert (again.earlier, books("READS")) == (False, ["t-1", "t-1"])


@pytest.mark.claim("spine.owner-only-lookup")
async def test_without_a_good_credential_a_known_key_shows_nothing(house: House) -> None:
    clerk = await house.clerk()
    mine = await clerk.act("desk.note", NOTE, key="mine")
    forged = Credential(token="a.b.c", proof="a.b.c")
    asked = propose("desk.note", NOTE, forged, key="mine")
    told = await act(house.world, asked)
    assert (told.status, told.step, told.action, told.result) == ("refused", 2, "", None)
    assert mine.action not in told.message
