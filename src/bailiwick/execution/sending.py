"""One send of a tool: made ready once, sent once, or again with the very same bytes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import msgspec
from msgspec import Struct

from bailiwick.config import Settings
from bailiwick.execution.answers import SendReport, answered, lost, not_sent, returned, told
from bailiwick.execution.fencing import Fence
from bailiwick.execution.outgoing import http_request, key_goes_out, placed
from bailiwick.nouns import (
    HttpBinding,
    McpBinding,
    McpUpstream,
    PythonBinding,
    Tool,
    ToolCall,
    ToolContext,
)
from bailiwick.ports import Bundle, Egress, Lost, NotSent, Request, World
from bailiwick.values import JSON

# The prefix of what goes out in `_meta`; reverse DNS, as the protocol asks for.
_META = "dev.bailiwick"


class Shot(Struct, frozen=True, kw_only=True):
    """A send that is ready: an HTTP request or a call of an MCP server's tool, each with its
    secret, or a function with its arguments.

    `keyed`: the provider's key goes out with it. `looking`: it reads the world for another tool.
    """

    write: bool
    keyed: bool
    looking: bool
    request: Request | None = None
    secret: str = ""
    call: ToolCall | None = None
    on_error: Literal["unknown", "not_done"] = "unknown"
    function: Callable[..., object] | None = None
    arguments: Mapping[str, JSON] = {}

    def __repr__(self) -> str:
        """Show nothing that may hold a secret or a payload."""
        return f"Shot(write={self.write}, keyed={self.keyed}, looking={self.looking})"


def make_ready(
    world: World,
    bundle: Bundle,
    tool: Tool,
    names: Mapping[str, JSON],
    *,
    credential: str | None,
    looking: bool = False,
) -> Shot:
    """Make a tool's send ready from the one value, `names["args"]`, and `names["action"]`.

    Raises `BadInput` for an argument that cannot be placed, `CatalogError` for an expression that
    fails, `ExecutionError` for a credential that may not be used. Nothing has been sent then.
    """
    write = tool.effect == "write"
    binding = tool.binding
    if isinstance(binding, McpBinding):
        call, secret = _tool_call(world, bundle, tool, binding, names, credential=credential)
        return Shot(
            write=write,
            keyed=True,
            looking=looking,
            call=call,
            secret=secret,
            on_error=binding.on_error,
        )
    if not isinstance(binding, HttpBinding):
        return Shot(
            write=write,
            keyed=binding.takes_context,
            looking=looking,
            function=_function(bundle, tool, binding, names),
            arguments=_object(names["args"]),
        )
    request = http_request(
        bundle,
        tool,
        binding,
        names,
        egress=world.egress,
        max_bytes=world.settings.max_result_bytes,
    )
    secret = ""
    if credential is not None:
        # The parser that sends says which host this is.
        host = world.egress.target(request.url).authority
        secret = world.broker.secret(credential, tool.name, host, write)
        headers = {
            **request.headers,
            "authorization": authorization(world.settings, credential, secret),
        }
        request = msgspec.structs.replace(request, headers=headers)
    return Shot(
        write=write,
        keyed=key_goes_out(binding),
        looking=looking,
        request=request,
        secret=secret,
    )


async def send(world: World, shot: Shot, timeout_s: float, fence: Fence | None) -> SendReport:
    """Send once and say what became of it. Without a fence it is a look that nothing stops."""
    asked = _always if fence is None else fence
    try:
        if shot.request is not None:
            response = await world.egress.send(
                msgspec.structs.replace(shot.request, timeout_s=timeout_s), asked
            )
            report = answered(
                response,
                keyed=shot.keyed and shot.write,
                looking=shot.looking and shot.request.method == "GET",
                secret=shot.secret,
                now_us=world.now_us(),
            )
        elif shot.call is not None:
            call = msgspec.structs.replace(shot.call, timeout_s=timeout_s)
            report = told(
                await world.egress.ask(call, asked),
                on_error=shot.on_error,
                secret=shot.secret,
                max_bytes=call.max_bytes,
            )
        else:
            assert shot.function is not None
            value = await world.egress.call(shot.function, shot.arguments, timeout_s, asked)
            report = returned(value, world.settings.max_result_bytes)
    except NotSent as error:
        report = not_sent(error, *(("", "") if fence is None else (fence.code, fence.reason)))
    except Lost as error:
        report = lost(error)
    # A read has no effect to be in doubt about, and is only as good as its answer.
    if not shot.write and (report.fate == "unknown" or report.code):
        return msgspec.structs.replace(report, fate="not_done")
    return report


def _tool_call(
    world: World,
    bundle: Bundle,
    tool: Tool,
    binding: McpBinding,
    names: Mapping[str, JSON],
    *,
    credential: str | None,
) -> tuple[ToolCall, str]:
    """Make a call ready, and give its bare secret. The action's id and key go out as `_meta`."""
    arguments, action = _object(names["args"]), _object(names["action"])
    upstream = binding.upstream
    secret = given = ""
    if credential is not None:
        write = tool.effect == "write"
        host = upstream_host(upstream, world.egress)
        secret = world.broker.secret(credential, tool.name, host, write)
        given = secret
        if upstream.url is not None:
            given = authorization(world.settings, credential, secret)
    meta = {f"{_META}/action": str(action["id"]), f"{_META}/run": str(action["run"])}
    if tool.effect == "write":
        meta[f"{_META}/idempotencyKey"] = str(action["provider_key"])
    call = ToolCall(
        upstream=upstream,
        tool=binding.tool,
        arguments=arguments
        if binding.arguments is None
        else placed(bundle, tool, binding.arguments, names),
        meta=meta,
        pin=binding.pin,
        beside=binding.beside,
        credential=credential or "",
        secret=given,
        timeout_s=tool.timeout_s,
        max_bytes=world.settings.max_result_bytes,
        method=binding.method,
    )
    return call, secret


def upstream_host(upstream: McpUpstream, egress: Egress) -> str:
    """Name where a secret for an MCP server goes: its host, or `stdio:` and its name."""
    if upstream.url is None:
        return f"stdio:{upstream.name}"
    return egress.target(upstream.url).authority


def authorization(settings: Settings, credential: str, secret: str) -> str:
    """Give the value of the `Authorization` header for a secret of the settings."""
    source = settings.credentials.get(credential)
    scheme = "Bearer" if source is None else source.scheme
    return f"{scheme} {secret}".strip()


def _function(
    bundle: Bundle, tool: Tool, binding: PythonBinding, names: Mapping[str, JSON]
) -> Callable[..., object]:
    function = bundle.catalogue.function(tool)
    if not binding.takes_context:
        return function
    action = _object(names["action"])
    context = ToolContext(
        action=str(action["id"]),
        run=str(action["run"]),
        agent=str(action["agent"]),
        provider_key=str(action["provider_key"]),
    )
    return partial(function, context=context)


def _object(value: JSON) -> Mapping[str, JSON]:
    assert isinstance(value, Mapping)
    return value


async def _always() -> bool:
    return True
