"""Keys that roll: a new one takes over, and what the older ones wrote can still be read."""

from pathlib import Path

import pytest

from bailiwick_verify import main as verify
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
    assert "stay wrapped by the older vault keys until" in rotated.out
    assert "the ledger says so" in rotated.out
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
    examined = desk.here("nobody", "doctor").out
    assert "1 runs are still under an older vault key" in examined
    refused = desk.here("nobody", "keys", "retire", "vault", kept.stem.removeprefix("vault-"))
    assert (refused.code, refused.fault) == (3, "key_in_use")
    desk.log_in("ada")
    rewrapped = desk.here("ada", "keys", "rewrap")
    assert "1 of 2 runs are now under the vault key 2-" in rewrapped.out
    retired = desk.here("nobody", "keys", "retire", "vault", kept.stem.removeprefix("vault-"))
    assert retired.code == 0
    assert (told(desk, older), told(desk, newer)) == ("likes tea", "likes coffee")
    assert "2 runs are under 2-" in desk.here("nobody", "doctor").out
    assert desk.here("nobody", "ledger", "verify").code == 0


@pytest.mark.claim("identity.keys-roll")
def test_a_session_outlives_the_token_key_that_signed_it(desk: Desk) -> None:
    desk.log_in("bo")
    rotated = desk.here("nobody", "keys", "rotate", "token")
    assert "the older ones still verify" in rotated.out
    assert listed(desk, "token") == [("2", "signs and verifies tokens"), ("1", "verifies tokens")]
    assert desk.here("bo", "whoami").code == 0
    assert desk.act("notes.read", customer="c_1")["status"] == "done"


@pytest.mark.claim("ledger.log-key-rotates")
def test_the_logs_key_rotates_and_the_list_of_its_keys_verifies_an_export(desk: Desk) -> None:
    assert desk.act("notes.add", customer="c_1", text="likes tea")["status"] == "done"
    assert desk.here("nobody", "keys", "rotate", "log").code == 0
    assert listed(desk, "log") == [
        ("2", "signs the ledger's heads"),
        ("1", "signs the ledger's heads until it is retired"),
    ]
    newest = {row["kid"] for row in desk.data("nobody", "keys", "list") if row["use"] == "log"}
    first, second = sorted(newest)
    for kid, fault in ((second, "key_newest"), ("3-000000000000", "key_unknown")):
        assert desk.here("nobody", "keys", "retire", "log", kid).fault == fault
    assert desk.act("notes.add", customer="c_2", text="likes tea")["status"] == "done"
    assert desk.here("nobody", "keys", "retire", "log", first).code == 0
    assert desk.act("notes.add", customer="c_3", text="likes tea")["status"] == "done"
    assert desk.here("nobody", "ledger", "export", "out").code == 0
    keys = desk.here("nobody", "ledger", "keys").out
    assert keys.split()[1] == "0"
    (desk.homes / "keys").write_text(keys)
    out, list_of_keys = str(desk.project / "out"), str(desk.homes / "keys")
    assert verify(["verify", out, "--keys", list_of_keys]) == 0
    assert verify(["verify", out, "--key", keys.split()[0]]) == 1
    assert desk.here("nobody", "ledger", "verify").code == 0
    for use in ("pseudonym", "equality"):
        assert desk.here("nobody", "keys", "rotate", use).fault == "usage"


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
