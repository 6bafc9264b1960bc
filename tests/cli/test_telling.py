"""What a command writes: text of others is shown with escapes, and JSON is one document."""

import json
import unicodedata

import pytest

from bailiwick.cli.telling import cell, table
from tests.cli.desk import Desk, acting

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe \u200b\x9b31m\r\nstate: granted\x00"[:-1]
READS = [
    "actions list",
    "agents list",
    "approvals list --all",
    "budget",
    "changes list",
    "check",
    "doctor",
    "in-doubt list",
    "keys list",
    "ledger verify",
    "people list",
    "policy show",
    "policy test",
    "release diff",
    "release list",
    "stops list",
    "who-can notes.add",
    "whoami",
]


def unsafe(text: str) -> set[str]:
    """The characters that a terminal could act upon, or that cannot be seen."""
    return {
        char
        for char in text
        if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")
    }


@pytest.mark.claim("cli.outside-text-escaped")
def test_what_a_ticket_says_is_shown_with_escapes(desk: Desk) -> None:
    desk.log_in("ada", "bo", "cy")
    words = acting("notes.add", subject="s", customer="c_1", text=HOSTILE, visible_to="customer")
    more = ("--reason", HOSTILE, "--source", HOSTILE, "--json")
    id = desk.here("ada", *words, *more).data["action"]
    shown = {"show": desk.here("bo", "approvals", "show", id).out}
    voted = desk.here("bo", "approvals", "approve", id, "--yes", "--reason", HOSTILE)
    assert voted.code == 0, voted.err
    shown["story"] = desk.here("cy", "actions", "show", id).out
    killed = desk.here("ada", "kill", "tool", "faults.lose", "--reason", HOSTILE)
    assert killed.code == 0
    shown["stops"] = desk.here("ada", "stops", "list").out
    stopped = desk.here("ada", *acting("faults.lose", customer="c_1"))
    shown["refused"] = stopped.out
    for what, text in shown.items():
        assert unsafe(text) == set(), what
        assert "\\u{202e}" in text, what
        assert "\nstate: granted" not in text, what
    # The words of the agent come last.
    assert shown["show"].index("words of agents") > shown["show"].index("conflicts\n")
    assert shown["story"].rindex("why, in the agent's words") > shown["story"].rindex("ledger\n")


@pytest.mark.claim("cli.outside-text-escaped")
def test_what_the_command_line_itself_holds_is_shown_with_escapes(desk: Desk) -> None:
    desk.log_in("ada")
    for words in (["actions", "show", HOSTILE], [HOSTILE], ["who-can", HOSTILE]):
        answer = desk.here("ada", *words)
        assert answer.code == 2
        assert unsafe(answer.err + answer.out) == set()


@pytest.mark.claim("cli.json-one-document")
@pytest.mark.parametrize("words", READS)
def test_every_look_is_one_json_document(desk: Desk, words: str) -> None:
    desk.log_in("ada")
    answer = desk.here("ada", *words.split(), "--json")
    assert answer.code == 0, answer.err
    json.loads(answer.out)
    plain = desk.here("ada", *words.split())
    assert plain.out.strip(), "an empty list says so in words"
    assert not plain.out.startswith(("[", "{"))


def test_the_option_may_stand_before_the_command(desk: Desk) -> None:
    desk.log_in("ada")
    before = desk.here("ada", "--json", "--project", str(desk.project), "people", "list")
    after = desk.here("ada", "people", "list", "--json")
    assert before.data == after.data
    assert desk.here("ada", "people", "--json", "list").data == after.data


def test_a_table_is_plain_and_aligned() -> None:
    lines = table(["A", "LONGER"], [["one", None], ["seventeen", True]], "nothing")
    assert lines == ["A          LONGER", "one        -", "seventeen  yes"]
    assert table(["A"], [], "nothing") == ["nothing"]
    assert cell("x" * 70) == "x" * 60 + "… (70 characters)"
