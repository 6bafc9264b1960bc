"""A workbench for step 9: the real door, broker and expressions, and a control room to stop things.

The catalogue here holds tools and evaluates their expressions; the control room is the part of a
store that a fence reads.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from bailiwick.config import CredentialSource, Settings
from bailiwick.errors import StoreUnavailable
from bailiwick.execution import CredentialBroker
from bailiwick.execution.egress import EgressDoor
from bailiwick.nouns import (
    Action,
    Caller,
    Capability,
    HttpBinding,
    McpBinding,
    McpUpstream,
    PythonBinding,
    Refusal,
    Release,
    Resource,
    Situation,
    Standing,
    Stop,
    Tool,
)
from bailiwick.ports import Bundle, ControlState, World
from bailiwick.values import JSON
from bailiwick.verification.expressions import compile_cel
from bailiwick.wiring import on_demand

TENANT = "acme"
AGENT = "refund-desk"
SECOND = 1_000_000


@dataclass
class ControlRoom:
    """The control state of one tenant, and how often it was looked at."""

    state: ControlState
    broken: bool = False
    slow_s: float = 0.0
    looks: int = 0

    async def epoch(self, tenant: str) -> int:
        assert tenant == TENANT
        self.looks += 1
        if self.broken:
            raise StoreUnavailable()
        seen = self.state.epoch
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        return seen

    async def control(self, tenant: str) -> ControlState:
        assert tenant == TENANT
        return self.state

    def change(self, **members: object) -> None:
        """Any control change raises the epoch."""
        epoch = self.state.epoch + 1
        self.state = msgspec.structs.replace(self.state, epoch=epoch, **members)

    def stop(self, scope: str = "everything", target: str = "") -> None:
        stop = msgspec.convert(
            {"scope": scope, "target": target, "by": "olga", "reason": "test", "since_us": 1}, Stop
        )
        self.change(stops=(*self.state.stops, stop))


@dataclass
class Tools:
    """A catalogue of given tools, with the product's own CEL and no schemas."""

    tools: Mapping[str, Tool]
    functions: Mapping[str, Callable[..., object]]

    def arguments(self, tool: Tool, arguments: Mapping[str, JSON]) -> Mapping[str, JSON] | Refusal:
        return arguments

    def resource(self, tool: Tool, arguments: Mapping[str, JSON]) -> Resource | Refusal:
        return Resource(type=tool.resource_type, id="1")

    def situation(
        self,
        tool: Tool,
        arguments: Mapping[str, JSON],
        resource: Resource,
        before: Mapping[str, JSON],
    ) -> Situation | Refusal:
        raise NotImplementedError

    def evaluate(self, tool: Tool, text: str, names: Mapping[str, JSON]) -> JSON:
        return compile_cel(text)(names)

    def function(self, tool: Tool) -> Callable[..., object]:
        return self.functions[tool.name]


@dataclass
class Bench:
    """A world, its control room, and the tools to try."""

    world: World
    room: ControlRoom
    bundle: Bundle
    tools: dict[str, Tool]
    functions: dict[str, Callable[..., object]] = field(default_factory=dict)

    def add(self, tool: Tool, function: Callable[..., object] | None = None) -> Tool:
        self.tools[tool.name] = tool
        if function is not None:
            self.functions[tool.name] = function
        return tool


def settings(**credentials: CredentialSource) -> Settings:
    """Small limits, so that what is over them is quickly made."""
    return Settings(max_result_bytes=64 * 1024, credentials=credentials)


@asynccontextmanager
async def bench(of: Settings | None = None) -> AsyncIterator[Bench]:
    """A workbench whose door is closed at the end of the block."""
    given = settings() if of is None else of
    standing = Standing(agent=AGENT, enabled=True, keys={"key-1": {}})
    room = ControlRoom(
        ControlState(
            tenant=TENANT,
            epoch=7,
            release=None,
            stops=(),
            standings={AGENT: standing},
            revoked=frozenset(),
        )
    )
    tools: dict[str, Tool] = {}
    functions: dict[str, Callable[..., object]] = {}
    bundle = Bundle(
        release=Release(digest="0" * 64, files={}, created_at_us=0, created_by="test"),
        catalogue=Tools(tools, functions),
        policies=cast(Any, None),
        manifests={},
        caps=(),
        rates=(),
    )
    door = EgressDoor(threads=2, upstreams=lambda: on_demand("mcp").Upstreams(Path.cwd()))
    doors: dict[str, Any] = dict.fromkeys(World.__struct_fields__)  # step 9 needs few of them
    doors |= {
        "settings": given,
        "store": room,
        "broker": CredentialBroker(given),
        "egress": door,
        "now_us": now_us,
        "random": bytes,  # all zero: backoff without waiting
    }
    world = World(**doors)
    try:
        yield Bench(world, room, bundle, tools, functions)
    finally:
        await door.close()


def now_us() -> int:
    return time.time_ns() // 1000


def action(tool: Tool, *, deadline_s: float = 5.0, ago_s: float = 0.0, id: str = "act-1") -> Action:
    """An intended action of a tool, whose intent was committed `ago_s` ago."""
    intended = now_us() - round(ago_s * SECOND)
    capability = Capability(
        id="jti-1", run="run-1", grants=(), issued_at_us=0, expires_at_us=0, key_thumbprint="t"
    )
    return Action(
        id=id,
        tenant=TENANT,
        agent=AGENT,
        subject="dana",
        run="run-1",
        tool=tool.name,
        tool_digest=tool.digest,
        name=id,
        attempt=1,
        state="intended",
        version=1,
        arguments_mac="",
        caller=Caller(
            tenant=TENANT,
            agent=AGENT,
            subject="dana",
            capability=capability,
            actors=(),
            key_ids=("key-1", "jti-1"),
        ),
        created_at_us=intended,
        updated_at_us=intended,
        intended_at_us=intended,
        deadline_at_us=intended + round(deadline_s * SECOND),
    )


def http_tool(
    base_url: str,
    path: str = "/refunds",
    *,
    name: str = "payments.refund",
    method: str = "POST",
    key_header: str | None = None,
    **members: Any,
) -> Tool:
    """A tool over HTTP; `members` are those of `Tool` and, beside them, of its binding."""
    of_binding = {key: members.pop(key) for key in ("query", "headers", "body") if key in members}
    binding = HttpBinding(
        method=method, base_url=base_url, path=path, idempotency_header=key_header, **of_binding
    )
    return _tool(name, binding, {"effect": "read" if method == "GET" else "write", **members})


def python_tool(name: str = "desk.note", *, context: bool = False, **members: Any) -> Tool:
    """A tool that is a Python function."""
    binding = PythonBinding(reference="desk:note", source_digest="0", takes_context=context)
    return _tool(name, binding, {"effect": "write", **members})


def mcp_tool(
    upstream: McpUpstream,
    tool: str,
    pin: str,
    *,
    on_error: Literal["unknown", "not_done"] = "unknown",
    beside: tuple[str, ...] = (),
    **members: Any,
) -> Tool:
    """A tool of an MCP server, under a name of its own."""
    binding = McpBinding(upstream=upstream, tool=tool, pin=pin, beside=beside, on_error=on_error)
    return _tool(f"desk.{tool}", binding, {"effect": "write", **members})


def _tool(
    name: str, binding: HttpBinding | PythonBinding | McpBinding, members: dict[str, Any]
) -> Tool:
    return Tool(
        name=name,
        description="",
        traits=(),
        owner="ops",
        schema={},
        binding=binding,
        digest="0" * 64,
        resource_type="Charge",
        **{"timeout_s": 1.0, **members},
    )


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
