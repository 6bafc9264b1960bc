"""What waits for people, and their votes. A vote is signed over exactly what was shown."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from starlette.responses import RedirectResponse, Response

from bailiwick import approval
from bailiwick.errors import ApprovalError, BailiwickError, ControlError
from bailiwick.nouns import Vote
from bailiwick.server.pages.events import mark_of
from bailiwick.server.pages.rendering import differences
from bailiwick.server.pages.visiting import Object, Visit
from bailiwick.server.problems import status_of

_MOVED = ("vote_stale", "approval_moved", "approval_closed", "approval_expired", "already_voted")
_REASON = 4000


async def inbox(visit: Visit) -> Response:
    """Requests that wait: those this person can answer first, then the others."""
    mark = await mark_of(visit.console.world)
    listed = cast("Sequence[Object]", await visit.ask("approvals list"))
    own = [each for each in listed if each["voices"]]
    rest = [each for each in listed if not each["voices"]]
    return await visit.shown("inbox.html", own=own, rest=rest, refresh="/events", mark=mark)


async def one(visit: Visit) -> Response:
    """One request, as it is asked now."""
    return await _shown(visit)


async def vote(visit: Visit) -> Response:
    """Cast a vote on what was shown; if that is not what is asked any more, show it anew."""
    choice = visit.text("choice")
    if choice not in ("approve", "deny"):
        raise ControlError("it is not said whether this is a yes or a no", code="choice_missing")
    asked = cast("Object", await visit.ask("approvals show", action=_id(visit)))
    if approval.digest_of(cast("Object", asked["document"])) != asked["digest"]:
        raise ApprovalError("the request is not what its digest says", code="request_changed")
    if visit.text("digest") != asked["digest"]:
        return await _shown(visit, 409, changed=True)
    reason = visit.text("reason").strip()
    if choice == "deny" and not reason:
        return await _shown(visit, 422, missing="reason")
    if len(reason) > _REASON:
        return await _shown(visit, 422, missing="length")
    cast_vote = Vote(
        action=str(asked["action"]),
        person=visit.name,
        choice="approve" if choice == "approve" else "deny",
        request_digest=visit.text("digest"),
        reason=reason,
        cast_at_us=cast("int", asked["now_us"]),
        signature="",
        on_behalf_of=visit.text("on_behalf_of"),
    )
    signed = approval.sign_vote(cast_vote, visit.login.key)
    try:
        await visit.ask(f"approvals {choice}", vote=msgspec.structs.asdict(signed))
    except (ApprovalError, ControlError) as fault:
        return await _shown(visit, status_of(fault), fault=fault, changed=fault.code in _MOVED)
    return RedirectResponse(f"/approvals/{signed.action}", 303)


async def _shown(
    visit: Visit,
    status: int = 200,
    *,
    changed: bool = False,
    missing: str = "",
    fault: BailiwickError | None = None,
) -> Response:
    id = _id(visit)
    mark = await mark_of(visit.console.world, id)
    try:
        asked = await visit.ask("approvals show", action=id)
    except ControlError as past:
        if past.code != "approval_closed":
            raise
        return RedirectResponse(f"/actions/{id}", 303)
    story = await visit.ask("actions show", action=id)
    document, parts = asked["document"], asked["parts"]
    rows, left_out = differences(document["before"], document["arguments"], visit.whole)
    return await visit.shown(
        "approval.html",
        status,
        asked=asked,
        story=story,
        document=document,
        parts=parts,
        rows=rows,
        left_out=left_out,
        able=[each for each in parts["voices"] if each["hindrance"] is None],
        missing_votes=sum(rule["missing"] for rule in asked["rules"]),
        reason=visit.text("reason"),
        changed=changed,
        missing=missing,
        fault=fault,
        refresh=f"/events?action={id}",
        mark=mark,
    )


def _id(visit: Visit) -> str:
    params: Mapping[str, Any] = visit.request.path_params
    return str(params["id"])
