"""Acting, looking and voting, from the command line."""

import json

import pytest

from bailiwick.operations.envelopes import usd
from tests.cli.desk import Desk, acting

DAWDLES = """\
import asyncio

async def main(session):
    going = asyncio.create_task(session.act("faults.dawdle", {"customer": "c_1"}))
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    return {"status": (await going).status}
"""


def test_actions_are_listed_by_what_is_asked(desk: Desk) -> None:
    desk.log_in("ada")
    assert desk.here("ada", "actions", "list").out == "there are no such actions\n"
    desk.act("notes.read", customer="c_1")
    desk.act("notes.add", subject="a-friend", customer="c_2", text="likes tea")
    desk.act("notes.add", customer="c_1", text="")
    rows = desk.data("ada", "actions", "list")
    found = [(row["tool"], row["state"], row["subject"]) for row in rows]
    assert found == [
        ("notes.add", "refused", "a-customer"),
        ("notes.add", "done", "a-friend"),
        ("notes.read", "done", "a-customer"),
    ]
    for words, count in (
        (["--state", "done"], 2),
        (["--tool", "notes.add"], 2),
        (["--tool", "notes.add", "--state", "done"], 1),
        (["--subject", "a-friend"], 1),
        (["--run", rows[0]["run"]], 1),
        (["--agent", "nobody"], 0),
        (["--limit", "1"], 1),
    ):
        assert len(desk.data("ada", "actions", "list", *words)) == count, words


@pytest.mark.claim("cli.whole-story")
def test_one_id_tells_the_whole_story(desk: Desk) -> None:
    desk.log_in("ada", "bo")
    words = acting("notes.add", customer="c_1", text="hello", visible_to="customer")
    more = ("--reason", "the customer asked", "--source", "ticket 17", "--key", "k-1", "--json")
    id = desk.here("ada", *words, *more).data["action"]
    before = desk.data("bo", "actions", "show", id)
    assert [step["settled"] for step in before["steps"][7:]] == ["not reached"] * 5
    assert desk.here("bo", "approvals", "approve", id, "--yes", "--reason", "fine by me").code == 0
    story = desk.data("bo", "actions", "show", id)
    names = [step["name"] for step in story["steps"]]
    assert (len(names), names[0], names[7], names[11]) == (12, "propose", "intend", "report")
    assert "not reached" not in [step["settled"] for step in story["steps"]]
    assert [record["kind"] for record in story["records"]] == [
        "parked",
        "vote",
        "intended",
        "concluded",
    ]
    assert [record["leaf_index"] for record in story["records"]] == [5, 6, 7, 8]
    assert story["intent_hash"] == story["records"][2]["hash"]
    # Whoever proposed measured nothing yet, and a row cannot tell how long its own commit takes.
    spent_us = {step["name"]: step["took_us"] for step in story["steps"]}
    unmeasured = ["propose", "conclude", "report"]
    assert [name for name, us in spent_us.items() if us is None] == unmeasured
    assert story["took_us"] == sum(us for us in spent_us.values() if us)
    assert 0 < story["took_us"] < story["updated_at_us"] - story["created_at_us"]
    text = desk.here("bo", "actions", "show", id).out
    for part in (
        "under the caller's key k-1",
        "asked 1 of support: consumed",
        "verified: the expectation holds (",
        "  took        ",
        "permit note-taker.may, text ",
        '@id("notes.customer-visible")',
        "approved by bo at ",
        "| fine by me",
        "result_commitment ",
        "1 calls at tenant",
        '"text": "hello"',
    ):
        assert part in text, part
    last = text[text.index("why, in the agent's words") :].splitlines()
    assert last[1:] == [
        "  reason",
        "    | the customer asked",
        "  source 1 of 1",
        "    | ticket 17",
    ]


def test_a_refusal_tells_its_step_and_what_was_not_reached(desk: Desk) -> None:
    desk.log_in("ada")
    id = desk.act("notes.add", customer="c_1", text="")["action"]
    steps = desk.data("ada", "actions", "show", id)["steps"]
    assert steps[3]["settled"].startswith("refused [arguments_invalid]: ")
    assert (steps[1]["took_us"] > 0, steps[4]["took_us"]) == (True, None)
    assert {step["settled"] for step in steps[4:]} == {"not reached"}


def test_a_denial_ends_the_action_with_its_reason(desk: Desk) -> None:
    desk.log_in("bo", "cy")
    id = desk.act("notes.add", customer="c_1", text="for everyone")["action"]
    denied = desk.here("bo", "approvals", "deny", id, "--yes", "--reason", "not for everyone")
    assert (denied.code, "the request is denied" in denied.out) == (0, True)
    shown = desk.data("cy", "actions", "show", id)
    assert (shown["state"], shown["code"]) == ("denied", "denied_by_people")
    assert "not for everyone" in shown["message"]
    late = desk.here("cy", "approvals", "approve", id, "--yes")
    assert (late.code, late.fault) == (3, "approval_closed")
    assert desk.here("cy", "approvals", "list").out == "nobody is asked anything\n"
    assert len(desk.data("cy", "approvals", "list", "--all")) == 1


@pytest.mark.claim("cli.vote-on-what-was-seen")
def test_a_vote_is_for_what_was_seen_and_for_nothing_else(desk: Desk) -> None:
    desk.log_in("bo")
    id = desk.act("notes.add", customer="c_1", text="hi", visible_to="customer")["action"]
    blind = desk.here("bo", "approvals", "approve", id)
    assert (blind.code, blind.fault) == (2, "digest_missing")
    digest = desk.data("bo", "approvals", "show", id)["digest"]
    for other in (digest[:7], "0" * 64, digest[::-1]):
        stale = desk.here("bo", "approvals", "approve", id, "--digest", other)
        assert (stale.code, stale.fault) == (3, "vote_stale")
    assert desk.data("bo", "approvals", "list")[0]["rules"][0]["missing"] == 1
    assert desk.here("bo", "approvals", "approve", id, "--digest", digest[:12]).code == 0


def test_who_asks_does_not_approve(desk: Desk) -> None:
    desk.log_in("bo")
    id = desk.act("notes.add", "bo", customer="c_1", text="hi", visible_to="customer")["action"]
    own = desk.here("bo", "approvals", "approve", id, "--yes")
    assert (own.code, own.fault) == (3, "voter_is_requester")


@pytest.mark.parametrize("form", ["-", "@arguments.json"])
def test_arguments_come_from_a_file_or_from_standard_input(desk: Desk, form: str) -> None:
    text = json.dumps({"customer": "c_1"})
    (desk.project / "arguments.json").write_text(text)
    words = ("run", "note-taker", "notes.read", "--subject", "s", "--arguments", form)
    answer = desk.here("ada", *words, stdin=text)
    assert answer.code == 0, answer.err


def test_the_same_key_gets_the_same_answer(desk: Desk) -> None:
    words = (*acting("notes.add", customer="c_1", text="once"), "--key", "k-1", "--run", "r-1")
    words = (*words, "--json")
    first, second = desk.here("ada", *words).data, desk.here("ada", *words).data
    assert (first["action"], second["earlier"]) == (second["action"], True)


def test_a_kill_lists_what_is_in_flight_under_it(desk: Desk) -> None:
    desk.log_in("ada")
    desk.own(DAWDLES)
    other = desk.data("ada", "kill", "tool", "notes.add")
    assert other["in_flight"] == []
    under = desk.data("ada", "kill", "agent", "note-taker")
    assert [each["tool"] for each in under["in_flight"]] == ["faults.dawdle"]
    assert desk.here("ada", "kill", "everything").out.splitlines()[1].startswith("IN FLIGHT")


def test_budgets_show_what_is_left(desk: Desk) -> None:
    desk.log_in("ada")
    desk.act("notes.read", customer="c_1")
    rows = {(row["node"], row["unit"]): row for row in desk.data("ada", "budget")}
    tenant = rows["tenant", "calls"]
    assert (tenant["spent"], tenant["limit"], tenant["left"]) == (1, 500, 499)


def test_who_can_says_by_which_way(desk: Desk) -> None:
    desk.log_in("ada", "vi")
    (desk.project / "policies" / "more.cedar").unlink()
    assert desk.here("ada", "release", "activate").code == 0
    on = ("who-can", "notes.add", "--on", "visible_to=customer")
    (with_people,) = desk.data("vi", *on)
    assert (with_people["can"], with_people["tier"]) == ("yes", ["support:1"])
    assert with_people["request"]["input"]["visible_to"] == "customer"
    (alone,) = desk.data("vi", *on, "--automatic")
    assert alone["can"] == "no"


@pytest.mark.claim("cli.envelopes-are-redacted")
def test_runs_are_exported_as_envelopes_one_line_each(desk: Desk) -> None:
    desk.log_in("ada", "bo", "vi")
    told = ("--reason", "they asked", "--source", "ticket 17", "--json")
    words = acting("notes.add", customer="c_1", text="likes tea")
    id = desk.here("ada", *words, *told).data["action"]
    desk.act("notes.add", customer="c_1", text="")
    export = ("actions", "export", "--format", "envelope")
    lines = desk.here("ada", *export).out.splitlines()
    assert len(lines) == 2
    run = json.loads(lines[0])
    assert list(run) == [
        "run_id",
        "agent",
        "model",
        "policy_version",
        "inputs",
        "steps",
        "outcome",
        "cost_usd",
        "latency_ms",
    ]
    (step,) = run["steps"]
    assert (step["type"], step["name"], step["action"]) == ("tool_call", "notes.add", id)
    assert step["validation"]["status"] == "passed"
    assert step["validation"]["idempotency_key"].startswith("bw-")
    assert {"customer", "text"} <= set(step["args"]["names"])
    assert len(step["args"]["commitment"]) == 64
    assert run["inputs"]["names"] == ["subject", "reason", "sources"]
    assert run["outcome"] == {"status": "done", "actions": {"done": 1}}
    assert (run["cost_usd"], len(run["policy_version"])) == ("0.000000", 64)
    assert isinstance(run["latency_ms"], int)
    assert "likes tea" not in lines[0]
    assert "they asked" not in lines[0]
    refused = json.loads(lines[1])
    assert refused["outcome"]["status"] == "refused"
    assert refused["steps"][0]["validation"]["status"] == "refused"
    assert refused["steps"][0]["validation"]["code"] == "arguments_invalid"
    assert desk.data("ada", *export, "--limit", "1") == [refused]
    assert desk.data("ada", *export, "--run", run["run_id"]) == [run]

    # In clear only for those who may read payloads, and only if they ask.
    assert "likes tea" not in desk.here("bo", *export).out
    (clear,) = desk.data("bo", *export, "--run", run["run_id"], "--payloads")
    assert clear["steps"][0]["args"]["text"] == "likes tea"
    assert clear["inputs"]["reason"] == "they asked"
    assert clear["inputs"]["sources"] == ["ticket 17"]
    assert desk.here("vi", *export, "--payloads").code == 3


def test_micro_dollars_are_told_exactly() -> None:
    assert [usd(each) for each in (0, 1, 250, 1_234_567, 90_071_992_547_409_930)] == [
        "0.000000",
        "0.000001",
        "0.000250",
        "1.234567",
        "90071992547.409930",
    ]
