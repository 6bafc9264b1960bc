"""A ticket desk over HTTP, with a database of its own: an outside system of the example.

It shares no code with the runtime and needs the standard library only:

    python ticket_desk.py --db desk.sqlite --port 0 --port-file desk.port --seed

Reads (either token)            Writes (the write token)
GET /tickets?status=open        POST   /tickets/{id}/tags {tag}
GET /tickets/{id}               DELETE /tickets/{id}/tags/{tag}
GET /tickets/{id}/notes         POST   /tickets/{id}/notes {text, action_id?}
GET /tickets/{id}/replies       POST   /tickets/{id}/replies {to, text, action_id?}
                                POST   /tickets/{id}/status {status}

A ticket is what its customer wrote: the desk checks neither the invoice nor the amount, and texts
may hold anything. A note stays inside the company, a reply leaves it. Times are integer
microseconds since the epoch, UTC. Tags and the status can be set again without a change; each POST
of a note or a reply makes one more.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loopback_http import (
    Answer,
    Json,
    Refused,
    Request,
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
from seed import seed_tickets

MAX_LETTER = 20_000
STATUSES = ("open", "pending", "closed")

# `requested_minor` has no type: it holds what the customer put into the form.
SCHEMA = """
CREATE TABLE IF NOT EXISTS tickets (
  id TEXT PRIMARY KEY, customer TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
  invoice TEXT, requested_minor, currency TEXT, payee TEXT, status TEXT NOT NULL,
  created_at_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tags (
  ticket TEXT NOT NULL REFERENCES tickets (id), tag TEXT NOT NULL, PRIMARY KEY (ticket, tag));
CREATE TABLE IF NOT EXISTS notes (
  id INTEGER PRIMARY KEY, ticket TEXT NOT NULL REFERENCES tickets (id), author TEXT NOT NULL,
  text TEXT NOT NULL, at_us INTEGER NOT NULL, action_id TEXT);
CREATE INDEX IF NOT EXISTS notes_ticket ON notes (ticket);
CREATE TABLE IF NOT EXISTS replies (
  id INTEGER PRIMARY KEY, ticket TEXT NOT NULL REFERENCES tickets (id), recipient TEXT NOT NULL,
  text TEXT NOT NULL, at_us INTEGER NOT NULL, action_id TEXT);
CREATE INDEX IF NOT EXISTS replies_ticket ON replies (ticket);
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """The state of the process."""

    connection: sqlite3.Connection
    read_token: str
    write_token: str


def open_database(path: str) -> sqlite3.Connection:
    """Opens the database and makes its tables where they are missing."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.executescript(SCHEMA)
    return connection


def rows(desk: Desk, query: str, *values: object) -> list[dict[str, Any]]:
    """Gives the rows of a query."""
    return [dict(row) for row in desk.connection.execute(query, values)]


def notes_of(desk: Desk, ticket: str) -> list[dict[str, Any]]:
    """Gives the notes of a ticket, oldest first."""
    return rows(
        desk,
        "SELECT id, author, text, at_us, action_id FROM notes WHERE ticket = ? ORDER BY id",
        ticket,
    )


def replies_of(desk: Desk, ticket: str) -> list[dict[str, Any]]:
    """Gives what was written to the outside, oldest first."""
    return rows(
        desk,
        'SELECT id, recipient AS "to", text, at_us, action_id FROM replies'
        " WHERE ticket = ? ORDER BY id",
        ticket,
    )


def ticket_view(desk: Desk, ticket: dict[str, Any]) -> Json:
    """Shows a ticket with its tags and notes."""
    tags = rows(desk, "SELECT tag FROM tags WHERE ticket = ? ORDER BY tag", ticket["id"])
    return {
        **ticket,
        "tags": [row["tag"] for row in tags],
        "notes": notes_of(desk, ticket["id"]),
    }


def find_ticket(desk: Desk, ticket: str) -> Json:
    """Gives a ticket; Refused with 404 where there is none."""
    found = rows(desk, "SELECT * FROM tickets WHERE id = ?", ticket)
    if not found:
        raise Refused(404, "not_found", f"there is no ticket `{ticket[:80]}`")
    return ticket_view(desk, found[0])


def list_tickets(desk: Desk, query: Mapping[str, Any]) -> Answer:
    """Lists tickets in their order, all of them or those of one status."""
    if not query.keys() <= {"status"}:
        raise Refused(400, "bad_filter", "filter by status and nothing else")
    found = rows(desk, "SELECT * FROM tickets ORDER BY created_at_us, id")
    status = query.get("status")
    data = [ticket_view(desk, row) for row in found if status in (None, row["status"])]
    return Answer(200, {"data": data})


def read(desk: Desk, request: Request) -> Answer:
    """Answers a GET."""
    match request.segments:
        case ["tickets"]:
            return list_tickets(desk, request.query)
        case ["tickets", ticket]:
            return Answer(200, find_ticket(desk, ticket))
        case ["tickets", ticket, "notes"]:
            find_ticket(desk, ticket)
            return Answer(200, {"data": notes_of(desk, ticket)})
        case ["tickets", ticket, "replies"]:
            find_ticket(desk, ticket)
            return Answer(200, {"data": replies_of(desk, ticket)})
        case _:
            raise unknown_path(request)


def change_tag(desk: Desk, ticket: str, tag: str, *, wanted: bool) -> Answer:
    """Sets or takes away a tag; it may be so already."""
    find_ticket(desk, ticket)
    if wanted:
        desk.connection.execute("INSERT OR IGNORE INTO tags VALUES (?, ?)", (ticket, tag))
    else:
        desk.connection.execute("DELETE FROM tags WHERE ticket = ? AND tag = ?", (ticket, tag))
    return Answer(200, find_ticket(desk, ticket))


def add_note(desk: Desk, ticket: str, body: Json) -> Answer:
    """Adds a note, written by whoever holds the write token."""
    only_fields(body, {"text", "action_id"})
    text, action_id = text_field(body, "text", MAX_LETTER), optional_text(body, "action_id")
    find_ticket(desk, ticket)
    desk.connection.execute(
        "INSERT INTO notes (ticket, author, text, at_us, action_id) VALUES (?, 'api', ?, ?, ?)",
        (ticket, text, clock_us(), action_id),
    )
    return Answer(201, notes_of(desk, ticket)[-1])


def add_reply(desk: Desk, ticket: str, body: Json) -> Answer:
    """Sends a reply to the outside, which here means that it is kept."""
    only_fields(body, {"to", "text", "action_id"})
    recipient, text = text_field(body, "to"), text_field(body, "text", MAX_LETTER)
    action_id = optional_text(body, "action_id")
    find_ticket(desk, ticket)
    desk.connection.execute(
        "INSERT INTO replies (ticket, recipient, text, at_us, action_id) VALUES (?, ?, ?, ?, ?)",
        (ticket, recipient, text, clock_us(), action_id),
    )
    return Answer(201, replies_of(desk, ticket)[-1])


def set_status(desk: Desk, ticket: str, body: Json) -> Answer:
    """Sets the status of a ticket."""
    only_fields(body, {"status", "action_id"})
    status = text_field(body, "status")
    if status not in STATUSES:
        raise Refused(422, "unknown_status", f"a status is one of {', '.join(STATUSES)}")
    find_ticket(desk, ticket)
    desk.connection.execute("UPDATE tickets SET status = ? WHERE id = ?", (status, ticket))
    return Answer(200, find_ticket(desk, ticket))


def write(desk: Desk, request: Request) -> Answer:
    """Answers a POST or DELETE."""
    body = parse_body(request)
    match request.method, request.segments:
        case "POST", ["tickets", ticket, "tags"]:
            only_fields(body, {"tag", "action_id"})
            return change_tag(desk, ticket, text_field(body, "tag", 50), wanted=True)
        case "DELETE", ["tickets", ticket, "tags", tag]:
            return change_tag(desk, ticket, tag, wanted=False)
        case "POST", ["tickets", ticket, "notes"]:
            return add_note(desk, ticket, body)
        case "POST", ["tickets", ticket, "replies"]:
            return add_reply(desk, ticket, body)
        case "POST", ["tickets", ticket, "status"]:
            return set_status(desk, ticket, body)
        case _:
            raise unknown_path(request)


async def answer_to(desk: Desk, request: Request) -> Answer:
    """Carries a request to its answer."""
    if request.method not in ("GET", "POST", "DELETE"):
        raise Refused(405, "unknown_method", "GET, POST and DELETE are known here")
    authorize(request, token_of(request, desk.read_token, desk.write_token))
    return read(desk, request) if request.method == "GET" else write(desk, request)


def main() -> None:
    """Runs the desk until it is told to stop."""
    arguments = parse_arguments(command_line("A ticket desk on the loopback interface."))
    connection = open_database(arguments.db)
    if arguments.seed:
        seed_tickets(connection)
    desk = Desk(connection, arguments.token_read, arguments.token_write)
    try:
        asyncio.run(
            serve(lambda request: answer_to(desk, request), arguments.port, arguments.port_file)
        )
    finally:
        connection.close()


if __name__ == "__main__":
    main()
