"""Modes from the command line."""

import pytest

from tests.cli.desk import Desk, acting


@pytest.mark.claim("limits.draft-asks")
@pytest.mark.claim("limits.mode-loosening-needs-two")
def test_a_mode_is_set_listed_and_lifted(desk: Desk) -> None:
    desk.log_in("ada", "bo")
    draft = ("mode", "set", "note-taker", "notes.*", "draft", "--reason", "a new \x1b[1mprompt")
    assert desk.here("ada", *draft).out == "set: note-taker with notes.* is draft; it was live\n"
    listed = desk.here("ada", "mode", "list").out
    assert "note-taker  notes.add" in listed
    assert "\x1b" not in listed
    row = next(row for row in desk.data("ada", "mode", "list") if row["tool"] == "notes.add")
    assert (row["mode"], row["manifest"], row["by"]) == ("draft", "live", "ada")
    parked = desk.here("ada", *acting("notes.add", customer="c_1", text="likes tea"))
    assert parked.code == 4
    refused = desk.here("bo", "mode", "set", "note-taker", "*", "shadow", "--reason", "no")
    assert (refused.code, "not_allowed" in refused.err) == (3, True)
    # One person alone may lift what no second one can confirm.
    live = ("mode", "set", "note-taker", "notes.*", "live", "--reason", "checked")
    assert desk.here("ada", *live).code == 0
    assert desk.here("ada", *acting("notes.add", customer="c_2", text="likes tea")).code == 0
