"""Step 10: the verdict on a write, from what the world shows afterwards.

A contradiction accuses somebody, so each doubt makes it `unverifiable` and says why: nothing to
read with, a read that failed, an expectation that cannot be evaluated, a write that may not have
settled yet, another governed write on the same resource in between. Only a false expectation with
none of these is `contradicted`.
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
    except CatalogError as error:
        return _unverifiable(f"the expectation failed: {shown(error.message)}", after)
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
        reason=f"the expectation does not hold: `{shown(tool.expect)}`",
        after=after,
    )


def _others(touched: Sequence[str], names: Mapping[str, JSON]) -> str:
    action = names.get("action")
    own = action.get("id") if isinstance(action, Mapping) else None
    others = [id for id in touched if id != own]
    listed = ", ".join(f"`{shown(id)}`" for id in others[:_LISTED])
    return listed if len(others) <= _LISTED else f"{listed} and {len(others) - _LISTED} more"


def _unverifiable(reason: str, after: JSON = None) -> Verification:
    return Verification(verdict="unverifiable", reason=reason, after=after)
