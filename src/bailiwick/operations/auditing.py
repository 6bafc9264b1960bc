"""Verifying the ledger against itself and against the database that it speaks of.

The tree is recomputed from the records and compared with its stored nodes and its signed head. Then
every action, vote, account and the control epoch are compared with what their records say, so that
a changed row is found, and a record that was removed before it got its place in the tree.

It may run beside a working owner: what seems wrong is looked at again before it is told.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from bailiwick import ledger
from bailiwick.errors import BadInput, LedgerError
from bailiwick.ledger import note, records, tree
from bailiwick.nouns import Action, Record, Vote
from bailiwick.operations.approvals import STATES, signature_hash
from bailiwick.operations.changes import named
from bailiwick.operations.keeping import held_as
from bailiwick.operations.mandates import BEGINNING, ENDING, REVIEWED, recorded_as
from bailiwick.ports import ControlState, World
from bailiwick.values import JSON, counted, shown

NO_WITNESS = (
    "no witness: whoever holds the log's key and the database could have rewritten the whole log"
    " and signed it again, and this would not show; keep exports, or checkpoints, elsewhere"
)

_PAGE = 1000
_EVERY = 2**31
_LOOKS = 3
_OUTCOMES = ("done", "failed", "unknown")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A record as the audit reads it: where it stands, its leaf hash and its members."""

    seq: int
    index: int | None
    hash: str
    fields: Mapping[str, JSON]

    @property
    def name(self) -> str:
        """How it is called in a finding."""
        return (
            f"record {self.index}" if self.index is not None else f"unsequenced record {self.seq}"
        )

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.fields["kind"])


class Audit(msgspec.Struct, kw_only=True):
    """What was found: each finding names the record, action, vote or account and the reason."""

    size: int = 0
    root: str = ""
    signed: int = 0
    said: list[Said] = []
    actions: int = 0
    erased: set[int] = set()
    findings: list[tuple[str, str]] = []
    witness: str = ""

    def find(self, what: str, reason: str) -> None:
        """Keep a finding."""
        self.findings.append((what, reason))


async def audit(world: World) -> dict[str, JSON]:
    """Verify everything. Nothing is written; a fault of the data is a finding.

    The log is the database's, and read as a whole. What other tenants' rows say is verified where
    the keys are that name people and things in their records.
    """
    tenant = world.settings.tenant
    for _ in range(_LOOKS):
        before = await world.store.control(tenant)
        found = await _audited(world, before)
        # A control change in between is no finding: look again.
        if await world.store.epoch(tenant) == before.epoch:
            break
    others = {*await world.due.tenants()} - {tenant}
    return {
        "verified": not found.findings,
        "size": found.size,
        "root": found.root,
        "signed": found.signed,
        "unsequenced": sum(said.index is None for said in found.said),
        "actions": found.actions,
        "other_tenants": len(others),
        "findings": [{"what": what, "reason": reason} for what, reason in found.findings],
        "witness": found.witness or NO_WITNESS,
    }


async def _audited(world: World, state: ControlState) -> Audit:
    found = Audit()
    # Read first: what gets its leaf meanwhile is then seen twice, rather than not at all.
    waiting = await world.ledger.unsequenced(_EVERY)
    await _tree(world, found)
    sequenced = {said.seq for said in found.said}
    for record in waiting:
        if record.seq not in sequenced:
            _read(found, record)
    tenant = state.tenant
    by_action: dict[str, list[Said]] = {}
    for said in found.said:
        if isinstance(said.fields.get("action"), str) and said.fields["tenant"] == tenant:
            by_action.setdefault(str(said.fields["action"]), []).append(said)
    await _actions(world, found, tenant, by_action)
    await _votes(world, found, tenant, by_action)
    _control(found, state)
    _switches(world, found, state)
    _modes(found, state)
    await _mandates(world, found, tenant)
    await _people(world, found, tenant)
    return found


# --- the tree ------------------------------------------------------------------------------------


async def _tree(world: World, found: Audit) -> None:
    """Read all records in the tree's order; compare leaves, nodes, root and the signed head."""
    found.size = await world.ledger.tree_size()
    head = await _head(world, found)
    heads = {each.size: each for each in (await _cosigned(world, found), head) if each is not None}
    frontier = tree.Frontier()
    if 0 in heads:
        _compare_root(found, heads[0], frontier)
    first = 0
    while first < found.size:
        limit = min(_PAGE, found.size - first)
        limit = min(limit, *(size - first for size in heads if size > first), limit)
        page = {r.leaf_index: r for r in await world.ledger.records(first, limit)}
        leaves = []
        for index in range(first, first + limit):
            record = page.get(index)
            if record is None or not record.body:
                found.find(f"record {index}", "it was removed")
            else:
                _read(found, record)
            leaves.append(tree.leaf_hash(record.body if record else b""))
        frontier, inner = tree.append(frontier, leaves)
        outer = [(0, first + i, leaf) for i, leaf in enumerate(leaves)]
        await _compare_nodes(world, found, [*outer, *inner])
        first += limit
        if first in heads:
            _compare_root(found, heads[first], frontier)
    found.root = tree.root(frontier).hex()


async def _head(world: World, found: Audit) -> note.Checkpoint | None:
    """The newest signed head, if its signature holds and the tree has not shrunk below it."""
    kept = await world.ledger.checkpoint()
    if kept is None:
        if found.size:
            found.find("checkpoint", f"there is none for a tree of {counted(found.size, 'record')}")
        return None
    try:
        head = note.verify_checkpoint(kept[1].encode(), await ledger.keys_at(world, kept[0]))
    except LedgerError as fault:
        found.find(f"checkpoint {kept[0]}", fault.message)
        return None
    found.signed = head.size
    if head.size != kept[0]:
        found.find(f"checkpoint {kept[0]}", f"it was signed for a tree of {head.size}")
    if head.size > found.size:
        found.find(
            "tree",
            f"it has {counted(found.size, 'record')}, fewer than the {head.size} that were signed:"
            " records were removed, or an older backup was restored",
        )
    return head


async def _cosigned(world: World, found: Audit) -> note.Checkpoint | None:
    """The newest head that the witness cosigned, if there is a witness and its word holds."""
    if world.witness is None:
        return None
    name = shown(world.witness.name)
    kept = await world.ledger.checkpoint(cosigned=True)
    if kept is None:
        found.witness = f"the witness `{name}` has cosigned nothing yet; {NO_WITNESS}"
        return None
    key = note.parse_vkey(world.witness.vkey)
    try:
        keys = await ledger.keys_at(world, kept[0])
        head = note.verify_checkpoint(kept[1].encode(), keys, [key])
    except LedgerError as fault:
        found.find(f"cosigned checkpoint {kept[0]}", fault.message)
        return None
    later = found.size - head.size
    found.witness = f"the witness `{name}` cosigned {head.size} records" + (
        f"; nobody else vouches for the {later} after them" if later else ""
    )
    return head


async def _compare_nodes(
    world: World, found: Audit, computed: Sequence[tuple[int, int, bytes]]
) -> None:
    stored = await world.ledger.nodes([(level, index) for level, index, _ in computed])
    for level, index, hash in computed:
        kept = stored.get((level, index))
        if kept == hash:
            continue
        what = f"record {index}" if level == 0 else f"node {index} of level {level}"
        if kept is None:
            found.find(what, "its hash is missing from the tree")
        elif level == 0:
            found.find(what, "its bytes do not give the hash that the tree has")
        else:
            found.find(what, "it is not the hash of the nodes below it")


def _compare_root(found: Audit, head: note.Checkpoint, frontier: tree.Frontier) -> None:
    if tree.root(frontier) != head.root:
        reason = "the records do not give the root that was signed"
        found.find(f"checkpoint {head.size}", reason)


def _read(found: Audit, record: Record) -> None:
    hash = tree.leaf_hash(record.body).hex()
    try:
        fields = cast("Mapping[str, JSON]", records.decode(record.body))
    except (LedgerError, BadInput) as fault:
        fields = {"kind": "damaged"}
        said = Said(seq=record.seq, index=record.leaf_index, hash=hash, fields=fields)
        found.find(said.name, fault.message)
        return
    found.said.append(Said(seq=record.seq, index=record.leaf_index, hash=hash, fields=fields))


# --- the rows ------------------------------------------------------------------------------------


async def _actions(
    world: World,
    found: Audit,
    tenant: str,
    by_action: Mapping[str, Sequence[Said]],
) -> None:
    seen: set[str] = set()
    before = None
    while page := await world.register.actions(tenant, (), _PAGE, before):
        for action in page:
            seen.add(action.id)
            if action.erased is not None:
                found.erased.add(action.erased.epoch)
            reasons = list(_wrong(world, action, by_action.get(action.id, ())))
            if reasons:
                reasons = await _looked_again(world, action)
            found.findings += [(f"action {action.id}", reason) for reason in reasons]
        before = page[-1].id
    found.actions = len(seen)
    for id in by_action.keys() - seen:
        for said in by_action[id]:
            found.find(said.name, f"it speaks of action {shown(id)}, which is not there")


async def _looked_again(world: World, action: Action) -> list[str]:
    """What is wrong with an action that holds still: it may have moved since it was read."""
    reasons: list[str] = []
    row: Action | None = action
    for _ in range(_LOOKS):
        stored = await world.ledger.records(0, 0, of=(action.tenant, action.id))
        now = await world.store.action(action.tenant, action.id)
        if now is None:
            return ["it was removed while it was looked at"]
        heard = Audit()
        for record in stored:
            _read(heard, record)
        reasons = list(_wrong(world, now, heard.said))
        if not reasons or (row is not None and row.version == now.version):
            break
        row = now
    return reasons


def _wrong(world: World, action: Action, said: Sequence[Said]) -> Iterator[str]:
    """Why an action's row and its records cannot both be right."""
    told = [each for each in said if each.kind != "vote"]
    last = max(told, key=lambda each: each.seq, default=None)
    if last is None:
        yield f"it is {action.state}, and no record says so"
        return
    yield from _state(action, last)
    intents = {each.hash for each in told if each.kind == "intended"}
    if action.intent_hash is not None and action.intent_hash not in intents:
        yield "the record of its intent is missing, or is not the one it was committed with"
    if action.intent_hash is None and intents:
        yield "a record intends it, and the row knows of no intent"
    for each in told:
        intent = each.fields.get("intent_hash")
        if intent is not None and intent not in intents:
            yield f"{each.name} is the outcome of an intent that is not there"
        yield from _identity(world, action, each)


def _state(action: Action, last: Said) -> Iterator[str]:
    """Whether the row's state is what the newest record says."""
    kinds = {
        "parked": ("parked",),
        "intended": ("intended",),
        "refused": ("refused",),
        "denied": ("refused",),
        **dict.fromkeys(_OUTCOMES, ("concluded", "resolved")),
    }
    fields = last.fields
    if last.kind not in kinds[action.state]:
        yield f"it is {action.state}, but its newest record, {last.name}, is {last.kind}"
    elif action.state in _OUTCOMES and fields["status"] != action.state:
        yield f"it is {action.state}, but {last.name} says {fields['status']}"
    elif last.kind == "concluded" and fields["verdict"] != action.verdict:
        yield f"its verdict is {action.verdict}, but {last.name} says {fields['verdict']}"
    elif last.kind == "concluded" and fields["intent_hash"] != action.intent_hash:
        yield f"{last.name} concludes another intent"


def _identity(world: World, action: Action, said: Said) -> Iterator[str]:
    """Whether row and record speak of the same agent, tool, run and subject."""
    subject = ledger.pseudonym(world, action.tenant, "subject", action.subject)
    own = {
        "agent": action.agent,
        "subject": subject,
        "run": action.run,
        "tool": action.tool,
    }
    for name, value in own.items():
        if said.fields.get(name, value) not in (value, None):
            yield f"its {name} is not the one that {said.name} names"


async def _votes(
    world: World, found: Audit, tenant: str, by_action: Mapping[str, Sequence[Said]]
) -> None:
    """Every stored vote has its record."""
    for asked in await world.register.approvals(tenant, STATES):
        for vote in asked.votes:
            hashes = _hashes(by_action.get(asked.action, ()))
            if _signed(vote) not in hashes:
                fresh = Audit()
                for record in await world.ledger.records(0, 0, of=(tenant, asked.action)):
                    _read(fresh, record)
                hashes = _hashes(fresh.said)
            if _signed(vote) not in hashes:
                what = f"vote of {shown(vote.person)} on action {asked.action}"
                found.find(what, "no record says so")


def _hashes(said: Sequence[Said]) -> set[JSON]:
    return {each.fields["signature_hash"] for each in said if each.kind == "vote"}


def _signed(vote: Vote) -> str:
    try:
        return signature_hash(vote)
    except ValueError:
        return ""


def _control(found: Audit, state: ControlState) -> None:
    """Each epoch was begun by one recorded change; the active release is the recorded one."""
    mine = [said for said in found.said if said.fields.get("tenant") == state.tenant]
    begun = [said for said in mine if said.kind in ("control", "release")]
    times = Counter(said.fields["epoch"] for said in begun)
    what = f"control of tenant {shown(state.tenant)}"
    for epoch in range(2, state.epoch + 1):
        if times[epoch] != 1:
            by = counted(times[epoch], "record") if times[epoch] else "no record"
            found.find(what, f"epoch {epoch} was begun by {by}")
    for said in begun:
        if cast("int", said.fields["epoch"]) > state.epoch:
            found.find(said.name, f"it begins an epoch, but control stands at {state.epoch}")
    last = max((s for s in mine if s.kind == "release"), key=lambda s: s.seq, default=None)
    recorded = last.fields["digest"] if last else None
    if recorded != state.release:
        found.find(what, f"release {state.release} decides, but {recorded} is on record")


def _switches(world: World, found: Audit, state: ControlState) -> None:
    """What is stopped, revoked and disabled is what the recorded changes left."""
    stops: set[tuple[JSON, JSON]] = set()
    holds: set[tuple[JSON, JSON]] = set()
    erasures: set[JSON] = set()
    revoked: set[JSON] = set()
    enabled: dict[JSON, bool] = {}
    for said in sorted(found.said, key=lambda each: each.seq):
        fields = said.fields
        if said.kind != "control" or fields["tenant"] != state.tenant:
            continue
        place = (fields["scope"], fields["target"] or "")
        match fields["change"]:
            case "kill":
                stops.add(place)
            case "resume":
                stops.discard(place)
            case "revoke":
                revoked.add(fields["target"])
            case "vault-hold":
                holds.add(place)
            case "vault-release-hold":
                holds.discard(place)
            case "vault-erase" | "retention":
                erasures.add(fields["epoch"])
            case "agents-disable" | "agents-enable":
                enabled[fields["target"]] = fields["change"] == "agents-enable"
    now = {(stop.scope, named(world, stop.target)) for stop in state.stops}
    for scope, target in stops ^ now:
        reason = "is on record and not in force" if (scope, target) in stops else "is on no record"
        found.find(f"stop on {scope} {target}".rstrip(), f"it {reason}")
    kept = {
        ("run" if hold.kind == "run" else None, named(world, held_as(world, hold)))
        for hold in state.holds
    }
    if holds != kept:
        found.find("legal holds", "they are not the ones on record")
    for epoch in sorted(found.erased):
        if epoch not in erasures:
            found.find(f"erasure of epoch {epoch}", "no record says so")
    if revoked != {named(world, id) for id in state.revoked}:
        found.find("revocations", "they are not the ones on record")
    for agent, standing in state.standings.items():
        if enabled.get(named(world, agent), True) != standing.enabled:
            found.find(f"agent {shown(agent)}", "that it is enabled is not what is on record")


def _modes(found: Audit, state: ControlState) -> None:
    """Each mode that was set is the one that was last recorded."""
    recorded: dict[str, str] = {}
    for said in sorted(found.said, key=lambda each: each.seq):
        fields = said.fields
        if said.kind != "control" or fields["tenant"] != state.tenant:
            continue
        if str(fields["change"]).startswith("mode-"):
            recorded[str(fields["target"])] = str(fields["change"])
    now = {f"{each.agent}/{each.tool}": f"mode-{each.mode}" for each in state.modes}
    for target in sorted(recorded.keys() | now.keys()):
        if recorded.get(target) != now.get(target):
            found.find(f"mode of {shown(target)}", "it is not what is on record")


async def _mandates(world: World, found: Audit, tenant: str) -> None:
    """What people signed ahead is in force as it was recorded, and ended if that was."""
    mine = [said.fields for said in found.said if said.fields["tenant"] == tenant]
    control = [fields for fields in mine if fields["kind"] == "control"]
    begun = {fields["target"] for fields in control if fields["change"] in BEGINNING}
    ended = {fields["target"] for fields in control if fields["change"] in ENDING}
    reviewed = {fields["target"] for fields in control if fields["change"] == REVIEWED}
    for mandate in await world.mandates.signed(tenant):
        target = recorded_as(mandate)
        what = f"mandate {shown(mandate.statement.id)}"
        if target not in begun:
            found.find(what, "it is on no record, or is not the one that was signed")
        elif (mandate.ended_at_us is not None) != (target in ended):
            found.find(what, "that it runs, or was ended, is not what is on record")
        elif bool(mandate.reviewed_by) != (target in reviewed):
            found.find(what, "that it was reviewed is not what is on record")


async def _people(world: World, found: Audit, tenant: str) -> None:
    """Every account has the roles, the vote key and the queues that were last recorded for it."""
    last: dict[JSON, Said] = {}
    for said in sorted(found.said, key=lambda each: each.seq):
        if said.kind == "person" and said.fields["tenant"] == tenant:
            last[said.fields["person"]] = said
    for person in await world.register.people(tenant):
        recorded = last.get(ledger.pseudonym(world, tenant, "person", person.name))
        fields = recorded.fields if recorded else {}
        what = f"account {shown(person.name)}"
        if fields.get("roles") != (list(person.roles) if person.enabled else []):
            found.find(what, "its roles, or that it is enabled, are not what is on record")
        hash = records.account_hash(person.public_key, person.queues)
        if fields.get("account_hash") != hash:
            found.find(what, "its vote key, or its queues, are not what is on record")
