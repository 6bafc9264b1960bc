"""What is different on PostgreSQL: the database is a server's, the ticket desk an MCP server.

Only `make demo STORE=postgres` imports this: it needs more packages than the demo itself.
"""

import json
import secrets
import sys
from contextlib import closing

import premises
import ticket_desk
from seed import seed_tickets

from bailiwick.operations.founding import Founded, found
from bailiwick.testing import postgres


async def found_project(payments: premises.Outside, server: postgres.PostgresServer) -> Founded:
    """Copy the project with what changes, fill the desk's database, and found it on the server."""
    folder = premises.STATE / "desk"
    folder.mkdir()
    with closing(ticket_desk.open_database(str(folder / "db.sqlite"))) as desk:
        seed_tickets(desk)
    password = premises.PROJECT / "secrets" / "postgres"
    database = server.create()
    addresses = {
        premises.PAYMENTS: payments.host,
        "STORE_URL": f"{server.url(database, password=False)}?passfile={password}",
        "PYTHON": sys.executable,
        "DESK_PROGRAM": str(premises.HERE / "ticket_desk_mcp.py"),
        "DESK_DATABASE": str(folder / "db.sqlite"),
        "DESK_TOKENS": str(folder / "tokens.json"),
    }
    premises.copy_project(addresses, changes="project-postgres")
    tokens = {use: secrets.token_urlsafe(24) for use in ("read", "write")}
    premises.write_secret(folder / "tokens.json", json.dumps(tokens))
    premises.write_secrets("payments", payments.read, payments.write)
    premises.write_secrets("desk", tokens["read"], tokens["write"])
    premises.write_secret(password, f"*:*:*:*:{server.password}\n")
    return await found(premises.PROJECT, premises.PEOPLE, access_for=premises.SUBJECT)
