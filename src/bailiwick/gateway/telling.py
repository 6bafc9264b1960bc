"""An outcome as the result of a tool's call (MCP, tools/call).

What was done is told as the tool's own result. Everything else is a result that a model can read
and a program can go by: `isError` for a no, a failure and what is not known, and no error for what
waits. Its structured content is then

    status, code, message, help     as the outcome has them; empty ones are left out
    action                          the id under which people find it
    approval_url                    where people decide, while it is `parked`
    retry_after_s                   when another try may be worth it

and a tool that declares an output schema is offered with both forms. The id and the verdict stand
in `_meta` of every answer; what a server says there cannot be taken for them.
"""

from collections.abc import Mapping
from typing import Any

from bailiwick import cases
from bailiwick.errors import BailiwickError
from bailiwick.gateway.asking import META
from bailiwick.nouns import Outcome
from bailiwick.values import JSON

_WAITS = ("parked", "running")
# In 2026-07-28 a result says that it is one.
_COMPLETE = {"resultType": "complete"}
# Names in `_meta` that a client takes for our word, or for the protocol's.
_OURS = (META, "io.modelcontextprotocol/")


def result(outcome: Outcome, approvals: str) -> dict[str, Any]:
    """The result of a call. `approvals` is the address under which people find an approval.

    Empty if there are no pages.
    """
    if outcome.status == "done" and outcome.verdict != "contradicted":
        return _done(outcome)
    status = as_status(outcome, approvals)
    # What the tool itself said of its error stands first: it is what a model can go by.
    said = [dict(each) for each in outcome.content.blocks] if outcome.content else []
    return {
        "content": [*said, {"type": "text", "text": _words(outcome, status)}],
        "structuredContent": status,
        "isError": outcome.status not in _WAITS,
        "_meta": _meta(outcome),
        **_COMPLETE,
    }


def fault(error: BailiwickError) -> dict[str, Any]:
    """The result of a call that could not become an action, or whose fate could not be written."""
    status: dict[str, Any] = {"status": "refused", "code": error.code, "message": error.message}
    if error.help:
        status["help"] = error.help
    text = f"refused [{error.code}]: {error.message}" + (f"; {error.help}" if error.help else "")
    return {
        "content": [{"type": "text", "text": text}],
        "structuredContent": {**status, "action": ""},
        "isError": True,
        **_COMPLETE,
    }


def as_status(outcome: Outcome, approvals: str) -> dict[str, JSON]:
    """What a program is told instead of a result."""
    status: dict[str, JSON] = {
        name: value
        for name in ("status", "code", "message", "help", "verdict", "retry_after_s", "step")
        if (value := getattr(outcome, name)) not in (None, "")
    }
    status["action"] = outcome.action
    if outcome.status == "parked" and approvals:
        status["approval_url"] = approvals + outcome.action
    if outcome.details:
        status["details"] = dict(outcome.details)
    return status


def waiting_words(action: str, url: str) -> str:
    """What a model or a person is told of an action that waits."""
    where = f"at {url}" if url else f"with `bailiwick approvals show {action}`"
    return (
        f"This call waits for people: nothing has been done yet. They decide {where}"
        f" (action {action}). Make the same call again, with the same arguments, to get its"
        " one outcome; it will not be done twice."
    )


def _done(outcome: Outcome) -> dict[str, Any]:
    said = cases.content_of(outcome)
    blocks = list(said.blocks)
    if outcome.earlier:
        blocks.append({"type": "text", "text": f"({outcome.message})"})
    structured = {"structuredContent": said.structured} if said.is_structured else {}
    meta = meta_beside(said.meta, outcome)
    return {"content": blocks, **structured, "isError": False, "_meta": meta, **_COMPLETE}


def _words(outcome: Outcome, status: Mapping[str, JSON]) -> str:
    if outcome.status == "parked":
        return waiting_words(outcome.action, str(status.get("approval_url", "")))
    said = {
        "done": "It was reported as done, but the world does not show it.",
        "unknown": "Nobody knows yet whether it was done: do not try another way.",
        "running": "It is being carried out: make the same call again to get its outcome.",
    }.get(outcome.status, f"{outcome.status}.")
    code = f" [{outcome.code}]" if outcome.code else ""
    told = [f"{said}{code}", outcome.message, outcome.help]
    return " ".join(each for each in told if each) + (
        f" (action {outcome.action})" if outcome.action else ""
    )


def meta_beside(theirs: Mapping[str, JSON], outcome: Outcome) -> dict[str, Any]:
    """The `_meta` of an answer, with what a server said in its own."""
    said = {name: each for name, each in theirs.items() if not name.startswith(_OURS)}
    return {**said, **_meta(outcome)}


def _meta(outcome: Outcome) -> dict[str, Any]:
    meta: dict[str, Any] = {META + "status": outcome.status}
    if outcome.action:
        meta[META + "action"] = outcome.action
    if outcome.verdict:
        meta[META + "verdict"] = outcome.verdict
    if outcome.earlier:
        meta[META + "earlier"] = True
    return meta
