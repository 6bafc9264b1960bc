"""What a new policy changes, said of the agents as people think of them.

    refund-desk: one of finance is asked above 50.00 USD (money), was above 100.00 USD

Said from what was compiled: the tools an agent has, its tiers, who is asked. A rule that was
written by hand, or that nothing said here explains, is told by its text.
"""

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from bailiwick.policy.granted import granted_to, tiers_of
from bailiwick.policy.manifests import RUBRIC, agent_file
from bailiwick.policy.rulebook import RuleBook
from bailiwick.policy.rules import Rule, parse_queue
from bailiwick.policy.tiers import Tier
from bailiwick.vocabulary import decimals_of

_NUMBERS: tuple[str, ...] = (
    "no one",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
)
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)


def diff_words(old: RuleBook, new: RuleBook) -> list[str]:
    """Say what changes between two rule books, agents first, in the order of their names."""
    sentences: list[str] = []
    before, after = _by_id(old), _by_id(new)
    told: set[str] = set()
    for name in sorted(old.manifests.keys() | new.manifests.keys()):
        if name not in new.manifests:
            sentences.append(f"removes the agent {name}")
            told |= _own(name, before, "")
        elif name not in old.manifests:
            tools = ", ".join(tool.name for tool in granted_to(new, name)) or "nothing"
            sentences.append(f"adds the agent {name}, which may use {tools}")
        else:
            sentences += (f"{name}: {each}" for each in _agent(old, new, name, told))
    sentences += _by_text(before, after, told)
    return sentences


def people(queue: str) -> str:
    """Who is asked: `one of finance` of `finance:1`."""
    name, quorum = parse_queue(queue) or (queue, 0)
    return f"{_NUMBERS[quorum] if quorum < len(_NUMBERS) else quorum} of {name}"


# --- an agent ------------------------------------------------------------------------------------


def _agent(old: RuleBook, new: RuleBook, name: str, told: set[str]) -> Iterator[str]:
    """What changes for an agent; the rules that this explains are added to those told."""
    before, after = _by_id(old), _by_id(new)
    both = {**before, **after}
    said, asks = list(_tools(old, new, name)), list(_asks(name, before, after))
    draft = f"{name}.draft"  # it is about the tools that are not asked for anyway
    if (said or asks) and _gates(before, draft) == _gates(after, draft):
        told.add(draft)
    for kinds, more in (
        (("may", "only"), said),
        (("tier.", "currency."), list(_tiers(old, new, name))),
        (("asks.",), asks),
    ):
        yield from more
        if more:
            told |= {id for kind in kinds for id in _own(name, both, kind)}


def _tools(old: RuleBook, new: RuleBook, agent: str) -> Iterator[str]:
    before = {tool.name for tool in granted_to(old, agent)}
    after = {tool.name for tool in granted_to(new, agent)}
    if gained := sorted(after - before):
        yield f"may use {', '.join(gained)} from now on"
    if lost := sorted(before - after):
        yield f"may no longer use {', '.join(lost)}"


def _tiers(old: RuleBook, new: RuleBook, agent: str) -> Iterator[str]:
    before, after = tiers_of(old, agent), tiers_of(new, agent)
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            yield f"{_whole(now)}; there was no such tier"
        elif was is not None and now is None:
            yield f"has no tier for {was.on} in {was.unit} any more; there was: {_whole(was)}"
        elif was is not None and now is not None:
            yield from _tier(was, now)


def _tier(was: Tier, now: Tier) -> Iterator[str]:
    """The amounts above which each queue is asked, one by one, and the end of it all."""
    before, after = _above(was), _above(now)
    for key in dict.fromkeys((*after, *before)):
        who = people(key[0])
        if key not in before:
            yield f"{who} is asked above {_amount(after[key], now)}; they were not"
        elif key not in after:
            yield f"{who} is no longer asked; they were above {_amount(before[key], was)}"
        elif before[key] != after[key]:
            above = _amount(after[key], now)
            yield f"{who} is asked above {above}, was above {_amount(before[key], was)}"
    if was.limit != now.limit:
        ends = [
            "without end" if tier.limit is None else f"up to {_amount(tier.limit, tier)}"
            for tier in (now, was)
        ]
        yield f"{now.on} in {now.unit} passes {ends[0]}, was {ends[1]}"
    if gained := sorted(now.names - was.names):
        yield f"its tier for {now.on} in {now.unit} covers {', '.join(gained)} too"
    if lost := sorted(was.names - now.names):
        yield f"its tier for {now.on} in {now.unit} no longer covers {', '.join(lost)}"


def _above(tier: Tier) -> dict[tuple[str, int], int]:
    """Above which amount each queue is asked; one that stands in several steps has a number."""
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], int] = {}
    for above, _, queue in tier.steps:
        found[queue, seen[queue]] = above
        seen[queue] += 1
    return found


def _whole(tier: Tier) -> str:
    steps = [f"{people(queue)} above {_amount(above, tier)}" for above, _, queue in tier.steps]
    end = [] if tier.limit is None else [f"nothing above {_amount(tier.limit, tier)}"]
    return f"{tier.on} in {tier.unit}: {', '.join([*steps, *end])}"


def _amount(amount: int, tier: Tier) -> str:
    if not tier.is_money:
        return f"{amount} {tier.unit} ({tier.on})"
    return f"{Decimal(amount).scaleb(-decimals_of(tier.unit))} {tier.unit} ({tier.on})"


def _asks(agent: str, before: dict[str, Rule], after: dict[str, Rule]) -> Iterator[str]:
    """What is asked for every time: by whom, and of which tools."""
    prefix = f"{agent}.asks."
    for id in sorted(_own(agent, {**before, **after}, "asks.")):
        was, now, what = before.get(id), after.get(id), id.removeprefix(prefix)
        if was is None and now is not None:
            yield f"{_people(now)} is asked for {what} every time; nobody was"
        elif was is not None and now is None:
            yield f"nobody is asked for {what} every time any more; {_people(was)} was"
        elif was is not None and now is not None and was.text_hash != now.text_hash:
            if (was.queue, was.quorum) == (now.queue, now.quorum):
                yield f"{what} is asked for with other tools than before: {_flat(now)}"
            else:
                yield f"{_people(now)} is asked for {what} every time, was {_people(was)}"


def _people(rule: Rule) -> str:
    return people(f"{rule.queue}:{rule.quorum}")


def _gates(rules: dict[str, Rule], id: str) -> tuple[str, int] | None:
    return (rules[id].queue, rules[id].quorum) if id in rules else None


# --- rules by themselves -------------------------------------------------------------------------


def _by_text(before: dict[str, Rule], after: dict[str, Rule], told: set[str]) -> Iterator[str]:
    for id in sorted((before.keys() | after.keys()) - told):
        was, now = before.get(id), after.get(id)
        if was is None and now is not None:
            yield f"adds the {now.effect} {_named(now)}: {_flat(now)}"
        elif was is not None and now is None:
            yield f"removes the {was.effect} {_named(was)}: {_flat(was)}"
        elif was is not None and now is not None and was.text_hash != now.text_hash:
            effect = was.effect if was.effect == now.effect else f"{was.effect} to a {now.effect}"
            gate = ""
            if (was.queue, was.quorum) != (now.queue, now.quorum):
                gate = f"; asked of {_gate(was)} before, of {_gate(now)} now"
            yield f"changes the {effect} {_named(now)}{gate}: was {_flat(was)} now {_flat(now)}"


def _named(rule: Rule) -> str:
    """A rule by its id and file; one that was generated also by what it is for."""
    comment = _COMMENT.findall(rule.text) if rule.file.startswith(_GENERATED) else []
    said = f", {comment[0].strip('/ .')}" if comment else ""
    return f"`{rule.id}` ({rule.file}{said})"


_GENERATED = RUBRIC.partition("/")[0] + "/"


def _gate(rule: Rule) -> str:
    return f"{rule.queue}:{rule.quorum}" if rule.queue else "nobody"


def _flat(rule: Rule) -> str:
    """A rule's text on one line, without its comments."""
    return " ".join(_COMMENT.sub("", rule.text).split())


def _own(agent: str, rules: dict[str, Rule], kind: str) -> set[str]:
    """The ids of the rules that an agent's manifest means, of a kind or all."""
    prefix = f"{agent}.{kind}"
    own = (id for id, rule in rules.items() if rule.file == agent_file(agent))
    return {id for id in own if id.startswith(prefix)}


def _by_id(book: RuleBook) -> dict[str, Rule]:
    return {rule.id: rule for rule in book.rules}
