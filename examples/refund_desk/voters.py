"""The people of the refund desk: they log in, look at what they are asked, and vote.

Each acts with an account, a password and a signing key of their own, over the project's local
socket, as the CLI does. Scripted people know beforehand what to say; they vote all the same.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from premises import PASSWORD

from bailiwick.approval import sign_vote
from bailiwick.identity.jose import decode
from bailiwick.nouns import Vote
from bailiwick.operations import call
from bailiwick.values import JSON

PATIENCE_S = 10.0


class Voters:
    """Whoever is logged in to one project."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._sessions: dict[str, Mapping[str, Any]] = {}

    async def command(self, person: str, command: str, **parameters: Any) -> Any:
        """Give a command as a person. Raises what the command raises."""
        session = await self._session(person)
        asked = {
            "command": command,
            "session": session["statement"],
            "parameters": parameters,
        }
        return await call(self._socket, asked, PATIENCE_S)

    async def vote(self, person: str, action: str, choice: str, reason: str = "") -> Any:
        """Sign and cast a vote on exactly the request that is shown."""
        shown = await self.command(person, "approvals show", action=action)
        vote = Vote(
            action=action,
            person=person,
            choice="approve" if choice == "approve" else "deny",
            request_digest=shown["digest"],
            reason=reason,
            cast_at_us=time.time_ns() // 1000,
            signature="",
        )
        key = Ed25519PrivateKey.from_private_bytes(decode((await self._session(person))["key"]))
        signed = sign_vote(vote, key)
        statement = {name: getattr(signed, name) for name in signed.__struct_fields__}
        return await self.command(person, f"approvals {choice}", vote=statement)

    async def _session(self, person: str) -> Mapping[str, Any]:
        if person not in self._sessions:
            given: dict[str, JSON] = {"name": person, "password": PASSWORD}
            asked: dict[str, JSON] = {"command": "login", "parameters": given}
            opened = await call(self._socket, asked, PATIENCE_S)
            assert isinstance(opened, Mapping)
            self._sessions[person] = opened
        return self._sessions[person]
