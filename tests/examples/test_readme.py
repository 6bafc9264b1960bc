"""The README is true: its commands and programs run, its tables say what the code says."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from bailiwick.catalog import Pin, declared_upstreams, load_catalogue, path_of, pins_text
from bailiwick.config import Settings
from bailiwick.values import digest
from bailiwick.wiring import compile_expression
from tests.repo.sources import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")}
TOOLS = ROOT / "examples" / "refund_desk" / "project" / "tools" / "payments.yaml"
SKIPPED = ("make ", ". .venv-run/")


def blocks(kind: str, page: str = README) -> list[str]:
    """The code blocks of one language, in their order."""
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of every shell block, in words."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line and not line.startswith(SKIPPED)]


class Shell:
    """Somebody who follows the README in a folder, without a terminal."""

    def __init__(self, folder: Path) -> None:
        self.at = folder
        self._environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "sessions"),
            "PYTHONPATH": str(ROOT / "src"),
        }

    def python(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run Python where this shell is."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.at,
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def bailiwick(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return self.python("-m", "bailiwick.cli", *words, given=given)

    def json(self, *words: str) -> Any:
        """What a command answers, as data."""
        return json.loads(self.bailiwick("--json", *words).stdout)


def test_the_first_project_works_as_the_readme_says(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    password = parked = ""
    for words in commands():
        if words[0] == "cd":
            shell.at = shell.at / words[1]
            continue
        given = [parked if word == "act_…" else word for word in words[1:]]
        # Without a terminal nobody is shown the request and asked.
        given += ["--yes"] if given[:2] == ["approvals", "approve"] else []
        ran = shell.bailiwick(*given, given=f"{password}\n" if given[0] == "login" else "")
        asks = given[0] == "run" and "customer" in given[-1] and "visible_to" in given[-1]
        assert ran.returncode == (4 if asks else 0), (words, ran.stdout, ran.stderr)
        if given[0] == "init":
            password = re.findall(r"password\s+(\S+)", ran.stdout)[0]
        if asks:
            (waiting,) = shell.json("approvals", "list")
            parked = waiting["action"]
    story = shell.json("actions", "show", parked)
    assert (story["state"], story["verdict"]) == ("done", "verified")

    programs = blocks("python")
    assert len(programs) == 2
    for program in programs:
        ran = shell.python("-c", program)
        assert ran.stdout.startswith("done verified act_"), ran.stderr
        assert ran.stderr == ""


def test_the_settings_table_is_the_settings() -> None:
    table = README.partition("| setting | default |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE)
    fields = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    # Groups of settings, each told of on a page of its own.
    fields |= dict.fromkeys(("credentials", "notify", "serve", "telemetry"))
    told = {name: default.strip() for name, default in rows}
    expected = {
        name: "none" if default is None else f"`{default}`" if isinstance(default, str) else default
        for name, default in fields.items()
        if name != "project"
    }
    assert told == {name: str(default) for name, default in expected.items()}


def test_the_tool_it_shows_is_the_refund_desks() -> None:
    (block,) = blocks("yaml")
    (shown,) = yaml.safe_load(block)
    tools = yaml.safe_load(TOOLS.read_text(encoding="utf-8"))
    real = next(tool for tool in tools["tools"] if tool["name"] == shown["name"])
    real = {**tools["upstream"], **real}
    for member, value in shown.items():
        if isinstance(value, dict):
            assert value.items() <= real[member].items(), member
        elif member == "expect":
            wanted = set(" ".join(real[member].split()).split(" && "))
            assert set(value.split(" && ")) <= wanted
        else:
            assert value == real[member], member


def test_the_mcp_tools_it_shows_load_once_they_are_accepted() -> None:
    block, offers, asks = blocks("yaml", PAGES["mcp.md"])
    assert declared_upstreams({"tools/files.yaml": asks})
    offered = declared_upstreams({"tools/files.yaml": offers})["files"].offered
    assert offered == {kind: f"files.{kind}" for kind in ("resources", "prompts", "completion")}
    files = {"tools/files.yaml": block}
    assert list(declared_upstreams(files)["files"].classified) == ["write_file", "read_text_file"]
    text = {"type": "string"}
    schema = {"type": "object", "properties": {"path": text, "content": text}, "required": ["path"]}
    pins = {}
    for name in ("write_file", "read_text_file"):
        definition: dict[str, Any] = {"name": name, "inputSchema": schema}
        pins[name] = Pin(sha256=digest(definition), definition=definition)
    files[path_of("files")] = pins_text("files", pins)
    assert sorted(load_catalogue(files, {}, compile_expression).tools) == [
        "files.read",
        "files.write",
    ]


@pytest.mark.parametrize("file", re.findall(r"\]\(([A-Z.a-z/]+)\)", README))
def test_what_it_links_to_is_there(file: str) -> None:
    assert (ROOT / file).is_file()


def test_it_can_be_read_in_one_sitting() -> None:
    assert len(README.splitlines()) <= 250
