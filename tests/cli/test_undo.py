"""`bailiwick undo`: shown first, asked, done by governed actions, and killed in the middle."""

import json
from pathlib import Path

import pytest

from tests.cli.desk import Desk, acting, soon

SHELF = '''\
"""A shelf in a file. `shelf.take` kills its own process once, after it has taken, if asked to."""

import json
import os
import signal
from pathlib import Path

from bailiwick import ToolContext, tool

SHELF = Path("state/shelf.json")
DEADLY = Path("state/deadly")
LOOK = {"tool": "shelf.look", "arguments": {"on": "args.on"}}
LAW = {"effect": "write", "owner": "support", "resource": ("Thing", "args.on"), "reader": LOOK,
       "find": LOOK, "found": "after.did.exists(d, d == action.id)",
       "key_retention_s": "none", "settles_within_s": 0, "timeout_s": 0.3}


def load() -> dict[str, list[str]]:
    return json.loads(SHELF.read_text()) if SHELF.exists() else {"on": [], "did": []}


def keep(on: list[str], did: list[str]) -> None:
    SHELF.write_text(json.dumps({"on": on, "did": did}))


@tool(name="shelf.look", effect="read", owner="support", resource=("Thing", "args.on"))
def look(on: str) -> dict[str, list[str]]:
    """Shows the shelf."""
    return load()


@tool(name="shelf.put", reverser="shelf.take", reverser_arguments={"on": "args.on"},
      expect="args.on in after.on", **LAW)
def put(on: str, context: ToolContext) -> str:
    """Puts a thing on the shelf."""
    shelf = load()
    keep([*shelf["on"], on], [*shelf["did"], context.action])
    return on


@tool(name="shelf.take", reverser="shelf.put", reverser_arguments={"on": "args.on"},
      expect="!(args.on in after.on)", **LAW)
def take(on: str, context: ToolContext) -> str:
    """Takes a thing from the shelf."""
    shelf = load()
    keep([each for each in shelf["on"] if each != on], [*shelf["did"], context.action])
    if on == "b" and DEADLY.exists():
        DEADLY.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return on
'''


@pytest.fixture
def shelf(desk: Desk) -> Desk:
    (desk.project / "tools" / "shelf.py").write_text(SHELF)
    agent = desk.project / "agents" / "note-taker.yaml"
    agent.write_text(agent.read_text().replace('"notes.*"', '"notes.*", "shelf.*"'))
    settings = desk.project / "bailiwick.yaml"
    settings.write_text(settings.read_text() + "lease_seconds: 1\n")
    desk.log_in("ada")
    assert desk.here("ada", "release", "activate").code == 0
    return desk


def in_run(run: str, tool: str, **arguments: str) -> tuple[str, ...]:
    return (*acting(tool, **arguments), "--run", run)


def on_the_shelf(project: Path) -> list[str]:
    kept: list[str] = json.loads((project / "state" / "shelf.json").read_text())["on"]
    return kept


@pytest.mark.claim("undo.survives-kill")
@pytest.mark.claim("undo.said-before")
def test_a_run_is_undone_though_it_is_killed_in_the_middle(shelf: Desk) -> None:
    for on in ("a", "b", "c"):
        assert shelf.here("ada", *in_run("run-1", "shelf.put", on=on)).code == 0
    note = in_run("run-1", "notes.add", customer="c_1", text="hello")
    assert shelf.here("ada", *note).code == 0

    planned = shelf.here("ada", "undo", "run-1", "--plan")
    assert planned.code == 0
    assert planned.out.count("by shelf.take on Thing:") == 3
    assert "cannot be undone [no_reverser]: no tool undoes `notes.add`" in planned.out
    assert on_the_shelf(shelf.project) == ["a", "b", "c"]
    # A viewer may look; only operators and administrators may do it.
    shelf.log_in("vi")
    assert '"b"' not in shelf.here("vi", "undo", "run-1", "--plan").out
    assert shelf.here("vi", "undo", "run-1", "--yes").fault == "not_allowed"
    assert shelf.here("ada", "undo", "run-1", "--json").fault == "usage"
    declined = shelf.run("ada", "undo", "run-1", stdin="n\n")
    assert (declined.code, "[declined]" in declined.err) == (3, True)
    assert shelf.here("ada", "undo", "run-17").fault == "action_unknown"

    (shelf.project / "state" / "deadly").touch()
    killed = shelf.run("ada", "undo", "run-1", "--yes")
    assert killed.code == -9
    assert on_the_shelf(shelf.project) == ["a"]
    for _ in soon(30):  # not before the deadline of the call that was cut off
        told = shelf.data("ada", "undo", "run-1", "--yes")
        if told["outcomes"] == [] and "being_undone" not in {s["code"] for s in told["steps"]}:
            break
    assert {step["code"] for step in told["steps"]} == {"already_undone", "no_reverser"}
    assert on_the_shelf(shelf.project) == []
    again = shelf.here("ada", "undo", "run-1", "--yes")
    assert again.code == 1, again.out  # the note stays
    did = json.loads((shelf.project / "state" / "shelf.json").read_text())["did"]
    assert len(did) == len(set(did)) == 6
    assert shelf.here("ada", "ledger", "verify").code == 0

    story = shelf.here("ada", "actions", "show", told["steps"][1]["action"]).out
    assert "undone by" in story
    one = shelf.data("ada", "undo", told["steps"][1]["action"], "--yes")
    assert one["steps"][0]["code"] == "already_undone"
    assert shelf.here("ada", "undo", told["steps"][1]["action"], "--yes").code == 0

    checked = shelf.here("ada", "check").out
    assert "note: what notes.add does cannot be undone: it names no reverser" in checked
    assert "shelf.put does" not in checked
    shown = shelf.here("ada", "policy", "show").out
    assert "cannot be undone" in shown
