"""People at the server: logging in, giving commands, and voting. REST and the pages come here.

Who logs in with name and password has a signed statement for twelve hours, the one that the command
line has. The server keeps none, and no signing key: a vote is signed with the key that the person's
password opens for that one vote, or comes here signed already.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from bailiwick import approval
from bailiwick.errors import ApprovalError, StoreUnavailable
from bailiwick.identity import LogIn
from bailiwick.identity.jose import decode
from bailiwick.nouns import Role, Vote
from bailiwick.values import JSON

Perform = Callable[[Mapping[str, JSON]], Awaitable[JSON]]
Choice = Literal["approve", "deny"]

# Opening a password takes 32 MB and a tenth of a second, by design: so many at once, and waiting.
_OPENING = 2
_WAITING = 16


class Entered(Struct, frozen=True, kw_only=True):
    """Who has logged in: the session, and the account as it is now."""

    login: LogIn
    person: str
    roles: tuple[Role, ...]
    queues: tuple[str, ...]


class People:
    """The people of one project, as they come to the server."""

    def __init__(self, perform: Perform) -> None:
        """`perform` carries out one command, as `operations.perform` does."""
        self._perform = perform
        self._opening = asyncio.Semaphore(_OPENING)
        self._waiting = 0

    async def log_in(self, name: str, password: str) -> Entered:
        """Open a session. The try is counted before the password is looked at.

        Raises `IdentityError`: `password_wrong`, `account_waiting` (with `wait_s`),
        `person_disabled`; `StoreUnavailable` (`logins_full`) when too many ask at once.
        """
        told = await self._opened(name, password)
        return Entered(
            login=LogIn(str(told["statement"]), _key(told)),
            person=str(told["person"]),
            roles=tuple(cast("list[Role]", told["roles"])),
            queues=tuple(map(str, cast("list[str]", told["queues"]))),
        )

    async def give(
        self, statement: str, command: str, parameters: Mapping[str, JSON] | None = None
    ) -> JSON:
        """One command of who holds the statement. Raises what `operations.perform` raises."""
        return await self._perform(
            {"session": statement, "command": command, "parameters": dict(parameters or {})}
        )

    async def vote(
        self,
        statement: str,
        action: str,
        choice: Choice,
        *,
        digest: str,
        password: str,
        reason: str = "",
        on_behalf_of: str = "",
    ) -> JSON:
        """Vote on exactly the request that was shown, signed with the key the password opens.

        `digest` is the one that came with what the person was shown; another one is refused. Gives
        what `approvals approve` gives. Raises `ApprovalError` (`request_changed`), what `log_in`
        raises, and what the command raises.
        """
        asked = cast(
            "Mapping[str, JSON]",
            await self.give(statement, "approvals show", {"action": action}),
        )
        document = cast("Mapping[str, JSON]", asked["document"])
        if digest != asked["digest"] or approval.digest_of(document) != digest:
            raise ApprovalError(
                "the request is not the one that was shown",
                code="request_changed",
                help="look at it again, and vote on what it says now",
            )
        account = cast("Mapping[str, JSON]", await self.give(statement, "whoami"))
        opened = await self._opened(str(account["name"]), password)
        vote = Vote(
            action=str(asked["action"]),
            person=str(account["name"]),
            choice=choice,
            request_digest=digest,
            reason=reason,
            cast_at_us=cast("int", asked["now_us"]),
            signature="",
            on_behalf_of=on_behalf_of,
        )
        signed = approval.sign_vote(vote, _key(opened))
        members: JSON = {name: getattr(signed, name) for name in signed.__struct_fields__}
        return await self.give(statement, f"approvals {choice}", {"vote": members})

    async def _opened(self, name: str, password: str) -> Mapping[str, JSON]:
        if self._waiting >= _WAITING:
            raise StoreUnavailable(
                "too many people are logging in at once", code="logins_full", help="try again"
            )
        self._waiting += 1
        try:
            async with self._opening:
                given: JSON = {"name": name, "password": password}
                answer = await self._perform({"command": "login", "parameters": given})
        finally:
            self._waiting -= 1
        return cast("Mapping[str, JSON]", answer)


def _key(opened: Mapping[str, JSON]) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(decode(str(opened["key"])))
