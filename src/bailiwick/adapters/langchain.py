"""LangChain and LangGraph: the session's tools as LangChain tools, or an agent's own governed.

    agent = create_agent(model, await catalogue_tools(session), checkpointer=...)
    agent = create_agent(model, [...], middleware=[GovernedCalls(session)], checkpointer=...)

A parked action is an `interrupt()`, which needs a checkpointer. Any `Command(resume=...)` asks
Bailiwick again, under the same key: no value approves anything. `CANCEL` takes the action back.

A node is executed from its top when it is resumed, retried or replayed. The key is the tool call's
id within the thread (`thread_id`), or where a node calls a tool by hand, with arguments only, its
task and these arguments; so what was done is answered, and not done again.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from langchain.agents.middleware import AgentMiddleware, ToolCallRequest
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.tools import StructuredTool
from langgraph.types import interrupt

from bailiwick.adapters.calls import WAIT_S, AnySession, Calls, is_no, key_of, text, told, waits
from bailiwick.blocking import BlockingSession
from bailiwick.errors import BadInput
from bailiwick.nouns import OfferedTool, Outcome
from bailiwick.values import digest

T = TypeVar("T")

# Resumed with this, a call takes its action back, unless people have decided meanwhile.
CANCEL = "cancel"
# How one of `Calls`' calls is made: awaited, or from a thread without an event loop.
_Make = Callable[[Coroutine[Any, Any, Outcome]], Awaitable[Outcome]]


async def catalogue_tools(session: AnySession, *, wait_s: float = WAIT_S) -> list[StructuredTool]:
    """The tools that the session's grants cover, as the active release describes them now.

    Without an event loop they can be called if the session is a blocking one.
    """
    calls = Calls(session, wait_s=wait_s)
    return [_offered(calls, name, tool) for name, tool in (await calls.tools()).items()]


def catalogue_tools_blocking(
    session: BlockingSession, *, wait_s: float = WAIT_S
) -> list[StructuredTool]:
    """The same in a plain program."""
    calls = Calls(session, wait_s=wait_s)
    return [_offered(calls, name, tool) for name, tool in calls.blocking(calls.tools()).items()]


class GovernedCalls(AgentMiddleware[Any, Any, Any]):
    """Every tool call of an agent is one of the catalogue's tool of that name.

    None of the agent's own functions runs; a tool that the session has not is refused.
    """

    def __init__(self, session: AnySession, *, wait_s: float = WAIT_S) -> None:
        super().__init__()
        self._calls = Calls(session, wait_s=wait_s)

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[..., Any]) -> ToolMessage:
        """Propose the action that a call asks for; `handler` is never called."""
        return _finished(self._answer(_blocking(self._calls), request))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[..., Any]
    ) -> ToolMessage:
        """The same in an event loop."""
        return await self._answer(_awaited, request)

    async def _answer(self, make: _Make, request: ToolCallRequest) -> ToolMessage:
        call, runtime = request.tool_call, request.runtime
        key = _key(self._calls, call["id"], runtime.config, request.state)
        key = key or _key_in_node(self._calls, call["name"], call["args"], runtime.config)
        outcome = await _settled(make, self._calls, call["name"], call["args"], key)
        return _message(outcome, call["id"], call["name"])


def _offered(calls: Calls, name: str, tool: OfferedTool) -> StructuredTool:
    """One tool; its runtime's parameter has a name that no argument of a tool has."""

    async def answer(
        make: _Make, runtime: ToolRuntime | None, arguments: dict[str, Any]
    ) -> ToolMessage | str:
        config = runtime.config if runtime else ensure_config()
        key = runtime and _key(calls, runtime.tool_call_id, config, runtime.state)
        key = key or _key_in_node(calls, name, arguments, config)
        if _task(config):
            outcome = await _settled(make, calls, name, arguments, key)
        else:  # there is no graph to leave: who calls is told that it waits
            outcome = await make(calls.act(name, arguments, key))
        call = runtime.tool_call_id if runtime else None
        return text(outcome) if call is None else _message(outcome, call, name)

    async def awaited(bailiwick_runtime: ToolRuntime | None = None, **arguments: Any) -> Any:
        return await answer(_awaited, bailiwick_runtime, arguments)

    def blocking(bailiwick_runtime: ToolRuntime | None = None, **arguments: Any) -> Any:
        return _finished(answer(_blocking(calls), bailiwick_runtime, arguments))

    return StructuredTool(
        name=name,
        description=tool.description,
        args_schema={"properties": {}, **tool.schema},
        func=blocking,
        coroutine=awaited,
    )


async def _settled(
    make: _Make, calls: Calls, name: str, arguments: dict[str, Any], key: str | None
) -> Outcome:
    """Make a call, and leave the graph while its action waits.

    A resumed node comes by here from its top; only then does `interrupt` give a value back, and
    then it is asked again, with patience once.
    """
    outcome, again = await make(calls.act(name, arguments, key)), True
    while waits(outcome):
        if interrupt(told(outcome)) == CANCEL:
            taken = await make(calls.cancel(outcome.action))
            if taken.code == "cancelled":
                return taken
        outcome = await make(calls.act(name, arguments, key, again=again))
        again = False
    return outcome


def _key(calls: Calls, call: str | None, config: RunnableConfig, state: Any) -> str | None:
    """The key of a model's call; None if it has no id."""
    if call is None:
        return None
    messages = state.get("messages", ()) if isinstance(state, dict) else state
    asked = [
        each["id"] == call
        for message in (messages if isinstance(messages, Sequence) else ())
        if isinstance(message, AIMessage)
        for each in message.tool_calls
    ]
    return key_of(_thread(calls, config), call, max(sum(asked) - 1, 0))


def _key_in_node(
    calls: Calls, name: str, arguments: dict[str, Any], config: RunnableConfig
) -> str | None:
    """The key of a call that a node makes by hand; None outside of a graph, where none is kept.

    Arguments that are no JSON have none; they are refused.
    """
    try:
        task, asked = _task(config), digest(arguments)
    except BadInput:
        return None
    return key_of(_thread(calls, config), f"{task} {name} {asked}") if task else None


def _task(config: RunnableConfig) -> str | None:
    """The task in which a graph executes a node, the same whenever it is executed again."""
    task: str | None = config.get("configurable", {}).get("checkpoint_ns")
    return task


def _thread(calls: Calls, config: RunnableConfig) -> str:
    return str(config.get("configurable", {}).get("thread_id") or calls.run)


def _message(outcome: Outcome, call: str | None, name: str) -> ToolMessage:
    status = "error" if is_no(outcome) else "success"
    return ToolMessage(text(outcome), tool_call_id=call or "", name=name, status=status)


async def _awaited(call: Coroutine[Any, Any, Outcome]) -> Outcome:
    return await call


def _blocking(calls: Calls) -> _Make:
    async def make(call: Coroutine[Any, Any, Outcome]) -> Outcome:
        return calls.blocking(call)

    return make


def _finished(steps: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, since all it makes is blocking."""
    try:
        steps.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waited")
