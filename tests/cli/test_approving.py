"""What agents and people do about requests: cancel them, sign ahead, stand in for each other."""

import pytest

from tests.cli.desk import Desk

OWNER = """\
import asyncio

async def main(session):
    print("ready", flush=True)
    await asyncio.sleep(60)
"""
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
    assert (missing.code, missing.fault) == (2, "agent_key_missing")
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
