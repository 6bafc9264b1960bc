"""What an MCP server offers beside its tools, as it lists it now."""

from collections.abc import Mapping, Sequence
from typing import Literal

from bailiwick.errors import ExecutionError
from bailiwick.execution.sending import authorization, upstream_host
from bailiwick.nouns import Listing, McpBinding, Tool, ToolAnswer, ToolCall
from bailiwick.ports import Lost, NotSent, World
from bailiwick.values import JSON


async def listed(world: World, tool: Tool, what: Listing) -> Sequence[Mapping[str, JSON]]:
    """List the resources, templates or prompts that a tool of an upstream's offers reads.

    That is no action: it changes nothing and shows no content. At most ten seconds old; at most
    2000 entries, each with a name or address that can be seen. Raises `ExecutionError` where it
    cannot be listed.
    """
    answer = await _asked(world, tool, what, {})
    assert isinstance(answer.value, Mapping)
    entries: Sequence[Mapping[str, JSON]] = answer.value["entries"]  # type: ignore[assignment]
    return entries


async def updates(world: World, tool: Tool, uris: Sequence[str]) -> tuple[JSON, Mapping[str, JSON]]:
    """Say how often each resource of a tool's upstream has changed, and since which session.

    The upstream is listened to for another minute; only the difference of two answers of one
    session means anything. Raises `ExecutionError` where it cannot be asked.
    """
    answer = await _asked(world, tool, "resources/subscribe", {"uris": list(uris)})
    assert isinstance(answer.value, Mapping)
    counts = answer.value["counts"]
    assert isinstance(counts, Mapping)
    return answer.value["session"], counts


async def _asked(
    world: World,
    tool: Tool,
    method: Listing | Literal["resources/subscribe"],
    arguments: Mapping[str, JSON],
) -> ToolAnswer:
    binding = tool.binding
    assert isinstance(binding, McpBinding)
    secret = ""
    if tool.read_credential is not None:
        host = upstream_host(binding.upstream, world.egress)
        secret = world.broker.secret(tool.read_credential, tool.name, host, False)
        if binding.upstream.url is not None:
            secret = authorization(world.settings, tool.read_credential, secret)
    call = ToolCall(
        upstream=binding.upstream,
        tool="",
        arguments=arguments,
        meta={},
        pin="",
        beside=(),
        credential=tool.read_credential or "",
        secret=secret,
        timeout_s=tool.timeout_s,
        max_bytes=world.settings.max_result_bytes,
        method=method,
    )
    try:
        return await world.egress.ask(call, _always)
    except (NotSent, Lost) as error:
        code, message = map(str, error.args[:2])
        raise ExecutionError(message, code=code, help="see `bailiwick tools list`") from error


async def _always() -> bool:
    return True
