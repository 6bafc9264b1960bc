"""A request as lines of text for a person who decides: facts first, what others say last."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from bailiwick.approval.conflicts import all_conflicts
from bailiwick.approval.electorate import NOBODY, Ahead
from bailiwick.approval.quorum import satisfied
from bailiwick.approval.quoting import (
    MAX_TEXT,
    MAX_VALUES,
    block,
    escaped,
    field,
    heading,
    leaves,
    pointer,
    quoted,
    scalar,
)
from bailiwick.approval.request import RequestDocument, asked_rules, digest_of
from bailiwick.approval.votes import objection, tally
from bailiwick.errors import ApprovalError
from bailiwick.nouns import Approval, Caller, Manifest, Person, Tool
from bailiwick.values import JSON

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Block = tuple[str, str]  # a label that we wrote, and text that somebody else wrote


def lines(
    document: Mapping[str, object],
    approval: Approval,
    people: Mapping[str, Person],
    caller: Caller,
    now_us: int,
    *,
    viewer: Person | None = None,
    manifest: Manifest | None = None,
    tool: Tool | None = None,
    reason: str = "",
    sources: Sequence[str] = (),
    uncertainty: str = "",
    whole: bool = False,
    ahead: Ahead = NOBODY,
) -> list[str]:
    """Give the lines that show a request: facts, conflicts, and last the words of others.

    `document` is the stored request document. `viewer` is who looks; conflicts of the viewer and
    of those who voted are shown. `reason`, `sources` and `uncertainty` are the proposal's. `ahead`
    are who signed ahead. Long texts and lists are cut, each with its length, unless `whole`. The
    lines hold no control or invisible characters and fit into 80 columns, so that no terminal
    breaks them elsewhere.
    Raises `ApprovalError` (`request_changed`) if the document is not what the votes are about.
    """
    if digest_of(document) != approval.request_digest:
        _changed(approval)
    asked = cast(RequestDocument, document)
    if asked["rules"] != asked_rules(approval.asks):
        _changed(approval)
    texts: list[Block] = []
    result = [*_who(asked), *_tool(asked, tool), *_what(asked, texts, whole)]
    result += _asking(approval, people, caller, now_us, ahead=ahead)
    result += _conflicts(asked, approval, people, caller, manifest=manifest, viewer=viewer)
    texts += _said(reason, sources, uncertainty)
    if tool is not None and tool.digest == asked["tool_digest"]:
        texts.append(("the tool's description of itself", tool.description))
    texts += [
        (f"reason of {quoted(vote.person)}, who votes {quoted(vote.choice)}", vote.reason)
        for vote in approval.votes
        if objection(approval, vote, people, caller) is None
    ]
    return [*result, *_words(texts, whole)]


def _changed(approval: Approval) -> None:
    raise ApprovalError(
        f"the stored request on action `{approval.action}` is not the one that is asked",
        code="request_changed",
        help="do not vote on it; have the store and the ledger verified",
    )


def _who(asked: RequestDocument) -> Iterator[str]:
    yield "request"
    yield from field("action", [escaped(asked["action"])])
    yield from field("tenant", [quoted(asked["tenant"], None)])
    yield from field("asked by", [f"agent {quoted(asked['agent'], None)}"])
    yield from field("for", [quoted(asked["subject"], None)])
    yield from field("through", [quoted(str(actor), None) for actor in asked["actors"]])


def _tool(asked: RequestDocument, tool: Tool | None) -> Iterator[str]:
    yield from field("tool", [quoted(asked["tool"], None)])
    yield from field("version", [asked["tool_digest"]])
    if tool is None:
        return
    if tool.digest != asked["tool_digest"]:
        yield from field("", ["has changed since: votes on this request will not count"])
        return
    yield from field("kind", [", ".join((tool.effect, *tool.traits))])
    yield from field("afterwards", [escaped(tool.expect)] if tool.expect else ["cannot be checked"])
    if tool.effect == "write":
        back = f"undone by {quoted(tool.reverser, None)}" if tool.reverser else "cannot be undone"
        yield from field("way back", [back])


def _what(asked: RequestDocument, texts: list[Block], whole: bool) -> Iterator[str]:
    touched = f"{quoted(asked['resource_type'], None)} {quoted(asked['resource_id'], None)}"
    yield from field("touches", [touched])
    value, currency = asked["value"], asked["currency"]
    if value is not None:
        unit = f"minor units of {_short(currency)}" if currency is not None else ""
        yield from field("value", [f"{_short(value)} {unit}".rstrip()])
    over = [_over(cap) for cap in asked["over_budget"] if isinstance(cap, Mapping)]
    yield from field("over budget", over or ["no"])
    for name, text in (("destination", asked["destination"]), ("credential", asked["credential"])):
        yield from field(name, ["none" if text is None else quoted(text, None)])
    for name, values in (("before", asked["before"]), ("arguments", asked["arguments"])):
        yield from field(name, list(_values(name, values, texts, whole)))


def _over(cap: Mapping[str, JSON]) -> str:
    limit = f"{_short(cap['limit'])} {_short(cap['unit'])}"
    return f"a yes lifts {limit} of {_short(cap['node'])} ({_short(cap['period'])})"


def _short(value: JSON) -> str:
    return scalar(value) or quoted(str(value), None)


def _values(
    name: str, values: Mapping[str, JSON], texts: list[Block], whole: bool
) -> Iterator[str]:
    """Show values that are names and numbers in place; put text with the words of others."""
    found = list(leaves(values))
    for path, value in found if whole else found[:MAX_VALUES]:
        if (text := scalar(value)) is not None:
            yield f"{pointer(path)} = {text}" if path else "none"
        else:
            assert isinstance(value, str)
            yield f"{pointer(path)} is text of {len(value)} characters, quoted below"
            texts.append((f"{name} {pointer(path)}", value))
    if not whole and len(found) > MAX_VALUES:
        yield f"… the first {MAX_VALUES} of {len(found)} values are shown"


def _asking(
    approval: Approval,
    people: Mapping[str, Person],
    caller: Caller,
    now_us: int,
    *,
    ahead: Ahead,
) -> Iterator[str]:
    yield "decision"
    given = tally(approval, approval.request_digest, people, caller, ahead=ahead)
    for number, (ask, voters) in enumerate(given):
        names = f" ({', '.join(quoted(name, None) for name in voters)})" if voters else ""
        rest = "satisfied" if satisfied(ask, voters) else f"waits for {ask.quorum - len(voters)}"
        asks = f"{quoted(ask.rule, None)} asks for {ask.quorum} of {quoted(ask.queue, None)}"
        yield from field("" if number else "rules", [asks])
        yield from field("", [f"has {len(voters)}{names}, {rest}"])
        yield from field("text hash", [ask.text_hash])
    for vote in approval.votes:
        if found := objection(approval, vote, people, caller):
            yield from field("no vote", [found.message])
        else:
            word = "approved by" if vote.choice == "approve" else "denied by"
            lent = f" on behalf of {quoted(vote.on_behalf_of, None)}" if vote.on_behalf_of else ""
            yield from field(word, [quoted(vote.person, None) + lent])
    for name in sorted(ahead):
        yield from field("ahead", [f"{quoted(name, None)} has a standing approval that covers it"])
    yield from field("state", [approval.state])
    end = (_EPOCH + timedelta(microseconds=approval.expires_at_us)).strftime("%Y-%m-%d %H:%M:%SZ")
    left = approval.expires_at_us - now_us
    yield from field("ends", [f"{end}, {f'in {_span(left)}' if left > 0 else 'has expired'}"])
    yield from field("digest", [approval.request_digest])


def _span(span_us: int) -> str:
    minutes, seconds = divmod(span_us // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _conflicts(
    asked: RequestDocument,
    approval: Approval,
    people: Mapping[str, Person],
    caller: Caller,
    *,
    manifest: Manifest | None,
    viewer: Person | None,
) -> Iterator[str]:
    found = all_conflicts(asked, approval, people, caller, manifest=manifest, viewer=viewer)
    yield "conflicts"
    yield from field("", found or ["none found"])


def _said(reason: str, sources: Sequence[str], uncertainty: str) -> Iterator[Block]:
    yield "the agent's reason", reason
    yield "the agent's uncertainty", uncertainty
    for number, source in enumerate(sources, start=1):
        yield f"the agent's source {number} of {len(sources)}", source


def _words(texts: Sequence[Block], whole: bool) -> Iterator[str]:
    """Show what others wrote, each under a label; nothing of ours comes after it."""
    spoken = [(label, text) for label, text in texts if text]
    yield "words of agents, documents and other people, which nobody has checked"
    for label, text in spoken if whole else spoken[: 2 * MAX_VALUES]:
        yield from heading(f"{label}, {len(text)} characters")
        yield from block(text, None if whole else MAX_TEXT)
    if not spoken:
        yield "  none"
    if not whole and len(spoken) > 2 * MAX_VALUES:
        yield f"  … the first {2 * MAX_VALUES} of {len(spoken)} texts are shown"
