"""One send of a tool: made ready once, sent once, or again with the very same bytes."""

from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from msgspec import Struct

from bailiwick.execution.answers import SendReport, answered, lost, not_sent, returned
from bailiwick.execution.fencing import Fence
from bailiwick.execution.outgoing import http_request, key_goes_out
from bailiwick.nouns import HttpBinding, PythonBinding, Tool, ToolContext
from bailiwick.ports import Bundle, Lost, NotSent, Request, World
from bailiwick.values import JSON


class Shot(Struct, frozen=True, kw_only=True):
    """A send that is ready: an HTTP request with its secret, or a function with its arguments.

    `keyed`: the provider's key goes out with it. `looking`: it reads the world for another tool.
    """

    write: bool
    keyed: bool
    looking: bool
    request: Request | None = None
    secret: str = ""
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
        source = world.settings.credentials.get(credential)
        scheme = "Bearer" if source is None else source.scheme
        headers = {**request.headers, "authorization": f"{scheme} {secret}".strip()}
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
