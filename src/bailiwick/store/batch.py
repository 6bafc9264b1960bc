"""A batch of commits in one transaction: every operation, its guard and its SQL.

A batch runs inside `BEGIN IMMEDIATE`, so nothing else writes while it looks and decides. Balances
are read once a batch and written once at its end. A member that is blocked leaves no trace. Nearly
all are blocked by a guard that stands before their first write, so a batch is first carried out
without savepoints; the rare member that is blocked after it has written makes it begin anew with
one savepoint a member (`WroteInVain`).
"""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bailiwick import transactions
from bailiwick.nouns import Action
from bailiwick.nouns.notices import Notice
from bailiwick.store import statements as sql
from bailiwick.store.balances import BalanceKey, Balances
from bailiwick.store.rows import encode, escalated, is_contradicted

# What the action's own commits put into its row, unless it is so long (in bytes) that to write it
# again with every later change would cost more than a table of its own.
_IN_ROW = frozenset({"proposal", "result"})
_MAX_IN_ROW = 2048
_ENDED = frozenset({"done", "failed", "unknown"})


class WroteInVain(Exception):
    """A member was blocked after it had written, and there is no savepoint to go back to."""


class Batch:
    """One transaction's view: the connection, the store's clock, epochs and balances.

    `known_holds` are holds of actions in flight that need not be read; `held` is what this
    transaction leaves of them, None where nothing is held any more.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        now_us: int,
        *,
        disk_is_low: bool = False,
        savepoints: bool = True,
        known_holds: Mapping[tuple[str, str], bytes] = {},
    ) -> None:
        self.connection = connection
        self.now_us = now_us
        self.disk_is_low = disk_is_low
        self.known_holds = known_holds
        self.held: dict[tuple[str, str], bytes | None] = {}
        self._savepoints = savepoints
        self.epochs: dict[str, int] = {}
        self.balances = Balances(now_us, self._look)
        self.controlled = False
        self.erased = False
        # What a member's operations leave to the action's own row, which is written last.
        self.holder = ""
        self.holds: bytes | None = None
        self.settled = False
        self.records: dict[str, str] = {}
        self.payloads: dict[str, bytes] = {}

    def carry(self, commit: transactions.Commit) -> transactions.Committed | transactions.Blocked:
        """Carry out one member. Raises `WroteInVain` if it must be undone without a savepoint."""
        connection = self.connection
        if self._savepoints:
            connection.execute("savepoint member")
        changes = connection.total_changes
        self.balances.begin()
        self.records, self.payloads = {}, {}
        self.holder, self.holds, self.settled = "", None, False
        for op in commit.ops:
            blocked = HANDLERS[type(op)](self, commit.tenant, op)
            if blocked is not None:
                self._undo(changes)
                self.epochs.pop(commit.tenant, None)
                return blocked
        for action, records in self.records.items():
            values = {"tenant": commit.tenant, "id": action, "records": records}
            sql.run(connection, "list_record", values)
        if self._savepoints:
            connection.execute("release member")
        self.balances.keep()
        if self.holder:
            self.held[commit.tenant, self.holder] = self.holds
        return transactions.Committed(at_us=self.now_us)

    def _undo(self, changes: int) -> None:
        if self._savepoints:
            self.connection.execute("rollback to member")
            self.connection.execute("release member")
        elif self.connection.total_changes != changes:
            raise WroteInVain

    def write_balances(self) -> None:
        """Write every balance that the members left changed."""
        if not self.balances.changed:
            return
        sql.run_many(
            self.connection,
            "put_balance",
            [
                {
                    "tenant": tenant,
                    "node": node,
                    "unit": unit,
                    "bucket": name,
                    "spent": spent,
                    "held": held,
                }
                for (tenant, node, unit, name), (spent, held) in self.balances.written().items()
            ],
        )

    def epoch(self, tenant: str) -> int:
        """The tenant's control epoch inside this transaction."""
        if tenant not in self.epochs:
            row = sql.one(self.connection, "control_row", {"tenant": tenant})
            self.epochs[tenant] = row[0] if row else 0
        return self.epochs[tenant]

    def _look(self, key: BalanceKey) -> tuple[int, int]:
        values = dict(zip(("tenant", "node", "unit", "bucket"), key, strict=True))
        row = sql.one(self.connection, "balance", values)
        return (row[0], row[1]) if row else (0, 0)


def _epoch_is(batch: Batch, tenant: str, op: transactions.EpochIs) -> transactions.Blocked | None:
    if batch.epoch(tenant) != op.epoch:
        return transactions.Blocked(code="epoch_moved")
    return transactions.Blocked(code="disk_low") if op.room and batch.disk_is_low else None


def _row(batch: Batch, tenant: str, action: Action) -> dict[str, object]:
    resource = action.resource
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
        "resource": f"{resource.type}:{resource.id}" if resource else None,
        "park_until_us": action.park_until_us,
        "lease_owner": action.lease_owner,
        "lease_until_us": action.lease_until_us,
        "updated_at_us": action.updated_at_us,
        "contradicted": is_contradicted(action),
        "body": encode(action),
        "holds": batch.holds,
        "records": batch.records.pop(action.id, ""),
        "proposal": batch.payloads.get("proposal"),
        "result": batch.payloads.get("result"),
    }


def _insert_action(
    batch: Batch, tenant: str, op: transactions.InsertAction
) -> transactions.Blocked | None:
    if sql.run(batch.connection, "insert_action", _row(batch, tenant, op.action)) == 0:
        return transactions.Blocked(code="duplicate_name")
    return None


def move_action(
    batch: Batch, tenant: str, op: transactions.MoveAction
) -> transactions.Blocked | None:
    """Replace an action whose stored version is the one before."""
    action = op.action
    values = {**_row(batch, tenant, action), "settled": batch.settled}
    ended = action.state in _ENDED and action.intended_at_us is not None
    if sql.run(batch.connection, "end_action" if ended else "move_action", values) == 0:
        return transactions.Blocked(code="action_moved")
    return None


def _take(batch: Batch, tenant: str, op: transactions.Take) -> transactions.Blocked | None:
    taken = batch.balances.take(tenant, op)
    if isinstance(taken, transactions.Blocked):
        return taken
    batch.holder, batch.holds = op.action, taken
    return None


def _settle(batch: Batch, tenant: str, op: transactions.Settle) -> None:
    holds = batch.holds if batch.holder == op.action else batch.known_holds.get((tenant, op.action))
    if holds is None:
        row = sql.one(batch.connection, "holds", {"tenant": tenant, "action": op.action})
        holds = row[0] if row else None
    batch.holder, batch.holds, batch.settled = op.action, None, True
    batch.balances.settle(tenant, holds or b"[]", op.spent)


def _claim(batch: Batch, tenant: str, op: transactions.Claim) -> transactions.Blocked | None:
    values = {"tenant": tenant, "key": op.key, "action": op.action}
    if sql.run(batch.connection, "claim_effect", values):
        return None
    row = sql.one(batch.connection, "effect_holder", {"tenant": tenant, "key": op.key})
    if row is not None and row[0] == op.action:
        return None
    return transactions.Blocked(
        code="effect_key_held", details={"key": op.key, "holder": row[0] if row else ""}
    )


def _free(batch: Batch, tenant: str, op: transactions.Free) -> None:
    sql.run(batch.connection, "free_effect", {"tenant": tenant, **_members(op)})


def _open_approval(batch: Batch, tenant: str, op: transactions.OpenApproval) -> None:
    approval = op.approval
    values = {
        "tenant": tenant,
        "action": approval.action,
        "request_digest": approval.request_digest,
        "state": approval.state,
        "expires_at_us": approval.expires_at_us,
        "body": encode(msgspec.structs.replace(approval, votes=())),
    }
    sql.run(batch.connection, "put_approval", values)


def _close_approval(
    batch: Batch, tenant: str, op: transactions.CloseApproval
) -> transactions.Blocked | None:
    for seen in op.expect:
        values = {"tenant": tenant, "action": op.action, "state": op.state, "seen": seen}
        if sql.run(batch.connection, "close_approval", values):
            return None
    return transactions.Blocked(code="approval_moved")


def _cast_vote(batch: Batch, tenant: str, op: transactions.CastVote) -> transactions.Blocked | None:
    vote = op.vote
    row = sql.one(batch.connection, "approval_row", {"tenant": tenant, "action": vote.action})
    if row is None or row[0] != vote.request_digest or row[1] != "open":
        return transactions.Blocked(code="approval_moved")
    values = {
        "tenant": tenant,
        "action": vote.action,
        "person": vote.person,
        "request_digest": vote.request_digest,
        "body": encode(vote),
    }
    if sql.run(batch.connection, "cast_vote", values) == 0:
        return transactions.Blocked(code="already_voted")
    return None


def _put_mandate(batch: Batch, tenant: str, op: transactions.PutMandate) -> None:
    values = {
        "tenant": tenant,
        "id": op.mandate.statement.id,
        "counts_until_us": op.counts_until_us,
        "body": encode(op.mandate),
    }
    sql.run(batch.connection, "put_mandate", values)


def _use_mandate(
    batch: Batch, tenant: str, op: transactions.UseMandate
) -> transactions.Blocked | None:
    if batch.now_us >= op.until_us:
        return transactions.Blocked(code="mandate_over", details={"mandate": op.mandate})
    values = {"tenant": tenant, "mandate": op.mandate, "action": op.action}
    sql.run(batch.connection, "use_mandate", values)
    return None


def _notice(tenant: str, notice: Notice) -> dict[str, object]:
    return {
        "tenant": tenant,
        "id": notice.id,
        "state": notice.state,
        "due_at_us": notice.due_at_us,
        "attempts": notice.attempts,
        "body": encode(notice),
    }


def _put_notice(batch: Batch, tenant: str, op: transactions.PutNotice) -> None:
    sql.run(batch.connection, "put_notice", _notice(tenant, op.notice))


def _move_notice(
    batch: Batch, tenant: str, op: transactions.MoveNotice
) -> transactions.Blocked | None:
    moved = sql.run(batch.connection, "move_notice", _notice(tenant, op.notice))
    return None if moved else transactions.Blocked(code="notice_moved")


def _escalate(batch: Batch, tenant: str, op: transactions.Escalate) -> transactions.Blocked | None:
    row = sql.one(batch.connection, "approval_row", {"tenant": tenant, "action": op.action})
    if row is None or row[0] != op.request_digest or row[1] != "open":
        return transactions.Blocked(code="approval_moved")
    values = {"tenant": tenant, "action": op.action, "body": escalated(row[2], op.queue, op.to)}
    sql.run(batch.connection, "escalate", values)
    return None


def _put_payload(batch: Batch, tenant: str, op: transactions.PutPayload) -> None:
    if op.kind in _IN_ROW:
        short = len(op.sealed) <= _MAX_IN_ROW
        batch.payloads[op.kind] = op.sealed if short else b""
        if short:
            return
    values = {
        "tenant": tenant,
        "action": op.action,
        "kind": op.kind,
        "run": op.run,
        "sealed": op.sealed,
        "commitment": op.commitment,
    }
    sql.run(batch.connection, "put_payload", values)


def _put_run(batch: Batch, tenant: str, op: transactions.PutRun) -> transactions.Blocked | None:
    values = {
        "tenant": tenant,
        "id": op.run,
        "agent": op.agent,
        "wrapped_key": op.wrapped_key,
        "now_us": batch.now_us,
    }
    if sql.run(batch.connection, "put_run", values):
        return None
    row = sql.one(batch.connection, "run_row", {"tenant": tenant, "id": op.run})
    # Another process began the run with another key: what was sealed here must be sealed again.
    return None if row and row[0] == op.wrapped_key else transactions.Blocked(code="run_key_moved")


def _run_is_closed(
    batch: Batch, tenant: str, op: transactions.RunIsClosed
) -> transactions.Blocked | None:
    found = sql.one(batch.connection, "run_open", {"tenant": tenant, "run": op.run})
    return transactions.Blocked(code="run_open", details={"run": op.run}) if found else None


def _erase(batch: Batch, tenant: str, op: transactions.Erase) -> transactions.Blocked | None:
    action, connection = op.action, batch.connection
    values = {
        "tenant": tenant,
        "id": action.id,
        "version": action.version,
        "body": encode(action),
    }
    if sql.run(connection, "erase_action", values) == 0:
        return transactions.Blocked(code="action_moved")
    sql.run(connection, "erase_payloads", values)
    batch.erased = True
    return None


def _drop_run_key(
    batch: Batch, tenant: str, op: transactions.DropRunKey
) -> transactions.Blocked | None:
    kept = {"tenant": tenant, "run": op.run, "after": "", "limit": 1}
    if sql.one(batch.connection, "run_kept", kept):
        return transactions.Blocked(code="run_kept", details={"run": op.run})
    sql.run(batch.connection, "drop_run_key", {"tenant": tenant, "id": op.run})
    batch.erased = True
    return None


def _add_parked(batch: Batch, tenant: str, op: transactions.AddParked) -> None:
    values = {"tenant": tenant, "id": op.run, "since_us": op.since_us, "until_us": batch.now_us}
    sql.run(batch.connection, "add_parked", values)


def _append(batch: Batch, tenant: str, op: transactions.Append) -> None:
    values = {
        "tenant": tenant,
        "kind": op.kind,
        "action": op.action,
        "body": op.body,
        "hash": op.hash,
    }
    seq = sql.insert(batch.connection, "append", values)
    if op.action is not None:
        batch.records[op.action] = f"{batch.records.get(op.action, '')}{seq},"


def _mark_breaker(batch: Batch, tenant: str, op: transactions.MarkBreaker) -> None:
    row = sql.one(batch.connection, "breaker", {"tenant": tenant, "target": op.target})
    failures = (row[0] if row else 0) + 1 if op.failed else 0
    recent = row[2] if row else ""
    if not (op.failed or op.keep or recent) and (row is None or row[0] == 0):
        return
    values = {
        "tenant": tenant,
        "target": op.target,
        "failures": failures,
        "open_until_us": batch.now_us + op.open_for_us if failures >= op.threshold else 0,
        "recent": f"{recent}{'x' if op.failed else '.'}"[-op.keep :] if op.keep else "",
    }
    sql.run(batch.connection, "put_breaker", values)


def _raise_epoch(batch: Batch, tenant: str, _: transactions.RaiseEpoch) -> None:
    sql.run(batch.connection, "put_control", {"tenant": tenant})
    sql.run(batch.connection, "raise_epoch", {"tenant": tenant})
    batch.epochs.pop(tenant, None)
    batch.controlled = True


def _put_stop(batch: Batch, tenant: str, op: transactions.PutStop) -> None:
    stop = op.stop
    values = {"scope": stop.scope, "target": stop.target, "body": encode(stop)}
    sql.run(batch.connection, "put_stop", {"tenant": tenant, **values})


def _lift_stop(batch: Batch, tenant: str, op: transactions.LiftStop) -> transactions.Blocked | None:
    lifted = sql.run(batch.connection, "lift_stop", {"tenant": tenant, **_members(op)})
    return None if lifted else transactions.Blocked(code="not_stopped")


def _put_mode(batch: Batch, tenant: str, op: transactions.PutMode) -> None:
    values = {"agent": op.setting.agent, "tool": op.setting.tool, "body": encode(op.setting)}
    sql.run(batch.connection, "put_mode", {"tenant": tenant, **values})


def _put_legal_hold(batch: Batch, tenant: str, op: transactions.PutLegalHold) -> None:
    values = {"kind": op.hold.kind, "target": op.hold.target, "body": encode(op.hold)}
    sql.run(batch.connection, "put_legal_hold", {"tenant": tenant, **values})


def _put_round(batch: Batch, tenant: str, op: transactions.PutRound) -> None:
    sql.run(batch.connection, "put_round", {"tenant": tenant, **_members(op)})


def _put_standing(batch: Batch, tenant: str, op: transactions.PutStanding) -> None:
    values = {"tenant": tenant, "name": op.standing.agent, "body": encode(op.standing)}
    sql.run(batch.connection, "put_standing", values)


def _carry(batch: Batch, tenant: str, op: transactions.Carry) -> None:
    rows = [{"tenant": tenant, "run": op.run, "data_class": each} for each in op.classes]
    sql.run_many(batch.connection, "carry", rows)


def _revoke(batch: Batch, tenant: str, op: transactions.Revoke) -> None:
    values = {"tenant": tenant, **_members(op), "at_us": batch.now_us}
    sql.run(batch.connection, "revoke", values)


def _use_once(batch: Batch, tenant: str, op: transactions.UseOnce) -> transactions.Blocked | None:
    if not sql.run(batch.connection, "use_once", {"tenant": tenant, **_members(op)}):
        return transactions.Blocked(code="used_before")
    sql.run(batch.connection, "forget_used", {"tenant": tenant, "now_us": batch.now_us})
    return None


def _put_person(batch: Batch, tenant: str, op: transactions.PutPerson) -> None:
    values = {
        "tenant": tenant,
        "name": op.person.name,
        "body": encode(op.person),
        "secret": encode(op.secret),
    }
    sql.run(batch.connection, "put_person", values)


def _put_release(batch: Batch, tenant: str, op: transactions.PutRelease) -> None:
    release = op.release
    values = {
        "tenant": tenant,
        "digest": release.digest,
        "body": encode(release),
        "created_at_us": release.created_at_us,
    }
    sql.run(batch.connection, "put_release", values)


def _activate(batch: Batch, tenant: str, op: transactions.Activate) -> None:
    sql.run(batch.connection, "put_control", {"tenant": tenant})
    sql.run(batch.connection, "activate", {"tenant": tenant, "digest": op.digest})


def _put_change(batch: Batch, tenant: str, op: transactions.PutChange) -> None:
    values = {**_members(op), "tenant": tenant, "body": encode(op.body)}
    sql.run(batch.connection, "put_change", values)


def _close_change(
    batch: Batch, tenant: str, op: transactions.CloseChange
) -> transactions.Blocked | None:
    values = {**_members(op), "tenant": tenant, "now_us": batch.now_us}
    closed = sql.run(batch.connection, "close_change", values)
    return None if closed else transactions.Blocked(code="change_moved")


_members = msgspec.structs.asdict


# Each handler takes exactly the operation it stands beside; the table is the only caller.
HANDLERS: dict[type, Callable[[Batch, str, Any], transactions.Blocked | None]] = {
    transactions.EpochIs: _epoch_is,
    transactions.InsertAction: _insert_action,
    transactions.MoveAction: move_action,
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
    transactions.RunIsClosed: _run_is_closed,
    transactions.Erase: _erase,
    transactions.DropRunKey: _drop_run_key,
    transactions.AddParked: _add_parked,
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
