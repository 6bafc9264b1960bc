"""What cannot be used is refused with a stable code, an exit code and a way on."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bailiwick.config import session_file
from tests.cli.desk import AS_JSON, PASSWORD, Desk, acting

NO_NOTE = json.dumps({"customer": "c_1"})


@pytest.mark.claim("cli.exit-codes")
@pytest.mark.parametrize(
    ("person", "words", "code", "fault"),
    [
        ("ada", "no-such-command", 2, "usage"),
        ("ada", "actions list --limit 0", 2, "usage"),
        ("ada", "actions list --state nowhere", 2, "usage"),
        ("ada", "actions show act_none", 2, "action_unknown"),
        ("bo", "approvals show act_none", 2, "approval_unknown"),
        ("ada", "approvals show act_none", 2, "approval_unknown"),
        ("vi", "approvals show act_none", 3, "not_allowed"),
        ("bo", "approvals deny act_none", 2, "usage"),
        ("bo", "approvals approve act_none --yes", 2, "approval_unknown"),
        ("nobody", "approvals list", 3, "not_logged_in"),
        ("ada", "kill", 2, "usage"),
        ("ada", "kill planet", 2, "usage"),
        ("ada", "kill everything now", 2, "target_invalid"),
        ("ada", "kill tool", 2, "target_invalid"),
        ("vi", "kill everything", 3, "not_allowed"),
        ("ada", "resume tool notes.add", 2, "not_stopped"),
        ("ada", "in-doubt resolve act_none done --evidence looked", 2, "action_unknown"),
        ("ada", "in-doubt resolve act_none perhaps --evidence looked", 2, "usage"),
        ("bo", "in-doubt resolve act_none done --evidence looked", 3, "not_allowed"),
        ("ada", "release activate ffffffff", 2, "release_unknown"),
        ("ada", "release activate ff", 2, "release_unknown"),
        ("bo", "release activate", 3, "not_allowed"),
        ("ada", "people add Eve --role viewer", 2, "person_invalid"),
        ("ada", "people add eve", 2, "usage"),
        ("ada", "people add eve --role king", 2, "usage"),
        ("ada", "people add bo --role viewer", 2, "person_exists"),
        ("ada", "people disable ada", 3, "last_admin"),
        ("ada", "people disable nobody", 2, "person_unknown"),
        ("ada", "people password", 2, "password_missing"),
        ("bo", "people list", 0, ""),
        ("bo", "people disable ada", 3, "not_allowed"),
        ("ada", "agents enable nobody", 2, "agent_unknown"),
        ("ada", "agents register note-taker", 2, "agent_key_registered"),
        ("ada", "agents register ../x", 2, "agent_name_invalid"),
        ("ada", "policy show no.rule", 2, "rule_unknown"),
        ("ada", "who-can nonsense", 2, "action_unknown"),
        ("ada", "who-can notes.add --on visible_to", 2, "usage"),
        ("ada", "who-can notes.add --on visible_to=3", 2, "value_mistyped"),
        ("ada", "keys retire log 9-none", 2, "key_unknown"),
        ("ada", "break-glass --agent note-taker --tool * --reason r --for 2h", 2, "span_invalid"),
        ("ada", "ledger prove act_none", 2, "record_unknown"),
        ("ada", "ledger prove 99999", 2, "record_unknown"),
        ("ada", "run nobody notes.read --subject s", 2, "agent_unknown"),
        ("ada", "run note-taker notes.read --subject ", 2, "name_invalid"),
        ("ada", "run note-taker --subject s", 2, "usage"),
        ("ada", "run note-taker notes.read", 2, "usage"),
        ("ada", "run note-taker notes.read --subject s --arguments {", 2, "json_malformed"),
        ("ada", "run note-taker notes.read --subject s --arguments @none", 2, "file_unreadable"),
        ("ada", "run note-taker notes.read --subject s --key a\tb", 2, "key_malformed"),
        ("ada", "run note-taker no.tool --subject s", 3, ""),
        ("ada", "run note-taker notes.add --subject s", 3, ""),
        ("ada", "--project no-such-folder check", 2, "usage"),
        ("ada", "login eve", 2, "password_missing"),
    ],
)
def test_bad_input_has_a_code_and_an_exit_code(
    desk: Desk, person: str, words: str, code: int, fault: str
) -> None:
    if person != "nobody":
        desk.log_in(person)
    answer = desk.here(person, *words.split(" ") if words else ())
    assert (answer.code, answer.fault) == (code, fault), answer.err
    if fault:
        assert answer.out == ""
        assert "Traceback" not in answer.err


@pytest.mark.parametrize("group", ["", "actions", "approvals", "in-doubt", "stops", "ledger"])
def test_a_group_by_itself_says_what_it_holds(desk: Desk, group: str) -> None:
    answer = desk.here("nobody", *group.split())
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("Usage: bailiwick")
    assert "Commands:" in answer.out


SAYS = [
    ("kill", "`bailiwick kill [OPTIONS] {everything|"),
    ("run note-tacker notes.read --subject s", "did you mean `note-taker`"),
    ("run nobody notes.read --subject s", "known are note-taker"),
    ("run note-taker notes.reed --subject s", "did you mean `notes.read`"),
    (
        "run note-taker faults.qqqqqqqqqqqqqqqq --subject s",
        "its tools are faults.dawdle, faults.lose,",
    ),
    ("run note-taker zebra --subject s", "it covers notes.*, faults.*"),
    (
        'run note-taker notes.read --subject s --arguments {"customr":"c"}',
        "did you mean `customer`",
    ),
    (
        'run note-taker notes.read --subject s --arguments {"customer":"c","zebra":1}',
        "it takes customer",
    ),
    ('run note-taker notes.read --subject s --arguments {"customer":NaN}', "send a finite number"),
    ("run note-taker notes.read --subject ", "give 1 to 512 characters"),
]


def test_what_cannot_be_used_says_what_can(desk: Desk) -> None:
    for words, said in SAYS:
        answer = desk.here("ada", *words.split(" "))
        assert answer.code in (2, 3), words
        assert said in answer.out + answer.err, words


def test_a_revoked_id_is_not_said_to_be_there(desk: Desk) -> None:
    desk.log_in("ada")
    for words in ("revoke", "token revoke"):
        answer = desk.here("ada", *words.split(), "mistyped")
        assert (answer.code, "is not known here" in answer.out) == (0, True)


def test_what_waits_says_where_to_look(desk: Desk) -> None:
    desk.log_in("ada")
    asked = acting("notes.add", customer="c_1", text="hi", visible_to="customer")
    waits = desk.here("ada", *asked)
    id = desk.data("ada", "actions", "list")[0]["action"]
    assert f"`bailiwick approvals show {id}`" in waits.out
    doubt = desk.here("ada", *acting("faults.lose", customer="c_1"))
    assert "`bailiwick in-doubt list`" in doubt.out
    listed = desk.here("ada", "actions", "list").out.splitlines()
    at = listed[0].index("  FOR  ")
    assert listed[1][at:].split()[0] == "a-customer"


@pytest.mark.parametrize("name", ["Ada", "ada lovelace", "", "../ada", "\x1b[31m"])
def test_a_project_is_not_begun_for_nobody(desk: Desk, tmp_path: Path, name: str) -> None:
    answer = desk.here("ada", "init", str(tmp_path / "new"), "--admin", name)
    assert (answer.code, answer.fault) == (2, "person_invalid")
    assert not (tmp_path / "new").exists()


def test_what_the_system_refuses_is_told(desk: Desk) -> None:
    desk.log_in("ada")
    (desk.homes / "file").write_text("")
    answer = desk.here("ada", "init", str(desk.homes / "file" / "below"))
    assert (answer.code, answer.fault) == (2, "system_refused")


def test_without_a_project_it_says_where_to_begin(desk: Desk, tmp_path: Path) -> None:
    elsewhere = Desk(tmp_path / "homes", tmp_path / "homes")
    answer = elsewhere.here("ada", "check")
    assert (answer.code, answer.fault) == (2, "project_missing")
    assert "bailiwick init" in answer.err


def test_a_fault_is_a_json_document_too(desk: Desk) -> None:
    answer = desk.here("nobody", "actions", "list", AS_JSON)
    assert (answer.code, answer.data["error"]["code"]) == (3, "not_logged_in")
    assert answer.err.startswith("error [not_logged_in]: nobody is logged in\nhelp: ")


@pytest.mark.claim("cli.json-one-document")
@pytest.mark.parametrize("words", ["no-such-command", "kill planet", "actions list --nothing", ""])
def test_a_line_that_cannot_be_read_is_answered_in_json_too(desk: Desk, words: str) -> None:
    answer = desk.here("nobody", *words.split(), AS_JSON)
    assert (answer.code, answer.data["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize(
    ("change", "code", "fault"),
    [
        (lambda path: path.chmod(0o644), 3, "session_exposed"),
        (lambda path: path.write_text("{}"), 3, "session_malformed"),
        (lambda path: path.unlink(), 3, "not_logged_in"),
    ],
)
def test_a_session_that_does_not_hold(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    code: int,
    fault: str,
) -> None:
    desk.log_in("ada")
    monkeypatch.setenv("XDG_STATE_HOME", str(desk.homes / "ada"))
    path = session_file(desk.project)
    assert path.stat().st_mode & 0o777 == 0o600
    change(path)
    answer = desk.here("ada", "whoami")
    assert (answer.code, answer.fault) == (code, fault)


def test_passwords_cannot_be_guessed_in_a_row(desk: Desk) -> None:
    # On a slow machine the first waits, which double, are over before the next guess.
    faults = [desk.here("bo", "login", "bo", stdin="a wrong one\n").fault for _ in range(3)]
    assert faults == ["password_wrong"] * 3
    while faults[-1] == "password_wrong" and len(faults) < 10:
        faults.append(desk.here("bo", "login", "bo", stdin="a wrong one\n").fault)
    assert faults[-1] == "account_waiting"
    unknown = desk.here("bo", "login", "eve", stdin=f"{PASSWORD}\n")
    assert (unknown.code, unknown.fault) == (3, "password_wrong")


def test_logging_out_ends_the_session(desk: Desk) -> None:
    desk.log_in("ada")
    assert desk.here("ada", "whoami").out.startswith("ada: admin, auditor, operator")
    assert desk.here("ada", "logout").code == 0
    assert desk.here("ada", "whoami").fault == "not_logged_in"


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("tools/notes.py", "import nothing_like_this\n", ""),
        ("tools/more.yaml", "tools: 3\n", ""),
        ("policies/more.cedar", "permit (principal, action, resource);\n", ""),
        ("policies/tests/notes.yaml", "- {test: t, agent: a, tool: b, expect: allow}\n", ""),
        ("agents/note-taker.yaml", "name: note-taker\nowner: x\ntools_allowlist: [a.b]\n", ""),
        ("limits.yaml", "budgets:\n  - {unit: apples, limit: 3}\n", ""),
        ("bailiwick.yaml", "tennant: x\n", "settings_invalid"),
        ("bailiwick.yaml", "lease_seconds: -1\n", "settings_invalid"),
        ("bailiwick.yaml", "tick_seconds: 0\n", "settings_invalid"),
    ],
)
def test_a_file_that_cannot_decide_is_found_by_check(
    desk: Desk, file: str, text: str, expected: str
) -> None:
    (desk.project / file).write_text(text)
    answer = desk.here("nobody", "check")
    assert (answer.code, answer.fault) == (2 if expected else 1, expected)
    said = answer.err if expected else answer.out
    assert Path(file).name in said or Path(file).stem in said


def test_a_setting_that_cannot_be_read_says_what_to_do(desk: Desk) -> None:
    settings = desk.project / "bailiwick.yaml"
    settings.write_text("tick_secnds: 1\n")
    assert "help: did you mean `tick_seconds`" in desk.here("nobody", "check").err
    settings.write_bytes(b"tenant: \xff\n")
    answer = desk.here("nobody", "check")
    assert (answer.code, answer.fault) == (2, "settings_invalid")


def test_check_and_activation_list_every_finding(desk: Desk) -> None:
    (desk.project / "policies" / "more.cedar").write_text(
        "permit (principal, action, resource);\npermit (principal, action, resource);\n"
    )
    checked = desk.here("nobody", "check", AS_JSON)
    assert (checked.code, len(checked.data["findings"])) == (1, 2)
    desk.log_in("ada")
    activated = desk.here("ada", "release", "activate")
    assert (activated.code, activated.fault) == (1, "policy_invalid")
    assert activated.err.startswith("error [policy_invalid]: 2 findings\n")
    assert activated.err.count("policies/more.cedar:") == 2


def test_a_database_that_is_none(desk: Desk) -> None:
    desk.log_in("ada")
    (desk.project / "state" / "bailiwick.sqlite").write_bytes(b"not a database" * 100)
    answer = desk.here("ada", "actions", "list")
    assert (answer.code, answer.fault) == (69, "store_corrupt")
    examined = desk.here("ada", "doctor")
    assert examined.code == 1
    assert "store_corrupt" in examined.out


def test_a_script_without_main(desk: Desk) -> None:
    (desk.homes / "script.py").write_text("def main(session): ...\n")
    words = ("run", "note-taker", "--subject", "s", "--script", str(desk.homes / "script.py"))
    answer = desk.here("ada", *words)
    assert (answer.code, answer.fault) == (2, "script_without_main")


@pytest.mark.claim("cli.exit-codes")
def test_a_fault_nobody_thought_of_is_no_success_and_shows_nothing(desk: Desk) -> None:
    (desk.homes / "script.py").write_text("async def main(session):\n    {}['a secret']\n")
    words = ("run", "note-taker", "--subject", "s", "--script", str(desk.homes / "script.py"))
    answer = desk.here("ada", *words)
    assert (answer.code, answer.fault) == (70, "internal")
    assert "a secret" not in answer.out + answer.err
    assert "a secret" in desk.here("ada", "--debug", *words).err


@pytest.mark.claim("cli.exit-codes")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (acting("notes.read", customer="c_1"), 0),
        (acting("notes.add", customer="c_1", text=""), 3),
        (acting("notes.add", customer="c_1", text="hi", visible_to="customer"), 4),
        (acting("faults.lose", customer="c_1"), 5),
        (acting("faults.pretend", customer="c_1"), 5),
        (acting("faults.refuse", customer="c_1"), 6),
    ],
)
def test_the_exit_code_of_an_action_says_what_became_of_it(
    desk: Desk, words: tuple[str, ...], code: int
) -> None:
    assert desk.here("ada", *words).code == code
