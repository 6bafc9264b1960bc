"""Pydantic AI: the session's tools as a toolset, or an agent's own tools governed.

    ends = [str, DeferredToolRequests]
    agent = Agent(model, output_type=ends, toolsets=[CatalogueTools(session)])
    agent = Agent(model, output_type=ends, tools=[...], capabilities=[Governed(session)])

A parked action is a deferred approval. Whatever the deferred results say of it, the resumed call
asks Bailiwick again, under the same key: `True` approves nothing, it only asks. A call that is
denied in the deferred results never reaches this module; take its action back with
`Session.cancel`, or people may still approve it.

The key is the tool call's id within the conversation (`conversation_id`, which the message history
carries), so a stored history is resumed in any process.
"""

from dataclasses import dataclass, replace
from typing import Any

from pydantic_ai import RunContext, ToolCallPart
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ApprovalRequired, ToolFailed
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool, WrapperToolset
from pydantic_core import SchemaValidator, core_schema

from bailiwick.adapters.calls import WAIT_S, AnySession, Calls, is_no, key_of, told, waits
from bailiwick.adapters.calls import text as text_of
from bailiwick.nouns import OfferedTool

# The catalogue checks arguments itself, strictly, as the model sent them.
_ANYTHING = SchemaValidator(core_schema.dict_schema())


class CatalogueTools(AbstractToolset[Any]):
    """The tools that the session's grants cover, as the active release describes them."""

    def __init__(
        self, session: AnySession, *, wait_s: float = WAIT_S, id: str = "bailiwick"
    ) -> None:
        self._calls = Calls(session, wait_s=wait_s)
        self._id = id

    @property
    def id(self) -> str:
        """The toolset's name among those of an agent."""
        return self._id

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """The tools by wire name."""
        return {
            name: ToolsetTool(
                toolset=self,
                tool_def=_described(ToolDefinition(name=name), tool),
                max_retries=ctx.max_retries,
                args_validator=_ANYTHING,
            )
            for name, tool in (await self._calls.tools()).items()
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Propose the action that a call asks for."""
        return await _carried_out(self._calls, name, tool_args, ctx)


@dataclass
class GovernedTools(WrapperToolset[Any]):
    """Another toolset's tools by name only: the catalogue's tool of that name is called instead.

    None of the wrapped functions runs; a tool that the session has not is refused.
    """

    calls: Calls

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """The wrapped tools, described as the catalogue does."""
        offered = await self.calls.tools()
        return {
            name: replace(
                tool,
                tool_def=_described(tool.tool_def, offered.get(name)),
                args_validator=_ANYTHING,
                args_validator_func=None,
            )
            for name, tool in (await self.wrapped.get_tools(ctx)).items()
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Propose the action that a call asks for; the wrapped tool is never called."""
        return await _carried_out(self.calls, name, tool_args, ctx)


class Governed(AbstractCapability[Any]):
    """Every function tool of an agent, from whichever toolset, is governed (`GovernedTools`)."""

    def __init__(self, session: AnySession, *, wait_s: float = WAIT_S) -> None:
        self._calls = Calls(session, wait_s=wait_s)

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        """The agent's assembled toolset, governed."""
        return GovernedTools(toolset, self._calls)


def _described(tool: ToolDefinition, offered: OfferedTool | None) -> ToolDefinition:
    """The definition with the catalogue's description and schema.

    What it says of approval is dropped: whether people are asked is decided when it is called.
    """
    if offered is None:
        return replace(tool, kind="function")
    return replace(
        tool,
        kind="function",
        description=offered.description,
        parameters_json_schema=dict(offered.schema),
    )


async def _carried_out(
    calls: Calls, name: str, arguments: dict[str, Any], ctx: RunContext[Any]
) -> Any:
    outcome = await calls.act(name, arguments, _key(calls, ctx), again=ctx.tool_call_approved)
    if waits(outcome):
        raise ApprovalRequired(metadata=told(outcome))
    if is_no(outcome):
        raise ToolFailed(text_of(outcome))
    return told(outcome)


def _key(calls: Calls, ctx: RunContext[Any]) -> str:
    """The key of the call in this context."""
    call = str(ctx.tool_call_id)
    asked = [
        part.tool_call_id == call
        for message in ctx.messages
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    return key_of(ctx.conversation_id or calls.run, call, max(sum(asked) - 1, 0))
