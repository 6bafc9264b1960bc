"""Tokens for agents (OAuth 2.0, `client_credentials`), and where clients read how to get them.

POST /v1/token gives a capability for one door, /mcp or /v1, to who proves to be an agent: by an
assertion signed with its registered key (RFC 7523), or by an access key as the client's secret. The
subject is the access key's; an assertion's key speaks for the agent itself, or for the subjects
that people registered with it. What is asked for may narrow the manifest, by `scope` (tools' names)
or by `authorization_details` (RFC 9396), and never widens it. Who asks with a proof of a key of
his own (`DPoP`, RFC 9449) gets a token that is worth nothing without that key.

Which scopes there are is told to nobody here: the tools' names are for who may use them.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bailiwick import identity
from bailiwick.errors import BadInput, BailiwickError, IdentityError
from bailiwick.identity.dpop import ALGORITHMS
from bailiwick.identity.tokens import Detail
from bailiwick.nouns import Caller, Credential, Grant, Manifest
from bailiwick.ports import Bundle, ControlState, World
from bailiwick.server.problems import BadRequest, of_fault
from bailiwick.server.rest.reading import bytes_of
from bailiwick.values import JSON, parse, shown

RESOURCE = "/.well-known/oauth-protected-resource"
_BY_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_BODY_BYTES = 64 * 1024
_FIELDS = 20
_NOT_A_CLIENT = ("assertion_", "agent_", "access_key_", "client_")
_ERRORS: Mapping[str, str] = {
    "grant_too_wide": "invalid_scope",
    "grant_malformed": "invalid_authorization_details",
    "subject_not_allowed": "invalid_grant",
}
_Said = Mapping[str, str]


class _Client(NamedTuple):
    """Who asks, by which key, and for whom he may: an access key is a secret, and says it all."""

    agent: str
    key_id: str
    subjects: tuple[str, ...]
    secret: str = ""


class Tokens:
    """The token endpoint and the metadata of one project's server at its public address."""

    def __init__(self, world: World, url: str, doors: Sequence[str]) -> None:
        """`doors` are the paths that tokens are for."""
        self._world = world
        self._url = url
        self._doors = {f"{url}{door}": door for door in doors}

    def routes(self) -> list[Route]:
        """The endpoint, and the documents of RFC 8414 and RFC 9728."""
        first = next(iter(self._doors))
        described = [Route(RESOURCE, _document(self._resource(first)))]
        described += [
            Route(RESOURCE + door, _document(self._resource(address)))
            for address, door in self._doors.items()
        ]
        return [
            Route("/v1/token", self.token, methods=["POST"]),
            Route("/v1/authorize", _no_browser),
            Route("/.well-known/oauth-authorization-server", _document(self._issuer())),
            *described,
        ]

    def _resource(self, address: str) -> JSON:
        return {
            "resource": address,
            "authorization_servers": [self._url],
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
            "authorization_details_types_supported": ["bailiwick_tool"],
            "resource_name": "Bailiwick",
        }

    def _issuer(self) -> JSON:
        return {
            "issuer": self._url,
            "token_endpoint": f"{self._url}/v1/token",
            # No grant here uses it; clients' own models ask for it all the same.
            "authorization_endpoint": f"{self._url}/v1/authorize",
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": [
                "private_key_jwt",
                "client_secret_basic",
                "client_secret_post",
            ],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
            "authorization_details_types_supported": ["bailiwick_tool"],
        }

    async def token(self, request: Request) -> Response:
        """Give a token, or say by a code of RFC 6749 (5.2) why not."""
        try:
            said = await _form(request)
            if said.get("grant_type") != "client_credentials":
                return _no("unsupported_grant_type", "the grant is `client_credentials`")
            if said.get("resource") not in self._doors:
                return _no("invalid_target", f"`resource` is one of {', '.join(self._doors)}")
            return await self._given(said, request)
        except BadRequest as fault:
            return _no("invalid_request", fault.message, fault.status)
        except BadInput as fault:
            return _no("invalid_request", fault.message)
        except IdentityError as fault:
            if fault.code.startswith(_NOT_A_CLIENT):
                return _no("invalid_client", str(fault), 401)
            if fault.code.startswith("proof_"):
                return _no("invalid_dpop_proof", str(fault))
            return _no(_ERRORS.get(fault.code, "invalid_request"), str(fault))
        except BailiwickError as fault:
            return of_fault(fault)

    async def _given(self, said: _Said, request: Request) -> Response:
        world = self._world
        tenant, now_us = world.settings.tenant, await world.store.now_us()
        control = await world.store.control(tenant)
        bundle = await world.bundle(tenant, control.release)
        client = await self._client(control, said, request, now_us)
        manifest = bundle.manifests.get(client.agent)
        if manifest is None:
            raise IdentityError("the agent has no manifest", code="agent_unknown")
        subject = said.get("subject") or (client.subjects[0] if client.subjects else "")
        if client.subjects and subject not in client.subjects:
            raise IdentityError(
                f"the key may not speak for `{shown(subject)}`",
                code="subject_not_allowed",
                help="register it with `bailiwick agents register --subject`",
            )
        proof = self._proof(request)
        holder = "" if proof is None else identity.thumbprint_of(proof, now_us)
        asked = _Asked(
            client, subject, said["resource"], said.get("run"), _grants(manifest, said), holder
        )
        credential = _issued(world, control, bundle, asked, now_us)
        caller = identity.read_token(world.keys, tenant, credential, now_us)
        if said.get("subject", caller.subject) != caller.subject:
            raise IdentityError("the access key is for another subject", code="subject_not_allowed")
        if proof is not None:
            # Last: nobody but a client of ours has anything written down.
            await identity.use_proof(world, proof)
        return JSONResponse(_told(caller, credential, now_us), headers=_UNKEPT)

    def _proof(self, request: Request) -> identity.RequestProof | None:
        """The proof of a key that the token is to be bound to, if one was sent."""
        given = request.headers.getlist("dpop")
        if not given:
            return None
        text = given[0] if len(given) == 1 else ""
        address = f"{self._url}/v1/token"
        return identity.RequestProof(text=text, method=request.method, address=address)

    async def _client(
        self, control: ControlState, said: _Said, request: Request, now_us: int
    ) -> _Client:
        """Who asks. Raises `IdentityError` if that cannot be told, or is told in two ways."""
        basic = _basic(request)
        ways = [said.get("client_assertion"), said.get("client_secret"), basic and basic[1]]
        if sum(each is not None for each in ways) != 1:
            raise IdentityError(
                "the client does not prove who it is, or does so twice",
                code="client_unproven",
                help="send a `client_assertion`, or an access key as the client's secret",
            )
        if said.get("client_assertion") is not None:
            if said.get("client_assertion_type") != _BY_JWT:
                raise IdentityError("the assertion is of another type", code="client_unproven")
            agent, key_id = await identity.check_client(
                self._world,
                control,
                said["client_assertion"],
                (self._url, f"{self._url}/v1/token"),
                now_us=now_us,
            )
            key = control.standings[agent].keys[key_id]
            if said.get("client_id", agent) != agent:
                raise IdentityError("the client is another agent", code="client_unproven")
            return _Client(agent, key_id, identity.subjects_of(key, agent))
        name, secret = basic or (said.get("client_id", ""), said["client_secret"])
        return _Client(name, "", (), secret)


class _Asked(NamedTuple):
    """What a token is asked for."""

    client: _Client
    subject: str
    door: str
    run: str | None
    grants: tuple[Grant, ...]
    holder: str


def _issued(
    world: World, control: ControlState, bundle: Bundle, asked: _Asked, now_us: int
) -> Credential:
    client = asked.client
    if not client.secret:
        token = identity.issue(
            world,
            control,
            bundle.manifests[client.agent],
            key_id=client.key_id,
            subject=asked.subject,
            grants=asked.grants,
            run=asked.run,
            now_us=now_us,
            door=asked.door,
            holder=asked.holder,
        )
        return Credential(token=token, proof="", door=asked.door)
    credential = identity.open_door(
        world,
        control,
        {client.agent: bundle.manifests[client.agent]},
        client.secret,
        door=asked.door,
        run=asked.run,
        now_us=now_us,
        grants=asked.grants,
        holder=asked.holder,
    )
    if identity.read_token(world.keys, control.tenant, credential, now_us).agent != client.agent:
        raise IdentityError("the access key is another agent's", code="client_unproven")
    return credential


def _grants(manifest: Manifest, said: _Said) -> tuple[Grant, ...]:
    """What is asked for: all of the manifest, what of a scope it has, or details within it."""
    details, scope = said.get("authorization_details"), said.get("scope", "").split()
    if details is not None and scope:
        raise BadInput("`scope` and `authorization_details` are two ways to say one thing")
    if details is not None:
        try:
            told = parse(b'{"details":' + details.encode() + b"}", max_bytes=_BODY_BYTES)
            listed = msgspec.convert(told["details"], tuple[Detail, ...])
        except (BadInput, msgspec.ValidationError) as fault:
            raise IdentityError(
                f"`authorization_details` cannot be read: {fault}", code="grant_malformed"
            ) from None
        return tuple(
            Grant(tools=each.actions, resources=each.locations, caps=each.limits) for each in listed
        )
    tools = identity.scoped(manifest.tools, scope) if scope else manifest.tools
    if not tools:
        raise IdentityError(
            "the agent's manifest has nothing of that scope",
            code="grant_too_wide",
            help="ask for names of its tools, or for `prefix.*`",
        )
    return (Grant(tools=tools),)


def _told(caller: Caller, credential: Credential, now_us: int) -> JSON:
    held = caller.capability
    tools = dict.fromkeys(tool for grant in held.grants for tool in grant.tools)
    return {
        "access_token": credential.token,
        "token_type": "DPoP" if held.key_thumbprint else "Bearer",
        "expires_in": (held.expires_at_us - now_us) // 1_000_000,
        "scope": " ".join(tools),
    }


async def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadRequest(
            415,
            "the body is not `application/x-www-form-urlencoded`",
            code="media_type_unsupported",
        )
    raw = await bytes_of(request, _BODY_BYTES)
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), strict_parsing=True, max_num_fields=_FIELDS, errors="strict"
        )
    except ValueError:
        raise BadInput("the body is not a form") from None
    said = dict(pairs)
    if len(said) != len(pairs):
        raise BadInput("a parameter stands twice")
    parse(said, max_bytes=_BODY_BYTES * 4)
    return said


def _basic(request: Request) -> tuple[str, str] | None:
    """Name and secret of a `Basic` header, each form-encoded (RFC 6749, 2.3.1)."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        _unreadable()
    return unquote_plus(name), unquote_plus(secret)


def _unreadable() -> NoReturn:
    raise IdentityError("the `Authorization` header cannot be read", code="client_unproven")


def _no(error: str, why: str, status: int = 400) -> Response:
    headers = {**_UNKEPT, **({"www-authenticate": "Basic"} if status == 401 else {})}
    return JSONResponse({"error": error, "error_description": why}, status, headers)


async def _no_browser(_: Request) -> Response:
    return _no("unsupported_response_type", "agents get tokens at /v1/token, with no browser")


def _document(told: JSON) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that tells of something that stays as it is."""

    async def tell(_: Request) -> Response:
        return JSONResponse(told)

    return tell


_UNKEPT: Mapping[str, str] = {"cache-control": "no-store"}
