"""Agents as people look after them: what they do, their keys and tokens."""

import pytest

from tests.cli.desk import Desk, acting
from tests.cli.test_people import two_admins

BUDGET = "budgets:\n  - {unit: calls, period: day, limit: 50}\n"


@pytest.mark.claim("cli.agents-are-told")
def test_a_list_says_who_may_act_and_what_is_open(desk: Desk) -> None:
    desk.log_in("ada")
    manifest = desk.project / "agents" / "note-taker.yaml"
    manifest.write_text(manifest.read_text() + BUDGET)
    assert desk.here("ada", "release", "activate").code == 0
    (unused,) = desk.data("ada", "agents", "list")
    assert (unused["seen_us"], unused["open"], unused["budget"]) == (None, 0, [])
    desk.act("notes.add", customer="c_1", text="likes tea")
    parked = desk.act("notes.add", customer="c_1", text="for everyone")["action"]
    desk.here("ada", "mode", "set", "note-taker", "*", "draft", "--reason", "new")
    (row,) = desk.data("ada", "agents", "list")
    (key,) = row["keys"]
    assert (row["enabled"], row["mode"], row["open"]) == (True, "draft", 1)
    assert row["keys_since_us"][key] > 0
    assert [(each["unit"], each["spent"]) for each in row["budget"]] == [("calls", 1)]
    assert row["seen_us"] > 0
    shown = desk.here("ada", "agents", "show", "note-taker")
    assert parked in shown.out
    assert f"{key} since 20" in shown.out
    assert desk.here("ada", "agents", "show", "note-taken").fault == "agent_unknown"


@pytest.mark.claim("cli.agent-keys-end")
def test_keys_are_rotated_by_two_and_revoked_by_one(desk: Desk) -> None:
    two_admins(desk)
    (old,) = desk.data("ada", "agents", "list")[0]["keys"]
    assert desk.here("ada", "agents", "rotate", "note-taker").code == 4
    assert desk.act("notes.read", customer="c_1")["status"] == "done"
    rotated = desk.data("dee", "agents", "rotate", "note-taker")
    assert rotated["revoked"] == [old]
    token = desk.act("notes.read", customer="c_1")
    assert token["status"] == "done"
    wrong = desk.here("ada", "agents", "revoke-key", "note-taker", old)
    assert (wrong.fault, rotated["key"] in wrong.err) == ("agent_key_unknown", True)
    assert desk.here("ada", "agents", "revoke-key", "note-taker", rotated["key"]).code == 0
    refused = desk.here("ada", *acting("notes.read", customer="c_1"))
    assert (refused.code, refused.fault) == (3, "agent_key_unknown")
    assert f"{rotated['key']} (revoked)" in desk.here("ada", "agents", "show", "note-taker").out
    story = desk.data("ada", "actions", "show", token["action"])
    assert desk.here("ada", "token", "revoke", story["capability"]).code == 0
    assert desk.here("nobody", "ledger", "verify").code == 0
