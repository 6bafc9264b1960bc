"""Two tools: one reads the notes about a customer, the other adds a note.

The notes lie in a file of this project; commands run in its folder. A tool that writes names the
tool that reads its effect back and what must then be true, so that every write is checked.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from bailiwick import ToolContext, tool

NOTES = Path("state/notes.json")
OURS = "after.notes.exists(note, note.action == action.id)"

Note = dict[str, str]


def load() -> dict[str, list[Note]]:
    notes: dict[str, list[Note]] = json.loads(NOTES.read_text()) if NOTES.exists() else {}
    return notes


@tool(name="notes.read", effect="read", owner="support", resource=("Customer", "args.customer"))
def read(customer: str) -> dict[str, object]:
    """Shows the notes about a customer."""
    return {"customer": customer, "notes": load().get(customer, [])}


@tool(
    name="notes.add",
    effect="write",
    owner="support",
    resource=("Customer", "args.customer"),
    reader={"tool": "notes.read", "arguments": {"customer": "args.customer"}},
    expect=OURS,
    find={
        "tool": "notes.read",
        "arguments": {"customer": "args.customer"},
        "authoritative": True,
    },
    found=OURS,
    key_retention_s=30 * 86400,
    settles_within_s=0,
    timeout_s=5,
)
def add(
    customer: str,
    text: Annotated[str, Meta(min_length=1, max_length=500)],
    context: ToolContext,
    visible_to: Literal["team", "customer"] = "team",
) -> Note:
    """Adds a note about a customer."""
    notes = load()
    known = notes.setdefault(customer, [])
    for note in known:
        if note["key"] == context.provider_key:
            return note  # the same action again, after a crash: nothing is added twice
    note = {
        "text": text,
        "visible_to": visible_to,
        "action": context.action,
        "key": context.provider_key,
    }
    known.append(note)
    draft = NOTES.with_suffix(".draft")
    draft.write_text(json.dumps(notes, indent=2))
    draft.replace(NOTES)
    return note
