"""A project with people at their terminals: each command as a process, or in this one.

The project is the one that `init` makes, with more tools and rules: a note `for everyone` asks two
people, `faults.lose` breaks off, `faults.pretend` says that it did and did not, `faults.refuse`
does not, `faults.dawdle` takes three seconds.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import bailiwick
from bailiwick.cli import main
from bailiwick.operations import Newcomer

STARTER = Path(bailiwick.__file__).parent / "cli" / "starter"
PASSWORD = "correct horse battery staple"
PEOPLE = (
    Newcomer("ada", ("admin", "auditor", "operator"), (), PASSWORD),
    Newcomer("bo", ("approver",), ("support",), PASSWORD),
    Newcomer("cy", ("approver",), ("support",), PASSWORD),
    Newcomer("vi", ("viewer",), (), PASSWORD),
)
AGENT = """\
name: note-taker
owner: support
tools_allowlist: ["notes.*", "faults.*"]
max_tool_calls: 500
"""
FAULTS = '''\
"""Tools that do something wrong."""

import asyncio

from bailiwick import NotDone, tool

READER = {"tool": "notes.read", "arguments": {"customer": "args.customer"}}
LAW = {"effect": "write", "owner": "support", "resource": ("Customer", "args.customer"),
       "reader": READER, "expect": "after.never == true",
       "key_retention_s": "none", "settles_within_s": 0, "retries": 0}


@tool(name="faults.lose", **LAW)
def lose(customer: str) -> str:
    """Breaks off, and nobody knows how far it got."""
    raise RuntimeError("the line went dead")


@tool(name="faults.pretend", **{**LAW, "expect": "size(after.notes) > 99"})
def pretend(customer: str) -> str:
    """Says that it is done, and does nothing."""
    return "done"


@tool(name="faults.refuse", **LAW)
def refuse(customer: str) -> str:
    """Certainly does nothing."""
    raise NotDone("not today")


@tool(name="faults.dawdle", **LAW)
async def dawdle(customer: str) -> str:
    """Takes its time, and does nothing."""
    await asyncio.sleep(3)
    return "done"
'''
RULES = """\
@id("notes.two")
@approval("support:2")
forbid (principal, action == Action::"notes.add", resource)
when { context.input.text == "for everyone" }
unless { context.approvals has "notes.two" && context.approvals["notes.two"] };
"""
MORE = {
    "agents/note-taker.yaml": AGENT,
    "tools/faults.py": FAULTS,
    "policies/more.cedar": RULES,
    "bailiwick.yaml": "tick_seconds: 0.05\nfree_space_watermark_mb: 1\n",
}
AS_JSON = "--json"


@dataclass(frozen=True)
class Answer:
    """What a command gave: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def fault(self) -> str:
        """The code of the fault, empty if there is none."""
        head, _, rest = self.err.partition("error [")
        return rest.partition("]")[0] if not head or head.endswith("\n") else ""


@dataclass
class Desk:
    """A project's folder and a place for each person's own state."""

    project: Path
    homes: Path
    owners: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, person: str, *words: str, stdin: str = "", cwd: Path | None = None) -> Answer:
        """Give a command as a process of its own, in the project's folder."""
        return self._process(person, ["-m", "bailiwick.cli", *words], stdin, cwd)

    def program(self, program: str, person: str, *words: str) -> Answer:
        """Give a command by a program, which may take something away before it gives it."""
        return self._process(person, ["-c", program, *words])

    def _process(
        self, person: str, words: Sequence[str], stdin: str = "", cwd: Path | None = None
    ) -> Answer:
        done = subprocess.run(
            [sys.executable, *words],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=cwd or self.project,
            env=self.environment(person),
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def begin(self, person: str, *words: str) -> subprocess.Popen[bytes]:
        """Give a command as a process of its own, and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "bailiwick.cli", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.project,
            env=self.environment(person),
        )

    def here(self, person: str, *words: str, stdin: str = "") -> Answer:
        """Give a command in this process, which is quicker."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("XDG_STATE_HOME", str(self.homes / person))
            patched.setattr(sys, "stdin", io.StringIO(stdin))
            with (
                contextlib.chdir(self.project),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = main(words)
        return Answer(code, out.getvalue(), err.getvalue())

    def data(self, person: str, *words: str) -> Any:
        """Give a command in this process and read its JSON answer, whatever the exit code."""
        return self.here(person, *words, AS_JSON).data

    def log_in(self, *people: str) -> None:
        """Log people in, each at a terminal of their own."""
        for person in people:
            answer = self.here(person, "login", person, stdin=f"{PASSWORD}\n")
            assert answer.code == 0, answer.err

    def act(self, tool: str, subject: str = "a-customer", **arguments: object) -> Any:
        """Have the agent act; give the outcome."""
        return self.data("ada", *acting(tool, subject, **arguments))

    def own(self, script: str) -> subprocess.Popen[str]:
        """Start a process that owns the database and runs a script; wait until it prints."""
        path = self.homes / f"owner-{len(self.owners)}.py"
        path.write_text(script)
        owner = subprocess.Popen(
            [
                *(sys.executable, "-m", "bailiwick.cli", "run", "note-taker"),
                *("--subject", "a-customer", "--script", str(path)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.project,
            env=self.environment("ada"),
        )
        self.owners.append(owner)
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        return owner

    def end(self) -> None:
        """End the processes that were started."""
        for owner in self.owners:
            if owner.poll() is None:
                owner.send_signal(signal.SIGCONT)
                owner.kill()
            owner.wait()
            if owner.stdout is not None:
                owner.stdout.close()

    def environment(self, person: str) -> dict[str, str]:
        """The variables of a process that a person starts."""
        package = str(Path(bailiwick.__file__).parents[1])
        home = str(self.homes / person)
        return {**os.environ, "XDG_STATE_HOME": home, "PYTHONPATH": package}


def acting(tool: str, subject: str = "a-customer", **arguments: object) -> Sequence[str]:
    """The words by which an agent acts."""
    text = json.dumps(arguments)
    return ["run", "note-taker", tool, "--subject", subject, "--arguments", text]


def write_project(folder: Path, more: dict[str, str] | None = None) -> Path:
    """Write the project's files."""
    shutil.copytree(STARTER, folder)
    for name, text in {**MORE, **(more or {})}.items():
        (folder / name).write_text(text)
    return folder


def soon(limit_s: float = 10.0) -> Iterator[None]:
    """Come round again and again until the time is over."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        yield
        time.sleep(0.05)
