"""Measure the bare pipeline or the spine: `python -m bench.subject SECONDS SUBJECT`.

`act` takes the collector's URL to measure it with telemetry; `memory` takes a number of actions,
carries out so many for 64 callers, and says what the process then holds in memory. `pg` is `act`,
and `pg-bare` is `bare`, on a PostgreSQL server of its own, which syncs each commit to the disk.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bailiwick import Bailiwick, Session
from bailiwick.testing import founded, postgres
from bench.bare import Bare, in_file, on_server
from bench.load import AGENT_NAME, TOOL_NAME, arguments, project
from bench.timing import CALLERS, phase_seconds, tell, timed

# Relative, because the path of a project's socket may only be short.
OUT = Path("bench/out")


async def bare(folder: Path, seconds: float) -> dict[str, float]:
    """The bare pipeline."""
    async with in_file(folder / "bare.sqlite") as commits:
        pipeline = Bare(commits)
        return await timed(lambda number: pipeline.call(arguments(number)), seconds)


async def bare_on_postgres(seconds: float) -> dict[str, float]:
    """The bare pipeline on a PostgreSQL server."""
    with postgres.serving(durable=True) as server:
        async with on_server(server.url(server.create())) as commits:
            pipeline = Bare(commits)
            return await timed(lambda number: pipeline.call(arguments(number)), seconds)


async def act(folder: Path, seconds: float, collector: str | None) -> dict[str, float]:
    """The spine: a governed write, read back and verified."""
    async with _session(folder, collector) as session:
        return await timed(lambda number: _refund(session, number), seconds)


async def on_postgres(folder: Path, seconds: float) -> dict[str, float]:
    """The spine on a PostgreSQL server."""
    with postgres.serving(durable=True) as server:
        store = server.url(server.create())
        async with _session(folder, None, store) as session:
            return await timed(lambda number: _refund(session, number), seconds)


async def memory(folder: Path, actions: int) -> dict[str, float]:
    """The resident memory after many actions: anonymous, of mapped files, and both together."""
    async with _session(folder, None) as session:
        numbers = iter(range(actions))

        async def caller() -> None:
            for number in numbers:
                await _refund(session, str(number))

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return _resident_mb()


def main() -> None:
    """Measure the subject that the command line names."""
    seconds, subject, further = phase_seconds(), sys.argv[2], sys.argv[3:]
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as name:
        folder = Path(name)
        if subject == "bare":
            measured = bare(folder, seconds)
        elif subject == "pg-bare":
            measured = bare_on_postgres(seconds)
        elif subject == "pg":
            measured = on_postgres(folder, seconds)
        elif subject == "memory":
            measured = memory(folder, int(further[0]))
        else:
            measured = act(folder, seconds, further[0] if further else None)
        tell(asyncio.run(measured))


@asynccontextmanager
async def _session(
    folder: Path, collector: str | None, store: str | None = None
) -> AsyncIterator[Session]:
    await founded(folder / "project", project(collector, store), people=())
    async with Bailiwick.open(folder / "project") as bailiwick:
        yield await bailiwick.session(AGENT_NAME, subject="support", run="run-1")


async def _refund(session: Session, number: str) -> None:
    outcome = await session.act(TOOL_NAME, arguments(number))
    assert outcome.verdict == "verified", outcome


def _resident_mb() -> dict[str, float]:
    """What Linux counts as this process's resident memory, in MiB (proc(5), status)."""
    kept = {"RssAnon": "anonymous", "RssFile": "mapped", "VmRSS": "resident"}
    found: dict[str, float] = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in kept:
            found[kept[name]] = int(value.split()[0]) / 1024
    return found


if __name__ == "__main__":
    main()
