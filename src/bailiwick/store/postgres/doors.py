"""The doors of the store on a PostgreSQL database that any number of processes share."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

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
from bailiwick.store import rows
from bailiwick.store.balances import bucket
from bailiwick.store.postgres.connections import Connection
from bailiwick.store.postgres.database import PostgresDatabase
from bailiwick.store.postgres.statements import SQL
from bailiwick.values import JSON

_OPEN = frozenset({"parked", "intended", "unknown"})


class PostgresStore:
    """The commit point, and what the spine reads."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._controls: dict[str, ports.ControlState] = {}

    async def now_us(self) -> int:
        return await self._database.now_us()

    async def epoch(self, tenant: str) -> int:
        return await self._database.reader.epoch(tenant)

    async def control(self, tenant: str) -> ports.ControlState:
        known = self._controls.get(tenant)
        if known is None or known.epoch != await self.epoch(tenant):
            known = self._controls[tenant] = await self._control(tenant)
        return known

    async def _control(self, tenant: str) -> ports.ControlState:
        asked = {"tenant": tenant, "now_us": await self._database.now_us()}
        row = await self._database.reader.one("control", asked)
        assert row is not None
        epoch, release, stops, standings, revoked, modes, mandates, holds = row
        found = [rows.decode_standing(body) for body in standings]
        return ports.ControlState(
            tenant=tenant,
            epoch=epoch,
            release=release,
            stops=tuple(rows.decode_stop(body) for body in stops),
            standings={standing.agent: standing for standing in found},
            revoked=frozenset(revoked),
            modes=tuple(rows.decode_mode(body) for body in modes),
            mandates=tuple(rows.decode_mandate(body) for body in mandates),
            holds=rows.standing_holds(holds),
        )

    async def find(self, tenant: str, agent: str, subject: str, name: str) -> Action | None:
        values = {"tenant": tenant, "agent": agent, "subject": subject, "name": name}
        row = await self._database.reader.one("find_action", values)
        return rows.decode_action(row[0]) if row else None

    async def action(self, tenant: str, id: str) -> Action | None:
        row = await self._database.reader.one("action_row", {"tenant": tenant, "id": id})
        return rows.decode_action(row[0]) if row else None

    async def commit(
        self, commit: transactions.Commit
    ) -> transactions.Committed | transactions.Blocked:
        return await self._database.commit(commit)

    async def changed(self, action: str, timeout_s: float) -> None:
        self._database.listen()
        await self._database.waiting.wait(action, timeout_s)


class PostgresShelf:
    """What belongs to an action and a tenant beside its state."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._one = database.reader.one

    async def approval(self, tenant: str, action: str) -> Approval | None:
        row = await self._one("approval_row", {"tenant": tenant, "action": action})
        return rows.approval_of(*row) if row else None

    async def payload(self, tenant: str, action: str, kind: str) -> tuple[str, bytes] | None:
        row = await self._one("payload", {"tenant": tenant, "action": action, "kind": kind})
        return (row[0], row[1]) if row else None

    async def run(self, tenant: str, run: str) -> ports.RunRow | None:
        row = await self._one("run_row", {"tenant": tenant, "id": run})
        return rows.run_of(*row) if row else None

    async def balances(self, tenant: str, caps: Sequence[Cap]) -> Sequence[Balance]:
        if not caps:
            return []
        now_us = await self._database.now_us()
        keys = [(cap.node, cap.unit, bucket(cap.period, now_us)) for cap in caps]
        node, unit, name = map(list, zip(*keys, strict=True))
        values = {"tenant": tenant, "node": node, "unit": unit, "bucket": name}
        found = await self._database.reader.every("balances", values)
        known = {tuple(row[:3]): row[3:] for row in found}
        return [
            Balance(node=key[0], unit=key[1], bucket=key[2], spent=spent, held=held)
            for key in keys
            for spent, held in (known.get(key, (0, 0)),)
        ]

    async def breaker(self, tenant: str, target: str) -> Breaker | None:
        row = await self._one("breaker", {"tenant": tenant, "target": target})
        if row is None:
            return None
        return Breaker(target=target, failures=row[0], open_until_us=row[1], recent=row[2])

    async def touched_since(self, tenant: str, resource: Resource, since_us: int) -> Sequence[str]:
        named = f"{resource.type}:{resource.id}"
        values = {"tenant": tenant, "resource": named, "since_us": since_us}
        return [id for (id,) in await self._database.reader.every("touched_since", values)]

    async def holder(self, tenant: str, key: str) -> str | None:
        row = await self._one("effect_holder", {"tenant": tenant, "key": key})
        return row[0] if row else None


class PostgresRegister:
    """What people ask of the store."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._every = database.lists.every

    async def actions(
        self, tenant: str, states: Sequence[Listed], limit: int, before: str | None = None
    ) -> Sequence[Action]:
        page = {"tenant": tenant, "before": before, "limit": limit}
        wanted = [state for state in states if state != "contradicted"]
        found: list[Action] = []
        if wanted or not states:
            name = "open_actions" if wanted and _OPEN.issuperset(wanted) else "actions"
            chosen = {"any_state": not states, "states": wanted}
            found += map(rows.decode_action, await self._bodies(name, {**page, **chosen}))
        if "contradicted" in states:
            found += map(rows.decode_action, await self._bodies("contradicted_actions", page))
        return sorted(found, key=lambda action: action.id, reverse=True)[:limit]

    async def _bodies(self, name: str, values: Mapping[str, object]) -> list[bytes]:
        return [body for (body,) in await self._every(name, values)]

    async def approvals(self, tenant: str, states: Sequence[str]) -> Sequence[Approval]:
        values = {"tenant": tenant, "states": list(states)}
        return [rows.approval_of(*row) for row in await self._every("approvals", values)]

    async def people(self, tenant: str) -> Sequence[Person]:
        found = await self._every("people", {"tenant": tenant})
        return [rows.decode_person(body) for (body,) in found]

    async def secret(self, tenant: str, person: str) -> dict[str, JSON] | None:
        found = await self._every("secret", {"tenant": tenant, "name": person})
        return rows.decode_json(found[0][0]) if found else None

    async def releases(self, tenant: str) -> Sequence[Release]:
        found = await self._every("releases", {"tenant": tenant})
        return [rows.decode_release(body) for (body,) in found]

    async def changes(self, tenant: str) -> Sequence[transactions.PutChange]:
        values = {"tenant": tenant, "now_us": await self._database.now_us()}
        return [rows.change_of(*row) for row in await self._every("changes", values)]

    async def spending(self, tenant: str) -> Sequence[Balance]:
        found = await self._every(
            "spending", {"tenant": tenant, **rows.current_buckets(await self._database.now_us())}
        )
        return [rows.balance_of(*row) for row in found]


class PostgresMandates:
    """What people signed ahead of an action."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._every = database.lists.every

    async def signed(self, tenant: str) -> Sequence[Mandate]:
        found = await self._every("newest_mandates", {"tenant": tenant})
        return [rows.decode_mandate(body) for (body,) in found]

    async def uses(self, tenant: str, mandate: str) -> Sequence[str]:
        found = await self._every("mandate_uses", {"tenant": tenant, "mandate": mandate})
        return [action for (action,) in found]


class PostgresArchive:
    """What was decided, and by which release."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._every = database.lists.every

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
        found = await self._every("proposals", values)
        return [ports.Proposed(rows.decode_action(body), sealed) for (body, sealed) in found]

    async def activations(self, tenant: str) -> Sequence[Record]:
        found = await self._every("activations", {"tenant": tenant})
        return [Record(seq=seq, body=body) for (seq, body) in found]


class PostgresOutbox:
    """Notices to people, written in the commit of what they tell of."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def due(self, tenant: str, owner: str) -> Sequence[Notice]:
        now_us = await self._database.now_us()
        until_us = now_us + rows.NOTICE_LEASE_US
        values = {"tenant": tenant, "now_us": now_us, "until_us": until_us}

        async def work(connection: Connection) -> list[Notice]:
            found = await (await connection.execute(SQL["due_notices"], values)).fetchall()
            return [rows.decode_notice(body) for (body,) in found]

        return await self._database.transact(work)

    async def undelivered(self, tenant: str) -> Sequence[Notice]:
        found = await self._database.lists.every("undelivered_notices", {"tenant": tenant})
        return [rows.decode_notice(body) for (body,) in found]


class PostgresLedger:
    """The stored side of the transparency log."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._every = database.lists.every

    async def unsequenced(self, limit: int) -> Sequence[Record]:
        found = await self._every("unsequenced", {"limit": limit})
        return [Record(seq=seq, body=body) for (seq, body) in found]

    async def extend(
        self, old_size: int, records: Sequence[int], nodes: Sequence[tuple[int, int, bytes]]
    ) -> bool:
        values = {
            "old_size": old_size,
            "new_size": old_size + len(records),
            "record": list(records),
            "leaf_index": [old_size + i for i in range(len(records))],
            "level": [level for level, _, _ in nodes],
            "position": [position for _, position, _ in nodes],
            "node": [hash for _, _, hash in nodes],
        }

        async def work(connection: Connection) -> bool:
            row = await (await connection.execute(SQL["extend"], values)).fetchone()
            return row is not None and row[0] == 1

        return await self._database.transact(work)

    async def keep_checkpoint(self, size: int, note: str, cosignature: str | None = None) -> None:
        values = {"size": size, "note": note, "cosignature": cosignature}

        async def work(connection: Connection) -> None:
            await connection.execute(SQL["put_checkpoint"], values)

        await self._database.transact(work)

    async def checkpoint(self, *, cosigned: bool = False) -> tuple[int, str] | None:
        found = await self._every("newest_cosigned" if cosigned else "newest_checkpoint", {})
        return (found[0][0], found[0][1]) if found else None

    async def tree_size(self) -> int:
        found = await self._every("tree_size", {})
        return found[0][0] if found else 0

    async def nodes(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        places = {"level": [level for level, _ in wanted], "position": [at for _, at in wanted]}
        found = await self._every("nodes", places) if wanted else []
        return {(level, position): hash for (level, position, hash) in found}

    async def records(
        self, first: int, limit: int, of: tuple[str, str] | Literal["control"] | None = None
    ) -> Sequence[Record]:
        if of is None:
            found = await self._every("records_from", {"first": first, "limit": limit})
        elif of == "control":
            found = await self._every("records_of_control", {})
        else:
            found = await self._every("records_of", {"tenant": of[0], "action": of[1]})
        return [Record(seq=seq, body=body, leaf_index=index) for (seq, body, index) in found]


class PostgresKeeping:
    """What has payloads that may be erased."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._every = database.lists.every

    async def kept(self, tenant: str, run: str, after: str, limit: int) -> Sequence[Action]:
        values = {"tenant": tenant, "run": run, "after": after, "limit": limit}
        return [rows.decode_action(body) for (body,) in await self._every("run_kept", values)]

    async def round(self, tenant: str, name: str, lease_us: int) -> str | None:
        now_us = await self._database.now_us()
        found = await self._every("round", {"tenant": tenant, "name": name})
        if found and found[0][0] > now_us:
            return None
        values = {"tenant": tenant, "name": name, "now_us": now_us, "until_us": now_us + lease_us}

        async def work(connection: Connection) -> str | None:
            row = await (await connection.execute(SQL["claim_round"], values)).fetchone()
            return row[0] if row else None

        return await self._database.transact(work)


class PostgresDue:
    """What the housekeeper's tick claims; a row that somebody is claiming is passed over."""

    def __init__(self, database: PostgresDatabase, lease_us: int) -> None:
        self._database = database
        self._lease_us = lease_us

    async def tenants(self) -> Sequence[str]:
        return [tenant for (tenant,) in await self._database.lists.every("tenants", {})]

    async def stale_intents(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        return await self._claim("stale_intents", tenant, owner, busy)

    async def decided_parks(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        return await self._claim("parked_actions", tenant, owner, busy, decided=True)

    async def expired_parks(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        return await self._claim("parked_actions", tenant, owner, busy, decided=False)

    async def in_doubt(self, tenant: str) -> int:
        ((found,),) = await self._database.lists.every("in_doubt_count", {"tenant": tenant})
        return int(found)

    async def run_keys(self, tenant: str, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        values = {"tenant": tenant, "after": after, "limit": limit}
        return [(id, key) for (id, key) in await self._database.lists.every("run_keys", values)]

    async def rewrap(self, tenant: str, keys: Sequence[tuple[str, bytes, bytes]]) -> int:
        values = {
            "tenant": tenant,
            "id": [id for id, _, _ in keys],
            "seen": [seen for _, seen, _ in keys],
            "wrapped_key": [wrapped for _, _, wrapped in keys],
        }

        async def work(connection: Connection) -> int:
            return (await connection.execute(SQL["rewrap_runs"], values)).rowcount

        return await self._database.transact(work)

    async def _claim(
        self, name: str, tenant: str, owner: str, busy: Collection[str], **told: bool
    ) -> list[str]:
        now_us = await self._database.now_us()
        asked = {"tenant": tenant, "now_us": now_us, "busy": list(busy), **told}
        # Mostly nothing is due, which one look without a transaction says.
        if not await self._database.lists.every(f"any_{name}", asked):
            return []

        async def work(connection: Connection) -> list[str]:
            found = await (await connection.execute(SQL[name], asked)).fetchall()
            leased = list(self._leased((body for (body,) in found), owner, now_us))
            if leased:
                values = {
                    "tenant": tenant,
                    "owner": owner,
                    "until_us": now_us + self._lease_us,
                    "id": [action.id for action in leased],
                    "version": [action.version for action in leased],
                    "body": [rows.encode(action) for action in leased],
                }
                await connection.execute(SQL["lease_actions"], values)
            return [action.id for action in leased]

        return await self._database.transact(work)

    def _leased(self, bodies: Iterable[bytes], owner: str, now_us: int) -> Iterable[Action]:
        for body in bodies:
            action = rows.decode_action(body)
            yield msgspec.structs.replace(
                action,
                version=action.version + 1,
                lease_owner=owner,
                lease_until_us=now_us + self._lease_us,
            )
