"""OpenAI Agents SDK: the session's tools as function tools, or an agent's own governed.

    functions = GovernedFunctions(session, conversation="case-7")
    agent = Agent(name="desk", model=model, tools=await functions.tools())

The SDK can pause only before a tool runs, so its question whether a call needs approval is where
the action is proposed: what is allowed is carried out then, and the call that follows is given the
same outcome. A parked action is an interruption. `RunState.approve` approves nothing: the resumed
call asks Bailiwick again, under the same key, and if people have not decided the run ends with the
SDK's `UserError`, caused by an `ApprovalError`, to be resumed again from the stored state. A call
that is rejected in the state never reaches this module; take its action back with `Session.cancel`.

The key is the tool call's id within `conversation`, which a program gives again with the state.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from agents import FunctionTool, RunContextWrapper, RunState, Tool
from agents.items import ToolApprovalItem
from agents.tool_context import ToolContext

from bailiwick.adapters.calls import WAIT_S, AnySession, Calls, key_of, text, told, waits
from bailiwick.errors import ApprovalError, ConfigError
from bailiwick.nouns import OfferedTool, Outcome
from bailiwick.values import JSON, shown

# Outcomes of calls that are about to be told; the oldest goes, and is then asked for again.
_KEPT = 256


class GovernedFunctions:
    """The function tools of one conversation, each of which is a tool of the catalogue."""

    def __init__(self, session: AnySession, *, conversation: str, wait_s: float = WAIT_S) -> None:
        """`conversation` is the program's name for the run whose state it keeps and resumes."""
        self._calls = Calls(session, wait_s=wait_s)
        self._conversation = conversation
        self._made: dict[str, Outcome] = {}
        self._names: set[str] = set()

    async def tools(self) -> list[Tool]:
        """The tools that the session's grants cover, as the active release describes them now."""
        return [self._function(tool) for tool in (await self._calls.tools()).values()]

    async def governed(self, tools: Iterable[Tool]) -> list[Tool]:
        """An agent's own tools by name only: the catalogue's tool of that name is called instead.

        None of their functions runs; a tool that the session has not is refused when it is called.
        Raises `ConfigError` (`tool_not_governable`) for one that the provider runs, and for one
        whose guardrails would look at the input only when the action is over.
        """
        offered = await self._calls.tools()
        made: list[Tool] = []
        for tool in tools:
            if not isinstance(tool, FunctionTool) or tool.tool_input_guardrails:
                raise ConfigError(
                    f"the tool `{shown(tool.name)}` is no function, or has input guardrails",
                    code="tool_not_governable",
                    help="write a rule in their place, or add the tool beside these, ungoverned",
                )
            own = OfferedTool(
                name=tool.name,
                wire_name=tool.name,
                description=tool.description,
                effect="write",
                schema=tool.params_json_schema,
            )
            made.append(self._function(offered.get(tool.name, own)))
        return made

    async def waiting(self, interruptions: Iterable[ToolApprovalItem]) -> list[dict[str, JSON]]:
        """What interruptions wait for: each action with its code and message."""
        asked = [await self._of(item, again=False) for item in self._ours(interruptions)]
        return [told(outcome) for outcome in asked if waits(outcome)]

    async def ask_again(self, state: RunState[Any, Any]) -> list[dict[str, JSON]]:
        """Have the state's calls go on whose actions have ended, and give what still waits."""
        still = []
        for item in self._ours(state.get_interruptions()):
            outcome = await self._of(item, again=True)
            if waits(outcome):
                still.append(told(outcome))
            else:
                state.approve(item)
        return still

    def _ours(self, items: Iterable[ToolApprovalItem]) -> list[ToolApprovalItem]:
        return [item for item in items if item.name in self._names]

    async def _of(self, item: ToolApprovalItem, *, again: bool) -> Outcome:
        key = self._key(str(item.call_id))
        return await self._calls.act(str(item.name), _parsed(item.arguments), key, again=again)

    def _function(self, tool: OfferedTool) -> FunctionTool:
        self._names.add(tool.wire_name)
        return FunctionTool(
            name=tool.wire_name,
            description=tool.description,
            params_json_schema=dict(tool.schema),
            on_invoke_tool=self._invoked(tool.wire_name),
            needs_approval=self._asked(tool.wire_name),
            # The SDK's strict form makes every argument required; the catalogue's schema stands.
            strict_json_schema=False,
        )

    def _asked(
        self, name: str
    ) -> Callable[[RunContextWrapper[Any], dict[str, Any], str], Awaitable[bool]]:
        async def asked(
            context: RunContextWrapper[Any], arguments: dict[str, Any], id: str
        ) -> bool:
            """Propose the action; whether it waits is whether the SDK is to pause."""
            outcome = await self._calls.act(name, arguments, self._key(id))
            if waits(outcome):
                return True
            self._made[id] = outcome
            if len(self._made) > _KEPT:
                del self._made[next(iter(self._made))]
            return False

        return asked

    def _invoked(self, name: str) -> Callable[[ToolContext[Any], str], Awaitable[str]]:
        async def invoked(context: ToolContext[Any], arguments: str) -> str:
            """The outcome of the action that was proposed, whoever approved the call."""
            id = context.tool_call_id
            outcome = self._made.pop(id, None)
            if outcome is None:
                outcome = await self._calls.act(name, _parsed(arguments), self._key(id), again=True)
            if waits(outcome):
                raise ApprovalError(
                    outcome.message,
                    code=outcome.code,
                    help="resume the run again from its stored state when people have decided",
                    action=outcome.action,
                )
            return text(outcome)

        return invoked

    def _key(self, call: str) -> str:
        return key_of(self._conversation, call)


def _parsed(arguments: str | None) -> str | dict[str, Any]:
    """Arguments as the SDK reads them where it asks for approval; else as they came, to be refused.

    Both calls must propose the same value.
    """
    try:
        parsed = json.loads(arguments or "")
    except ValueError:
        return arguments or ""
    return parsed if isinstance(parsed, dict) else str(arguments)
