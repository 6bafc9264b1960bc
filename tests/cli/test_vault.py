"""Erasing and holding from the command line."""

import pytest

from tests.cli.desk import Desk

WHY = ("--reason", "the customer asked")


@pytest.mark.claim("vault.erased-run")
def test_payloads_are_held_erased_and_asked_for_again(desk: Desk) -> None:
    desk.log_in("ada", "bo")
    done = desk.act("notes.add", customer="c_1", text="likes tea")["action"]
    run = desk.data("ada", "actions", "show", done)["run"]
    held = desk.here("ada", "vault", "hold", "--subject", "a-customer", *WHY)
    assert (held.code, held.out) == (0, "held: a-customer, 1 actions until now\n")
    nobody = desk.here("ada", "vault", "hold", "--run", "run_nobody", *WHY)
    assert (nobody.code, "the hold stands all the same" in nobody.err) == (1, True)
    assert "the customer asked" in desk.here("bo", "vault", "holds").out
    erase = ("vault", "erase", "--run", run, *WHY)
    refused = desk.here("ada", *erase)
    assert (refused.code, refused.fault) == (3, "legal_hold")
    assert desk.here("ada", "vault", "release-hold", "--subject", "a-customer").code == 0
    assert desk.here("bo", *erase).fault == "not_allowed"
    erased = desk.here("ada", *erase, "--json")
    assert erased.code == 0, erased.err
    assert (erased.data["erased"], erased.data["run_keys"]) == (1, 1)
    again = desk.here("ada", *erase)
    assert (again.code, again.fault) == (3, "already_erased")
    assert f"bailiwick actions show {done}" in again.err
    for person in ("ada", "bo"):
        story = desk.here(person, "actions", "show", done).out
        assert "by ada: the customer asked" in story
        assert "likes tea" not in story
    overdue = desk.here("bo", "vault", "overdue")
    assert (overdue.code, overdue.out) == (0, "nothing is kept past its time\n")
    usage = desk.here("ada", "vault", "erase", *WHY)
    assert (usage.code, "`--run`, `--action`, `--subject`" in usage.err) == (2, True)
    assert desk.here("ada", "vault", "erase", "--run", "run_x", *WHY).fault == "run_unknown"
    assert desk.here("nobody", "ledger", "verify").code == 0
