"""Keys that roll: a new one takes over, and what the older ones wrote can still be read."""

from pathlib import Path

import pytest

from tests.cli.desk import Desk


def listed(desk: Desk, use: str) -> list[tuple[str, str]]:
    rows = desk.data("nobody", "keys", "list")
    return [(row["kid"].partition("-")[0], row["does"]) for row in rows if row["use"] == use]


@pytest.mark.claim("identity.keys-roll")
def test_a_new_vault_key_wraps_new_runs_and_the_older_opens_the_older(desk: Desk) -> None:
    desk.log_in("bo")
    older = desk.act("notes.add", customer="c_1", text="likes tea")["action"]
    (kept,) = (desk.project / "keys").glob("vault-1-*.key")
    rotated = desk.here("nobody", "keys", "rotate", "vault")
    assert rotated.code == 0
    assert "there is a new vault key 2-" in rotated.out
    assert "stay wrapped by the older vault keys: keep those files" in rotated.out
    assert listed(desk, "vault") == [
        ("2", "wraps and unwraps the keys of runs"),
        ("1", "unwraps the keys of older runs"),
    ]
    newer = desk.act("notes.add", customer="c_2", text="likes coffee")["action"]
    assert (told(desk, older), told(desk, newer)) == ("likes tea", "likes coffee")
    away = Path(kept.rename(desk.homes / kept.name))
    assert (told(desk, older), told(desk, newer)) == ("run_key_invalid", "likes coffee")
    away.rename(kept)
    assert told(desk, older) == "likes tea"
    assert desk.here("nobody", "doctor").code == 0
    assert desk.here("nobody", "ledger", "verify").code == 0


@pytest.mark.claim("identity.keys-roll")
def test_a_session_outlives_the_token_key_that_signed_it(desk: Desk) -> None:
    desk.log_in("bo")
    rotated = desk.here("nobody", "keys", "rotate", "token")
    assert "the older ones still verify" in rotated.out
    assert listed(desk, "token") == [("2", "signs and verifies tokens"), ("1", "verifies tokens")]
    assert desk.here("bo", "whoami").code == 0
    assert desk.act("notes.read", customer="c_1")["status"] == "done"


def test_the_other_keys_stay(desk: Desk) -> None:
    answer = desk.here("nobody", "keys", "rotate", "log")
    assert (answer.code, answer.fault) == (2, "usage")
    assert listed(desk, "log") == [("1", "signs the ledger's heads")]


@pytest.mark.claim("cli.exit-codes")
@pytest.mark.parametrize("use", ["token", "log", "vault", "pseudonym", "equality"])
def test_a_key_that_is_missing_or_unreadable_is_named_with_its_use(desk: Desk, use: str) -> None:
    desk.log_in("ada")
    (path,) = (desk.project / "keys").glob(f"{use}*.*")
    away = path.rename(desk.homes / path.name)
    words = ("run", "note-taker", "notes.read", "--subject", "sue")
    for command in (("actions", "list"), ("ledger", "verify"), words):
        answer = desk.here("ada", *command)
        assert (answer.code, answer.fault, answer.out) == (69, "key_missing", "")
        assert answer.err.startswith(f"error [key_missing]: the {use} key, which ")
        assert f"help: restore `{use}" in answer.err
    path.mkdir()
    answer = desk.here("ada", "actions", "list")
    assert (answer.code, answer.fault) == (69, "key_unreadable")
    assert str(path) in answer.err
    path.rmdir()
    away.rename(path)
    assert desk.here("ada", "actions", "list").code == 0


def told(desk: Desk, action: str) -> str:
    """The text of a note that was proposed, or the code of what keeps it from being read."""
    proposal = desk.data("bo", "actions", "show", action)["payloads"]["proposal"]
    return str(proposal["code"] if "fault" in proposal else proposal["arguments"]["text"])
