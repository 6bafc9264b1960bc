"""The doors of the store on one SQLite file. Reading is done in place; writing by the batch."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec

from bailiwick import ports, transactions
from bailiwick.nouns import (
    Action,
    Approval,
    Balance,
    Breaker,
    Cap,
    Listed,
    Person,
    Record,
    Release,
    Resource,
)
from bailiwick.nouns.mandates import Mandate
from bailiwick.nouns.notices import Notice
from bailiwick.store import statements as sql
from bailiwick.store.balances import bucket
from bailiwick.store.batch import Batch
from bailiwick.store.database import Database
from bailiwick.store.rows import (
    NOTICE_LEASE_US,
    approval_of,
    balance_of,
    change_of,
    current_buckets,
    decode_action,
    decode_approval,
    decode_json,
    decode_mandate,
    decode_mode,
    decode_notice,
    decode_person,
    decode_release,
    decode_standing,
    decode_stop,
    run_of,
    standing_holds,
)
from bailiwick.values import JSON

_LAST = "\U0010ffff"
# What is open or contradicted has an index of its own, which only its own statement can use.
_LISTS: Mapping[Listed, str] = {
    "parked": "open_actions",
    "intended": "open_actions",
    "unknown": "open_actions",
    "contradicted": "contradicted_actions",
}

# A ring can be missed: its process died between the commit and the ring, or the file was removed.
BELL_TRUST_S = 0.1


class SqliteStore:
    """The commit point, and what the spine reads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._controls: dict[str, ports.ControlState] = {}
        self._epochs: dict[str, tuple[bytes, int, float]] = {}

    async def now_us(self) -> int:
        return self._database.now_us()

    async def epoch(self, tenant: str) -> int:
        # Heard before it is read: a change in between is read now and heard next time. A process
        # that died between its commit and its ring is heard of when the trust runs out.
        heard, now = self._database.bell.heard(), time.monotonic()
        known = self._epochs.get(tenant)
        if known is None or known[0] != heard or now - known[2] > BELL_TRUST_S:
            row = self._database.one("control_row", {"tenant": tenant})
            known = self._epochs[tenant] = (heard, row[0] if row else 0, now)
        return known[1]

    async def control(self, tenant: str) -> ports.ControlState:
        known = self._controls.get(tenant)
        if known is None or known.epoch != await self.epoch(tenant):
            known = self._database.snapshot(lambda: self._control(tenant))
            self._controls[tenant] = known
        return known

    def _control(self, tenant: str) -> ports.ControlState:
        owner = {"tenant": tenant}
        row = self._database.one("control_row", owner) or (0, None)
        standings = [decode_standing(body) for (body,) in self._database.every("standings", owner)]
        return ports.ControlState(
            tenant=tenant,
            epoch=row[0],
            release=row[1],
            stops=tuple(decode_stop(body) for (body,) in self._database.every("stops", owner)),
            standings={standing.agent: standing for standing in standings},
            revoked=frozenset(id for (id,) in self._database.every("revoked", owner)),
            modes=tuple(decode_mode(body) for (body,) in self._database.every("modes", owner)),
            mandates=tuple(
                decode_mandate(body)
                for (body,) in self._database.every(
                    "running_mandates", {**owner, "now_us": self._database.now_us()}
                )
            ),
            holds=standing_holds(body for (body,) in self._database.every("legal_holds", owner)),
        )

    async def find(self, tenant: str, agent: str, subject: str, name: str) -> Action | None:
        row = self._database.one(
            "find_action", {"tenant": tenant, "agent": agent, "subject": subject, "name": name}
        )
        return decode_action(row[0]) if row else None

    async def action(self, tenant: str, id: str) -> Action | None:
        row = self._database.one("action_row", {"tenant": tenant, "id": id})
        return decode_action(row[0]) if row else None

    async def commit(
        self, commit: transactions.Commit
    ) -> transactions.Committed | transactions.Blocked:
        result = await self._database.write(lambda batch: batch.carry(commit))
        if isinstance(result, transactions.Blocked):
            if result.code == "epoch_moved":
                self._epochs.pop(commit.tenant, None)
            return result
        for op in commit.ops:
            if type(op) is transactions.MoveAction:
                self._database.waiting.tell(op.action.id)
            elif type(op) is transactions.MarkBreaker:
                self._database.forget_breaker(commit.tenant, op)
        return result

    async def changed(self, action: str, timeout_s: float) -> None:
        await self._database.waiting.wait(action, timeout_s)


class SqliteShelf:
    """What belongs to an action and a tenant beside its state."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def approval(self, tenant: str, action: str) -> Approval | None:
        row = self._database.one("approval_row", {"tenant": tenant, "action": action})
        return self._approval(tenant, action, row[1], row[2]) if row else None

    def _approval(self, tenant: str, action: str, state: str, body: bytes) -> Approval:
        digest = decode_approval(body).request_digest
        values = {"tenant": tenant, "action": action, "request_digest": digest}
        votes = [vote for (vote,) in self._database.every("votes", values)]
        return approval_of(state, body, votes)

    async def payload(self, tenant: str, action: str, kind: str) -> tuple[str, bytes] | None:
        values = {"tenant": tenant, "action": action, "kind": kind}
        row = self._database.one("own_payload", values)
        if row is None:
            return None
        body, sealed = row
        if not sealed:
            row = self._database.one("payload", values)
            if row is None:
                return None
            (sealed,) = row
        return decode_action(body).run, sealed

    async def run(self, tenant: str, run: str) -> ports.RunRow | None:
        row = self._database.one("run_row", {"tenant": tenant, "id": run})
        return run_of(*row) if row else None

    async def balances(self, tenant: str, caps: Sequence[Cap]) -> Sequence[Balance]:
        now_us = self._database.now_us()
        found = []
        for cap in caps:
            name = bucket(cap.period, now_us)
            row = self._database.balance((tenant, cap.node, cap.unit, name))
            found.append(
                Balance(node=cap.node, unit=cap.unit, bucket=name, spent=row[0], held=row[1])
            )
        return found

    async def breaker(self, tenant: str, target: str) -> Breaker | None:
        return self._database.breaker(tenant, target)

    async def touched_since(self, tenant: str, resource: Resource, since_us: int) -> Sequence[str]:
        values = {
            "tenant": tenant,
            "resource": f"{resource.type}:{resource.id}",
            "since_us": since_us,
        }
        return [id for (id,) in self._database.every("touched_since", values)]

    async def holder(self, tenant: str, key: str) -> str | None:
        row = self._database.one("effect_holder", {"tenant": tenant, "key": key})
        return row[0] if row else None


class SqliteRegister:
    """What people ask of the store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shelf = SqliteShelf(database)

    async def actions(
        self, tenant: str, states: Sequence[Listed], limit: int, before: str | None = None
    ) -> Sequence[Action]:
        page = {"tenant": tenant, "before": before or _LAST, "limit": limit}
        if not states:
            return [decode_action(body) for (body,) in self._database.every("actions_newest", page)]
        found = [
            decode_action(body)
            for state in states
            for (body,) in self._database.every(
                _LISTS.get(state, "actions_in_state"), {**page, "state": state}
            )
        ]
        return sorted(found, key=lambda action: action.id, reverse=True)[:limit]

    async def approvals(self, tenant: str, states: Sequence[str]) -> Sequence[Approval]:
        found = []
        for state in states:
            values = {"tenant": tenant, "state": state}
            for action, _, _ in self._database.every("approvals_in_state", values):
                approval = await self._shelf.approval(tenant, action)
                if approval is not None:
                    found.append(approval)
        return sorted(found, key=lambda approval: approval.action)

    async def people(self, tenant: str) -> Sequence[Person]:
        rows = self._database.every("people", {"tenant": tenant})
        return [decode_person(body) for (body,) in rows]

    async def secret(self, tenant: str, person: str) -> dict[str, JSON] | None:
        row = self._database.one("secret", {"tenant": tenant, "name": person})
        return decode_json(row[0]) if row else None

    async def releases(self, tenant: str) -> Sequence[Release]:
        rows = self._database.every("releases", {"tenant": tenant})
        return [decode_release(body) for (body,) in rows]

    async def changes(self, tenant: str) -> Sequence[transactions.PutChange]:
        values = {"tenant": tenant, "now_us": self._database.now_us()}
        return [change_of(*row) for row in self._database.every("changes", values)]

    async def spending(self, tenant: str) -> Sequence[Balance]:
        values = {"tenant": tenant, **current_buckets(self._database.now_us())}
        return [balance_of(*row) for row in self._database.every("spending", values)]


class SqliteMandates:
    """What people signed ahead of an action."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def signed(self, tenant: str) -> Sequence[Mandate]:
        rows = self._database.every("newest_mandates", {"tenant": tenant})
        return [decode_mandate(body) for (body,) in rows]

    async def uses(self, tenant: str, mandate: str) -> Sequence[str]:
        values = {"tenant": tenant, "mandate": mandate}
        return [action for (action,) in self._database.every("mandate_uses", values)]


class SqliteArchive:
    """What was decided, and by which release."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def proposals(
        self, tenant: str, limit: int, *, before: str, since: str = "", agent: str | None = None
    ) -> Sequence[ports.Proposed]:
        values = {
            "tenant": tenant,
            "before": before,
            "since": since,
            "agent": agent,
            "limit": limit,
        }
        rows = self._database.every("proposals", values)
        return [ports.Proposed(decode_action(body), sealed) for (body, sealed) in rows]

    async def activations(self, tenant: str) -> Sequence[Record]:
        rows = self._database.every("activations", {"tenant": tenant})
        return [Record(seq=seq, body=body) for (seq, body) in rows]


class SqliteOutbox:
    """Notices to people, written in the commit of what they tell of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, tenant: str, owner: str) -> Sequence[Notice]:
        now_us = self._database.now_us()
        values = {"tenant": tenant, "now_us": now_us}
        found = self._database.every("due_notices", values)
        if not found:
            return []

        def work(batch: Batch) -> list[Notice]:
            until = {**values, "until_us": now_us + NOTICE_LEASE_US}
            return [
                decode_notice(body)
                for id, body in found
                if sql.run(batch.connection, "lease_notice", {**until, "id": id})
            ]

        return await self._database.write(work)

    async def undelivered(self, tenant: str) -> Sequence[Notice]:
        rows = self._database.every("undelivered_notices", {"tenant": tenant})
        return [decode_notice(body) for (body,) in rows]


class SqliteLedger:
    """The stored side of the transparency log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unsequenced(self, limit: int) -> Sequence[Record]:
        rows = self._database.every("unsequenced", {"limit": limit})
        return [Record(seq=seq, body=body) for (seq, body) in rows]

    async def extend(
        self, old_size: int, records: Sequence[int], nodes: Sequence[tuple[int, int, bytes]]
    ) -> bool:
        def work(batch: Batch) -> bool:
            sizes = {"old_size": old_size, "new_size": old_size + len(records)}
            connection = batch.connection
            grown = sql.run(connection, "grow_tree", sizes) == 1
            if grown:
                leaves = [{"seq": seq, "leaf_index": old_size + i} for i, seq in enumerate(records)]
                sql.run_many(connection, "put_leaf", leaves)
                rows = [
                    {"level": level, "position": position, "hash": hash}
                    for level, position, hash in nodes
                ]
                sql.run_many(connection, "put_node", rows)
            return grown

        return await self._database.write(work)

    async def keep_checkpoint(self, size: int, note: str, cosignature: str | None = None) -> None:
        values = {"size": size, "note": note, "cosignature": cosignature}
        await self._database.write(
            lambda batch: sql.run(batch.connection, "put_checkpoint", values)
        )

    async def checkpoint(self, *, cosigned: bool = False) -> tuple[int, str] | None:
        row = self._database.one("newest_cosigned" if cosigned else "newest_checkpoint", {})
        return (row[0], row[1]) if row else None

    async def tree_size(self) -> int:
        row = self._database.one("tree_size", {})
        return row[0] if row else 0

    async def nodes(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        found: dict[tuple[int, int], bytes] = {}
        for level, position in wanted:
            row = self._database.one("node", {"level": level, "position": position})
            if row is not None:
                found[level, position] = row[0]
        return found

    async def records(
        self, first: int, limit: int, of: tuple[str, str] | Literal["control"] | None = None
    ) -> Sequence[Record]:
        rows: list[tuple[Any, ...]]
        if of is None:
            rows = self._database.every("records_from", {"first": first, "limit": limit})
        elif of == "control":
            rows = self._database.every("records_of_control", {})
        else:
            rows = self._database.every("records_of", {"tenant": of[0], "action": of[1]})
        return [Record(seq=seq, body=body, leaf_index=index) for (seq, body, index) in rows]


class SqliteKeeping:
    """What has payloads that may be erased."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def kept(self, tenant: str, run: str, after: str, limit: int) -> Sequence[Action]:
        values = {"tenant": tenant, "run": run, "after": after, "limit": limit}
        return [decode_action(body) for (body,) in self._database.every("run_kept", values)]

    async def round(self, tenant: str, name: str, lease_us: int) -> str | None:
        now_us = self._database.now_us()
        row = self._database.one("round", {"tenant": tenant, "name": name})
        if row is not None and row[0] > now_us:
            return None
        values = {"tenant": tenant, "name": name, "now_us": now_us, "until_us": now_us + lease_us}

        def work(batch: Batch) -> str | None:
            claimed = sql.one(batch.connection, "claim_round", values)
            return claimed[0] if claimed else None

        return await self._database.write(work)


class SqliteDue:
    """What the housekeeper's tick claims. A claim is a move, so two ticks never get one row."""

    def __init__(self, database: Database, lease_us: int) -> None:
        self._database = database
        self._lease_us = lease_us

    async def tenants(self) -> Sequence[str]:
        return [tenant for (tenant,) in self._database.every("tenants", {})]

    async def stale_intents(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        values = {
            "tenant": tenant,
            "owner": owner,
            "now_us": self._database.now_us(),
            "alone": self._database.alone,
        }
        rows = self._database.every("stale_intents", values)
        return await self._claim(tenant, owner, [decode_action(body) for (body,) in rows], busy)

    async def decided_parks(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        rows = self._parked(tenant, owner)
        decided = [decode_action(body) for (body, said) in rows if said in ("granted", "denied")]
        return await self._claim(tenant, owner, decided, busy)

    async def expired_parks(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        now_us = self._database.now_us()
        parked = [decode_action(body) for (body, _) in self._parked(tenant, owner)]
        expired = [
            action
            for action in parked
            if action.park_until_us is not None and action.park_until_us <= now_us
        ]
        return await self._claim(tenant, owner, expired, busy)

    async def in_doubt(self, tenant: str) -> int:
        row = self._database.one("in_doubt_count", {"tenant": tenant})
        assert row is not None
        found: int = row[0]
        return found

    def _parked(self, tenant: str, owner: str) -> list[tuple[Any, ...]]:
        values = {
            "tenant": tenant,
            "owner": owner,
            "now_us": self._database.now_us(),
            "alone": self._database.alone,
        }
        return self._database.every("parked_actions", values)

    async def run_keys(self, tenant: str, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        values = {"tenant": tenant, "after": after, "limit": limit}
        return [(id, wrapped) for (id, wrapped) in self._database.every("run_keys", values)]

    async def rewrap(self, tenant: str, keys: Sequence[tuple[str, bytes, bytes]]) -> int:
        rows = [
            {"tenant": tenant, "id": id, "seen": seen, "wrapped_key": wrapped}
            for id, seen, wrapped in keys
        ]
        return await self._database.write(
            lambda batch: sum(sql.run(batch.connection, "rewrap_run", row) for row in rows)
        )

    async def _claim(
        self, tenant: str, owner: str, found: Sequence[Action], busy: Collection[str]
    ) -> list[str]:
        found = [action for action in found if action.id not in busy]
        if not found:
            return []

        def work(batch: Batch) -> list[str]:
            claimed = []
            for action in found:
                leased = msgspec.structs.replace(
                    action,
                    version=action.version + 1,
                    lease_owner=owner,
                    lease_until_us=batch.now_us + self._lease_us,
                )
                # A member of its own: what the one before it left behind is not this action's.
                move = transactions.Commit(
                    tenant=tenant, ops=(transactions.MoveAction(action=leased),)
                )
                if isinstance(batch.carry(move), transactions.Committed):
                    claimed.append(action.id)
            return claimed

        return await self._database.write(work)
