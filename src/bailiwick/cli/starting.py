"""init, run, doctor, migrate: make a project, act for an agent, look after the installation."""

import asyncio
import inspect
import json
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec

from bailiwick import operations
from bailiwick.cli.connecting import address, snippets
from bailiwick.cli.frame import (
    DOUBT,
    FAILED,
    FOUND,
    OK,
    REFUSED,
    WAITS,
    Command,
    Frame,
    pass_frame,
)
from bailiwick.cli.telling import fields, line, pretty
from bailiwick.config import load_settings
from bailiwick.errors import BadInput, BailiwickError, ControlError
from bailiwick.identity.agents import NAME
from bailiwick.nouns import Outcome
from bailiwick.operations import Newcomer
from bailiwick.runtime import Bailiwick, Session
from bailiwick.store import sqlite
from bailiwick.values import JSON
from bailiwick.wiring import on_demand

_STARTER = Path(__file__).parent / "starter"
_RENAMED = {"gitignore": ".gitignore"}
# The lines of its settings that `init` can set.
_DEFAULTS = {"store": b"store: state/bailiwick.sqlite", "tenant": b"tenant: default"}
_QUEUE = "support"
_MAX_INPUT = 1024 * 1024

_CODES: Mapping[str, int] = {
    "done": OK,
    "refused": REFUSED,
    "denied": REFUSED,
    "parked": WAITS,
    "unknown": DOUBT,
    "running": DOUBT,
    "failed": FAILED,
}


@click.command("init", cls=Command)
@click.argument(
    "folder", default=".", type=click.Path(path_type=Path, file_okay=False, resolve_path=True)
)
@click.option("--admin", default="admin", show_default=True, help="The first person's name.")
@click.option("--store", help="postgresql://… of a database, instead of a file.")
@click.option("--tenant", help="The name under which the project's data lie in the database.")
@click.option(
    "--log-keys",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    help="The `keys` of the project that has another tenant on the database: they share its log.",
)
@pass_frame
def init(
    frame: Frame,
    folder: Path,
    *,
    admin: str,
    store: str | None,
    tenant: str | None,
    log_keys: Path | None,
) -> int:
    """Make a small project that works in FOLDER (by default, here).

    It has one agent, a tool that reads, a tool that writes, rules with tests, limits, keys, a
    database, and a first administrator whose password is shown once.
    """
    for name, what in ((admin, "person"), (tenant, "tenant")):
        if name is not None and not NAME.fullmatch(name):
            raise BadInput(
                f"`{name}` cannot name a {what}",
                code=f"{what}_invalid",
                help="use a-z, 0-9, `.`, `_` and `-`",
            )
    files = _starter({"store": store, "tenant": tenant})
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise ControlError(
            f"`{folder}` has a `{there[0]}` already",
            code="project_exists",
            help="go into the project and use it, or name another folder",
        )
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        newcomer = Newcomer(admin, queues=(_QUEUE,))
        founded = asyncio.run(
            operations.found(folder, [newcomer], access_for=admin, log_keys=log_keys)
        )
    except BailiwickError:
        for name in files:
            (folder / name).unlink(missing_ok=True)
        raise
    password = founded.passwords[admin]
    url = address(load_settings(folder).serve)
    frame.tell(
        {
            "project": str(folder),
            "release": founded.release,
            "person": admin,
            "password": password,
            "url": url,
            "access_keys": founded.access_keys,
        },
        [*_begun(folder, admin, password), "", *_served(url, founded.access_keys)],
    )
    return OK


def _starter(settings: Mapping[str, str | None]) -> dict[str, bytes]:
    """The files of the starter by name, with some of its settings set."""
    files = {
        _RENAMED.get(path.name, path.relative_to(_STARTER).as_posix()): path.read_bytes()
        for path in sorted(_STARTER.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }
    for setting, value in settings.items():
        if value is not None:
            line = f"{setting}: {json.dumps(value)}".encode()
            files["bailiwick.yaml"] = files["bailiwick.yaml"].replace(_DEFAULTS[setting], line)
    return files


def _begun(folder: Path, admin: str, password: str) -> Iterator[str]:
    yield f"made a project in {folder}"
    yield ""
    yield f"  person    {admin}"
    yield f"  password  {password}"
    yield ""
    yield "The password is shown this once and kept nowhere. What to do next, in that folder:"
    yield ""
    note = '--arguments \'{"customer": "c_1", "text": "likes tea"}\''
    asks = '--arguments \'{"customer": "c_1", "text": "hello", "visible_to": "customer"}\''
    yield f"  bailiwick login {admin}"
    yield f"  bailiwick run note-taker --subject you notes.add {note}"
    yield f"  bailiwick run note-taker --subject you notes.add {asks}"
    yield "  bailiwick approvals list              the second one waits for a person"
    yield "  bailiwick actions list                what became of both"
    yield "  bailiwick people add NAME --role admin --role approver --queue support"
    yield "  bailiwick check                       after changing a file"
    yield "  bailiwick release activate            to let it decide"


def _served(url: str, access_keys: Mapping[str, str]) -> Iterator[str]:
    """What to paste into which client; of the starter, which has one agent."""
    yield "Any MCP client can be the agent, once `bailiwick up` serves the project (it needs"
    yield f"`bailiwick[server]`), at {url} with this access key, which is shown this once:"
    for agent, key in access_keys.items():
        yield ""
        yield f"  {agent}  {key}"
        yield ""
        yield from snippets(url, key)


@click.command("run", cls=Command)
@click.argument("agent")
@click.argument("tool", required=False)
@click.option("--subject", required=True, help="On whose behalf.")
@click.option("--arguments", default="{}", help="JSON, `@FILE`, or `-` for standard input.")
@click.option("--key", help="Your own idempotency key: in the same run it gets the same answer.")
@click.option("--run", "run_id", help="The run it belongs to; by default one of its own.")
@click.option("--reason", default="", help="Why, in the agent's words.")
@click.option("--source", "sources", multiple=True, help="What the agent goes by.")
@click.option(
    "--script",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True),
    help="A Python file whose `main(session)` is awaited instead of one action.",
)
@pass_frame
def run(
    frame: Frame,
    /,
    agent: str,
    tool: str | None,
    script: Path | None,
    **given: str | tuple[str, ...] | None,
) -> int:
    """Act as AGENT of this project: use TOOL once, or run a script.

    Exit code: 0 done, 3 refused, 4 it waits for people, 5 not known yet or contradicted, 6 failed.
    """
    if (tool is None) == (script is None):
        raise BadInput(
            "there is neither a tool nor a script, or both", code="usage", help="give one of them"
        )
    arguments = _read(str(given["arguments"]))
    frame.enter()
    result = asyncio.run(_ran(agent, tool, script, arguments, given))
    if not isinstance(result, Outcome):
        frame.tell(result, list(pretty(result)) if result is not None else ["the script has ended"])
        return OK
    frame.tell(msgspec.to_builtins(result), list(_outcome(result)))
    return DOUBT if result.verdict == "contradicted" else _CODES[result.status]


async def _ran(
    agent: str,
    tool: str | None,
    script: Path | None,
    arguments: str,
    given: Mapping[str, str | tuple[str, ...] | None],
) -> Outcome | JSON:
    run_id, key = given["run_id"], given["key"]
    async with Bailiwick.open(Path.cwd()) as bailiwick:
        session = await bailiwick.session(
            agent, subject=str(given["subject"]), run=str(run_id) if run_id else None
        )
        if script is not None:
            return await _scripted(script, session)
        assert tool is not None
        return await session.act(
            tool,
            arguments,
            key=str(key) if key else None,
            reason=str(given["reason"]),
            sources=given["sources"] or (),
        )


async def _scripted(script: Path, session: Session) -> Outcome | JSON:
    """Run the file and await its `main`; what it returns is the answer."""
    begin = runpy.run_path(str(script)).get("main")
    if not inspect.iscoroutinefunction(begin):
        raise BadInput(
            f"`{script.name}` has no `async def main(session)`",
            code="script_without_main",
            help="write one; it is given the agent's session",
        )
    result: Outcome | JSON = await begin(session)
    return result


def _outcome(outcome: Outcome) -> Iterator[str]:
    yield from fields(
        {
            "status": outcome.status,
            "action": outcome.action,
            "code": outcome.code,
            "message": outcome.message,
            "help": outcome.help or _next(outcome),
            "retry after": f"{outcome.retry_after_s:g} s" if outcome.retry_after_s else None,
            "verdict": outcome.verdict,
            "step": outcome.step if outcome.status in ("refused", "denied") else None,
            "earlier": outcome.earlier or None,
        }
    )
    if outcome.details:
        yield "details"
        yield from pretty(outcome.details, "  ")
    if outcome.result is not None:
        yield "result"
        yield from pretty(outcome.result, "  ")


def _next(outcome: Outcome) -> str:
    """What to do about an outcome that says nothing of it itself."""
    if outcome.status == "parked":
        return f"see what people are asked with `bailiwick approvals show {outcome.action}`"
    if outcome.status == "running":
        return f"see what became of it with `bailiwick actions show {outcome.action}`"
    doubtful = outcome.status == "unknown" or outcome.verdict == "contradicted"
    return "see what nobody knows with `bailiwick in-doubt list`" if doubtful else ""


def _read(text: str) -> str:
    """The arguments as given, from a file, or from standard input."""
    if text == "-":
        return sys.stdin.read(_MAX_INPUT)
    if not text.startswith("@"):
        return text
    try:
        with Path(text[1:]).open(encoding="utf-8") as file:
            return file.read(_MAX_INPUT)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"`{text[1:]}` cannot be read", code="file_unreadable", help="name a UTF-8 file"
        ) from error


@click.command("doctor", cls=Command)
@pass_frame
def doctor(frame: Frame) -> int:
    """Look at keys, database, disk, clock, release, log and credentials; say what to do.

    Needs nobody to be logged in. Exit code 1 if anything fails.
    """
    checks = asyncio.run(operations.examine(frame.enter()))
    width = max(len(check.name) for check in checks)
    told: list[str] = []
    for check in checks:
        told.append(f"{check.level:<4}  {check.name.ljust(width)}  {line(check.said)}")
        told += [f"      {'help:'.ljust(width)}  {line(check.help)}"] if check.help else []
    frame.tell(msgspec.to_builtins(checks), told)
    return FOUND if any(check.level == "fail" for check in checks) else OK


@click.command("migrate", cls=Command)
@pass_frame
def migrate(frame: Frame) -> int:
    """Bring the database to this program's schema, after copying it beside itself.

    Needs nobody to be logged in, and no process that owns the database. The next owner would do
    it too; commands that only look do not. A PostgreSQL database is not copied: back it up first.
    """
    settings = frame.enter()
    if settings.is_shared:
        was, now = on_demand("migrate_postgres")(settings.store)
        said = f"is now {now}" if was != now else "there is nothing to do"
        frame.tell({"from": was, "to": now, "copy": None}, [f"schema version {was}: {said}"])
        return OK
    file = settings.path(settings.store)
    if not file.exists():
        raise BadInput(
            f"there is no database at {file}",
            code="store_missing",
            help="run `bailiwick init`, or restore its backup",
        )
    before = sqlite.schema_version(file)
    copy: Path | None = on_demand("migrate")(file)
    told = [f"schema version {before}: there is nothing to do"]
    if before != sqlite.SCHEMA_VERSION:
        told = [f"schema version {before} is now {sqlite.SCHEMA_VERSION}", f"as it was: {copy}"]
    frame.tell(
        {"from": before, "to": sqlite.SCHEMA_VERSION, "copy": str(copy) if copy else None}, told
    )
    return OK


COMMANDS = (init, run, doctor, migrate)
