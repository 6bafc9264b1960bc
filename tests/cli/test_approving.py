"""What agents and people do about requests: cancel them, sign ahead, stand in for each other."""

import pytest

from tests.cli.desk import Desk

OWNER = """\
import asyncio

async def main(session):
    print("ready", flush=True)
    await asyncio.sleep(60)
"""
AHEAD = (
    *("standing", "grant", "--agent", "note-taker", "--tool", "notes.add", "--rule", "notes.two"),
    *("--count", "1", "--for", "1h", "--reason", "a newsletter"),
)
CANCEL = ("--agent", "note-taker", "--subject", "a-customer")


@pytest.mark.claim("spine.cancel-owner-only")
@pytest.mark.parametrize("owned", [False, True])
def test_an_agent_s_key_cancels_with_an_owner_and_without(desk: Desk, owned: bool) -> None:
    first = desk.act("notes.add", customer="c_1", text="for everyone")
    second = desk.act("notes.add", customer="c_2", text="for everyone")
    if owned:
        desk.own(OWNER)
    other = ("--agent", "note-taker", "--subject", "tom")
    refused = desk.here("ada", "actions", "cancel", first["action"], *other)
    assert (refused.code, refused.out.partition(":")[0]) == (3, "action_unknown")
    missing = desk.here("ada", "actions", "cancel", first["action"], *CANCEL[2:], "--agent", "no")
    assert (missing.code, missing.fault) in [(2, "agent_key_missing"), (2, "agent_unknown")]
    told = desk.data("ada", "actions", "cancel", first["action"], *CANCEL)
    assert (told["status"], told["code"]) == ("refused", "cancelled")
    again = desk.here("ada", "actions", "cancel", first["action"], *CANCEL)
    assert (again.code, again.out.partition(":")[0]) == (3, "not_parked")
    desk.log_in("bo")
    (left,) = desk.data("bo", "approvals", "list")
    assert left["action"] == second["action"]
    late = desk.here("bo", "approvals", "approve", first["action"], "--yes")
    assert (late.code, late.fault) == (3, "approval_closed")
    assert desk.here("ada", "ledger", "verify").code == 0


@pytest.mark.claim("approval.standing-needs-two")
def test_two_people_sign_ahead_at_their_terminals(desk: Desk) -> None:
    desk.log_in("ada", "bo", "cy")
    unseen = desk.here("bo", *AHEAD)
    assert (unseen.code, unseen.fault) == (2, "consent_missing")
    proposed = desk.here("bo", *AHEAD, "--yes").out
    first = proposed.partition("gives `bailiwick standing confirm ")[2].partition("`")[0]
    assert desk.here("cy", "standing", "confirm", first, "--yes").code == 0, proposed
    assert desk.here("bo", "standing", "withdraw", first).code == 0
    ids = []
    for signer, other in (("bo", "cy"), ("cy", "ada")):
        waits = desk.here(signer, *AHEAD, "--yes", "--json")
        assert (waits.code, waits.data["change"]) == (4, "standing grant")
        ids.append(waits.data["id"])
        confirmed = desk.here(other, "standing", "confirm", waits.data["id"], "--yes")
        assert confirmed.code == 0, confirmed.err
        assert confirmed.out.startswith("in force until ")
    assert desk.act("notes.add", customer="c_1", text="for everyone")["status"] == "done"
    second = desk.act("notes.add", customer="c_2", text="for everyone")
    assert second["status"] == "parked"
    desk.log_in("vi")
    listed = desk.data("vi", "standing", "list")
    listed = [each for each in listed if each["id"] != first]
    assert {each["id"]: each["state"] for each in listed} == dict.fromkeys(ids, "used up")
    told = desk.here("bo", "actions", "show", listed[0]["actions"][0])
    assert all(f"by the standing approval {id}" in told.out for id in ids)
    refused = desk.here("vi", "standing", "withdraw", ids[0])
    assert (refused.code, refused.fault) == (3, "not_allowed")
    assert desk.here("bo", "standing", "withdraw", ids[0]).code == 0
    assert "withdrawn" in desk.here("bo", "standing", "list").out
    assert desk.here("ada", "ledger", "verify").code == 0
    for words in (["--for", "soon"], ["--count", "0"], ["--sum", "10"]):
        assert desk.here("bo", *AHEAD, *words, "--yes").code == 2, words


@pytest.mark.claim("approval.delegation-is-one-person")
def test_a_lent_vote_is_cast_at_a_terminal(desk: Desk) -> None:
    desk.log_in("ada", "bo", "cy")
    lend = ("delegation", "grant", "cy", "--queue", "support", "--reason", "holidays", "--yes")
    lent = desk.data("bo", *lend, "--until", "7d")
    parked = desk.act("notes.add", customer="c_1", text="for everyone")["action"]
    voted = desk.here("cy", "approvals", "approve", parked, "--yes", "--on-behalf-of", "bo")
    assert voted.code == 0, voted.err
    assert '"cy" on behalf of "bo"' in desk.here("bo", "approvals", "show", parked).out
    same = desk.here("bo", "approvals", "approve", parked, "--yes")
    assert (same.code, same.fault) == (3, "already_voted")
    (told,) = desk.data("ada", "delegation", "list")
    assert (told["id"], told["state"], told["to"]) == (lent["id"], "running", "cy")
    assert desk.here("ada", "delegation", "end", lent["id"]).code == 0
    assert "ended" in desk.here("bo", "delegation", "list").out
    assert desk.here("bo", "approvals", "approve", parked, "--yes").code == 0
    assert desk.here("ada", "ledger", "verify").code == 0
    for until in ("soon", "2020-01-01"):
        assert desk.here("bo", *lend, "--until", until).code == 2, until


@pytest.mark.claim("approval.break-glass-reviewed")
def test_an_emergency_at_a_terminal_is_reviewed_at_another(desk: Desk) -> None:
    desk.log_in("ada", "bo")
    given = desk.data("ada", "people", "add", "rex", "--role", "responder")["password"]
    assert desk.here("rex", "login", "rex", stdin=f"{given}\n").code == 0
    words = ("break-glass", "--agent", "note-taker", "--tool", "notes.add", "--yes")
    assert desk.here("rex", *words).fault == "usage"
    assert desk.here("bo", *words, "--reason", "outage").fault == "not_allowed"
    broken = desk.data("rex", *words, "--reason", "outage", "--rule", "notes.two")
    done = desk.act("notes.add", customer="c_1", text="for everyone")
    assert done["status"] == "done"
    (listed,) = desk.data("bo", "reviews", "list")
    assert (listed["id"], listed["actions"]) == (broken["id"], [done["action"]])
    reviews = [each for each in desk.data("ada", "doctor") if each["name"] == "reviews"]
    assert [each["level"] for each in reviews] == ["warn"]
    assert f"by the broken glass {broken['id']}" in (
        desk.here("bo", "actions", "show", done["action"]).out
    )
    assert desk.here("rex", "break-glass", "--end", broken["id"]).code == 0
    assert desk.act("notes.add", customer="c_2", text="for everyone")["status"] == "parked"
    closed = desk.here("bo", "reviews", "close", broken["id"], "--finding", "it was one")
    assert closed.code == 0, closed.err
    assert desk.here("bo", "reviews", "list").out == "no review waits\n"
    assert desk.here("ada", "ledger", "verify").code == 0
