"""A request in its parts, for whoever shows it otherwise than as lines of text."""

from collections.abc import Mapping
from typing import cast

from bailiwick import approval
from bailiwick.approval.request import RequestDocument
from bailiwick.nouns import Action, Approval, Person, Tool
from bailiwick.operations.comparing import book_of
from bailiwick.ports import Bundle
from bailiwick.values import JSON


def parts(
    bundle: Bundle,
    action: Action,
    asked: Approval,
    document: Mapping[str, JSON],
    kept: Mapping[str, JSON],
    *,
    people: approval.Electorate,
    viewer: Person,
    ahead: approval.Ahead,
    now_us: int,
) -> dict[str, JSON]:
    """What `approval.lines` tells beside the document, unescaped: whoever shows it escapes it.

    `voices` are the votes that the viewer could cast, the first one their own, each with what is
    in its way. `words` are the agent's, which nobody has checked.
    """
    texts = {rule.id: rule.text for rule in book_of(bundle).rules}
    sources = kept.get("sources")
    tool = bundle.catalogue.tools.get(action.tool)
    manifest = bundle.manifests.get(action.agent)
    return {
        "requested_at_us": asked.requested_at_us,
        "escalated": [list(pair) for pair in asked.escalated],
        "rule_texts": {ask.rule: texts.get(ask.rule) for ask in asked.asks},
        "votes": _votes(action, asked, people),
        "ahead": sorted(ahead),
        "conflicts": [
            *approval.all_conflicts(
                cast("RequestDocument", document),
                asked,
                people,
                action.caller,
                manifest=manifest,
                viewer=viewer,
            )
        ],
        "voices": _voices(action, asked, people, viewer, now_us),
        "tool": _tool(tool) if tool is not None else None,
        "words": {
            "reason": str(kept.get("reason", "")),
            "uncertainty": str(kept.get("uncertainty", "")),
            "sources": list(map(str, sources)) if isinstance(sources, (list, tuple)) else [],
        },
    }


def _votes(action: Action, asked: Approval, people: approval.People) -> list[JSON]:
    votes: list[JSON] = []
    for vote in asked.votes:
        void = approval.objection(asked, vote, people, action.caller)
        votes.append(
            {
                "person": vote.person,
                "choice": vote.choice,
                "cast_at_us": vote.cast_at_us,
                "on_behalf_of": vote.on_behalf_of or None,
                "reason": vote.reason,
                "void": void.message if void else None,
            }
        )
    return votes


def _voices(
    action: Action, asked: Approval, people: approval.People, viewer: Person, now_us: int
) -> list[JSON]:
    voices: list[JSON] = []
    for lender in ("", *approval.lenders(viewer, people, now_us)):
        found = approval.hindrance(
            asked, viewer, people, action.caller, now_us, on_behalf_of=lender
        )
        hindrance = {"code": found.code, "message": found.message} if found else None
        voices.append({"on_behalf_of": lender, "hindrance": hindrance})
    return voices


def _tool(tool: Tool) -> dict[str, JSON]:
    return {
        "effect": tool.effect,
        "traits": list(tool.traits),
        "expect": tool.expect,
        "reverser": tool.reverser,
        "description": tool.description,
    }
