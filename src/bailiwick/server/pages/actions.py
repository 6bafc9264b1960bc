"""What was proposed and what became of it: a list, and one story."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from starlette.responses import Response

from bailiwick.nouns import State
from bailiwick.server.pages.events import mark_of
from bailiwick.server.pages.visiting import Object, Visit

STATES: tuple[str, ...] = get_args(State)

_LIMIT = 100
# What a step's place looks like, by the state in which the action ended there.
_WAITS = {"parked": 7, "intended": 9}
_ENDS = {"failed": 9, "unknown": 9}


async def listed(visit: Visit) -> Response:
    """The newest actions, of one state if one is named."""
    state = visit.request.query_params.get("state", "")
    states = [state] if state in STATES else []
    actions = await visit.ask("actions list", states=states, limit=_LIMIT)
    return await visit.shown(
        "actions.html", actions=actions, state=state, states=STATES, limit=_LIMIT
    )


async def story(visit: Visit) -> Response:
    """The whole story of one action."""
    id = str(visit.request.path_params["id"])
    mark = await mark_of(visit.console.world, id)
    told = cast("Object", await visit.ask("actions show", action=id))
    return await visit.shown(
        "action.html",
        story=told,
        steps=steps_of(told),
        payloads=_payloads(told),
        refresh=f"/events?action={id}",
        mark=mark,
    )


async def receipt(visit: Visit) -> Response:
    """The action's records with their receipts, as a file for `bailiwick-verify`."""
    id = str(visit.request.path_params["id"])
    proofs = await visit.ask("ledger prove", of=id)
    # The id is in the ledger, or `ledger prove` would have refused it: it is a plain name.
    headers = {"content-disposition": f'attachment; filename="{id}.receipts.json"'}
    return Response(json.dumps(proofs, indent=2), media_type="application/json", headers=headers)


def steps_of(told: Object) -> list[dict[str, Any]]:
    """The twelve steps, each with how it looks: settled, no, waits, doubt or ahead."""
    state = str(told["state"])
    steps: list[dict[str, Any]] = []
    for step in cast("Sequence[Object]", told["steps"]):
        number = cast("int", step["step"])
        look = "ahead" if step["settled"] == "not reached" else "settled"
        if state in ("refused", "denied") and number == told["step"]:
            look = "no"
        elif _WAITS.get(state) == number:
            look = "waits"
        elif _ENDS.get(state) == number:
            look = "no" if state == "failed" else "doubt"
        elif told["verdict"] == "contradicted" and number == 10:
            look = "doubt"
        steps.append({**step, "look": look})
    return steps


def _payloads(told: Object) -> list[tuple[str, str]]:
    """What stands in the vault, as labelled texts; the agent's own words come last."""
    kept = told["payloads"]
    if not isinstance(kept, Mapping):
        return []
    texts: list[tuple[str, str]] = []
    said: list[tuple[str, str]] = []
    for kind, payload in kept.items():
        members = payload if isinstance(payload, Mapping) else {}
        for name, value in members.items():
            # Steps tell of the tool, the holds and the sends; equal arguments are told once.
            told_above = name in ("holds", "sends", "tool")
            again = name == "asked" and value == members.get("arguments")
            if value in (None, "", {}, []) or told_above or again:
                continue
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            agents = kind == "proposal" and name in ("reason", "sources", "uncertainty")
            (said if agents else texts).append((f"{kind}: {name}", text))
    return texts + said
