"""What requests pass before anything looks at them: whether we are leaving, and who bears what."""

import asyncio
from collections.abc import Iterable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bailiwick.errors import BailiwickError, IdentityError
from bailiwick.gateway import Bearer, BearerDoor, Gateway, Shown
from bailiwick.identity import RequestProof
from bailiwick.identity.dpop import ALGORITHMS
from bailiwick.server.problems import of_fault, problem

# What is asked while we leave is still answered: whether we live, and whether we are ready.
_ALWAYS = ("/health/", "/metrics")


class Leaving:
    """Refuses what is new once we leave, and knows when nothing is under way any more."""

    def __init__(self, app: ASGIApp, gateways: Sequence[Gateway]) -> None:
        """`gateways` serve clients by other ways than this application; they may change."""
        self._app = app
        self._gateways = gateways
        self.leaving = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._under_way = 0

    async def leave(self) -> None:
        """Take nothing new, and wait until nothing is under way."""
        self.leaving = True
        for each in self._gateways:
            each.under_way.leaving = True
        await self._quiet.wait()
        for each in list(self._gateways):
            await each.under_way.quiet.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_ALWAYS):
            await self._app(scope, receive, send)
            return
        if self.leaving:
            refusal = problem(
                503,
                "draining",
                "this process is leaving, and takes nothing new",
                help="ask again: another one answers, or this one once it is back",
                headers={"retry-after": "1", "connection": "close"},
            )
            await refusal(scope, receive, send)
            return
        # A stream that only listens ends with us; it is not waited for.
        if scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        self._under_way += 1
        self._quiet.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()


class Bearers:
    """Agents at a door: who bears no good credential is told how to get one (RFC 6750, RFC 9728).

    Who is good is told on as `state.visitor`. An answer that he needs another scope for becomes a
    challenge for that scope, if it has not begun.
    """

    def __init__(self, app: ASGIApp, door: BearerDoor, metadata: str) -> None:
        """What is asked is at the door's own address, whatever the request says of its host."""
        self._app = app
        self._door = door
        self._metadata = metadata

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown = shown_of(scope["headers"], scope["method"], self._door.address)
        try:
            visitor = await self._door.admitted(shown)
        except IdentityError as fault:
            await challenged(fault, self._metadata, shown.scheme)(scope, receive, send)
            return
        except BailiwickError as fault:
            await of_fault(fault, 503)(scope, receive, send)
            return
        scope.setdefault("state", {})["visitor"] = visitor
        await self._app(scope, receive, self._stepping_up(visitor, send))

    def _stepping_up(self, visitor: Bearer, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if visitor.needs and message["type"] == "http.response.start":
                message["status"] = 403
                MutableHeaders(scope=message)["www-authenticate"] = stepping_up(
                    visitor.needs, self._metadata, visitor.scheme
                )
            await send(message)

        return sending


def challenged(fault: IdentityError, metadata: str, scheme: str) -> Response:
    """The 401 for a credential that does not hold: `metadata` is where a client reads on."""
    where = f'resource_metadata="{metadata}"'
    by_proof = f'DPoP algs="{" ".join(ALGORITHMS)}", {where}'
    if fault.code == "token_missing":
        # Without a credential at all there is no error to name (RFC 6750, 3.1).
        challenge = f"Bearer {where}, {by_proof}"
    elif scheme == "DPoP" or fault.code == "proof_missing":
        error = "invalid_dpop_proof" if fault.code.startswith("proof_") else "invalid_token"
        challenge = f'{by_proof}, error="{error}"'
    else:
        challenge = f'Bearer {where}, error="invalid_token"'
    return problem(
        401, fault.code, fault.message, help=fault.help, headers={"www-authenticate": challenge}
    )


def stepping_up(scope: str, metadata: str, scheme: str) -> str:
    """The challenge for a token that covers more (RFC 6750, 3.1)."""
    return f'{scheme} error="insufficient_scope", scope="{scope}", resource_metadata="{metadata}"'


def bearer_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The credential of an `Authorization: Bearer` header; empty if there is none, or two."""
    kind, credential = _authorization(headers)
    return credential if kind == b"bearer" else ""


def shown_of(headers: Sequence[tuple[bytes, bytes]], method: str, address: str) -> Shown:
    """What an agent's request shows; `address` is the request's own, under our public name."""
    kind, credential = _authorization(headers)
    if kind != b"dpop":
        return Shown(credential=credential if kind == b"bearer" else "")
    given = [value for name, value in headers if name == b"dpop"]
    text = given[0].decode("latin-1") if len(given) == 1 else ""
    proof = RequestProof(text=text, method=method, address=address)
    return Shown(credential=credential, proof=proof)


def _authorization(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, str]:
    given = [value for name, value in headers if name == b"authorization"]
    kind, _, credential = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    return kind.lower(), credential.strip().decode("latin-1")
