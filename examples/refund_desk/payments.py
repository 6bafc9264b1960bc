"""A payments provider over HTTP, with a database of its own: an outside system of the example.

It shares no code with the runtime and needs the standard library only:

    python payments.py --db payments.sqlite --port 0 --port-file payments.port --seed

Reads (either token)                    Writes (the write token)
GET /v1/charges/{id}                    POST   /v1/refunds             Idempotency-Key honoured
GET /v1/charges?invoice=&customer=      POST   /v1/refunds/{id}/cancel
GET /v1/refunds/{id}                    DELETE /v1/customers/{id}
GET /v1/refunds?charge=&action_id=      POST   /v1/customers/{id}/permissions
    &idempotency_key=
GET /v1/customers/{id}

Amounts are integers in minor units, times are integer microseconds since the epoch, UTC. A refusal
is `{"error": {"code", "message"}}`. A write says who it is for by `metadata.action_id` in its body,
or by the header `X-Action-Id` where a body is unusual.

Idempotency keys work as Stripe's do (docs.stripe.com/api/idempotent_requests): the first answer of
a request that began to execute is kept for a day, whatever its status, and is replayed to the same
request with `Idempotent-Replayed: true`; another body under the key is a 422; a key in work is a
409. A request refused by validation or turned away at the door (`status_429`, `status_500`) did not
begin, so its key stays free.

With `--admin` there are, without a token, `GET /admin/arrivals` (each write request, by this
provider's clock), `GET /admin/effects` (each refund really made), `POST /admin/charges` (a charge
to work with) and `GET`, `POST`, `DELETE /admin/faults` (payment_faults.py lists them).
"""

import asyncio
import hashlib
import json
import math
import secrets
import sqlite3
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from loopback_http import (
    Answer,
    Json,
    Refused,
    Request,
    Token,
    authorize,
    clock_us,
    command_line,
    only_fields,
    optional_text,
    parse_arguments,
    parse_body,
    serve,
    text_field,
    token_of,
    unknown_path,
)
from payment_faults import (
    NEVER_US,
    Fault,
    Sight,
    count_request,
    key_ttl_us,
    parse_fault,
    switch_on,
    take_faults,
)
from seed import seed_payments

MAX_KEY = 255

SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, known_payees TEXT NOT NULL,
  created_at_us INTEGER NOT NULL, deleted_at_us INTEGER);
CREATE TABLE IF NOT EXISTS permissions (
  customer TEXT NOT NULL REFERENCES customers (id), role TEXT NOT NULL,
  created_at_us INTEGER NOT NULL, PRIMARY KEY (customer, role));
CREATE TABLE IF NOT EXISTS charges (
  id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers (id), invoice TEXT NOT NULL,
  amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, payee TEXT NOT NULL,
  created_at_us INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS charges_invoice ON charges (invoice);
CREATE INDEX IF NOT EXISTS charges_customer ON charges (customer);
CREATE TABLE IF NOT EXISTS refunds (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, charge TEXT NOT NULL REFERENCES charges (id),
  amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, payee TEXT NOT NULL, reason TEXT NOT NULL,
  metadata TEXT NOT NULL, action_id TEXT, idempotency_key TEXT, created_at_us INTEGER NOT NULL,
  canceled_at_us INTEGER, cancel_action_id TEXT);
CREATE INDEX IF NOT EXISTS refunds_charge
  ON refunds (charge, canceled_at_us, created_at_us, amount_minor);
CREATE INDEX IF NOT EXISTS refunds_action ON refunds (action_id);
CREATE INDEX IF NOT EXISTS refunds_key ON refunds (idempotency_key);
CREATE TABLE IF NOT EXISTS idempotency_keys (
  key TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
  stored_at_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS arrivals (
  seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
  action_id TEXT, idempotency_key TEXT, token TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS effects (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, charge TEXT NOT NULL, amount_minor INTEGER NOT NULL,
  action_id TEXT, idempotency_key TEXT, at_us INTEGER NOT NULL, source TEXT NOT NULL);
"""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """A request to refund, checked for shape; `fingerprint` tells its body from others."""

    charge: str
    amount_minor: int
    currency: str
    reason: str
    payee: str | None
    metadata: Json
    action_id: str | None
    key: str | None
    fingerprint: bytes


@dataclass(slots=True)
class Provider:
    """The state of the process."""

    connection: sqlite3.Connection
    read_token: str
    write_token: str
    admin: bool
    cancel_window_us: int
    faults: list[Fault] = field(default_factory=list)
    keys_in_work: dict[str, bytes] = field(default_factory=dict)


def row_as_dict(cursor: sqlite3.Cursor, values: tuple[object, ...]) -> Row:
    """Gives a row as a dict by column name."""
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def open_database(path: str) -> sqlite3.Connection:
    """Opens the database and makes its tables where they are missing."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = row_as_dict
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA busy_timeout=5000")
    connection.executescript(SCHEMA)
    return connection


# What the records look like outside


def was_canceled(refund: Row, until_us: int) -> bool:
    """Tells whether a refund had been canceled by `until_us`."""
    return refund["canceled_at_us"] is not None and refund["canceled_at_us"] <= until_us


def refund_view(refund: Row, until_us: int = NEVER_US) -> Json:
    """Shows a refund as it was at `until_us`."""
    canceled = was_canceled(refund, until_us)
    return {
        "id": refund["id"],
        "charge": refund["charge"],
        "amount_minor": refund["amount_minor"],
        "currency": refund["currency"],
        "payee": refund["payee"],
        "reason": refund["reason"],
        "status": "canceled" if canceled else "succeeded",
        "metadata": json.loads(refund["metadata"]),
        "created_at_us": refund["created_at_us"],
        "idempotency_key": refund["idempotency_key"],
        "canceled_at_us": refund["canceled_at_us"] if canceled else None,
        "cancel_action_id": refund["cancel_action_id"] if canceled else None,
    }


def charge_view(provider: Provider, charge: Row, until_us: int) -> Json:
    """Shows a charge as it was at `until_us`; what is refunded is the sum of its refunds."""
    refunds = provider.connection.execute(
        "SELECT id, amount_minor, canceled_at_us FROM refunds"
        " WHERE charge = ? AND created_at_us <= ? ORDER BY seq",
        (charge["id"], until_us),
    ).fetchall()
    refunded = sum(r["amount_minor"] for r in refunds if not was_canceled(r, until_us))
    status = "succeeded"
    if refunded:
        status = "refunded" if refunded >= charge["amount_minor"] else "partially_refunded"
    return {
        "id": charge["id"],
        "customer": charge["customer"],
        "invoice": charge["invoice"],
        "amount_minor": charge["amount_minor"],
        "currency": charge["currency"],
        "refunded_minor": refunded,
        "payee": charge["payee"],
        "status": status,
        "refunds": [refund["id"] for refund in refunds],
        "created_at_us": charge["created_at_us"],
    }


def customer_view(provider: Provider, row: Row, until_us: int) -> Json:
    """Shows a customer as it was at `until_us`."""
    deleted = row["deleted_at_us"] is not None and row["deleted_at_us"] <= until_us
    roles = provider.connection.execute(
        "SELECT role FROM permissions WHERE customer = ? AND created_at_us <= ? ORDER BY role",
        (row["id"], until_us),
    )
    return {
        "id": row["id"],
        "name": row["name"],
        "email": row["email"],
        "known_payees": json.loads(row["known_payees"]),
        "roles": [role["role"] for role in roles],
        "status": "deleted" if deleted else "active",
    }


# Reads


def find(provider: Provider, table: str, record_id: str, until_us: int = NEVER_US) -> Row:
    """Gives one row that was there at `until_us`; Refused with 404 where there is none."""
    query = f"SELECT * FROM {table} WHERE id = ?"  # noqa: S608 - the callers name the table
    row: Row | None = provider.connection.execute(query, (record_id,)).fetchone()
    if row is None or row["created_at_us"] > until_us:
        raise Refused(404, "not_found", f"there is no `{record_id}` among the {table}")
    return row


def select(provider: Provider, request: Request, table: str, columns: set[str]) -> list[Row]:
    """Gives the rows that match all filters of the query string, of which one is needed."""
    if not request.query or not request.query.keys() <= columns:
        raise Refused(400, "bad_filter", f"filter by {', '.join(sorted(columns))} and nothing else")
    where = " AND ".join(f"{column} = ?" for column in request.query)
    query = f"SELECT * FROM {table} WHERE {where} ORDER BY rowid"  # noqa: S608 - checked above
    return provider.connection.execute(query, tuple(request.query.values())).fetchall()


def read_charges(provider: Provider, request: Request, sight: Sight) -> Answer:
    """Lists charges by invoice or customer."""
    rows = select(provider, request, "charges", {"invoice", "customer"})
    seen = [(row, sight.until_us(row["id"])) for row in rows]
    data = [
        charge_view(provider, row, until) for row, until in seen if row["created_at_us"] <= until
    ]
    return Answer(200, {"data": data})


def read_refunds(provider: Provider, request: Request, sight: Sight) -> Answer:
    """Lists refunds by charge, action id or key; a key that is forgotten finds nothing."""
    rows = select(provider, request, "refunds", {"charge", "action_id", "idempotency_key"})
    data = []
    for row in rows:
        until_us = sight.until_us(row["charge"])
        forgotten = "idempotency_key" in request.query and sight.now_us > (
            row["created_at_us"] + key_ttl_us(provider.faults, row["charge"])
        )
        if row["created_at_us"] <= until_us and not forgotten:
            data.append(refund_view(row, until_us))
    return Answer(200, {"data": data})


def read(provider: Provider, request: Request, sight: Sight) -> Answer:
    """Answers a GET under /v1."""
    match request.segments:
        case ["v1", "charges"]:
            return read_charges(provider, request, sight)
        case ["v1", "charges", charge]:
            until_us = sight.until_us(charge)
            row = find(provider, "charges", charge, until_us)
            return Answer(200, charge_view(provider, row, until_us))
        case ["v1", "refunds"]:
            return read_refunds(provider, request, sight)
        case ["v1", "refunds", refund]:
            until_us = sight.until_us(find(provider, "refunds", refund)["charge"])
            return Answer(200, refund_view(find(provider, "refunds", refund, until_us), until_us))
        case ["v1", "customers", customer]:
            until_us = sight.until_us(None)
            row = find(provider, "customers", customer, until_us)
            return Answer(200, customer_view(provider, row, until_us))
        case _:
            raise unknown_path(request)


# Writes


def amount_field(body: Json) -> int:
    """Gives `amount_minor`, an integer of at least one; Refused with 422 otherwise."""
    value = body.get("amount_minor")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**53:
        raise Refused(422, "amount_invalid", "`amount_minor` must be a positive integer")
    return value


def idempotency_key(request: Request) -> str | None:
    """Gives the key of a request, quoted (as the IETF draft has it) or bare (as Stripe has it)."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 0 < len(key) <= MAX_KEY:
        raise Refused(400, "bad_idempotency_key", f"a key has 1 to {MAX_KEY} characters")
    return key


def parse_order(request: Request, body: Json) -> Order:
    """Checks the shape of a refund request."""
    only_fields(body, {"charge", "amount_minor", "currency", "reason", "payee", "metadata"})
    metadata = body.get("metadata", {})
    if not isinstance(metadata, dict):
        raise Refused(400, "bad_parameter", "`metadata` must be an object")
    return Order(
        charge=text_field(body, "charge"),
        amount_minor=amount_field(body),
        currency=text_field(body, "currency"),
        reason=optional_text(body, "reason") or "",
        payee=optional_text(body, "payee"),
        metadata=metadata,
        action_id=optional_text(metadata, "action_id"),
        key=idempotency_key(request),
        fingerprint=hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest(),
    )


def check_refundable(provider: Provider, order: Order) -> Row:
    """Gives the charge of an order that may be made; Refused with 422 otherwise."""
    charge: Row | None = provider.connection.execute(
        "SELECT currency, payee, amount_minor,"
        " (SELECT coalesce(sum(amount_minor), 0) FROM refunds"
        "  WHERE charge = charges.id AND canceled_at_us IS NULL) AS refunded_minor"
        " FROM charges WHERE id = ?",
        (order.charge,),
    ).fetchone()
    if charge is None:
        raise Refused(422, "unknown_charge", f"there is no charge `{order.charge}`")
    if order.currency != charge["currency"]:
        raise Refused(422, "wrong_currency", f"the charge is in `{charge['currency']}`")
    remaining = max(0, charge["amount_minor"] - charge["refunded_minor"])
    if order.amount_minor > remaining:
        raise Refused(422, "amount_too_large", f"`{remaining}` is left to refund")
    return charge


def new_refund(order: Order, charge: Row, *, key_honoured: bool = True) -> Row:
    """Gives the row of a refund made now; nothing is stored yet."""
    return {
        "id": "re_" + secrets.token_hex(8),
        "charge": order.charge,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "payee": order.payee or charge["payee"],
        "reason": order.reason,
        "metadata": json.dumps(order.metadata),
        "action_id": order.action_id,
        "idempotency_key": order.key if key_honoured else None,
        "created_at_us": clock_us(),
        "canceled_at_us": None,
        "cancel_action_id": None,
    }


def store_refund(provider: Provider, refund: Row, source: str, key: str | None) -> None:
    """Writes a refund and its effect (with the key that was sent) in the caller's transaction."""
    provider.connection.execute(
        "INSERT INTO refunds (id, charge, amount_minor, currency, payee, reason, metadata,"
        " action_id, idempotency_key, created_at_us) VALUES (:id, :charge, :amount_minor,"
        " :currency, :payee, :reason, :metadata, :action_id, :idempotency_key, :created_at_us)",
        refund,
    )
    provider.connection.execute(
        "INSERT INTO effects (id, charge, amount_minor, action_id, idempotency_key, at_us, source)"
        " VALUES (:id, :charge, :amount_minor, :action_id, :key, :created_at_us, :source)",
        {**refund, "key": key, "source": source},
    )


def kept_answer(provider: Provider, order: Order, ttl_us: int) -> Answer | None:
    """Gives the answer kept under a key; Refused where the key is in work or meant another body."""
    assert order.key is not None
    kept: Row | None = provider.connection.execute(
        "SELECT * FROM idempotency_keys WHERE key = ? AND stored_at_us >= ?",
        (order.key, clock_us() - ttl_us),
    ).fetchone()
    in_work = provider.keys_in_work.get(order.key)
    first = kept["fingerprint"] if kept else in_work
    if first not in (None, order.fingerprint):
        raise Refused(422, "idempotency_mismatch", f"`{order.key}` came with another body before")
    if in_work:
        raise Refused(409, "idempotency_in_flight", f"the request under `{order.key}` is in work")
    if kept is None:
        return None
    replayed = (("Idempotent-Replayed", "true"),)
    return Answer(kept["status"], json.loads(kept["body"]), replayed)


def execute_refund(provider: Provider, order: Order, faults: dict[str, Fault]) -> Answer:
    """Makes the refund, its effect and the answer kept under its key in one transaction."""
    key_honoured = "ignore_key" not in faults
    with provider.connection:
        provider.connection.execute("BEGIN IMMEDIATE")
        charge = check_refundable(provider, order)
        refund = new_refund(order, charge, key_honoured=key_honoured)
        answer = Answer(201, refund_view(refund))
        if "ok_no_effect" in faults:
            return answer
        store_refund(provider, refund, "api", order.key)
        if "act_twice" in faults:
            again = new_refund(order, charge, key_honoured=key_honoured)
            store_refund(provider, again, "fault", order.key)
        if "status_500_after_effect" in faults:
            answer = Refused(500, "internal", "something went wrong here").answer
        if key_honoured and order.key is not None:
            provider.connection.execute(
                "INSERT OR REPLACE INTO idempotency_keys VALUES (?, ?, ?, ?, ?)",
                (
                    order.key,
                    order.fingerprint,
                    answer.status,
                    json.dumps(answer.body),
                    clock_us(),
                ),
            )
    return answer


async def refund_under_key(provider: Provider, order: Order, faults: dict[str, Fault]) -> Answer:
    """Replays the answer kept under the key, or executes; the key is in work until it answers."""
    key = None if "ignore_key" in faults else order.key
    if key is not None:
        kept = kept_answer(provider, order, key_ttl_us(faults.values(), order.charge))
        if kept is not None:
            return kept
        provider.keys_in_work[key] = order.fingerprint
    try:
        answer = execute_refund(provider, order, faults)
        if slow := faults.get("slow"):
            await asyncio.sleep(slow.seconds("delay_s"))
        return answer
    finally:
        if key is not None:
            del provider.keys_in_work[key]


async def refund_with_faults(provider: Provider, order: Order, faults: dict[str, Fault]) -> Answer:
    """Turns the order away where a fault says so, else carries it out, late where one says so."""
    if "connection_reset" in faults:
        return Answer(0, {}, delivery="reset")
    if limited := faults.get("status_429"):
        retry_after = ("Retry-After", str(math.ceil(limited.seconds("retry_after_s"))))
        raise Refused(429, "rate_limited", "too many requests", (retry_after,))
    if "status_500" in faults:
        raise Refused(500, "internal", "something went wrong here")
    if late := faults.get("late_effect"):
        await asyncio.sleep(late.seconds("delay_s"))
    answer = await refund_under_key(provider, order, faults)
    if timeout := faults.get("timeout_after_effect"):
        return replace(answer, delivery="withhold", withhold_s=timeout.seconds("delay_s"))
    return answer


async def create_refund(provider: Provider, request: Request, body: Json) -> Answer:
    """Answers POST /v1/refunds; a person at the dashboard may do the same before or after."""
    order = parse_order(request, body)
    faults = take_faults(provider.faults, order.charge)
    person = faults.get("person_same_change")
    if person and person.params["when"] == "before":
        refund_by_person(provider, order)
    try:
        answer = await refund_with_faults(provider, order, faults)
    except Refused as refusal:
        answer = refusal.answer
    if person and person.params["when"] == "after":
        refund_by_person(provider, order)
    return answer


def refund_by_person(provider: Provider, order: Order) -> None:
    """Makes the same refund by hand, as a person at this provider's dashboard would."""
    by_hand = replace(order, reason="made by hand", metadata={}, action_id=None, key=None)
    try:
        with provider.connection:
            provider.connection.execute("BEGIN IMMEDIATE")
            charge = check_refundable(provider, by_hand)
            store_refund(provider, new_refund(by_hand, charge), "person", None)
    except Refused:
        pass  # the dashboard refuses what the API refuses, and the person leaves it at that


def cancel_refund(provider: Provider, refund_id: str, action_id: str | None) -> Answer:
    """Gives the money of a young refund back to its charge; canceling again changes nothing."""
    now_us = clock_us()
    refund = find(provider, "refunds", refund_id)
    if refund["canceled_at_us"] is None:
        if now_us > refund["created_at_us"] + provider.cancel_window_us:
            raise Refused(422, "too_late", f"`{refund_id}` is too old to be canceled")
        provider.connection.execute(
            "UPDATE refunds SET canceled_at_us = ?, cancel_action_id = ? WHERE id = ?",
            (now_us, action_id, refund_id),
        )
    return Answer(200, refund_view(find(provider, "refunds", refund_id)))


def delete_customer(provider: Provider, customer: str) -> Answer:
    """Marks a customer as deleted; deleting again changes nothing."""
    find(provider, "customers", customer)
    provider.connection.execute(
        "UPDATE customers SET deleted_at_us = ? WHERE id = ? AND deleted_at_us IS NULL",
        (clock_us(), customer),
    )
    return Answer(200, customer_view(provider, find(provider, "customers", customer), NEVER_US))


def grant_role(provider: Provider, customer: str, body: Json) -> Answer:
    """Gives a customer a role; granting it again changes nothing."""
    only_fields(body, {"role", "metadata"})
    role = text_field(body, "role")
    row = find(provider, "customers", customer)
    provider.connection.execute(
        "INSERT OR IGNORE INTO permissions VALUES (?, ?, ?)", (customer, role, clock_us())
    )
    return Answer(201, customer_view(provider, row, NEVER_US))


def note_arrival(provider: Provider, request: Request, token: Token, body: Json) -> str | None:
    """Appends a write to the arrivals and gives the action id it carries."""
    metadata = body.get("metadata")
    named = metadata.get("action_id") if isinstance(metadata, dict) else None
    action_id = named if isinstance(named, str) else request.headers.get("x-action-id")
    key = request.headers.get("idempotency-key")
    provider.connection.execute(
        "INSERT INTO arrivals (at_us, method, path, action_id, idempotency_key, token)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (request.first_byte_us, request.method, request.path, action_id, key, token),
    )
    return action_id


async def write(provider: Provider, request: Request, token: Token) -> Answer:
    """Notes the arrival of a write under /v1, whatever becomes of it, and carries it out."""
    body: Json = {}
    bad_body: Refused | None = None
    try:
        body = parse_body(request)
    except Refused as refusal:
        bad_body = refusal
    action_id = note_arrival(provider, request, token, body)
    authorize(request, token)
    if bad_body is not None:
        raise bad_body
    match request.method, request.segments:
        case "POST", ["v1", "refunds"]:
            return await create_refund(provider, request, body)
        case "POST", ["v1", "refunds", refund, "cancel"]:
            only_fields(body, {"metadata"})
            return cancel_refund(provider, refund, action_id)
        case "DELETE", ["v1", "customers", customer]:
            only_fields(body, {"metadata"})
            return delete_customer(provider, customer)
        case "POST", ["v1", "customers", customer, "permissions"]:
            return grant_role(provider, customer, body)
        case _:
            raise unknown_path(request)


# The provider's own people: faults, charges to work with, and the books


def list_faults(provider: Provider, status: int = 200) -> Answer:
    """Lists the faults that are on."""
    return Answer(status, {"data": [asdict(fault) for fault in provider.faults]})


def add_charge(provider: Provider, body: Json) -> Answer:
    """Adds a charge of a known customer, paid a day ago so that a lagging reader sees it too."""
    texts = ["id", "customer", "invoice", "currency", "payee"]
    only_fields(body, {*texts, "amount_minor"})
    record_id, customer, invoice, currency, payee = (text_field(body, name) for name in texts)
    find(provider, "customers", customer)
    day_ago_us = clock_us() - 86_400_000_000
    made = provider.connection.execute(
        "INSERT OR IGNORE INTO charges VALUES (?, ?, ?, ?, ?, ?, ?)",
        (record_id, customer, invoice, amount_field(body), currency, payee, day_ago_us),
    )
    if made.rowcount == 0:
        raise Refused(409, "exists", f"there is a charge `{record_id}` already")
    return Answer(201, charge_view(provider, find(provider, "charges", record_id), NEVER_US))


def administer(provider: Provider, request: Request) -> Answer:
    """Answers what is under /admin."""
    match request.method, request.segments:
        case "GET", ["admin", "arrivals" | "effects" as table]:
            rows = provider.connection.execute(
                f"SELECT * FROM {table} ORDER BY seq"  # noqa: S608 - one of the two names above
            )
            return Answer(200, {"data": rows.fetchall()})
        case "GET", ["admin", "faults"]:
            return list_faults(provider)
        case "POST", ["admin", "faults"]:
            switch_on(provider.faults, parse_fault(parse_body(request)))
            return list_faults(provider, 201)
        case "DELETE", ["admin", "faults"]:
            provider.faults.clear()
            return list_faults(provider)
        case "POST", ["admin", "charges"]:
            return add_charge(provider, parse_body(request))
        case _:
            raise unknown_path(request)


async def answer_to(provider: Provider, request: Request) -> Answer:
    """Carries a request to its answer."""
    if request.method not in ("GET", "POST", "DELETE"):
        raise Refused(405, "unknown_method", "GET, POST and DELETE are known here")
    if provider.admin and request.segments[0] == "admin":
        return administer(provider, request)
    token = token_of(request, provider.read_token, provider.write_token)
    if request.method != "GET":
        return await write(provider, request, token)
    authorize(request, token)
    sight = Sight(provider.faults)
    try:
        return read(provider, request, sight)
    finally:
        count_request(provider.faults, sight.used)


def main() -> None:
    """Runs the provider until it is told to stop."""
    parser = command_line("A payments provider on the loopback interface.")
    parser.add_argument("--admin", action="store_true", help="serve /admin, without a token")
    parser.add_argument(
        "--cancel-window-s", type=float, default=900, help="how long a refund can be canceled"
    )
    arguments = parse_arguments(parser)
    connection = open_database(arguments.db)
    if arguments.seed:
        seed_payments(connection)
    provider = Provider(
        connection=connection,
        read_token=arguments.token_read,
        write_token=arguments.token_write,
        admin=arguments.admin,
        cancel_window_us=int(arguments.cancel_window_s * 1e6),
    )
    try:
        asyncio.run(
            serve(lambda request: answer_to(provider, request), arguments.port, arguments.port_file)
        )
    finally:
        connection.close()


if __name__ == "__main__":
    main()
