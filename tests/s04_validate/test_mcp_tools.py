"""Tools of MCP servers: what is declared and pinned of them, and what does not load."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.catalog import (
    Pin,
    changes,
    declared_upstreams,
    described,
    path_of,
    pins_text,
    read_pins,
)
from bailiwick.errors import CatalogError
from bailiwick.nouns import McpBinding, Refusal
from bailiwick.ports import Catalogue
from bailiwick.values import digest, skeleton
from tests.s04_validate.projects import Members, changed, load, problems_in

FILES: Members = {"name": "files", "command": ["node", "files.js"], "owner": "ops"}
WRITE: Members = {
    "name": "files.write",
    "upstream": "files",
    "tool": "write_file",
    "effect": "write",
    "gated": True,
    "resource": {"type": "File", "id": "args.path"},
    "key_retention_s": "none",
    "settles_within_s": 0,
}
READ: Members = {"name": "files.read", "upstream": "files", "tool": "read_file", "effect": "read"}
OFFERED: Mapping[str, Members] = {
    "write_file": {
        "name": "write_file",
        "description": "Writes a file.",
        "inputSchema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": False, "destructiveHint": True},
    },
    "read_file": {
        "name": "read_file",
        "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}


def pinned(**changes_of: Members) -> Mapping[str, Pin]:
    whole = {**OFFERED, **changes_of}
    return {name: Pin(sha256=digest(each), definition=each) for name, each in whole.items()}


def project(
    *tools: Members, upstreams: Any = (FILES,), pins: Mapping[str, Pin] | None = None
) -> dict[str, str]:
    declared = {"upstreams": upstreams, "tools": tools}
    accepted = pinned() if pins is None else pins
    return {
        "tools/files.yaml": json.dumps(declared),
        path_of("files"): pins_text("files", accepted),
    }


def loaded(*tools: Members, **given_: Any) -> Catalogue:
    return load(project(*tools, **given_))


def codes(files: Mapping[str, str]) -> list[str]:
    with pytest.raises(CatalogError) as error:
        load(files)
    return [code for code, _ in problems_in(error)]


def test_a_tool_has_the_schema_and_the_description_that_were_accepted() -> None:
    catalogue = loaded(WRITE, READ)
    tool = catalogue.tools["files.write"]
    assert tool.description == "Writes a file."
    assert tool.upstream == "files"
    assert tool.schema["required"] == ["path"]
    assert isinstance(tool.binding, McpBinding)
    assert tool.binding.pin == digest(OFFERED["write_file"])
    assert tool.binding.upstream.command == ("node", "files.js")
    refused = catalogue.arguments(tool, {"path": "a", "mode": "append"})
    assert getattr(refused, "code", "") == "arguments_invalid"


def test_a_file_may_narrow_what_a_server_takes_and_say_what_is_sent() -> None:
    narrow: Members = {
        "type": "object",
        "properties": {"path": {"type": "string", "pattern": "^notes/"}},
        "required": ["path"],
    }
    sent = {"path": "args.path", "content": "'by ' + action.id"}
    tool = loaded(changed(WRITE, parameters=narrow, arguments=sent)).tools["files.write"]
    assert isinstance(tool.binding, McpBinding)
    assert tool.binding.arguments == sent
    files = project(changed(WRITE, parameters=narrow, arguments={"content": "'x'"}))
    assert codes(files) == ["argument_not_sent"]


@pytest.mark.claim("mcp.unclassified-never-runs")
def test_what_is_not_classified_or_not_accepted_is_no_tool() -> None:
    assert sorted(loaded(READ).tools) == ["files.read"]
    assert codes(project(changed(WRITE, effect=""))) == ["tool_unclassified"]
    assert codes(project(WRITE, pins={})) == ["tool_unpinned"]
    assert "law_no_way_back" in codes(project(changed(WRITE, gated=False)))
    assert codes(project(changed(READ, upstream="other"))) == ["upstream_unknown"]


@pytest.mark.claim("mcp.hints-only-tighten")
def test_a_hint_may_contradict_a_classification_and_never_loosen_it() -> None:
    assert codes(project(changed(READ, tool="write_file"))) == ["effect_contradicted"]
    claims = {**OFFERED["write_file"], "annotations": {"readOnlyHint": True}}
    files = project(changed(WRITE, gated=False), pins=pinned(write_file=claims))
    assert "law_no_way_back" in codes(files)


@pytest.mark.claim("mcp.bounded")
@pytest.mark.parametrize("place", ["inputSchema", "outputSchema"])
def test_a_schema_that_lies_elsewhere_is_refused_by_name(place: str) -> None:
    outside = {"type": "object", "properties": {"path": {"$ref": "https://x.example/p.json"}}}
    pins = pinned(read_file={**OFFERED["read_file"], place: outside})
    files = project(READ, pins=pins)
    with pytest.raises(CatalogError, match=r"https://x\.example/p\.json") as error:
        load(files)
    assert {code for code, _ in problems_in(error)} == {"schema_remote_reference"}


@pytest.mark.claim("mcp.changed-definition-held")
def test_a_pin_that_was_edited_by_hand_does_not_load() -> None:
    files = project(READ)
    path = path_of("files")
    files[path] = files[path].replace("Writes a file.", "Writes no file.")
    assert codes(files) == ["pin_damaged"]
    files = project(READ)
    files[path_of("other")] = files.pop(path)
    assert "pin_damaged" in codes(files)


@pytest.mark.claim("mcp.confused-names-held")
def test_pins_with_confusable_names_load_only_beside_each_other() -> None:
    other = {**OFFERED["read_file"], "name": "Read-File"}
    pins = pinned(**{"Read-File": other})
    assert codes(project(READ, pins=pins)) == ["pin_confusable", "pin_confusable"]
    beside = {"read_file": ("files/Read-File",), "Read-File": ("files/read_file",)}
    accepted = {
        name: Pin(sha256=pin.sha256, definition=pin.definition, beside=beside.get(name, ()))
        for name, pin in pins.items()
    }
    assert sorted(loaded(READ, pins=accepted).tools) == ["files.read"]


@pytest.mark.parametrize(
    ("upstream", "code"),
    [
        ({"name": "Files", "command": ["x"]}, "upstream_name_invalid"),
        ({"name": "files"}, "upstream_way_invalid"),
        ({"name": "files", "command": ["x"], "url": "https://x.example"}, "upstream_way_invalid"),
        ({"name": "files", "url": "ftp://x.example"}, "upstream_url_invalid"),
        ({"name": "files", "url": "https://u:p@x.example"}, "upstream_url_invalid"),
        ({"name": "files", "url": "https://x.example", "env": {"A": "b"}}, "upstream_env_invalid"),
        ({"name": "files", "command": ["x"], "env": {"A-B": "b"}}, "upstream_env_invalid"),
        ({"name": "files", "command": ["x"], "calls_at_once": 0}, "member_invalid"),
        ({"name": "files", "command": ["x"], "credentials": {"read": "r"}}, "upstream_env_invalid"),
        ({"name": "files", "command": ["x"], "protocol": "2024-11-05"}, "member_invalid"),
        ({"name": "files", "command": ["x"], "may_ask": ["everything"]}, "member_invalid"),
        ({"name": "files", "command": ["x"], "may_ask": ["roots", "roots"]}, "member_invalid"),
        ({"name": "files", "command": ["x"], "offers": ["tools"]}, "member_invalid"),
        ({"name": "files", "command": ["x"], "offers": ["prompts", "prompts"]}, "member_invalid"),
        (
            {"name": "files", "command": ["x"], "offers": {"prompts": {"kind": "P"}}},
            "member_unknown",
        ),
    ],
)
def test_an_upstream_that_is_wrongly_declared_does_not_load(upstream: Members, code: str) -> None:
    assert code in codes(project(upstreams=[upstream]))


@pytest.mark.claim("mcp.offers-are-read-as-tools")
def test_what_a_server_offers_beside_is_tools_that_read() -> None:
    offers = {"resources": {"type": "Note", "data_classes": ["customer"]}, "prompts": {}}
    reads = {**FILES, "offers": offers, "credentials": {"read": "r"}, "credential_env": "SECRET"}
    tools = loaded(upstreams=[reads], pins={}).tools
    assert sorted(tools) == ["files.prompts", "files.resources"]
    notes, prompts = tools["files.resources"], tools["files.prompts"]
    assert (notes.effect, notes.owner, notes.read_credential) == ("read", "ops", "r")
    assert (notes.resource_type, notes.resource_id) == ("Note", "args.uri")
    assert (notes.data_classes, prompts.data_classes) == (("customer",), ())
    assert isinstance(prompts.binding, McpBinding)
    assert (prompts.binding.method, prompts.binding.pin) == ("prompts/get", "")
    assert declared_upstreams(project(upstreams=[reads], pins={}))["files"].offered == {
        "resources": "files.resources",
        "prompts": "files.prompts",
    }
    everything = {**FILES, "name": "my-files", "offers": ["resources", "prompts", "completion"]}
    named = sorted(loaded(upstreams=[everything], pins={}).tools)
    assert named == ["my_files.completion", "my_files.prompts", "my_files.resources"]
    taken = changed(READ, name="files.prompts")
    assert "tool_duplicate" in codes(project(taken, upstreams=[{**FILES, "offers": ["prompts"]}]))
    wrong = {**FILES, "offers": {"prompts": {"type": "no type", "data_classes": ["No!"]}}}
    assert "resource_type_invalid" in codes(project(upstreams=[wrong]))


@pytest.mark.claim("mcp.offers-are-read-as-tools")
@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("note://1", True),
        ("file:///notes/a.txt?x=1#y", True),
        ("file:///notes/..hidden/a...b", True),
        ("urn:isbn:123", True),
        ("file:///notes/../secret", False),
        ("file:///notes/%2e%2E/secret", False),
        ("file:///notes%2Fsecret", False),
        ("file:///notes/.", False),
        ("file:///..", False),
        ("note:..", False),
        ("file:///notes\\..\\secret", False),
        ("notes/a", False),
        ("note://a b", False),
        ("", False),
        ("note://" + "x" * 600, False),
    ],
)
def test_an_address_that_could_slip_past_a_rule_is_refused(uri: str, good: bool) -> None:
    catalogue = loaded(upstreams=[{**FILES, "offers": ["resources"]}], pins={})
    answer = catalogue.arguments(catalogue.tools["files.resources"], {"uri": uri})
    assert isinstance(answer, Mapping) == good


@pytest.mark.claim("mcp.offers-are-read-as-tools")
def test_a_completion_touches_what_it_completes() -> None:
    catalogue = loaded(upstreams=[{**FILES, "offers": ["completion"]}], pins={})
    tool = catalogue.tools["files.completion"]
    argument = {"name": "id", "value": ""}
    for ref, id in (
        ({"type": "ref/prompt", "name": "ask"}, "ask"),
        ({"type": "ref/resource", "uri": "note://{id}"}, "note://{id}"),
    ):
        arguments = catalogue.arguments(tool, {"ref": ref, "argument": argument})
        assert isinstance(arguments, Mapping)
        assert getattr(catalogue.resource(tool, arguments), "id", "") == id
    refused = catalogue.resource(tool, {"ref": {"type": "ref/prompt"}, "argument": argument})
    assert isinstance(refused, Refusal)


def test_upstreams_are_known_before_anything_is_accepted() -> None:
    found = declared_upstreams(project(WRITE, READ, pins={}))
    assert found["files"].classified == {
        "write_file": ("files.write",),
        "read_file": ("files.read",),
    }
    assert found["files"].reading == ("files.read",)
    with pytest.raises(CatalogError):
        declared_upstreams(project(upstreams=[FILES, FILES]))


NASTY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@pytest.mark.claim("mcp.pins-are-plain-text")
@settings(deadline=None)
@given(description=NASTY, name=st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True), value=NASTY)
def test_pins_are_read_as_they_were_written_and_hold_no_deceptive_character(
    description: str, name: str, value: str
) -> None:
    definition: Members = {
        "name": name,
        "description": description,
        "inputSchema": {"default": [value, 1]},
    }
    pins = {name: Pin(sha256=digest(definition), definition=definition, beside=("x/y",))}
    text = pins_text("files", pins)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    found, problems = read_pins({path_of("files"): text})
    assert (found, problems) == ({"files": pins}, [])


@pytest.mark.claim("mcp.changes-in-words")
def test_what_changed_is_said_in_words_with_the_servers_text_escaped() -> None:
    old = OFFERED["write_file"]
    schema = {
        "type": "object",
        "properties": {"path": {"type": "integer"}, "bcc": {"type": "string"}},
        "required": ["path", "bcc"],
    }
    new = {**old, "description": "Writes\x1b[2J a \u202efile.", "inputSchema": schema}
    said = list(changes(old, new))
    assert said[0] == (
        "its description was `Writes a file.` and is `Writes\\u{1b}[2J a \\u{202e}file.`"
    )
    assert said[1].startswith("adds the argument `bcc`")
    assert said[2] == "takes away the argument `content`"
    assert said[3].startswith("changes the argument `path`: was")
    assert said[4].startswith("changes the rest of its input schema")
    assert list(changes(old, old)) == []
    assert all(line.isprintable() for line in (*said, *described(new)))


@pytest.mark.parametrize(
    "other",
    ["sendMail", "send-mail", "SEND_MAIL", "send_maiI", "ѕend_mаil", "sénd_mail", "sendmai1"],
)
def test_names_that_look_alike_have_one_skeleton(other: str) -> None:
    assert skeleton(other) == skeleton("send_mail") != skeleton("send_bill")
