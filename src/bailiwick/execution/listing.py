"""What an MCP server offers beside its tools, as it lists it now."""

from collections.abc import Mapping, Sequence

from bailiwick.errors import ExecutionError
from bailiwick.execution.sending import authorization, upstream_host
from bailiwick.nouns import Listing, McpBinding, Tool, ToolCall
from bailiwick.ports import Lost, NotSent, World
from bailiwick.values import JSON


async def listed(world: World, tool: Tool, what: Listing) -> Sequence[Mapping[str, JSON]]:
    """List the resources, templates or prompts that a tool of an upstream's offers reads.

    That is no action: it changes nothing and shows no content. At most ten seconds old; at most
    2000 entries, each with a name or address that can be seen. Raises `ExecutionError` where it
    cannot be listed.
    """
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
        arguments={},
        meta={},
        pin="",
        beside=(),
        credential=tool.read_credential or "",
        secret=secret,
        timeout_s=tool.timeout_s,
        max_bytes=world.settings.max_result_bytes,
        method=what,
    )
    try:
        answer = await world.egress.ask(call, _always)
    except (NotSent, Lost) as error:
        code, message = map(str, error.args[:2])
        raise ExecutionError(message, code=code, help="see `bailiwick tools list`") from error
    assert isinstance(answer.value, Mapping)
    entries: Sequence[Mapping[str, JSON]] = answer.value["entries"]  # type: ignore[assignment]
    return entries


async def _always() -> bool:
    return True
