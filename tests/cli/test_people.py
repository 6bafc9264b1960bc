"""Accounts, and changes that one person proposes and another makes."""

import shutil

import pytest

from tests.cli.desk import PASSWORD, Desk, acting


def two_admins(desk: Desk) -> None:
    """Let ada add a second administrator, dee, who logs in with what she was given."""
    desk.log_in("ada")
    words = ("people", "add", "dee", "--role", "admin", "--role", "operator")
    given = desk.data("ada", *words)["password"]
    assert desk.here("dee", "login", "dee", stdin=f"{given}\n").code == 0


def forbid_notes(desk: Desk) -> None:
    """Change the project's files so that no note may be added."""
    shutil.rmtree(desk.project / "policies" / "tests")
    (desk.project / "policies" / "more.cedar").write_text(
        '@id("notes.none")\nforbid (principal, action == Action::"notes.add", resource);\n'
    )


@pytest.mark.claim("cli.loosening-waits-for-a-second")
@pytest.mark.parametrize(
    ("tighten", "loosen"),
    [
        (["kill", "everything"], ["resume", "everything"]),
        (["kill", "tenant"], ["resume", "tenant"]),
        (["kill", "tool", "notes.add"], ["resume", "tool", "notes.add"]),
        (["agents", "disable", "note-taker"], ["agents", "enable", "note-taker"]),
        (None, ["people", "add", "eve", "--role", "viewer"]),
        (None, ["people", "disable", "bo"]),
        (None, ["release", "activate"]),
    ],
)
def test_one_person_tightens_and_two_loosen(
    desk: Desk, tighten: list[str] | None, loosen: list[str]
) -> None:
    two_admins(desk)
    if tighten is not None:
        assert desk.here("ada", *tighten).code == 0
        stopped = desk.here("ada", *acting("notes.read", customer="c_1"))
        assert stopped.code == (3 if "notes.add" not in tighten else 0)
    if loosen[0] == "release":
        (desk.project / "policies" / "more.cedar").unlink()
    first = desk.here("ada", *loosen)
    assert first.code == 4, first.err
    assert "waits for a second person" in first.out
    assert desk.here("ada", *loosen).code == 4, "one person made it alone"
    (waiting,) = desk.data("dee", "changes", "list")
    assert waiting["proposed_by"] == "ada"
    second = desk.here("dee", *loosen)
    assert second.code == 0, second.err
    assert desk.here("ada", "changes", "list").out == "nothing waits for a second person\n"
    assert desk.here("ada", "ledger", "verify").code == 0


@pytest.mark.claim("cli.loosening-waits-for-a-second")
def test_the_second_person_activates_what_the_first_proposed(desk: Desk) -> None:
    two_admins(desk)
    forbid_notes(desk)
    different = desk.data("ada", "release", "diff")
    said = [each.partition(": ")[0] for each in different["changes"]]
    assert "adds the forbid `notes.none` (policies/more.cedar)" in said
    assert "removes the forbid `notes.two` (policies/more.cedar)" in said
    assert different["loosens"] is True
    digest = desk.data("ada", "release", "activate")["digest"]
    assert desk.act("notes.add", customer="c_1", text="as before")["status"] == "done"
    shutil.rmtree(desk.project / "policies")
    assert desk.here("dee", "release", "activate", digest[:12]).code == 0
    refused = desk.act("notes.add", customer="c_1", text="not any more")
    assert (refused["status"], refused["code"]) == ("refused", "denied")
    listed = {each["digest"]: each["active"] for each in desk.data("ada", "release", "list")}
    assert (len(listed), listed[digest]) == (2, True)


def test_files_take_effect_only_when_they_are_activated(desk: Desk) -> None:
    desk.log_in("ada")
    forbid_notes(desk)
    proposed = desk.data("ada", "release", "propose", "--note", "a try")["digest"]
    assert desk.act("notes.add", customer="c_1", text="as before")["status"] == "done"
    assert desk.here("ada", "release", "activate", proposed).code == 0
    assert desk.act("notes.add", customer="c_1", text="not any more")["code"] == "denied"


def test_a_new_key_ends_the_old_sessions(desk: Desk) -> None:
    desk.log_in("bo")
    shutil.copytree(desk.homes / "bo", desk.homes / "thief")
    chosen = "another good password, then"
    changed = desk.here("bo", "people", "password", stdin=f"{PASSWORD}\n{chosen}\n")
    assert changed.code == 0, changed.err
    assert desk.here("bo", "login", "bo", stdin=f"{PASSWORD}\n").fault == "password_wrong"
    assert desk.here("thief", "whoami").code == 0, "the signing key is the same still"
    words = ("people", "password", "--new-key")
    assert desk.here("bo", *words, stdin=f"{chosen}\n{PASSWORD}\n").code == 0
    assert desk.here("thief", "whoami").fault == "session_ended"
    assert desk.here("bo", "login", "bo", stdin=f"{PASSWORD}\n").code == 0


def test_a_disabled_account_can_do_nothing_and_can_be_made_anew(desk: Desk) -> None:
    desk.log_in("ada", "bo")
    parked = desk.act("notes.add", customer="c_1", text="hi", visible_to="customer")
    assert desk.here("ada", "people", "disable", "bo").code == 0
    assert desk.here("bo", "approvals", "list").fault == "person_disabled"
    assert desk.here("bo", "login", "bo", stdin=f"{PASSWORD}\n").fault == "person_disabled"
    again = ("people", "add", "bo", "--role", "approver", "--queue", "support")
    password = desk.data("ada", *again)["password"]
    assert desk.here("bo", "login", "bo", stdin=f"{password}\n").code == 0
    assert desk.here("bo", "approvals", "approve", parked["action"], "--yes").code == 0


def test_revoked_keys_and_sessions_end(desk: Desk) -> None:
    desk.log_in("ada")
    (agent,) = desk.data("ada", "agents", "list")
    (key,) = agent["keys"]
    assert desk.here("ada", "revoke", key, "--reason", "lost").code == 0
    refused = desk.here("ada", *acting("notes.read", customer="c_1"))
    assert (refused.code, refused.fault) == (3, "agent_key_unknown")
    (desk.project / "keys" / "agents" / "note-taker.json").unlink()
    assert desk.here("ada", "agents", "register", "note-taker").code == 0
    assert desk.act("notes.read", customer="c_1")["status"] == "done"


@pytest.mark.parametrize("role", ["viewer", "approver"])
def test_payloads_are_told_to_those_who_may_see_them(desk: Desk, role: str) -> None:
    desk.log_in("bo", "vi")
    id = desk.act("notes.add", customer="c_1", text="a secret of a customer")["action"]
    person = {"viewer": "vi", "approver": "bo"}[role]
    shown = desk.here(person, "actions", "show", id).out
    assert shown.startswith(f"action {id}: done\n")
    assert ("a secret of a customer" in shown) is (role == "approver")
    told = desk.data(person, "actions", "show", id)
    assert (told["payloads"] is None) is (role == "viewer")
    assert "args_commitment" in shown
