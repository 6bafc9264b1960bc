"""Step 10: the verdict on a write, from what the world shows afterwards.

A contradiction accuses somebody, so each doubt makes it `unverifiable` and says why: nothing to
read with, a read that failed, an expectation that cannot be evaluated, a write that may not have
settled yet, another governed write on the same resource in between. Only a false expectation with
none of these is `contradicted`. Where an authoritative reader shows nothing at all, an expectation
that cannot be evaluated over nothing is false.
"""

from collections.abc import Mapping, Sequence

from bailiwick.errors import CatalogError
from bailiwick.nouns import EffectReport, Refusal, Tool, Verification
from bailiwick.ports import Catalogue
from bailiwick.values import JSON, shown

_LISTED = 5


def judge(
    catalogue: Catalogue,
    tool: Tool,
    names: Mapping[str, JSON],
    report: EffectReport,
    *,
    after: JSON | Refusal,
    touched: Sequence[str],
    settled: bool,
) -> Verification:
    """Judge a write by its tool's expectation. Reads have no verdict: do not ask for one.

    `names` holds `args`, `before` and `action`; `after` is what the tool's reader showed, or the
    refusal of that read. `touched` are the ids of the governed writes on the resource since the
    intent (the action's own id does not count). `settled` says that the tool's `settles_within`
    has passed since the last send.
    """
    if report.status != "done":
        return _unverifiable(f"the effect is {report.status}, not done")
    if tool.reader is None:
        return _unverifiable("no reader is declared")
    if tool.expect is None:
        return _unverifiable("nothing is expected of what the reader shows")
    if isinstance(after, Refusal):
        return _unverifiable(f"the world could not be read back: {after.message} [{after.code}]")
    try:
        holds = catalogue.evaluate(
            tool, tool.expect, {**names, "after": after, "result": report.result}
        )
        why = "the expectation does not hold"
    except CatalogError as error:
        if after is not None or not _must_show(tool, report):
            return _unverifiable(f"the expectation failed: {shown(error.message)}", after)
        holds, why = False, "an authoritative reader shows nothing, of which it cannot hold"
    if holds is True:
        return Verification(verdict="verified", reason="the expectation holds", after=after)
    if holds is not False:
        return _unverifiable("the expectation is neither true nor false", after)
    if settled is not True:
        return _unverifiable("the expectation does not hold, yet it may not have settled", after)
    if others := _others(touched, names):
        return _unverifiable(f"the resource was also written by {others} in between", after)
    return Verification(
        verdict="contradicted",
        reason=f"{why}: `{shown(tool.expect)}`",
        after=after,
    )


def _must_show(tool: Tool, report: EffectReport) -> bool:
    """Whether nothing to be seen means nothing done; not where something may have been destroyed.

    A result that could not be read may be why the expectation failed.
    """
    authoritative = tool.reader is not None and tool.reader.authoritative
    return authoritative and "destructive" not in tool.traits and not report.code


def _others(touched: Sequence[str], names: Mapping[str, JSON]) -> str:
    action = names.get("action")
    own = action.get("id") if isinstance(action, Mapping) else None
    others = [id for id in touched if id != own]
    listed = ", ".join(f"`{shown(id)}`" for id in others[:_LISTED])
    return listed if len(others) <= _LISTED else f"{listed} and {len(others) - _LISTED} more"


def _unverifiable(reason: str, after: JSON = None) -> Verification:
    return Verification(verdict="unverifiable", reason=reason, after=after)
