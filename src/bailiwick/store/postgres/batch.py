"""A batch of commits in one transaction: what every operation does with what was read (`wanted`).

All that a batch's guards look at is read at once, locked where it will change; its members are
carried out on what was read; all that they leave changed is written at once, each table by one
statement. Two round trips serve any number of members, and a member that is blocked has written
nothing. What another process may add meanwhile (a name, an effect key) is a plain insert, which
then fails: the batch begins anew and sees it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from bailiwick import transactions
from bailiwick.nouns import Action
from bailiwick.nouns.notices import Notice
from bailiwick.store.balances import BalanceKey, Balances
from bailiwick.store.postgres.wanted import COLUMNS, Key, name_key, vote_key
from bailiwick.store.rows import encode, escalated, is_contradicted

Row = dict[str, Any]

_ENDED = frozenset({"done", "failed", "unknown"})
_OPEN = frozenset({"parked", "intended", "unknown"})

_KEPT = (
    *("agents", "modes", "revocations", "people", "releases", "payloads"),
    *("mandates", "mandate_uses", "legal_holds", "rounds", "carried"),
)
# Written by what was read of them: a row that was not there and is by now fails the insert.
_COUNTED = ("approvals", "breakers", "notices")
_ADDED = ("runs", "effect_keys", "votes", "stops", "changes", *_COUNTED)
_ACTION = (
    *("tenant", "id", "agent", "subject", "name", "attempt", "state", "version", "resource"),
    *("park_until_us", "lease_owner", "lease_until_us", "updated_at_us", "body", "holds"),
    "records",
    "run",
)
_MOVED = (
    *("tenant", "id", "state", "version", "resource", "park_until_us", "lease_owner"),
    *("lease_until_us", "updated_at_us", "body", "holds", "records", "ended", "contradicted"),
    "erased",
)
_RECORD = ("seq", "tenant", "kind", "action", "body", "hash")


class LookAgain(Exception):
    """Something changed between what was read and what was written."""


class TableView:
    """Rows of a table as a batch sees them: as they were read, and as its members leave them."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.stored: set[Key] = set()
        self.changed: set[Key] = set()

    def read(self, columns: Sequence[str], width: int, found: Iterable[Sequence[Any]]) -> None:
        """Take over rows that the database gave."""
        for values in found:
            key = tuple(values[:width])
            self.rows[key] = dict(zip(columns, values, strict=True))
            self.stored.add(key)

    def left(self, *, stored: bool) -> list[Row]:
        """The changed rows that are there, of those that were stored before or of the others."""
        keys = sorted(key for key in self.changed if (key in self.stored) is stored)
        return [self.rows[key] for key in keys if key in self.rows]


class PostgresBatch:
    """One transaction: the store's clock, and every table as its members see it."""

    def __init__(self, now_us: int, numbers: Sequence[int]) -> None:
        self.now_us = now_us
        self.tables = {name: TableView() for name in COLUMNS}
        self.balances = Balances(now_us, self._look)
        self.records: list[Row] = []
        self._numbers = numbers
        self._undo: list[tuple[TableView, Key, Row | None]] = []
        # What a member's operations leave to the action's own row, which is written last.
        self.holder = ""
        self.holds: str | None = None
        self.settled = False
        self.listed: dict[str, str] = {}

    def read(self, name: str, found: Iterable[Sequence[Any]]) -> None:
        """Take over what the database gave of a table."""
        width, columns = COLUMNS[name]
        self.tables[name].read(columns, width, found)

    def carry(self, commit: transactions.Commit) -> transactions.Committed | transactions.Blocked:
        """Carry out one member whole, or leave no trace of it."""
        self.balances.begin()
        self._undo, self.listed, records = [], {}, len(self.records)
        self.holder, self.holds, self.settled = "", None, False
        for op in commit.ops:
            blocked = HANDLERS[type(op)](self, commit.tenant, op)
            if blocked is not None:
                for table, key, row in reversed(self._undo):
                    _put(table, key, row)
                del self.records[records:]
                return blocked
        for action, numbers in self.listed.items():
            found = self.row("actions", (commit.tenant, action))
            if found is not None:
                listed = found.get("records", "") + numbers
                self.put("actions", (commit.tenant, action), {**found, "records": listed})
        self.balances.keep()
        return transactions.Committed(at_us=self.now_us)

    def row(self, table: str, key: Key) -> Row | None:
        """A row as the member at hand sees it."""
        return self.tables[table].rows.get(key)

    def put(self, name: str, key: Key, row: Row | None) -> None:
        """Leave a row changed, or without one gone."""
        table = self.tables[name]
        self._undo.append((table, key, table.rows.get(key)))
        table.changed.add(key)
        _put(table, key, row)

    def append(self, row: Row) -> int:
        """Add a ledger record and give its number."""
        number = self._numbers[len(self.records)]
        self.records.append({"seq": number, **row})
        return number

    def _look(self, key: BalanceKey) -> tuple[int, int]:
        row = self.tables["budgets"].rows.get(key)
        return (row["spent"], row["held"]) if row else (0, 0)

    def writes(self) -> Iterator[tuple[str, dict[str, list[Any]]]]:
        """The statements that write what was left changed, each with its rows as columns."""
        for name, rows, columns in self._written():
            if rows:
                yield name, {column: [row[column] for row in rows] for column in columns}

    def _written(self) -> Iterator[tuple[str, list[Row], Sequence[str]]]:
        tables = self.tables
        control = tables["control"]
        yield "put_control", _both(control), COLUMNS["control"][1]
        for name in ("stops", "effect_keys"):
            width, columns = COLUMNS[name]
            gone = sorted(tables[name].changed & tables[name].stored)
            rows = [dict(zip(columns[:width], key, strict=True)) for key in gone]
            yield f"delete_{name}", rows, columns[:width]
            tables[name].stored -= tables[name].changed  # what is still there is written anew
        for name in _ADDED:
            yield f"insert_{name}", tables[name].left(stored=False), COLUMNS[name][1]
        columns = (*COLUMNS["used_once"][1], "now_us")
        yield "insert_used_once", tables["used_once"].left(stored=False), columns
        columns = ("tenant", "id", "state", "decided_by")
        yield "update_changes", tables["changes"].left(stored=True), columns
        columns = ("tenant", "id", "wrapped_key", "parked_us", "parked_until_us")
        yield "update_runs", tables["runs"].left(stored=True), columns
        yield "insert_actions", tables["actions"].left(stored=False), _ACTION
        stored = tables["actions"].left(stored=True)
        yield "update_actions", [row for row in stored if "body" in row], _MOVED
        listed = [row for row in stored if "body" not in row and row.get("records")]
        yield "list_records", listed, ("tenant", "id", "records")
        yield "delete_payloads", tables["erasures"].left(stored=False), ("tenant", "action")
        for name in _COUNTED:
            yield f"update_{name}", tables[name].left(stored=True), COLUMNS[name][1]
        for name in _KEPT:
            yield f"put_{name}", _both(tables[name]), COLUMNS[name][1]
        yield "insert_records", self.records, _RECORD
        columns = COLUMNS["budgets"][1]
        balances = sorted(self.balances.written().items())
        for stored_too, statement in ((False, "insert_budgets"), (True, "update_budgets")):
            rows = [
                dict(zip(columns, (*key, *amounts), strict=True))
                for key, amounts in balances
                if (key in tables["budgets"].stored) is stored_too
            ]
            yield statement, rows, columns


def _put(table: TableView, key: Key, row: Row | None) -> None:
    if row is None:
        table.rows.pop(key, None)
    else:
        table.rows[key] = row


def _both(table: TableView) -> list[Row]:
    return [table.rows[key] for key in sorted(table.changed) if key in table.rows]


# --- the operations ------------------------------------------------------------------------------


def _epoch_is(
    batch: PostgresBatch, tenant: str, op: transactions.EpochIs
) -> transactions.Blocked | None:
    row = batch.row("control", (tenant,))
    # The server's disk cannot be seen from here; a full one refuses whole commits.
    return (
        None
        if (row["epoch"] if row else 0) == op.epoch
        else transactions.Blocked(code="epoch_moved")
    )


def _row(batch: PostgresBatch, tenant: str, action: Action, found: Row) -> Row:
    resource = f"{action.resource.type}:{action.resource.id}" if action.resource else None
    holds = found.get("holds")
    if batch.holder == action.id and (batch.settled or batch.holds is not None):
        holds = batch.holds
    # An intent's outcome cannot change the resource.
    ended = action.state in _ENDED and action.intended_at_us is not None
    if ended and "body" in found:
        resource, ended = found["resource"], found["ended"]
    return {
        "tenant": tenant,
        "id": action.id,
        "run": action.run,
        "agent": action.agent,
        "subject": action.subject,
        "name": action.name,
        "attempt": action.attempt,
        "state": action.state,
        "version": action.version,
        "resource": resource,
        "park_until_us": action.park_until_us,
        "lease_owner": action.lease_owner,
        "lease_until_us": action.lease_until_us,
        "updated_at_us": action.updated_at_us,
        "body": encode(action),
        "holds": holds,
        "records": found.get("records", "") + batch.listed.pop(action.id, ""),
        "ended": ended,
        "contradicted": is_contradicted(action),
        "erased": action.erased is not None,
    }


def _insert_action(
    batch: PostgresBatch, tenant: str, op: transactions.InsertAction
) -> transactions.Blocked | None:
    key, name = (tenant, op.action.id), name_key(tenant, op.action)
    if batch.row("actions", key) is not None or batch.row("names", name) is not None:
        return transactions.Blocked(code="duplicate_name")
    batch.put("actions", key, _row(batch, tenant, op.action, {}))
    batch.put("names", name, {})
    if kept := batch.row("kept", (tenant, op.action.run)):
        is_open = kept["open"] or op.action.state in _OPEN or is_contradicted(op.action)
        batch.put("kept", (tenant, op.action.run), {"kept": kept["kept"] + 1, "open": is_open})
    return None


def _move_action(
    batch: PostgresBatch, tenant: str, op: transactions.MoveAction
) -> transactions.Blocked | None:
    key = (tenant, op.action.id)
    found = batch.row("actions", key)
    if found is None or found["version"] != op.action.version - 1:
        return transactions.Blocked(code="action_moved")
    batch.put("actions", key, _row(batch, tenant, op.action, found))
    return None


def _take(batch: PostgresBatch, tenant: str, op: transactions.Take) -> transactions.Blocked | None:
    taken = batch.balances.take(tenant, op)
    if isinstance(taken, transactions.Blocked):
        return taken
    batch.holder, batch.holds = op.action, taken.decode() if taken else None
    return None


def _settle(batch: PostgresBatch, tenant: str, op: transactions.Settle) -> None:
    holds = batch.holds
    if batch.holder != op.action:
        found = batch.row("actions", (tenant, op.action))
        holds = found["holds"] if found else None
    batch.holder, batch.holds, batch.settled = op.action, None, True
    batch.balances.settle(tenant, holds or "[]", op.spent)


def _claim(
    batch: PostgresBatch, tenant: str, op: transactions.Claim
) -> transactions.Blocked | None:
    key = (tenant, op.key)
    found = batch.row("effect_keys", key)
    if found is None:
        batch.put("effect_keys", key, {"tenant": tenant, "key": op.key, "action": op.action})
        return None
    if found["action"] == op.action:
        return None
    details = {"key": op.key, "holder": found["action"]}
    return transactions.Blocked(code="effect_key_held", details=details)


def _free(batch: PostgresBatch, tenant: str, op: transactions.Free) -> None:
    found = batch.row("effect_keys", (tenant, op.key))
    if found is not None and found["action"] == op.action:
        batch.put("effect_keys", (tenant, op.key), None)


def _open_approval(batch: PostgresBatch, tenant: str, op: transactions.OpenApproval) -> None:
    approval = op.approval
    row = {
        "tenant": tenant,
        "action": approval.action,
        "request_digest": approval.request_digest,
        "state": approval.state,
        "expires_at_us": approval.expires_at_us,
        "body": encode(msgspec.structs.replace(approval, votes=())),
    }
    batch.put("approvals", (tenant, approval.action), row)


def _close_approval(
    batch: PostgresBatch, tenant: str, op: transactions.CloseApproval
) -> transactions.Blocked | None:
    found = batch.row("approvals", (tenant, op.action))
    if found is None or found["state"] not in op.expect:
        return transactions.Blocked(code="approval_moved")
    batch.put("approvals", (tenant, op.action), {**found, "state": op.state})
    return None


def _cast_vote(
    batch: PostgresBatch, tenant: str, op: transactions.CastVote
) -> transactions.Blocked | None:
    vote = op.vote
    found = batch.row("approvals", (tenant, vote.action))
    if found is None or found["request_digest"] != vote.request_digest or found["state"] != "open":
        return transactions.Blocked(code="approval_moved")
    key = vote_key(tenant, op)
    if batch.row("votes", key) is not None:
        return transactions.Blocked(code="already_voted")
    columns = COLUMNS["votes"][1]
    batch.put("votes", key, dict(zip(columns, (*key, encode(vote)), strict=True)))
    return None


def _put_mandate(batch: PostgresBatch, tenant: str, op: transactions.PutMandate) -> None:
    id = op.mandate.statement.id
    row = {"tenant": tenant, "id": id, "counts_until_us": op.counts_until_us}
    batch.put("mandates", (tenant, id), {**row, "body": encode(op.mandate)})


def _use_mandate(
    batch: PostgresBatch, tenant: str, op: transactions.UseMandate
) -> transactions.Blocked | None:
    if batch.now_us >= op.until_us:
        return transactions.Blocked(code="mandate_over", details={"mandate": op.mandate})
    row = {"tenant": tenant, "mandate": op.mandate, "action": op.action}
    batch.put("mandate_uses", (tenant, op.mandate, op.action), row)
    return None


def _put_notice(batch: PostgresBatch, tenant: str, op: transactions.PutNotice) -> None:
    if batch.row("notices", (tenant, op.notice.id)) is None:
        _set_notice(batch, tenant, op.notice)


def _move_notice(
    batch: PostgresBatch, tenant: str, op: transactions.MoveNotice
) -> transactions.Blocked | None:
    found = batch.row("notices", (tenant, op.notice.id))
    if found is None or found["state"] != "waiting" or found["attempts"] != op.notice.attempts - 1:
        return transactions.Blocked(code="notice_moved")
    _set_notice(batch, tenant, op.notice)
    return None


def _set_notice(batch: PostgresBatch, tenant: str, notice: Notice) -> None:
    row: Row = {"tenant": tenant, "id": notice.id, "state": notice.state}
    row |= {"due_at_us": notice.due_at_us, "attempts": notice.attempts}
    batch.put("notices", (tenant, notice.id), {**row, "body": encode(notice)})


def _escalate(
    batch: PostgresBatch, tenant: str, op: transactions.Escalate
) -> transactions.Blocked | None:
    found = batch.row("approvals", (tenant, op.action))
    if found is None or found["request_digest"] != op.request_digest or found["state"] != "open":
        return transactions.Blocked(code="approval_moved")
    row = {**found, "body": escalated(found["body"], op.queue, op.to)}
    batch.put("approvals", (tenant, op.action), row)
    return None


def _put_payload(batch: PostgresBatch, tenant: str, op: transactions.PutPayload) -> None:
    batch.put("payloads", (tenant, op.action, op.kind), {"tenant": tenant, **_members(op)})


def _put_run(
    batch: PostgresBatch, tenant: str, op: transactions.PutRun
) -> transactions.Blocked | None:
    found = batch.row("runs", (tenant, op.run))
    if found is not None:
        # Another process began the run with another key: what was sealed must be sealed again.
        if not found["wrapped_key"]:
            batch.put("runs", (tenant, op.run), {**found, "wrapped_key": op.wrapped_key})
            return None
        same = found["wrapped_key"] == op.wrapped_key
        return None if same else transactions.Blocked(code="run_key_moved")
    row = {
        "tenant": tenant,
        "id": op.run,
        "agent": op.agent,
        "wrapped_key": op.wrapped_key,
        "started_at_us": batch.now_us,
        "parked_us": 0,
        "parked_until_us": 0,
    }
    batch.put("runs", (tenant, op.run), row)
    return None


def _run_is_closed(
    batch: PostgresBatch, tenant: str, op: transactions.RunIsClosed
) -> transactions.Blocked | None:
    found = batch.row("kept", (tenant, op.run))
    is_open = found is not None and found["open"]
    return transactions.Blocked(code="run_open", details={"run": op.run}) if is_open else None


def _erase(
    batch: PostgresBatch, tenant: str, op: transactions.Erase
) -> transactions.Blocked | None:
    blocked = _move_action(batch, tenant, transactions.MoveAction(action=op.action))
    if blocked is not None:
        return blocked
    key, run = (tenant, op.action.id), (tenant, op.action.run)
    batch.put("erasures", key, {"tenant": tenant, "action": op.action.id})
    if kept := batch.row("kept", run):
        batch.put("kept", run, {**kept, "kept": kept["kept"] - 1})
    return None


def _drop_run_key(
    batch: PostgresBatch, tenant: str, op: transactions.DropRunKey
) -> transactions.Blocked | None:
    kept, found = batch.row("kept", (tenant, op.run)), batch.row("runs", (tenant, op.run))
    if kept is not None and kept["kept"]:
        return transactions.Blocked(code="run_kept", details={"run": op.run})
    if found is not None:
        batch.put("runs", (tenant, op.run), {**found, "wrapped_key": b""})
    return None


def _add_parked(batch: PostgresBatch, tenant: str, op: transactions.AddParked) -> None:
    found = batch.row("runs", (tenant, op.run))
    if found is None:
        return
    # Overlapping waits count once.
    counted_us = max(0, batch.now_us - max(op.since_us, found["parked_until_us"]))
    row = {
        **found,
        "parked_us": found["parked_us"] + counted_us,
        "parked_until_us": max(found["parked_until_us"], batch.now_us),
    }
    batch.put("runs", (tenant, op.run), row)


def _append(batch: PostgresBatch, tenant: str, op: transactions.Append) -> None:
    number = batch.append({"tenant": tenant, **_members(op)})
    if op.action is not None:
        batch.listed[op.action] = f"{batch.listed.get(op.action, '')}{number},"


def _mark_breaker(batch: PostgresBatch, tenant: str, op: transactions.MarkBreaker) -> None:
    found = batch.row("breakers", (tenant, op.target))
    known, recent = (found["failures"], found["recent"]) if found else (0, "")
    if not (op.failed or op.keep or recent or known):
        return
    failures = known + 1 if op.failed else 0
    row = {
        "tenant": tenant,
        "target": op.target,
        "failures": failures,
        "open_until_us": batch.now_us + op.open_for_us if failures >= op.threshold else 0,
        "recent": f"{recent}{'x' if op.failed else '.'}"[-op.keep :] if op.keep else "",
    }
    batch.put("breakers", (tenant, op.target), row)


def _control(batch: PostgresBatch, tenant: str) -> Row:
    # A tenant begins at epoch 1 without a release.
    return batch.row("control", (tenant,)) or {"tenant": tenant, "epoch": 1, "release": None}


def _raise_epoch(batch: PostgresBatch, tenant: str, _: transactions.RaiseEpoch) -> None:
    row = _control(batch, tenant)
    batch.put("control", (tenant,), {**row, "epoch": row["epoch"] + 1})


def _activate(batch: PostgresBatch, tenant: str, op: transactions.Activate) -> None:
    batch.put("control", (tenant,), {**_control(batch, tenant), "release": op.digest})


def _put_stop(batch: PostgresBatch, tenant: str, op: transactions.PutStop) -> None:
    key = (tenant, op.stop.scope, op.stop.target)
    if batch.row("stops", key) is None:  # pulling a pulled switch keeps the first reason
        row = {"tenant": tenant, "scope": key[1], "target": key[2], "body": encode(op.stop)}
        batch.put("stops", key, row)


def _lift_stop(
    batch: PostgresBatch, tenant: str, op: transactions.LiftStop
) -> transactions.Blocked | None:
    key = (tenant, op.scope, op.target)
    if batch.row("stops", key) is None:
        return transactions.Blocked(code="not_stopped")
    batch.put("stops", key, None)
    return None


def _put_mode(batch: PostgresBatch, tenant: str, op: transactions.PutMode) -> None:
    key = (tenant, op.setting.agent, op.setting.tool)
    row = {"tenant": tenant, "agent": key[1], "tool": key[2], "body": encode(op.setting)}
    batch.put("modes", key, row)


def _put_legal_hold(batch: PostgresBatch, tenant: str, op: transactions.PutLegalHold) -> None:
    key = (tenant, op.hold.kind, op.hold.target)
    row = {"tenant": tenant, "kind": key[1], "target": key[2], "body": encode(op.hold)}
    batch.put("legal_holds", key, row)


def _put_round(batch: PostgresBatch, tenant: str, op: transactions.PutRound) -> None:
    batch.put("rounds", (tenant, op.name), {"tenant": tenant, **_members(op)})


def _put_standing(batch: PostgresBatch, tenant: str, op: transactions.PutStanding) -> None:
    name = op.standing.agent
    row = {"tenant": tenant, "name": name, "body": encode(op.standing)}
    batch.put("agents", (tenant, name), row)


def _carry(batch: PostgresBatch, tenant: str, op: transactions.Carry) -> None:
    for each in op.classes:
        key = (tenant, op.run, each)
        batch.put("carried", key, {"tenant": tenant, "run": op.run, "data_class": each})


def _revoke(batch: PostgresBatch, tenant: str, op: transactions.Revoke) -> None:
    if batch.row("revocations", (tenant, op.id)) is None:
        row = {"tenant": tenant, "id": op.id, "by_person": op.by, "reason": op.reason}
        batch.put("revocations", (tenant, op.id), {**row, "at_us": batch.now_us})


def _use_once(
    batch: PostgresBatch, tenant: str, op: transactions.UseOnce
) -> transactions.Blocked | None:
    if batch.row("used_once", (tenant, op.name)) is not None:
        return transactions.Blocked(code="used_before")
    row = {"tenant": tenant, **_members(op), "now_us": batch.now_us}
    batch.put("used_once", (tenant, op.name), row)
    return None


def _put_person(batch: PostgresBatch, tenant: str, op: transactions.PutPerson) -> None:
    name = op.person.name
    row = {"tenant": tenant, "name": name, "body": encode(op.person)}
    batch.put("people", (tenant, name), {**row, "secret": encode(op.secret)})


def _put_release(batch: PostgresBatch, tenant: str, op: transactions.PutRelease) -> None:
    digest = op.release.digest
    row = {"tenant": tenant, "digest": digest, "body": encode(op.release)}
    created_at_us = op.release.created_at_us
    batch.put("releases", (tenant, digest), {**row, "created_at_us": created_at_us})


def _put_change(batch: PostgresBatch, tenant: str, op: transactions.PutChange) -> None:
    row = {**_members(op), "tenant": tenant, "body": encode(op.body)}
    batch.put("changes", (tenant, op.id), {**row, "state": "waiting", "decided_by": None})


def _close_change(
    batch: PostgresBatch, tenant: str, op: transactions.CloseChange
) -> transactions.Blocked | None:
    found = batch.row("changes", (tenant, op.id))
    if (
        found is None
        or found["state"] != "waiting"
        or found["expires_at_us"] <= batch.now_us
        or (op.state == "made" and found["proposed_by"] == op.decided_by)
    ):
        return transactions.Blocked(code="change_moved")
    row = {**found, "state": op.state, "decided_by": op.decided_by}
    batch.put("changes", (tenant, op.id), row)
    return None


_members = msgspec.structs.asdict


# Each handler takes exactly the operation it stands beside; the table is the only caller.
HANDLERS: dict[type, Callable[[PostgresBatch, str, Any], transactions.Blocked | None]] = {
    transactions.EpochIs: _epoch_is,
    transactions.InsertAction: _insert_action,
    transactions.MoveAction: _move_action,
    transactions.Take: _take,
    transactions.Settle: _settle,
    transactions.Claim: _claim,
    transactions.Free: _free,
    transactions.OpenApproval: _open_approval,
    transactions.CloseApproval: _close_approval,
    transactions.CastVote: _cast_vote,
    transactions.PutMandate: _put_mandate,
    transactions.UseMandate: _use_mandate,
    transactions.PutNotice: _put_notice,
    transactions.MoveNotice: _move_notice,
    transactions.Escalate: _escalate,
    transactions.PutPayload: _put_payload,
    transactions.PutRun: _put_run,
    transactions.AddParked: _add_parked,
    transactions.RunIsClosed: _run_is_closed,
    transactions.Erase: _erase,
    transactions.DropRunKey: _drop_run_key,
    transactions.Append: _append,
    transactions.MarkBreaker: _mark_breaker,
    transactions.RaiseEpoch: _raise_epoch,
    transactions.PutStop: _put_stop,
    transactions.LiftStop: _lift_stop,
    transactions.PutMode: _put_mode,
    transactions.PutLegalHold: _put_legal_hold,
    transactions.PutRound: _put_round,
    transactions.PutStanding: _put_standing,
    transactions.Carry: _carry,
    transactions.Revoke: _revoke,
    transactions.UseOnce: _use_once,
    transactions.PutPerson: _put_person,
    transactions.PutRelease: _put_release,
    transactions.Activate: _activate,
    transactions.PutChange: _put_change,
    transactions.CloseChange: _close_change,
}
