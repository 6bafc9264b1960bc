"""Step 1: what can become a proposal, before anybody looks who asks."""

import pytest

from bailiwick import BadInput
from bailiwick.cases import propose
from bailiwick.nouns import Credential, Proposal

NOBODY = Credential(token="", proof="")
LONG = "a" * 129


def proposed(**members: object) -> Proposal:
    given: dict[str, object] = {"tool": "desk.note", "arguments": {"on": "t-1"}, **members}
    tool, arguments = given.pop("tool"), given.pop("arguments")
    return propose(tool, arguments, NOBODY, **given)  # type: ignore[arg-type]


@pytest.mark.claim("propose.names-are-plain")
@pytest.mark.parametrize("what", ["tool", "run", "key"])
@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a\n", "a\0", "-a", ".a", "ä", "a\u200b", "a'b", "a;b", "a%2f", "a\\b", LONG],
)
def test_a_name_is_plain_and_short(what: str, name: str) -> None:
    with pytest.raises(BadInput) as fault:
        proposed(**{what: name})
    assert fault.value.code == f"{what}_malformed"
    assert "\n" not in fault.value.message
    assert "\0" not in fault.value.message


@pytest.mark.parametrize("name", ["a", "desk.note", "INV-7/refund", "a:b+c*d#e", "a" * 128])
def test_a_name_may_have_what_keys_have(name: str) -> None:
    told = proposed(tool=name, run=name, key=name)
    assert (told.tool, told.run, told.key) == (name, name, name)


@pytest.mark.claim("propose.bounded")
def test_arguments_are_bounded_as_they_come() -> None:
    text = '{"on": "' + "x" * 100 + '"}'
    assert proposed(arguments=text, max_bytes=len(text)).arguments == {"on": "x" * 100}
    with pytest.raises(BadInput):
        proposed(arguments=text, max_bytes=len(text) - 1)


@pytest.mark.claim("propose.bounded")
@pytest.mark.parametrize(
    "told",
    [
        {"reason": "x" * 16_384},
        {"uncertainty": "ü" * 8_192},
        {"sources": ("x" * 4_000,) * 5},
        {"reason": "x" * 8_192, "uncertainty": "x" * 8_192},
    ],
)
def test_what_is_told_beside_the_arguments_is_bounded_together(told: dict[str, object]) -> None:
    with pytest.raises(BadInput) as fault:
        proposed(**told)
    assert fault.value.code == "text_too_long"
    assert proposed(reason="x" * 16_000).reason == "x" * 16_000


@pytest.mark.parametrize("reason", ["\ud800", "a\0b"])
def test_text_that_is_no_text_is_refused(reason: str) -> None:
    with pytest.raises(BadInput):
        proposed(reason=reason)


@pytest.mark.claim("propose.canonical-is-rfc8785")
@pytest.mark.parametrize(
    "arguments",
    [
        '{"b": 1, "a": {"d": [1.0, true, null], "c": "\\u00e9"}}',
        b'{"a":{"c":"\xc3\xa9","d":[1,true,null]},"b":1}',
        {"b": 1, "a": {"d": [1, True, None], "c": "é"}},
    ],
)
def test_one_call_in_three_spellings_is_one_proposal(arguments: object) -> None:
    assert proposed(arguments=arguments).canonical == (
        '{"a":{"c":"é","d":[1,true,null]},"b":1}'.encode()
    )


@pytest.mark.claim("propose.strict-json")
@pytest.mark.parametrize("arguments", ["[]", "1", '"a"', "null", "", '{"a": 1, "a": 2}', "{} {}"])
def test_arguments_are_one_object(arguments: str) -> None:
    with pytest.raises(BadInput):
        proposed(arguments=arguments)


def test_a_proposal_shows_no_credential() -> None:
    secret = Credential(token="tok-7261", proof="proof-7261")
    assert "7261" not in repr(propose("desk.note", {}, secret))
