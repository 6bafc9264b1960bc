"""Releases from the command line: tried on what was decided, compared, activated, taken back."""

import sqlite3
from contextlib import closing

import pytest

from tests.cli.desk import AGENT, Desk, acting
from tests.cli.test_people import two_admins

OWNER = """\
import asyncio

async def main(session):
    print("ready", flush=True)
    await asyncio.sleep(60)
"""
STRICT = """\
@id("notes.none")
forbid (principal, action == Action::"notes.add", resource)
when { context.input.text == "likes milk" };
"""


def digest_of(desk: Desk, name: str, text: str) -> str:
    """Store the project's files as a release, with a file that is changed."""
    (desk.project / name).write_text(text)
    answer = desk.here("ada", "release", "propose", "--json")
    assert answer.code == 0, answer.err
    return str(answer.data["digest"])


@pytest.mark.claim("policy.backtest-tells-what-changes")
def test_a_release_is_tried_on_what_was_decided_beside_a_working_owner(desk: Desk) -> None:
    desk.log_in("ada", "vi")
    ids = [desk.act("notes.add", customer=f"c_{n}", text="likes milk")["action"] for n in range(2)]
    desk.act("notes.add", customer="c_9", text="hello")
    desk.act("notes.add", customer="c_9", text="")
    strict = digest_of(desk, "policies/strict.cedar", STRICT)
    with closing(sqlite3.connect(desk.project / "state" / "bailiwick.sqlite")) as file, file:
        file.execute("update actions set proposal = null where id = ?", (ids[0],))
    desk.own(OWNER)
    told = desk.here("ada", "release", "backtest", strict[:12])
    assert told.code == 1, told.err
    assert told.out.splitlines() == [
        f"{ids[1]} note-taker notes.add: allowed by note-taker.may, would be denied by notes.none",
        "1 of 2 would change: 1 denied",
        "not counted: 1 refusal before the rules were asked",
        "1 could not be decided again: its arguments are erased",
    ]
    whole = desk.data("ada", "release", "backtest", strict, "--since", "2026-01-05T09:00")
    assert (whole["decided"], whole["would_be"]) == (2, {"denied": 1})
    assert whole["not_decided"] == {"no_decision": 1, "payload_erased": 1}
    assert [each["action"] for each in whole["changed"]] == [ids[1]]
    later = desk.here("ada", "release", "backtest", strict, "--since", "2999-01-05")
    assert (later.code, later.out) == (0, "0 of 0 would change\n")
    few = desk.data("ada", "release", "backtest", strict, "--limit", "1")
    assert (few["decided"], few["not_decided"]) == (0, {"no_decision": 1})
    none = desk.data("ada", "release", "backtest", strict, "--agent", "nobody")
    assert none["decided"] == 0
    for words, code, fault in (
        ((strict, "--since", "yesterday"), 2, "usage"),
        (("0000000000",), 2, "release_unknown"),
        ((strict, "--limit", "0"), 2, "usage"),
    ):
        refused = desk.here("ada", "release", "backtest", *words)
        assert (refused.code, refused.fault) == (code, fault)
    assert desk.here("vi", "release", "backtest", strict).fault == "not_allowed"


@pytest.mark.claim("policy.redecide-same")
def test_an_action_is_decided_again_by_its_id(desk: Desk) -> None:
    desk.log_in("vi")
    id = desk.act("notes.add", customer="c_1", text="likes tea")["action"]
    told = desk.here("vi", "actions", "redecide", id)
    assert (told.code, told.out.splitlines()[-3:]) == (
        0,
        ["recorded: allowed by note-taker.may", "again: allowed by note-taker.may", "the same"],
    )
    with closing(sqlite3.connect(desk.project / "state" / "bailiwick.sqlite")) as file, file:
        file.execute(
            "update actions set body = cast(replace(cast(body as text), 'note-taker.may', 'x.may')"
            " as blob) where id = ?",
            (id,),
        )
    told = desk.here("vi", "actions", "redecide", id)
    assert (told.code, told.out.splitlines()[-1]) == (1, "NOT THE SAME: rules")
    early = desk.here("vi", *acting("notes.add", customer="c_1", text=""), "--json").data
    told = desk.here("vi", "actions", "redecide", early["action"])
    assert (told.code, "[no_decision]" in told.out) == (1, True)
    assert desk.here("vi", "actions", "redecide", "act_none").fault == "action_unknown"


@pytest.mark.claim("policy.rollback-governed")
@pytest.mark.claim("policy.tightening-is-proved")
def test_one_person_goes_back_to_what_is_stricter_and_two_to_what_is_looser(desk: Desk) -> None:
    first = desk.here("ada", "release", "list", "--json")
    assert first.fault == "not_logged_in"
    two_admins(desk)
    (loose,) = [each["digest"] for each in desk.data("ada", "release", "list")]
    rules = desk.project / "policies" / "strict.cedar"
    rules.write_text(STRICT)
    made = desk.here("ada", "release", "activate")
    assert made.code == 0, "it only forbids more, so one person is enough"
    strict = desk.data("ada", "release", "list")[0]["digest"]

    waits = desk.here("ada", "release", "rollback")
    assert (waits.code, waits.err.strip()) == (4, f"bailiwick release rollback {loose}")
    assert desk.here("ada", "release", "rollback").code == 4, "one person made it alone"
    assert desk.act("notes.add", customer="c_1", text="likes milk")["code"] == "denied"
    made = desk.here("dee", "release", "rollback", loose[:12])
    assert made.out.splitlines() == [f"active: {loose}", f"no longer: {strict}"]
    id = desk.act("notes.add", customer="c_1", text="likes milk")["action"]
    back = desk.here("dee", "release", "rollback")
    assert (back.code, back.out.splitlines()[0]) == (0, f"active: {strict}"), back.err
    assert desk.here("ada", "ledger", "verify").code == 0
    assert desk.here("vi", "login", "vi", stdin="x\n").code == 3
    unknown = desk.here("dee", "release", "rollback", "0123456789")
    assert (unknown.code, unknown.fault) == (2, "release_unknown")
    active = desk.here("dee", "release", "rollback", strict)
    assert (active.code, active.fault) == (2, "release_not_earlier")

    told = desk.here("ada", "policy", "bisect", id)
    said = [line.partition("Z ")[2] for line in told.out.splitlines()[1:4]]
    allowed, denied = "allowed by note-taker.may", "denied by notes.none"
    assert said == [
        f"{loose[:16]}: {allowed}",
        f"{strict[:16]}: {denied}",
        f"{loose[:16]}: {allowed}",
    ]
    assert f"first: {loose}" in told.out.splitlines()
    refused = desk.act("notes.add", customer="c_1", text="likes milk")["action"]
    told = desk.here("ada", "policy", "bisect", refused)
    text = " ".join(STRICT.split())
    assert told.out.splitlines()[-4:] == [
        f"first: {strict}",
        f"against {loose}",
        f"  adds the forbid `notes.none` (policies/strict.cedar): {text}",
        "  adds the file policies/strict.cedar",
    ]
    assert desk.here("ada", "policy", "bisect", "act_none").fault == "action_unknown"


@pytest.mark.claim("policy.diff-in-words")
def test_two_stored_releases_are_compared_and_checked(desk: Desk) -> None:
    desk.log_in("ada")
    (first,) = [each["digest"] for each in desk.data("ada", "release", "list")]
    assert desk.here("ada", "release", "diff").out == "it changes nothing\n"
    fewer = digest_of(desk, "agents/note-taker.yaml", AGENT.replace('"faults.*"', '"faults.lose"'))
    gone = "note-taker: may no longer use faults.dawdle, faults.pretend, faults.refuse"
    told = desk.here("ada", "release", "diff", fewer)
    assert told.out.splitlines()[0] == gone
    assert told.out.splitlines()[-1] == "it allows nothing more"
    told = desk.here("ada", "release", "diff", fewer[:10], first[:10])
    again = "note-taker: may use faults.dawdle, faults.pretend, faults.refuse from now on"
    assert told.out.splitlines()[0] == again
    assert "it may allow more" in told.out.splitlines()
    checked = desk.here("ada", "release", "check", fewer)
    assert checked.out.splitlines()[-1] == "the release holds together"
    (desk.project / "policies" / "strict.cedar").write_text("forbid (")
    wrong = desk.here("ada", "release", "check")
    assert (wrong.code, wrong.fault) == (1, "policy_invalid")
