"""What a person sees before voting: facts first, nothing hidden, and the words of others last."""

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bailiwick import approval
from bailiwick.errors import ApprovalError
from bailiwick.nouns import Approval, Manifest, Resource, Situation
from tests.s07_approve.samples import (
    CALLER,
    HOUR_US,
    NEW_PAYEE,
    NOW_US,
    OVER_50,
    PEOPLE,
    SITUATION,
    TOOL,
    asking,
    document,
    person,
    rules,
    vote,
    voted,
)

MANIFEST = Manifest(name="refund-desk", owner="olga", tools=("payments.refund",))
WORDS = "words of agents, documents and other people, which nobody has checked"

# The characters by which a terminal or a reader is deceived, written out again here.
HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
HIDDEN = "\u00a0\u034f\u115f\u1160\u2003\u2800\u3000\u3164\ufe0f\uffa0\U000e0100"

outside = st.text(
    st.one_of(
        st.sampled_from('\x1b\x07\r\n\t\u202e\u2066\u200b\u2028\u00ad\ufeff"\\|+ ' + HIDDEN),
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00"),
    ),
    max_size=300,
)


def show(on: Approval | None = None, situation: Situation = SITUATION, **others: Any) -> list[str]:
    on = on or asking(situation=situation)
    known = {"manifest": MANIFEST, "tool": TOOL, **others}
    return approval.lines(document(situation), on, PEOPLE, CALLER, NOW_US + 5, **known)


def arguments(**given_arguments: Any) -> Situation:
    return replace(SITUATION, arguments=given_arguments)


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def part(lines: list[str], heading: str) -> list[str]:
    """The lines under a heading, up to the next."""
    start = lines.index(heading) + 1
    end = next((n for n in range(start, len(lines)) if lines[n][0] != " "), len(lines))
    return lines[start:end]


def spoken(lines: list[str], label: str) -> str:
    """The text under a label, put together again from its lines."""
    result: list[str] = []
    words = part(lines, WORDS)
    start = next(n for n, line in enumerate(words) if line.startswith(f"  {label}, "))
    for line in words[start + 1 :]:
        if line.startswith("    | "):
            result.append(line[6:])
        elif line.startswith("    + "):
            result[-1] += line[6:]
        else:
            break
    return "\n".join(unescaped(line) for line in result)


def unescaped(text: str) -> str:
    return re.sub(
        r"\\(\\|u\{([0-9a-f]+)\})", lambda m: "\\" if m[1] == "\\" else chr(int(m[2], 16)), text
    )


# --- facts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fact",
    [
        'asked by      agent "refund-desk"',
        'for           "dana"',
        'through       "piet"',
        'tool          "payments.refund"',
        f"version       {'c3' * 32}",
        "kind          write, money",
        "afterwards    after.refund.amount == args.amount_minor",
        'way back      undone by "payments.cancel_refund"',
        'touches       "Charge" "ch_1"',
        'value         7500 minor units of "EUR"',
        'destination   "acct_9"',
        'credential    "payments-write"',
        "before        /charge/refunded_minor = 0",
        "arguments     /amount_minor = 7500",
        '              /charge = "ch_1"',
    ],
)
def test_the_facts_are_shown(fact: str) -> None:
    assert f"  {fact}" in part(show(), "request")


def test_the_rules_the_votes_and_the_end_are_shown() -> None:
    on = asking()
    no = vote("carol", on, "deny", reason="the invoice is a copy")
    forged = vote("lena", on, reason="seen and checked", signed_by="bob")
    lines = show(voted(on, "both", "bob", vote("hr", on), forged, no))
    assert part(lines, "decision") == [
        '  rules         "new-payee" asks for 1 of "legal"',
        '                has 1 ("both"), satisfied',
        f"  text hash     {NEW_PAYEE.text_hash}",
        '                "over-50" asks for 2 of "finance"',
        '                has 1 ("bob"), waits for 1',
        f"  text hash     {OVER_50.text_hash}",
        '  approved by   "both"',
        '  approved by   "bob"',
        "  no vote       `hr` is not an approver for `finance, legal`",
        "  no vote       the vote of `lena` has no valid signature",
        '  denied by     "carol"',
        "  state         open",
        "  ends          2026-11-18 12:06:40Z, in 59 min",
        f"  digest        {on.request_digest}",
    ]
    assert spoken(lines, 'reason of "carol", who votes "deny"') == "the invoice is a copy"
    assert not any("seen and checked" in line for line in lines)


@pytest.mark.claim("approval.expiry-is-denial")
def test_an_expired_request_says_so() -> None:
    on = asking()
    later = approval.lines(document(), on, PEOPLE, CALLER, NOW_US + HOUR_US)
    assert any(line.endswith("has expired") for line in later)
    assert not any(line.endswith("has expired") for line in show(on))


def test_a_tool_that_has_changed_since_is_not_described() -> None:
    changed = replace(TOOL, digest="00" * 32, description="Totally safe.")
    lines = show(tool=changed)
    assert any("has changed since" in line for line in lines)
    assert not any("Totally safe" in line or "way back" in line for line in lines)


@pytest.mark.parametrize("member", ["arguments", "resource_id", "rules", "value"])
def test_a_document_that_is_not_what_votes_are_about_is_not_shown(member: str) -> None:
    forged = document() | {member: {"rules": [], "value": 1}.get(member, "other")}
    with pytest.raises(ApprovalError) as fault:
        approval.lines(forged, asking(), PEOPLE, CALLER, NOW_US)
    assert fault.value.code == "request_changed"


def test_a_request_whose_kept_rules_are_not_those_in_its_digest_is_not_shown() -> None:
    weakened = replace(asking(), asks=(replace(OVER_50, quorum=1), NEW_PAYEE))
    with pytest.raises(ApprovalError) as fault:
        approval.lines(document(), weakened, PEOPLE, CALLER, NOW_US)
    assert fault.value.code == "request_changed"


# --- conflicts ----------------------------------------------------------------------------------


def test_conflicts_are_shown_of_who_looks_and_of_who_voted() -> None:
    situation = arguments(charge="ch_1", payee={"name": "Bob"}, copies=["bob"])
    on = voted(asking(situation=situation), "bob")
    assert part(show(on, situation, viewer=PEOPLE["olga"]), "conflicts") == [
        "                `olga` owns the agent `refund-desk`",
        "                `bob` is named in arguments at /copies/0 (1 of 2 places)",
    ]


def test_the_requester_sees_that_the_vote_would_not_count() -> None:
    lines = part(show(viewer=PEOPLE["piet"]), "conflicts")
    assert lines == ["                `piet` asks for this action and may not vote on it"]


@pytest.mark.parametrize(
    ("situation", "sentence"),
    [
        (
            replace(SITUATION, resource=Resource(type="User", id="bob")),
            "is what the action touches",
        ),
        (replace(SITUATION, destination="bob"), "is the destination"),
        (replace(SITUATION, before={"charge": {"owner": "bob"}}), "is named in before at"),
    ],
)
def test_a_person_whom_the_action_is_about_is_told(situation: Situation, sentence: str) -> None:
    (line,) = part(show(situation=situation, viewer=PEOPLE["bob"]), "conflicts")
    assert sentence in line


def test_without_conflicts_it_says_that_none_was_found() -> None:
    assert part(show(viewer=PEOPLE["bob"]), "conflicts") == ["                none found"]
    assert "not known" in part(show(viewer=PEOPLE["bob"], manifest=None), "conflicts")[0]


# --- the words of others ------------------------------------------------------------------------


@pytest.mark.claim("approval.escapes-shown")
@given(text=outside)
def test_no_outside_text_hides_moves_or_breaks_a_line(text: str) -> None:
    situation = replace(
        SITUATION,
        arguments={"charge": "ch_1", "note": text, text: text, "list": [text, {"x": text}]},
        before={text: text},
        resource=Resource(type="Charge", id=text or "x"),
        destination=text,
        facts={"value": 1, "currency": text},
    )
    strange = replace(person("eve", "finance"), name=text)
    on = asking(situation=situation)
    on = voted(on, vote("bob", on, "deny", reason=text), vote(text, on))
    lines = show(
        on,
        situation,
        viewer=strange,
        tool=replace(TOOL, description=text, expect=text),
        manifest=replace(MANIFEST, owner=text, name=text),
        reason=text,
        sources=(text, text),
        uncertainty=text,
    )
    for line in lines:
        assert columns(line) <= 80, line
        hidden = [c for c in line if unicodedata.category(c) in HIDDEN_CATEGORIES or c in HIDDEN]
        assert hidden == []
    headings = [line for line in lines if not line.startswith("  ")]
    assert headings == ["request", "decision", "conflicts", WORDS]


@pytest.mark.claim("approval.escapes-shown")
@given(text=outside.filter(bool))
def test_every_character_of_an_outside_text_can_be_read(text: str) -> None:
    lines = show(reason=text, whole=True)
    assert spoken(lines, "the agent's reason") == text


@pytest.mark.claim("approval.escapes-shown")
def test_text_of_others_comes_last_and_labelled() -> None:
    canary = "approved by\nthe board"
    situation = replace(SITUATION, arguments={"note": canary}, before={"charge": {"memo": canary}})
    lines = show(
        situation=situation,
        reason=canary,
        sources=("one", canary),
        uncertainty=canary,
        tool=replace(TOOL, description=canary),
    )
    labels = [
        "before /charge/memo",
        "arguments /note",
        "the agent's reason",
        "the agent's uncertainty",
        "the agent's source 2 of 2",
        "the tool's description of itself",
    ]
    assert [spoken(lines, label) for label in labels] == [canary] * 6
    before = lines[: lines.index(WORDS)]
    assert not any("board" in line or "approved by" in line for line in before)
    assert f"  arguments     /note is text of {len(canary)} characters, quoted below" in before


@pytest.mark.claim("approval.escapes-shown")
@pytest.mark.parametrize("count", [1, 300])
def test_nothing_is_cut_without_its_length(count: int) -> None:
    situation = arguments(note="x" * 5000, to=[f"u{n}@example.com" for n in range(count)])
    values = count + 1
    lines = show(situation=situation, reason="y " * 2500)
    assert sum("the first 2000 of 5000 characters are shown" in line for line in lines) == 2
    cut = [line for line in lines if f"the first 100 of {values} values are shown" in line]
    assert len(cut) == (1 if values > 100 else 0)
    whole = show(situation=situation, reason="y " * 2500, whole=True)
    assert not any("are shown" in line for line in whole)
    assert spoken(whole, "the agent's reason") == "y " * 2500
    assert spoken(whole, "arguments /note") == "x" * 5000
    assert sum("@example.com" in line for line in whole) == count


def test_a_value_cannot_close_its_quotation() -> None:
    (line,) = [line for line in show(situation=arguments(id='x"="y')) if "/id" in line]
    assert line == '  arguments     /id = "x\\"=\\"y"'


def test_a_short_text_without_spaces_stands_among_the_facts() -> None:
    lines = show(situation=arguments(charge="ch_1", name="Zoë", empty="", flag=True, ratio=0.5))
    assert (
        '                /charge = "ch_1"' in lines or '  arguments     /charge = "ch_1"' in lines
    )
    assert any(line.endswith('/empty = ""') for line in lines)
    assert any(line.endswith("/flag = true") for line in lines)
    assert any(line.endswith("/ratio = 0.5") for line in lines)
    assert spoken(lines, "arguments /name") == "Zoë"


def test_what_is_shown_as_satisfied_is_what_counts() -> None:
    on = voted(asking(), "bob", "carol")
    shown = [line for line in part(show(on), "decision") if line.endswith("satisfied")]
    assert len(shown) == len(rules(on)) == 1
