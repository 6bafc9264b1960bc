"""Agents built with LangChain and graphs of LangGraph, governed; run by `test_frameworks.py`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain.tools import tool
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from bailiwick import open_blocking
from bailiwick.adapters.langchain import (
    CANCEL,
    GovernedCalls,
    catalogue_tools,
    catalogue_tools_blocking,
)
from tests.adapters.desk import BEYOND, LARGE, SMALL, Desk, case, main, page, refunds


class Scripted(GenericFakeChatModel):
    """The library's fake model, which takes tools and remembers their schemas."""

    offered: list[Any] = []  # noqa: RUF012 - a field of a pydantic model

    def bind_tools(self, tools: Sequence[Any], **told: Any) -> "Scripted":
        self.offered.extend(tools)
        return self


def calls(*wanted: tuple[str, int], id: str = "call") -> AIMessage:
    """A model's answer that asks for refunds."""
    return AIMessage(
        "",
        tool_calls=[
            ToolCall(
                name="payments_refund",
                args={"charge": charge, "amount_minor": cents},
                id=f"{id}-{number}",
            )
            for number, (charge, cents) in enumerate(wanted)
        ],
    )


def asks(*answers: AIMessage) -> Scripted:
    """A model that gives these answers, and then says that it was told."""
    return Scripted(messages=iter([*answers, *(AIMessage("told") for _ in range(9))]))


class Thread:
    """An agent and one conversation with it."""

    def __init__(self, agent: Any, name: str) -> None:
        self._agent = agent
        self._at = {"configurable": {"thread_id": name}}

    async def run(self, said: Any) -> Any:
        return await self._agent.ainvoke(said, self._at, durability="sync")

    async def ask(self) -> Any:
        return await self.run({"messages": [("user", "refund it")]})

    async def resume(self, value: Any = "yes, approved: true") -> Any:
        return await self.run(Command(resume=value))

    async def before_tools(self) -> Any:
        """Where the model's answer stands and its calls are not made: to be executed again."""
        async for each in self._agent.aget_state_history(self._at):
            if each.next == ("tools",):
                return each.config
        raise AssertionError("no such place")

    async def replay(self) -> Any:
        return await self._agent.ainvoke(None, await self.before_tools())


async def desk_thread(desk: Desk, model: Any, name: str, *, run: str = "run-1", **told: Any) -> Any:
    tools = await catalogue_tools(await desk.session(run), wait_s=told.pop("wait_s", 5.0))
    told.setdefault("checkpointer", InMemorySaver())
    return Thread(create_agent(model, tools, **told), name)


def returned(result: Any) -> Any:
    """What the model was told of its last call."""
    (*_, last) = (each for each in result["messages"] if isinstance(each, ToolMessage))
    told = json.loads(last.content)
    assert (last.status == "error") is (told["status"] in ("refused", "denied", "failed")), last
    return told


def waiting(result: Any) -> Any:
    """The one action that a graph waits for."""
    (interrupt,) = result["__interrupt__"]
    return interrupt.value["action"]


@case
async def the_catalogue_describes_the_tools(desk: Desk) -> None:
    model = asks()
    await (await desk_thread(desk, model, "t-0")).ask()
    tools = {each.name: each for each in model.offered}
    assert sorted(tools) == ["payments_charge", "payments_refund", "payments_refund_of"]
    refund = tools["payments_refund"]
    assert refund.description == "Pays money back."
    assert refund.tool_call_schema["required"] == ["charge", "amount_minor"]


@case
async def an_allowed_call_runs_once(desk: Desk) -> None:
    thread = await desk_thread(desk, asks(calls(("c-1", SMALL))), "t-1")
    result = await thread.ask()
    told = returned(result)
    assert result["messages"][-1].content == "told"
    assert (told["status"], told["verdict"]) == ("done", "verified")
    assert told["result"] == {"refunded": "c-1"}
    assert desk.refunds("c-1") == 1


@case
async def a_denied_call_tells_why_and_runs_nothing(desk: Desk) -> None:
    result = await (await desk_thread(desk, asks(calls(("c-2", BEYOND))), "t-2")).ask()
    told = returned(result)
    assert (told["status"], told["code"]) == ("refused", "denied")
    assert told["message"]
    assert told["help"]
    assert desk.refunds("c-2") == 0


@case
async def what_cannot_be_a_call_is_told_too(desk: Desk) -> None:
    wrong = await desk_thread(desk, asks(calls(("c-3", -1))), "t-3")
    assert returned(await wrong.ask())["code"] == "arguments_invalid"
    failing = await desk_thread(desk, asks(calls(("broken", SMALL))), "t-4")
    told = returned(await failing.ask())
    assert (told["status"], told["message"]) == ("failed", "the bank is closed")


@case
async def a_parked_call_waits_for_people_and_runs_once(desk: Desk) -> None:
    thread = await desk_thread(desk, asks(calls(("c-4", LARGE))), "t-5")
    action = waiting(await thread.ask())
    assert desk.refunds("c-4") == 0
    await desk.vote(action)
    told = returned(await thread.resume())
    assert (told["status"], told["action"]) == ("done", action)
    for _ in range(2):  # the same node is executed again, from where it stood
        assert returned(await thread.replay())["action"] == action
    assert desk.refunds("c-4") == 1


@case
async def the_frameworks_yes_approves_nothing(desk: Desk) -> None:
    thread = await desk_thread(desk, asks(calls(("c-5", LARGE))), "t-6", wait_s=0.05)
    action = waiting(await thread.ask())
    for value in (True, {"decisions": [{"type": "approve"}]}, "approved"):
        assert waiting(await thread.resume(value)) == action
    assert (await desk.state(action), desk.refunds("c-5")) == ("parked", 0)
    await desk.vote(action)
    assert await desk.ended(action) == "done"
    assert (returned(await thread.resume())["action"], desk.refunds("c-5")) == (action, 1)


@case
async def a_no_of_people_is_told(desk: Desk) -> None:
    thread = await desk_thread(desk, asks(calls(("c-6", LARGE))), "t-7")
    await desk.vote(waiting(await thread.ask()), "deny")
    told = returned(await thread.resume())
    assert (told["status"], told["code"]) == ("denied", "denied_by_people")
    assert "because" in told["message"]
    assert desk.refunds("c-6") == 0


@case
async def the_frameworks_no_takes_the_action_back(desk: Desk) -> None:
    thread = await desk_thread(desk, asks(calls(("c-7", LARGE))), "t-8")
    action = waiting(await thread.ask())
    assert returned(await thread.resume(CANCEL))["code"] == "cancelled"
    assert (await desk.state(action), desk.refunds("c-7")) == ("refused", 0)
    # It comes too late once people have decided.
    late = await desk_thread(desk, asks(calls(("c-8", LARGE))), "t-9")
    action = waiting(await late.ask())
    await desk.vote(action)
    assert await desk.ended(action) == "done"
    assert (returned(await late.resume(CANCEL))["status"], desk.refunds("c-8")) == ("done", 1)


@case
async def two_intended_calls_are_two(desk: Desk) -> None:
    both = calls(("c-9", SMALL), ("c-9b", SMALL))
    again = calls(("c-9", SMALL), ("c-9b", SMALL))  # under the ids of the first answer
    thread = await desk_thread(desk, asks(both, again), "t-10")
    await thread.ask()
    assert (desk.refunds("c-9"), desk.refunds("c-9b")) == (2, 2)
    other = await desk_thread(desk, asks(calls(("c-9", SMALL))), "t-11")
    await other.ask()
    assert desk.refunds("c-9") == 3


@case
async def the_frameworks_retry_of_a_call_runs_once(desk: Desk) -> None:
    @wrap_tool_call
    async def thrice(request: Any, handler: Any) -> Any:
        return [await handler(request) for _ in range(3)][-1]

    model = asks(calls(("c-10", SMALL)))
    thread = await desk_thread(desk, model, "t-12", middleware=[thrice])
    assert returned(await thread.ask())["status"] == "done"
    assert desk.refunds("c-10") == 1


@case
async def an_agents_own_functions_are_governed_by_name(desk: Desk) -> None:
    ran = []

    @tool
    def payments_refund(charge: str, amount_minor: int) -> str:
        """Refunds, ungoverned."""
        ran.append(charge)
        return "refunded"

    @tool
    def wipe(disk: str) -> str:
        """Wipes a disk."""
        ran.append(disk)
        return "wiped"

    wiping = AIMessage("", tool_calls=[ToolCall(name="wipe", args={"disk": "a"}, id="w")])
    agent = create_agent(
        asks(wiping, calls(("c-11", SMALL)), calls(("c-12", LARGE), id="more")),
        [payments_refund, wipe],
        middleware=[GovernedCalls(await desk.session())],
        checkpointer=InMemorySaver(),
    )
    thread = Thread(agent, "t-13")
    first = await thread.ask()
    told = [json.loads(each.content) for each in first["messages"] if isinstance(each, ToolMessage)]
    assert [each.get("code", each["status"]) for each in told[:2]] == ["tool_not_granted", "done"]
    action = waiting(first)
    await desk.vote(action)
    assert returned(await thread.resume())["action"] == action
    assert (ran, desk.refunds("c-11"), desk.refunds("c-12")) == ([], 1, 1)


class Booked(TypedDict):
    notes: list[str]


@case
async def a_node_that_is_executed_again_repeats_no_effect(desk: Desk) -> None:
    """A node of a graph calls tools by hand; the second one waits, and it begins anew."""
    tools = await catalogue_tools(await desk.session())
    (refund,) = (each for each in tools if each.description == "Pays money back.")
    begun = []

    async def node(state: Booked) -> Booked:
        begun.append(1)
        first = await refund.ainvoke({"charge": "c-13", "amount_minor": SMALL})
        second = await refund.ainvoke({"charge": "c-14", "amount_minor": LARGE})
        return {"notes": [first, second]}

    graph = StateGraph(Booked)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    thread = Thread(graph.compile(checkpointer=InMemorySaver()), "t-14")
    action = waiting(await thread.run({"notes": []}))
    assert (desk.refunds("c-13"), desk.refunds("c-14")) == (1, 0)
    await desk.vote(action)
    notes = [json.loads(each)["status"] for each in (await thread.resume())["notes"]]
    assert (notes, len(begun)) == (["done", "done"], 2)
    assert (desk.refunds("c-13"), desk.refunds("c-14")) == (1, 1)
    # The next time through is another task.
    await thread.run({"notes": []})
    assert desk.refunds("c-13") == 2


@case
async def a_tool_outside_of_a_graph_tells_that_it_waits(desk: Desk) -> None:
    tools = await catalogue_tools(await desk.session("run-o"))
    (refund,) = (each for each in tools if each.description == "Pays money back.")
    told = [
        json.loads(await refund.ainvoke({"charge": "c-19", "amount_minor": cents}))
        for cents in (LARGE, LARGE, float("nan"))
    ]
    assert [each["status"] for each in told] == ["parked", "parked", "refused"]
    assert (told[0]["action"], told[2]["code"]) == (told[1]["action"], "json_not_finite")
    assert desk.refunds("c-19") == 0


@case
def a_plain_program_works_too(folder: Path) -> None:
    with open_blocking(folder) as bailiwick:
        session = bailiwick.session("refund-desk", subject="support", run="run-2")
        tools = catalogue_tools_blocking(session)
        for name, ways in (
            ("t-15", {"tools": tools}),
            ("t-16", {"tools": [], "middleware": [GovernedCalls(session)]}),
        ):
            wanted = calls(("c-15", SMALL), (f"c-16 of {name}", LARGE))
            agent: Any = create_agent(asks(wanted), checkpointer=InMemorySaver(), **ways)
            at: Any = {"configurable": {"thread_id": name}}
            result = agent.invoke({"messages": [("user", "refund them")]}, at)
            assert waiting(result)
            again = agent.invoke(Command(resume="later"), at)
            assert waiting(again) == waiting(result)
            assert refunds(folder, f"c-16 of {name}") == 0
    assert refunds(folder, "c-15") == 2


async def stored_thread(desk: Desk, saver: Any, name: str, model: Any, run: str) -> Any:
    return await desk_thread(desk, model, name, run=run, checkpointer=saver)


async def killed_midway(desk: Desk) -> None:
    """One thread waits for people; in another the process dies in the middle of a call."""
    async with AsyncSqliteSaver.from_conn_string(str(desk.folder / "threads.db")) as saver:
        waits = await stored_thread(desk, saver, "t-w", asks(calls(("c-17", LARGE))), "run-w")
        assert waiting(await waits.ask())
        dies = await stored_thread(desk, saver, "t-k", asks(calls(("kill-1", SMALL))), "run-k")
        await dies.ask()


@case
async def killed_after_its_effect_it_is_not_run_again(desk: Desk) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(desk.folder / "threads.db")) as saver:
        thread = await stored_thread(desk, saver, "t-k", asks(), "run-k2")
        told = returned(await thread.run(None))
    assert (told["status"], desk.refunds("kill-1")) == ("done", 1)


@case
async def killed_while_it_waits_it_is_resumed_elsewhere(desk: Desk) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(desk.folder / "threads.db")) as saver:
        thread = await stored_thread(desk, saver, "t-w", asks(), "run-w2")
        state = await thread._agent.aget_state(thread._at)
        (interrupt,) = state.interrupts
        action = interrupt.value["action"]
        await desk.vote(action)
        assert returned(await thread.resume())["action"] == action
        assert returned(await thread.replay())["action"] == action
    assert desk.refunds("c-17") == 1


@case
async def the_page_is_true(desk: Desk) -> None:
    told: dict[str, Any] = {}
    exec(page(of="LangChain and LangGraph"), told)  # noqa: S102 - our own page
    session, saver = await desk.session(), InMemorySaver()
    await told["start"](asks(calls(("c-18", LARGE))), session, saver)
    (request,) = told["waiting"]
    await desk.vote(request["action"])
    assert await told["resume"](asks(), session, saver) == "told"
    assert desk.refunds("c-18") == 1


if __name__ == "__main__":
    main(killed_midway)
