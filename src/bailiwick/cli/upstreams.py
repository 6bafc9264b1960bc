"""tools: what MCP servers offer, and which of it was accepted.

It works on the project's files and speaks to the servers itself; nothing that it writes decides
before it is released.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from bailiwick import catalog, execution
from bailiwick.cli.frame import FOUND, OK, Frame, Group, agreed, pass_frame
from bailiwick.cli.telling import line, table
from bailiwick.config import Settings
from bailiwick.errors import BadInput, BailiwickError
from bailiwick.nouns import ToolCall
from bailiwick.ports import NotSent
from bailiwick.values import JSON, digest, shown
from bailiwick.wiring import on_demand, read_release

_PATIENCE_S = 30.0
_SHOWN_NAMES = 8
# The lists of each kind, and what their entries go by. Completion has none.
_LISTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "resources": (("resources/list", "uri"), ("resources/templates/list", "uriTemplate")),
    "prompts": (("prompts/list", "name"),),
    "completion": (),
}


class Seen(Struct, frozen=True, kw_only=True):
    """One tool of an upstream, as it is offered now beside what was accepted of it."""

    upstream: str
    tool: str
    classified: tuple[str, ...]
    state: str
    definition: Mapping[str, JSON] | None = None
    pin: catalog.Pin | None = None
    confused: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    reversers: Mapping[str, str | None] = {}

    @property
    def label(self) -> str:
        return f"{self.upstream}/{self.tool}"

    @property
    def held(self) -> bool:
        return bool(self.classified) and (self.state != "accepted" or bool(self.confused))


class Beside(Struct, frozen=True, kw_only=True):
    """What an upstream lists of one kind beside its tools; `tool` reads it, if that is declared."""

    upstream: str
    kind: str
    tool: str
    names: tuple[str, ...] = ()
    left_out: int = 0


@click.group("tools", cls=Group)
def tools() -> None:
    """The tools of MCP servers: what they offer, and what of it was accepted."""


@tools.command("list")
@pass_frame
def tools_list(frame: Frame) -> int:
    """Ask every MCP server what it offers; say what was accepted, what changed, what is held."""
    settings = frame.enter()
    seen, beside, unreached = asyncio.run(_look(settings))
    held = [each for each in seen if each.held]
    rows: list[list[JSON]] = [
        [each.upstream, each.tool, list(each.classified), each.state, _undo(each), _taken_for(each)]
        for each in seen
    ]
    headings = ["UPSTREAM", "TOOL", "IS", "STATE", "UNDONE BY", "BESIDE"]
    lines = table(headings, rows, "no server offers a tool")
    for each in held:
        lines += _told(each)
    lines += map(_told_beside, beside)
    lines += [f"{name}: {reason}" for name, reason in unreached.items()]
    if held:
        lines.append(f"{len(held)} held: accept what is right with `bailiwick tools accept`")
    listed: list[JSON] = [_document(each) for each in seen]
    document: dict[str, JSON] = {
        "tools": listed,
        "beside": msgspec.to_builtins(beside),
        "unreached": unreached,
    }
    frame.tell(document, lines)
    return FOUND if held or unreached else OK


@tools.command("accept")
@click.argument("names", nargs=-1, metavar="[UPSTREAM/TOOL]...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_frame
def tools_accept(frame: Frame, names: tuple[str, ...], yes: bool) -> int:
    """Accept the definitions of classified tools as they are now, after showing what changed.

    Without names, all that are new or changed. One that can be taken for another tool is accepted
    only by its name.
    """
    settings = frame.enter()
    seen, _, unreached = asyncio.run(_look(settings))
    chosen = _chosen(seen, names)
    refused = [each for each in chosen if each.definition is None or each.state == "refused"]
    chosen = [each for each in chosen if each not in refused]
    for each in () if frame.json else (*chosen, *refused):
        for text in _told(each):
            click.echo(text)
    for name, reason in unreached.items():
        frame.warn(f"{name}: {reason}")
    if chosen and not yes:
        if frame.json:
            raise BadInput("nobody can be asked", code="usage", help="add `--yes`")
        agreed(f"accept {len(chosen)} of these?")
    written = _write(settings.path("."), chosen, _files(settings))
    document: dict[str, JSON] = {
        "accepted": [each.label for each in chosen],
        "refused": [each.label for each in refused],
        "files": written,
    }
    lines = [f"wrote {each}" for each in written] or ["nothing is accepted"]
    if written:
        lines.append("it decides once it is released: `bailiwick release activate`")
    frame.tell(document, lines)
    return FOUND if refused or unreached else OK


async def _look(settings: Settings) -> tuple[list[Seen], list[Beside], dict[str, str]]:
    """Ask all servers at once; give what they offer, and why the others could not be asked."""
    files = _files(settings)
    declared = catalog.declared_upstreams(files)
    if not declared:
        return [], [], {}
    # What is wrong with the pins is what accepting them again puts right.
    pins, _ = catalog.read_pins(files)
    mcp = on_demand("mcp")
    unreached: dict[str, str] = {}

    async def ask(name: str, upstream: catalog.DeclaredUpstream) -> tuple[str, Any]:
        try:
            return name, await mcp.definitions_of(_call(settings, upstream), settings.path("."))
        except (NotSent, BailiwickError) as error:
            reason = error.message if isinstance(error, BailiwickError) else str(error.args[1])
            unreached[name] = shown(reason, 1000)
            return name, None

    answers = await asyncio.gather(*(ask(*each) for each in declared.items()))
    offers = {name: answer for name, answer in answers if answer is not None}
    seen = [
        _seen(name, tool, declared[name], offers, pins)
        for name, offer in offers.items()
        for tool in sorted({*offer.definitions, *declared[name].classified})
    ]
    beside = [
        each for name, offer in offers.items() for each in _beside(name, declared[name], offer)
    ]
    return seen, beside, unreached


def _beside(upstream: str, declared: catalog.DeclaredUpstream, offer: Any) -> Iterator[Beside]:
    """What it lists beside its tools, and what is declared of it whether or not it is listed."""
    for kind, lists in _LISTS.items():
        told = [(offer.beside[method], by) for method, by in lists if method in offer.beside]
        names = [str(entry[by]) for listed, by in told for entry in listed["entries"]]
        left_out = sum(listed["left_out"] for listed, _ in told)
        tool = declared.offered.get(kind, "")
        if tool or names or left_out:
            yield Beside(
                upstream=upstream, kind=kind, tool=tool, names=tuple(names), left_out=left_out
            )


def _seen(
    upstream: str,
    tool: str,
    declared: catalog.DeclaredUpstream,
    offers: Mapping[str, Any],
    pins: Mapping[str, Mapping[str, catalog.Pin]],
) -> Seen:
    offer = offers[upstream]
    pin = pins.get(upstream, {}).get(tool)
    definition = offer.definitions.get(tool)
    state, words = "accepted", tuple[str, ...]()
    if tool not in declared.classified:
        state = "not classified"
    elif tool not in offer.definitions:
        state = "gone"
    elif definition is None or tool in offer.twice:
        state = "refused"
        words = ("it is offered twice" if tool in offer.twice else "it is too large or not JSON",)
    elif outside := tuple(catalog.outside_references(definition)):
        state = "refused"
        words = tuple(f"it refers to `{shown(each)}`, and nothing is fetched" for each in outside)
    elif pin is None:
        state, words = "new", tuple(catalog.described(definition))
    elif pin.sha256 != digest(definition):
        state, words = "changed", tuple(catalog.changes(pin.definition, definition))
    accepted = pin.beside if pin is not None else ()
    found = on_demand("mcp").confusable(upstream, tool, offers, accepted)
    return Seen(
        upstream=upstream,
        tool=tool,
        classified=declared.classified.get(tool, ()),
        state=state,
        definition=definition,
        pin=pin,
        confused=tuple(label for _, label in found if label != f"{upstream}/{tool}"),
        words=words,
        reversers={
            name: declared.reversers[name]
            for name in declared.classified.get(tool, ())
            if name in declared.reversers
        },
    )


def _call(settings: Settings, declared: catalog.DeclaredUpstream) -> ToolCall:
    """What is needed to look at an upstream: its credential for reads, else the one for writes."""
    upstream, names = declared.upstream, declared.credentials
    name = names.read or names.write
    secret = ""
    served = [tool for each in declared.classified.values() for tool in each]
    served += declared.offered.values()
    reading = {*declared.reading, *declared.offered.values()}
    served = [tool for tool in served if (tool in reading) == (name == names.read)]
    if name is not None and served:
        broker = execution.CredentialBroker(settings)
        host = execution.upstream_host(upstream, on_demand("egress")())
        secret = broker.secret(name, served[0], host, name != names.read)
        if upstream.url is not None:
            secret = execution.authorization(settings, name, secret)
    return ToolCall(
        upstream=upstream,
        tool="",
        arguments={},
        meta={},
        pin="",
        beside=(),
        credential=name or "",
        secret=secret,
        timeout_s=_PATIENCE_S,
        max_bytes=0,
    )


def _chosen(seen: Iterable[Seen], names: tuple[str, ...]) -> list[Seen]:
    held = {each.label: each for each in seen if each.held}
    for name in names:
        if name not in held:
            raise BadInput(
                f"`{shown(name)}` is not a tool that is held",
                code="usage",
                help="see `bailiwick tools list`; write UPSTREAM/TOOL",
            )
    if names:
        return [held[name] for name in dict.fromkeys(names)]
    return [each for each in held.values() if not each.confused and each.state != "gone"]


def _write(folder: Path, chosen: Iterable[Seen], files: Mapping[str, str]) -> list[str]:
    """Write the pins of what was accepted beside those that were; drop what is not classified."""
    pins = {name: dict(each) for name, each in catalog.read_pins(files)[0].items()}
    touched: dict[str, None] = {}
    for each in chosen:
        assert each.definition is not None
        before = each.pin.beside if each.pin else ()
        pins.setdefault(each.upstream, {})[each.tool] = catalog.Pin(
            sha256=digest(each.definition),
            definition=each.definition,
            beside=tuple(sorted({*before, *each.confused})),
        )
        touched[each.upstream] = None
    declared = catalog.declared_upstreams(files)
    written = []
    for upstream in touched:
        kept = {
            tool: pin
            for tool, pin in pins[upstream].items()
            if tool in declared[upstream].classified
        }
        path = catalog.path_of(upstream)
        (folder / path).write_text(catalog.pins_text(upstream, kept), encoding="ascii")
        written.append(path)
    return written


def _files(settings: Settings) -> Mapping[str, str]:
    return read_release(settings.path("."), created_at_us=0, created_by="tools").files


def _told(each: Seen) -> Iterator[str]:
    """What a person is asked to accept: the server's words come quoted, with escapes."""
    yield f"{line(each.label)} is {each.state}"
    for words in each.words:
        yield f"    {words}"
    for other in each.confused:
        yield f"    it can be taken for `{shown(other)}`: accept it by its name"


def _told_beside(each: Beside) -> str:
    names = ", ".join(f"`{shown(name, 60)}`" for name in each.names[:_SHOWN_NAMES])
    more = ", …" if len(each.names) > _SHOWN_NAMES else ""
    what = f"{len(each.names)} {each.kind}: {names}{more}" if each.names else each.kind
    how = f"read by `{each.tool}`" if each.tool else f"add `{each.kind}` to its `offers` to read it"
    left = f"; {each.left_out} left out that cannot be shown" if each.left_out else ""
    return f"{each.upstream} offers {what} ({how}){left}"


def _undo(each: Seen) -> JSON:
    return [reverser or "cannot be undone" for reverser in each.reversers.values()]


def _taken_for(each: Seen) -> JSON:
    return f"can be taken for {', '.join(map(shown, each.confused))}" if each.confused else ""


def _document(each: Seen) -> dict[str, JSON]:
    return {
        "upstream": each.upstream,
        "tool": each.tool,
        "classified": list(each.classified),
        "state": each.state,
        "confusable": list(each.confused),
        "reversers": dict(each.reversers),
        "words": list(each.words),
        "definition": msgspec.to_builtins(each.definition),
    }


COMMANDS = (tools,)
