"""Releases from the command line: tried on what was decided, compared, activated, taken back."""

import sqlite3
from contextlib import closing

import pytest

from tests.cli.desk import Desk, acting

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
        "1 others were refused before the rules were asked",
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
