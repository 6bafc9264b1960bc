"""What a batch's commits look at: columns of tables, the rows to read and lock, in which order."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bailiwick import transactions
from bailiwick.nouns import Action
from bailiwick.store.balances import bucket

Key = tuple[Any, ...]
Named = tuple[str, Key]

# Each table's columns as its statements give and take them, the key's first.
COLUMNS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "control": (1, ("tenant", "epoch", "release")),
    "stops": (3, ("tenant", "scope", "target", "body")),
    "changes": (
        2,
        ("tenant", "id", "kind", "body", "proposed_by", "expires_at_us", "state", "decided_by"),
    ),
    "agents": (2, ("tenant", "name", "body")),
    "modes": (3, ("tenant", "agent", "tool", "body")),
    "mandates": (2, ("tenant", "id", "counts_until_us", "body")),
    "notices": (2, ("tenant", "id", "state", "due_at_us", "attempts", "body")),
    "mandate_uses": (3, ("tenant", "mandate", "action")),
    "carried": (3, ("tenant", "run", "data_class")),
    "revocations": (2, ("tenant", "id", "by_person", "reason", "at_us")),
    "used_once": (2, ("tenant", "name", "until_us")),
    "people": (2, ("tenant", "name", "body", "secret")),
    "releases": (2, ("tenant", "digest", "body", "created_at_us")),
    "runs": (
        2,
        ("tenant", "id", "agent", "wrapped_key", "started_at_us", "parked_us", "parked_until_us"),
    ),
    "names": (5, ("tenant", "agent", "subject", "name", "attempt")),
    "effect_keys": (2, ("tenant", "key", "action")),
    "actions": (2, ("tenant", "id", "version", "holds")),
    "approvals": (2, ("tenant", "action", "request_digest", "state", "expires_at_us", "body")),
    "votes": (4, ("tenant", "action", "person", "request_digest", "body")),
    "payloads": (3, ("tenant", "action", "kind", "run", "sealed", "commitment")),
    "legal_holds": (3, ("tenant", "kind", "target", "body")),
    "rounds": (2, ("tenant", "name", "reached", "due_at_us")),
    "kept": (2, ("tenant", "run", "kept", "open")),
    "erasures": (2, ("tenant", "action")),
    "breakers": (2, ("tenant", "target", "failures", "open_until_us", "recent")),
    "budgets": (4, ("tenant", "node", "unit", "bucket", "spent", "held")),
}

# In the order in which they are locked. Those that are only looked at come before the budgets too.
READS: Mapping[str, str] = {
    "stops": "lock_stops",
    "changes": "lock_changes",
    "runs": "lock_runs",
    "approvals": "lock_approvals",
    "breakers": "lock_breakers",
    "actions": "lock_actions",
    "kept": "read_kept",
    "names": "read_names",
    "effect_keys": "read_effect_keys",
    "notices": "lock_notices",
    "votes": "read_votes",
    "used_once": "read_used_once",
}


class Wanted:
    """What a batch's commits will look at: the keys of rows, by table, and the control locks."""

    def __init__(self, commits: Iterable[transactions.Commit], now_us: int) -> None:
        self.shared: set[str] = set()
        self.exclusive: set[str] = set()
        self.keys: dict[str, set[Key]] = {}
        self.settled: set[Key] = set()
        self.records = 0
        for commit in commits:
            self.shared.add(commit.tenant)
            for op in commit.ops:
                self._add(commit.tenant, op, now_us)
        self.shared -= self.exclusive

    def _add(self, tenant: str, op: transactions.Op, now_us: int) -> None:
        if isinstance(op, transactions.RaiseEpoch | transactions.Activate):
            self.exclusive.add(tenant)
        elif isinstance(op, transactions.Take):
            caps = (hold.cap for hold in op.holds)
            self.keys.setdefault("budgets", set()).update(
                (tenant, cap.node, cap.unit, bucket(cap.period, now_us)) for cap in caps
            )
        elif isinstance(op, transactions.Settle):
            self.settled.add((tenant, op.action))
        elif isinstance(op, transactions.Append):
            self.records += 1
        for table, key in _KEYS[type(op)](tenant, op) if type(op) in _KEYS else ():
            self.keys.setdefault(table, set()).add(key)

    def values(self, table: str) -> dict[str, list[Any]]:
        """A table's wanted keys as the columns of its statement, in order."""
        width, columns = COLUMNS[table]
        rows = sorted(self.keys.get(table, ()))
        return {column: [row[i] for row in rows] for i, column in enumerate(columns[:width])}


def _action_keys(tenant: str, op: transactions.InsertAction) -> Iterator[Named]:
    yield "actions", (tenant, op.action.id)
    yield "names", name_key(tenant, op.action)


def _vote_keys(tenant: str, op: transactions.CastVote) -> Iterator[Named]:
    yield "approvals", (tenant, op.vote.action)
    yield "votes", vote_key(tenant, op)


def name_key(tenant: str, action: Action) -> Key:
    """An action's name and attempt, which one action has."""
    return (tenant, action.agent, action.subject, action.name, action.attempt)


def vote_key(tenant: str, op: transactions.CastVote) -> Key:
    """A person's vote on a request, which is cast once."""
    return (tenant, op.vote.action, op.vote.person, op.vote.request_digest)


# Which rows an operation looks at.
_KEYS: Mapping[type, Callable[[str, Any], Iterable[Named]]] = {
    transactions.InsertAction: _action_keys,
    transactions.MoveAction: lambda tenant, op: [("actions", (tenant, op.action.id))],
    transactions.Settle: lambda tenant, op: [("actions", (tenant, op.action))],
    transactions.Append: lambda tenant, op: [("actions", (tenant, op.action))] if op.action else (),
    transactions.Claim: lambda tenant, op: [("effect_keys", (tenant, op.key))],
    transactions.Free: lambda tenant, op: [("effect_keys", (tenant, op.key))],
    transactions.OpenApproval: lambda tenant, op: [("approvals", (tenant, op.approval.action))],
    transactions.CloseApproval: lambda tenant, op: [("approvals", (tenant, op.action))],
    transactions.CastVote: _vote_keys,
    transactions.Escalate: lambda tenant, op: [("approvals", (tenant, op.action))],
    transactions.PutNotice: lambda tenant, op: [("notices", (tenant, op.notice.id))],
    transactions.MoveNotice: lambda tenant, op: [("notices", (tenant, op.notice.id))],
    transactions.PutRun: lambda tenant, op: [("runs", (tenant, op.run))],
    transactions.AddParked: lambda tenant, op: [("runs", (tenant, op.run))],
    transactions.RunIsClosed: lambda tenant, op: [("kept", (tenant, op.run))],
    transactions.Erase: lambda tenant, op: [("actions", (tenant, op.action.id))],
    transactions.DropRunKey: lambda tenant, op: [
        ("kept", (tenant, op.run)),
        ("runs", (tenant, op.run)),
    ],
    transactions.MarkBreaker: lambda tenant, op: [("breakers", (tenant, op.target))],
    transactions.PutStop: lambda tenant, op: [("stops", (tenant, op.stop.scope, op.stop.target))],
    transactions.LiftStop: lambda tenant, op: [("stops", (tenant, op.scope, op.target))],
    transactions.UseOnce: lambda tenant, op: [("used_once", (tenant, op.name))],
    transactions.CloseChange: lambda tenant, op: [("changes", (tenant, op.id))],
}
