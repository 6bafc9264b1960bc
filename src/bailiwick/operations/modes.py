"""Modes: how far an agent may go with a tool. Tightening takes effect at once, by one person."""

from typing import cast

from bailiwick import ledger, limits
from bailiwick.errors import ControlError
from bailiwick.nouns import MODES, Mode, ModeSetting, Person, mode_of, names_tool
from bailiwick.operations.changes import Consent, Parameters, change, pseudonyms, second_person
from bailiwick.operations.channel import text_of
from bailiwick.ports import Bundle, World
from bailiwick.transactions import Append
from bailiwick.values import JSON, did_you_mean, shown

_QUIET_S = 1.0


async def mode_list(world: World, person: Person, _: Parameters) -> JSON:
    """Every agent's mode with each tool it has, by its manifest and by what was set since."""
    control = await world.store.control(person.tenant)
    bundle = await world.bundle(person.tenant, control.release)
    rows: list[JSON] = []
    for agent, manifest in sorted(bundle.manifests.items()):
        granted = [
            tool
            for tool in sorted(bundle.catalogue.tools)
            if any(names_tool(entry, tool) for entry in manifest.tools)
        ]
        for tool in granted:
            stands = [
                each
                for each in control.modes
                if each.agent == agent and names_tool(each.tool, tool) and each.mode != "live"
            ]
            set_by = min(stands, key=lambda each: MODES.index(each.mode), default=None)
            rows.append(
                {
                    "agent": agent,
                    "tool": tool,
                    "mode": mode_of(
                        tool, (agent,), manifests=bundle.manifests, settings=control.modes
                    ),
                    "manifest": mode_of(tool, (agent,), manifests=bundle.manifests),
                    "set": set_by.mode if set_by else None,
                    "set_for": set_by.tool if set_by else None,
                    "by": (set_by.by or "the runtime") if set_by else None,
                    "reason": set_by.reason if set_by else None,
                    "since_us": set_by.since_us if set_by else None,
                }
            )
    return rows


async def mode_set(world: World, person: Person, given: Parameters) -> JSON:
    """Set an agent's mode with a tool, `prefix.*` or `*`; a looser one takes two people.

    When a tighter one returns, no new intent commits under the old one; in read-only and shadow
    no new write begins either, if `quiet` says so.
    """
    agent, tool, mode = text_of(given, "agent"), text_of(given, "tool"), text_of(given, "mode")
    state = await world.store.control(person.tenant)
    _known(await world.bundle(person.tenant, state.release), agent, tool)
    setting = ModeSetting(
        agent=agent,
        tool=tool,
        mode=cast("Mode", mode),
        by=person.name,
        reason=text_of(given, "reason", ""),
        since_us=await world.store.now_us(),
    )
    ops = limits.mode_ops(setting)
    found = [each.mode for each in state.modes if (each.agent, each.tool) == (agent, tool)]
    was: Mode = found[0] if found else "live"
    consent: Consent | dict[str, JSON] = Consent((person.name,), epoch=state.epoch)
    if limits.is_tighter(was, setting.mode):
        body: dict[str, JSON] = {"agent": agent, "tool": tool, "mode": mode}
        consent = await second_person(world, person, "mode set", body, state.epoch)
    if isinstance(consent, dict):
        return consent
    by = pseudonyms(world, consent.by)

    def record(epoch: int, _: int) -> tuple[Append, ...]:
        return (ledger.mode_set(person.tenant, setting, epoch, by),)

    epoch = await change(world, consent, "mode set", ops, record)
    quiet = await world.egress.quiet(_QUIET_S)
    return {"epoch": epoch, "agent": agent, "tool": tool, "mode": mode, "was": was, "quiet": quiet}


def _known(bundle: Bundle, agent: str, tool: str) -> None:
    """Refuse a setting that would bind nobody: a misspelt one would be taken for a bound."""
    tools = bundle.catalogue.tools
    for what, name, known, found in (
        ("agent", agent, bundle.manifests, agent in bundle.manifests),
        ("tool", tool, tools, any(names_tool(tool, each) for each in tools)),
    ):
        if not found:
            raise ControlError(
                f"there is no {what} `{shown(name)}` in the active release",
                code=f"{what}_unknown",
                help=did_you_mean(name, known, f"known are {', '.join(sorted(known))}"),
            )
