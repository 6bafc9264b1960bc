"""Agents built with Pydantic AI, governed; run by `test_frameworks.py`."""

import json
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolDenied
from pydantic_ai.capabilities import HandleDeferredToolCalls
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import ToolApproved

from bailiwick import open_blocking
from bailiwick.adapters.pydantic_ai import CatalogueTools, Governed
from tests.adapters.desk import BEYOND, LARGE, SMALL, Desk, case, main, page, refunds

ENDS: Any = [str, DeferredToolRequests]


def calls(*wanted: tuple[str, int], id: str | None = None) -> ModelResponse:
    """A model's answer that asks for refunds."""
    named = {} if id is None else {"tool_call_id": id}
    return ModelResponse(
        [
            ToolCallPart("payments_refund", {"charge": charge, "amount_minor": cents}, **named)
            for charge, cents in wanted
        ]
    )


def asks(charge: str, cents: int, *more: tuple[str, int], id: str | None = None) -> FunctionModel:
    """A model that answers people by asking for refunds, and then says that it was told."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if isinstance(messages[-1].parts[-1], UserPromptPart):
            return calls((charge, cents), *more, id=id)
        return ModelResponse([TextPart("told")])

    return FunctionModel(answer)


def desk_agent(session: Any, model: Any = None, **told: Any) -> Agent[None, Any]:
    return Agent(model, output_type=ENDS, toolsets=[CatalogueTools(session)], **told)


def returned(messages: list[ModelMessage]) -> Any:
    """What the model was told of its last call."""
    parts = [part for message in messages for part in message.parts]
    (*_, last) = (part for part in parts if isinstance(part, ToolReturnPart))
    assert (last.outcome == "failed") is isinstance(last.content, str), last
    return json.loads(last.content) if isinstance(last.content, str) else last.content


def waiting(result: Any) -> Any:
    """The one action that a run waits for."""
    assert isinstance(result.output, DeferredToolRequests), result.output
    (call,) = result.output.approvals
    return result.output.metadata[call.tool_call_id]["action"]


def yes(result: Any) -> DeferredToolResults:
    """The framework's own yes to all."""
    answered: DeferredToolResults = result.output.build_results(approve_all=True)
    return answered


def stored(result: Any) -> list[ModelMessage]:
    """The history as it comes back from where it was kept."""
    history: list[ModelMessage]
    history = ModelMessagesTypeAdapter.validate_json(result.all_messages_json())
    return history


async def resumed(desk: Desk, first: Any, *, run: str = "run-1", answers: Any = None) -> Any:
    """Resume from the stored history, with a session and an agent of its own."""
    agent = desk_agent(await desk.session(run), asks("never", 1))
    return await agent.run(
        message_history=stored(first), deferred_tool_results=answers or yes(first)
    )


@case
async def the_catalogue_describes_the_tools(desk: Desk) -> None:
    model = TestModel(call_tools=[])
    await desk_agent(await desk.session(), model).run("hello")
    assert model.last_model_request_parameters is not None
    tools = {each.name: each for each in model.last_model_request_parameters.function_tools}
    assert sorted(tools) == ["payments_charge", "payments_refund", "payments_refund_of"]
    refund = tools["payments_refund"]
    assert refund.description == "Pays money back."
    assert refund.parameters_json_schema["required"] == ["charge", "amount_minor"]


@case
async def an_allowed_call_runs_once(desk: Desk) -> None:
    result = await desk_agent(await desk.session(), asks("c-1", SMALL)).run("refund it")
    told = returned(result.all_messages())
    assert result.output == "told"
    assert (told["status"], told["verdict"]) == ("done", "verified")
    assert told["result"] == {"refunded": "c-1"}
    assert desk.refunds("c-1") == 1


@case
async def a_denied_call_tells_why_and_runs_nothing(desk: Desk) -> None:
    result = await desk_agent(await desk.session(), asks("c-2", BEYOND)).run("refund it")
    told = returned(result.all_messages())
    assert (told["status"], told["code"], result.output) == ("refused", "denied", "told")
    assert told["message"]
    assert told["help"]
    assert desk.refunds("c-2") == 0


@case
async def what_cannot_be_a_call_is_told_too(desk: Desk) -> None:
    result = await desk_agent(await desk.session(), asks("c-3", -1)).run("refund it")
    assert returned(result.all_messages())["code"] == "arguments_invalid"
    result = await desk_agent(await desk.session(), asks("broken", SMALL)).run("refund it")
    told = returned(result.all_messages())
    assert (told["status"], told["message"]) == ("failed", "the bank is closed")


@case
async def a_parked_call_waits_for_people_and_runs_once(desk: Desk) -> None:
    first = await desk_agent(await desk.session(), asks("c-4", LARGE)).run("refund it")
    action = waiting(first)
    assert desk.refunds("c-4") == 0
    await desk.vote(action)
    for _ in range(2):  # resumed twice from the same history
        result = await resumed(desk, first)
        told = returned(result.all_messages())
        assert (told["status"], told["action"], result.output) == ("done", action, "told")
    # A session that forgot its run resumes the same action.
    assert returned((await resumed(desk, first, run="another")).all_messages())["action"] == action
    assert desk.refunds("c-4") == 1


@case
async def the_frameworks_yes_approves_nothing(desk: Desk) -> None:
    session = await desk.session()
    first = await desk_agent(session, asks("c-5", LARGE)).run("refund it")
    action = waiting(first)
    again = await Agent(
        asks("never", 1), output_type=ENDS, toolsets=[CatalogueTools(session, wait_s=0.1)]
    ).run(message_history=stored(first), deferred_tool_results=yes(first))
    assert (waiting(again), await desk.state(action), desk.refunds("c-5")) == (action, "parked", 0)
    # Nor does a handler that says yes to everything while the agent runs.
    inline = HandleDeferredToolCalls(lambda ctx, requests: requests.build_results(approve_all=True))
    agent = Agent(
        asks("c-6", LARGE),
        output_type=ENDS,
        toolsets=[CatalogueTools(session, wait_s=0.1)],
        capabilities=[inline],
    )
    assert await desk.state(waiting(await agent.run("refund it"))) == "parked"
    assert desk.refunds("c-6") == 0


@case
async def a_yes_to_other_arguments_is_no_yes(desk: Desk) -> None:
    first = await desk_agent(await desk.session(), asks("c-7", LARGE)).run("refund it")
    (call,) = first.output.approvals
    edited = ToolApproved(override_args={"charge": "c-8", "amount_minor": SMALL})
    answers = DeferredToolResults(approvals={call.tool_call_id: edited})
    result = await resumed(desk, first, answers=answers)
    assert returned(result.all_messages())["code"] == "key_conflict"
    assert (desk.refunds("c-7"), desk.refunds("c-8")) == (0, 0)


@case
async def a_no_of_people_is_told(desk: Desk) -> None:
    first = await desk_agent(await desk.session(), asks("c-9", LARGE)).run("refund it")
    await desk.vote(waiting(first), "deny")
    told = returned((await resumed(desk, first)).all_messages())
    assert (told["status"], told["code"]) == ("denied", "denied_by_people")
    assert "because" in told["message"]
    assert desk.refunds("c-9") == 0


@case
async def the_frameworks_no_takes_the_action_back(desk: Desk) -> None:
    session = await desk.session()
    first = await desk_agent(session, asks("c-10", LARGE)).run("refund it")
    taken = await session.cancel(waiting(first))
    (call,) = first.output.approvals
    answers = DeferredToolResults(approvals={call.tool_call_id: ToolDenied(taken.message)})
    assert (await resumed(desk, first, answers=answers)).output == "told"
    assert (taken.code, desk.refunds("c-10")) == ("cancelled", 0)


@case
async def two_intended_calls_are_two(desk: Desk) -> None:
    model = asks("c-11", SMALL, ("c-11b", SMALL))
    both = await desk_agent(await desk.session(), model).run("refund both")
    await desk_agent(await desk.session(), model).run("and again", message_history=stored(both))
    assert (desk.refunds("c-11"), desk.refunds("c-11b")) == (2, 2)
    # A provider may give the same id in every answer.
    repeating = desk_agent(await desk.session(), asks("c-12", SMALL, id="call_0"))
    first = await repeating.run("refund it")
    await repeating.run("and again", message_history=stored(first))
    assert desk.refunds("c-12") == 2
    await repeating.run("refund it in another conversation")
    assert desk.refunds("c-12") == 3


@case
async def the_frameworks_retry_of_a_call_runs_once(desk: Desk) -> None:
    asked = ModelRequest([UserPromptPart("refund it")], conversation_id="c-13")
    history = [asked, calls(("c-13", SMALL))]
    for _ in range(3):  # as a durable engine does whose activity was lost
        agent = desk_agent(await desk.session(), asks("never", 1))
        told = returned((await agent.run(message_history=history)).all_messages())
        assert told["status"] == "done"
    assert desk.refunds("c-13") == 1


@case
async def an_agents_own_functions_are_governed_by_name(desk: Desk) -> None:
    ran = []

    def payments_refund(charge: str, amount_minor: int) -> str:
        ran.append(charge)
        return "refunded, ungoverned"

    def wipe(disk: str) -> str:
        ran.append(disk)
        return "wiped"

    agent: Agent[None, Any] = Agent(
        TestModel(call_tools=["wipe"]),
        output_type=ENDS,
        tools=[payments_refund, wipe],
        capabilities=[Governed(await desk.session())],
    )
    told = returned((await agent.run("wipe it")).all_messages())
    assert told["code"] == "tool_not_granted"
    with agent.override(model=asks("c-14", SMALL)):
        assert returned((await agent.run("refund it")).all_messages())["status"] == "done"
    with agent.override(model=asks("c-15", LARGE)):
        assert await desk.state(waiting(await agent.run("refund it"))) == "parked"
    assert (ran, desk.refunds("c-14"), desk.refunds("c-15")) == ([], 1, 0)


@case
def a_plain_program_works_too(folder: Path) -> None:
    with open_blocking(folder) as bailiwick:
        session = bailiwick.session("refund-desk", subject="support", run="run-2")
        result = desk_agent(session, asks("c-16", SMALL)).run_sync("refund it")
        assert returned(result.all_messages())["status"] == "done"
        first = desk_agent(session, asks("c-17", LARGE)).run_sync("refund it")
        assert waiting(first)
    assert (refunds(folder, "c-16"), refunds(folder, "c-17")) == (1, 0)


async def killed_midway(desk: Desk) -> None:
    """One run waits for people, one dies in the middle of a call; the history of both is stored."""
    first = await desk_agent(await desk.session("run-w"), asks("c-18", LARGE)).run("refund it")
    assert waiting(first)
    (desk.folder / "waits.json").write_bytes(first.all_messages_json())
    asked = ModelRequest([UserPromptPart("refund it")], conversation_id="kill-1")
    history: list[ModelMessage] = [asked, calls(("kill-1", SMALL))]
    (desk.folder / "after.json").write_bytes(ModelMessagesTypeAdapter.dump_json(history))
    agent = desk_agent(await desk.session("run-k"), asks("never", 1))
    await agent.run(message_history=history)


@case
async def the_page_is_true(desk: Desk) -> None:
    told: dict[str, Any] = {}
    exec(page(of="Pydantic AI"), told)  # noqa: S102 - our own page
    session = await desk.session()
    history = await told["start"](asks("c-19", LARGE), session)
    (request,) = told["waiting"]
    await desk.vote(request["action"])
    assert await told["resume"](asks("never", 1), session, history) == "told"
    assert desk.refunds("c-19") == 1


@case
async def killed_after_its_effect_it_is_not_run_again(desk: Desk) -> None:
    history = ModelMessagesTypeAdapter.validate_json((desk.folder / "after.json").read_bytes())
    agent = desk_agent(await desk.session("run-k2"), asks("never", 1))
    told = returned((await agent.run(message_history=history)).all_messages())
    assert (told["status"], desk.refunds("kill-1")) == ("done", 1)


@case
async def killed_while_it_waits_it_is_resumed_elsewhere(desk: Desk) -> None:
    history = ModelMessagesTypeAdapter.validate_json((desk.folder / "waits.json").read_bytes())
    (call,) = (part for part in history[-1].parts if isinstance(part, ToolCallPart))
    answers = DeferredToolResults(approvals={call.tool_call_id: True})
    session = await desk.session("run-w2")
    quick = Agent(
        asks("never", 1), output_type=ENDS, toolsets=[CatalogueTools(session, wait_s=0.1)]
    )
    still = await quick.run(message_history=history, deferred_tool_results=answers)
    await desk.vote(waiting(still))
    agent = desk_agent(session, asks("never", 1))
    for _ in range(2):
        result = await agent.run(message_history=history, deferred_tool_results=answers)
        assert returned(result.all_messages())["action"] == waiting(still)
    assert (desk.refunds("c-18"), await desk.ended(waiting(still))) == (1, "done")


if __name__ == "__main__":
    main(killed_midway)
