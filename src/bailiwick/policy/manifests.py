"""Manifests and the default rubric, written out as Cedar that people can read.

The rubric holds for every agent: reads and low-risk writes where the manifest grants them; money by
amount, and asked for where no tier says how much; outbound messages drafted, then approved; code by
approval; deletion and permission changes by people only, unless the manifest names who approves
them; nothing over budget. What a manifest may say beside its lists of tools:

    actions_require_approval: [mail.send]      # tools, `prefix.*` or groups
    approvals:                                 # who answers; without it, one of `approvers`
      default: approvers:1
      destructive: admins:2                    # a group, a tool, `draft` or `over_budget`
    tiers:
      - {on: money, unit: USD, auto_up_to: "50.00",
         then: [{up_to: "500.00", approval: finance:1}, {approval: finance:2}]}
      - {on: outbound, unit: recipients, auto_up_to: 5, then: [{approval: comms:1}]}
    destinations: [example.com, "address:a@b.example", "channel:C012"]   # nothing goes elsewhere
    deny_when: [new_payee]                     # facts that are true or false
    people_only: [payments.void]               # further tools or groups

An amount is a decimal text in the major unit or an integer in the minor one. A tier's unit is a
currency (another one is refused) or the name of a Long fact. Above the last step nothing passes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cedarpy import format_policies
from msgspec import Struct

from bailiwick.nouns import Manifest, Tool
from bailiwick.policy.findings import Finding
from bailiwick.policy.rules import parse_queue
from bailiwick.policy.schema import BOOL, Shape, quoted
from bailiwick.policy.tiers import BadManifest, Tier, is_named, read_tiers, selects
from bailiwick.vocabulary import GROUPS

RUBRIC = "generated/rubric.cedar"
DEFAULT_QUEUE = "approvers:1"
PEOPLE_ONLY = ("destructive", "permission")

_WIDTH = 100

# These are endpoints: the finer part of a destination, which is a domain.
_EXACT = ("address:", "webhook:")

_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class CedarText(Struct):
    """Cedar in the writing: the rules so far, each with a comment, an id and its gate."""

    rules: list[str]

    def __str__(self) -> str:
        return format_policies("\n".join(self.rules), _WIDTH, 2)

    def forbid(
        self,
        comment: str,
        id: str,
        scope: str,
        *,
        when: str = "",
        unless: str = "",
        queue: str = "",
    ) -> None:
        """Add a forbid; with a queue, one that people may satisfy."""
        lines = [f"// {comment}", f"@id({quoted(id)})"]
        if queue:
            lines.append(f"@approval({quoted(queue)})")
        lines.append(f"forbid ({scope})")
        if when:
            lines.append(f"when {{ {when} }}")
        if unless:
            lines.append(f"unless {{ {unless} }}")
        if queue:
            name = quoted(id)
            lines.append(f"unless {{ context.approvals has {name} && context.approvals[{name}] }}")
        self.rules.append("\n".join(lines) + ";\n")


def write_policy(
    manifests: Mapping[str, Manifest], shapes: Mapping[str, Shape]
) -> tuple[dict[str, str], list[Finding]]:
    """Write the rubric and every manifest as Cedar: file name to text, and what cannot be meant."""
    files = {RUBRIC: _rubric(manifests, shapes)}
    findings: list[Finding] = []
    for name, manifest in sorted(manifests.items()):
        file = f"agents/{name}.yaml"
        text = CedarText([])
        try:
            if not _AGENT.fullmatch(name):
                raise BadManifest(
                    "name", f"`{name}` cannot name an agent", "use letters, digits, . _ -"
                )
            _agent(text, manifest, _granted(manifest, shapes), shapes)
        except BadManifest as wrong:
            findings.append(
                Finding(file=file, rule=wrong.member, reason=wrong.reason, help=wrong.help)
            )
            continue
        files[agent_file(name)] = str(text)
    return files, findings


def agent_file(agent: str) -> str:
    """The file of the rules that an agent's manifest means."""
    return f"generated/agents/{agent}.cedar"


def tier_id(agent: str, tier: Tier) -> str:
    """What the ids of a tier's rules begin with."""
    return f"{agent}.tier.{tier.on}.{tier.unit}".replace("*", "all")


def _granted(manifest: Manifest, shapes: Mapping[str, Shape]) -> list[Tool]:
    granted: set[str] = set()
    for entry in manifest.tools:
        matching = [name for name in shapes if is_named(entry, name)]
        if not matching:
            raise BadManifest(
                "tools_allowlist",
                f"`{entry}` names no tool of the catalogue",
                "name a tool, or `prefix.*`",
            )
        granted.update(matching)
    return [shapes[name].tool for name in sorted(granted)]


# --- the rubric ----------------------------------------------------------------------------------


def _rubric(manifests: Mapping[str, Manifest], shapes: Mapping[str, Shape]) -> str:
    text = CedarText([])
    groups = {group for shape in shapes.values() for group in shape.groups}
    if "money" in groups:
        text.forbid(
            "No amount of money is negative.",
            "rubric.negative-value",
            'principal, action in Action::"money", resource',
            when="context.facts.value < 0",
        )
    people_only = [group for group in PEOPLE_ONLY if group in groups]
    if people_only:
        names = ", ".join(f"Action::{quoted(group)}" for group in people_only)
        text.forbid(
            "Deletion and permission changes are for people, except where a manifest names who"
            " approves them.",
            "rubric.people-only",
            f"principal, action in [{names}], resource",
            unless=" || ".join(_approved_pairs(manifests, shapes)),
        )
    lifting = [name for name, manifest in sorted(manifests.items()) if _lifts(manifest)]
    if shapes:
        text.forbid(
            "Nothing goes over budget, except where a manifest names who may lift it.",
            "rubric.over-budget",
            "principal, action, resource",
            when="context.facts.over_budget",
            unless=" || ".join(f"principal == Agent::{quoted(name)}" for name in lifting),
        )
    return str(text)


def _approved_pairs(manifests: Mapping[str, Manifest], shapes: Mapping[str, Shape]) -> list[str]:
    """The agents that ask for deletion or permission changes, each with the tools."""
    pairs = []
    for name, manifest in sorted(manifests.items()):
        approvals = manifest.source.get("approvals")
        if not isinstance(approvals, Mapping):
            continue
        tools = [
            shape.tool
            for shape in shapes.values()
            if (kept := [trait for trait in shape.tool.traits if trait in PEOPLE_ONLY])
            and (shape.tool.name in approvals or all(trait in approvals for trait in kept))
        ]
        if tools:
            pairs.append(f"principal == Agent::{quoted(name)} && action in {_actions(tools)}")
    return pairs


def _lifts(manifest: Manifest) -> bool:
    approvals = manifest.source.get("approvals")
    named = isinstance(approvals, Mapping) and "over_budget" in approvals
    return named or manifest.asks_over_budget


# --- an agent ------------------------------------------------------------------------------------


def _agent(
    text: CedarText, manifest: Manifest, granted: Sequence[Tool], shapes: Mapping[str, Shape]
) -> None:
    name = manifest.name
    queues = _queues(manifest, shapes)
    tiers = read_tiers(manifest, granted, shapes)
    if granted:
        text.rules.append(
            f"// What {name} may do, where nothing below or in the rubric stands against it.\n"
            f"@id({quoted(f'{name}.may')})\n"
            f"permit ({_scope(name, granted)});\n"
        )
    if len(granted) < len(shapes):
        text.forbid(
            f"What the manifest of {name} does not name is refused, whatever else permits it.",
            f"{name}.only",
            f"principal == Agent::{quoted(name)}, action, resource",
            unless=f"action in {_actions(granted)}" if granted else "",
        )
    always = _asks(text, manifest, granted, tiers, queues)
    _draft(text, name, [tool for tool in granted if tool.name not in always], queues)
    for tier in tiers:
        _tier(text, name, tier)
    _currencies(text, name, tiers)
    _destinations(text, manifest, granted, shapes)
    _deny_when(text, manifest, granted, shapes)
    _people_only(text, manifest, granted, queues, shapes)
    if "over_budget" in queues:
        text.forbid(
            "Over budget only when people lift it for this one action.",
            f"{name}.over-budget",
            f"principal == Agent::{quoted(name)}, action, resource",
            when="context.facts.over_budget",
            queue=queues["over_budget"],
        )


def _asks(
    text: CedarText,
    manifest: Manifest,
    granted: Sequence[Tool],
    tiers: Sequence[Tier],
    queues: Mapping[str, str],
) -> set[str]:
    """Write the rules that ask for every use of a tool, one for each reason; give the tools."""
    rules: dict[str, tuple[str, list[Tool]]] = {}
    for tool in granted:
        reasons = list(_reasons(manifest, tool, tiers, queues))
        if reasons and tool.name in queues:
            chosen = [(tool.name, queues[tool.name])]
        else:
            named = {queues[reason]: reason for reason in reversed(reasons) if reason in queues}
            chosen = [(reason, queue) for queue, reason in named.items()]
            if reasons and not chosen:
                chosen = [(reasons[0], queues["default"])]
        for reason, queue in chosen:
            rules.setdefault(reason, (queue, []))[1].append(tool)
    for reason, (queue, tools) in sorted(rules.items()):
        text.forbid(
            f"Asked for every time: {reason}.",
            f"{manifest.name}.asks.{reason.replace('*', 'all')}",
            _scope(manifest.name, tools),
            queue=queue,
        )
    for entry in manifest.require_approval:
        if not any(selects(entry, tool) for tool in granted):
            raise BadManifest(
                "actions_require_approval",
                f"`{entry}` names no tool that the agent has",
                "name a tool of tools_allowlist, `prefix.*` or a group",
            )
    return {tool.name for _, tools in rules.values() for tool in tools}


def _draft(text: CedarText, agent: str, tools: Sequence[Tool], queues: Mapping[str, str]) -> None:
    """Write that in mode draft each write is asked for, where it is not always asked for anyway."""
    writes = [tool for tool in tools if tool.effect == "write"]
    if writes:
        text.forbid(
            "In mode draft every write is asked for.",
            f"{agent}.draft",
            _scope(agent, writes),
            when='context.mode == "draft"',
            queue=queues.get("draft", queues["default"]),
        )


def _reasons(
    manifest: Manifest, tool: Tool, tiers: Sequence[Tier], queues: Mapping[str, str]
) -> Iterator[str]:
    """Why every use of a tool is asked for, the weightiest first."""
    yield from (entry for entry in manifest.require_approval if selects(entry, tool))
    for trait in PEOPLE_ONLY:
        if trait in tool.traits and not (trait in queues or tool.name in queues):
            return  # for people only: nobody is asked
        if trait in tool.traits:
            yield trait
    covering = [tier for tier in tiers if tool.name in tier.names]
    if "code" in tool.traits:
        yield "code"
    if "outbound" in tool.traits and not any(tier.unit == "recipients" for tier in covering):
        yield "outbound"
    if "money" in tool.traits and not any(tier.is_money for tier in covering):
        yield "money"
    if tool.effect == "write" and (tool.gated or not (tool.reverser or tool.reader)):
        yield "gated"


def _tier(text: CedarText, agent: str, tier: Tier) -> None:
    fact = "context.facts.value" if tier.is_money else f"context.facts.{tier.unit}"
    same = f"context.facts.currency == {quoted(tier.unit)} && " if tier.is_money else ""
    id, scope = tier_id(agent, tier), _scope(agent, tier.tools)
    for number, (above, up_to, queue) in enumerate(tier.steps, start=1):
        end = f" && {fact} <= {up_to}" if up_to is not None else ""
        text.forbid(
            f"{tier.unit} above {above}" + (f", up to {up_to}." if up_to is not None else "."),
            f"{id}.{number}",
            scope,
            when=f"{same}{fact} > {above}{end}",
            queue=queue,
        )
    if tier.limit is not None:
        text.forbid(
            f"{tier.unit} above {tier.limit} never.",
            f"{id}.limit",
            scope,
            when=f"{same}{fact} > {tier.limit}",
        )


def _currencies(text: CedarText, agent: str, tiers: Sequence[Tier]) -> None:
    """Write that a tier's currency is the only one, for the tools it covers."""
    by_tools: dict[str, list[Tier]] = {}
    for tier in tiers:
        if tier.is_money:
            by_tools.setdefault(tier.on, []).append(tier)
    for on, same in sorted(by_tools.items()):
        units = " || ".join(f"context.facts.currency == {quoted(tier.unit)}" for tier in same)
        text.forbid(
            "An amount in another currency than the tier's is refused.",
            f"{agent}.currency.{on.replace('*', 'all')}",
            _scope(agent, same[0].tools),
            unless=units,
        )


def _destinations(
    text: CedarText, manifest: Manifest, granted: Sequence[Tool], shapes: Mapping[str, Shape]
) -> None:
    allowed = _texts(manifest, "destinations")
    if allowed is None:
        return
    tools = [tool for tool in granted if "destinations" in shapes[tool.name].facts]
    if not tools:
        raise BadManifest(
            "destinations", "no tool of the agent has destinations", "remove the list"
        )
    exact = [entry for entry in allowed if entry.startswith(_EXACT)]
    knowing = [tool for tool in tools if "endpoints" in shapes[tool.name].facts]
    if exact and not knowing:
        raise BadManifest(
            "destinations",
            f"no tool of the agent tells whether it goes to `{exact[0]}`",
            "declare the `destination_kind` of the tool that does",
        )
    listed = f"[{', '.join(map(quoted, allowed))}]"
    facts = "context.facts.destinations"
    inside = f"{listed}.containsAll({facts})" if allowed else f"{facts}.isEmpty()"
    others = [tool for tool in tools if not (exact and tool in knowing)]
    if others:
        text.forbid(
            "Nothing is sent elsewhere.",
            f"{manifest.name}.destinations",
            _scope(manifest.name, others),
            unless=inside,
        )
    if exact:
        text.forbid(
            "Nothing is sent elsewhere: to these domains, or else to exactly these.",
            f"{manifest.name}.endpoints",
            _scope(manifest.name, knowing),
            unless=f"{inside} || {listed}.containsAll(context.facts.endpoints)",
        )


def _deny_when(
    text: CedarText, manifest: Manifest, granted: Sequence[Tool], shapes: Mapping[str, Shape]
) -> None:
    for fact in _texts(manifest, "deny_when") or ():
        having = [tool for tool in granted if fact in shapes[tool.name].facts]
        if not having or any(shapes[tool.name].facts[fact].type != BOOL for tool in having):
            raise BadManifest(
                "deny_when",
                f"`{fact}` is no fact that is true or false for a tool of the agent",
                "name a Bool fact, or write the rule in policies/",
            )
        text.forbid(
            f"Refused when {fact}.",
            f"{manifest.name}.deny.{fact}",
            _scope(manifest.name, having),
            when=f"context.facts.{fact}",
        )


def _people_only(
    text: CedarText,
    manifest: Manifest,
    granted: Sequence[Tool],
    queues: Mapping[str, str],
    shapes: Mapping[str, Shape],
) -> None:
    entries = _texts(manifest, "people_only") or ()
    for entry in entries:
        if entry in queues:
            raise BadManifest(
                "people_only", f"`{entry}` stands in approvals too", "take it out of one of them"
            )
        if entry not in GROUPS and not any(is_named(entry, name) for name in shapes):
            raise BadManifest(
                "people_only",
                f"`{entry}` names no tool of the catalogue",
                "name a tool, `prefix.*` or a group",
            )
    kept = [tool for tool in granted if any(selects(entry, tool) for entry in entries)]
    if kept:
        text.forbid(
            "People do this themselves.",
            f"{manifest.name}.people-only",
            _scope(manifest.name, kept),
        )


# --- reading -------------------------------------------------------------------------------------


def _queues(manifest: Manifest, shapes: Mapping[str, Shape]) -> dict[str, str]:
    approvals = manifest.source.get("approvals", {})
    if not isinstance(approvals, Mapping):
        raise BadManifest("approvals", "is no mapping", "write `tool or group: queue:quorum`")
    queues = {"default": DEFAULT_QUEUE}
    for name, queue in approvals.items():
        if name not in (*GROUPS, "default", "draft", "over_budget") and name not in shapes:
            raise BadManifest("approvals", f"`{name}` is no tool and no group", "name one of them")
        if not isinstance(queue, str) or parse_queue(queue) is None:
            raise BadManifest(
                "approvals", f"`{queue}` names no queue and quorum", 'write "finance:2", say'
            )
        queues[name] = queue
    if manifest.asks_over_budget:
        queues.setdefault("over_budget", queues["default"])
    return queues


def _texts(manifest: Manifest, member: str) -> list[str] | None:
    entries = manifest.source.get(member)
    if entries is None:
        return None
    if isinstance(entries, Sequence) and not isinstance(entries, str):
        texts = [entry for entry in entries if isinstance(entry, str)]
        if len(texts) == len(entries):
            return texts
    raise BadManifest(member, "is no list of texts", f"write `{member}: [first, second]`")


def _scope(agent: str, tools: Sequence[Tool]) -> str:
    return f"principal == Agent::{quoted(agent)}, action in {_actions(tools)}, resource"


def _actions(tools: Iterable[Tool]) -> str:
    return "[" + ", ".join(f"Action::{quoted(tool.name)}" for tool in tools) + "]"
