"""Agents built with the OpenAI Agents SDK, governed; run by `test_frameworks.py`."""

import asyncio
import json
from pathlib import Path
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    Runner,
    RunState,
    ToolCallOutputItem,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    UserError,
    WebSearchTool,
    function_tool,
    set_tracing_disabled,
    tool_input_guardrail,
)
from agents.testing import ScriptedModel, assistant_message, function_call

from bailiwick import open_blocking
from bailiwick.adapters.openai_agents import GovernedFunctions
from bailiwick.errors import ApprovalError, ConfigError
from tests.adapters.desk import BEYOND, LARGE, SMALL, Desk, case, main, page, refunds

# Nothing is sent to anybody.
set_tracing_disabled(True)


def calls(*wanted: tuple[str, int]) -> list[Any]:
    """A model's answer that asks for refunds."""
    return [one_call(*each, id=f"call_{number}") for number, each in enumerate(wanted)]


def one_call(charge: str, cents: int, id: str) -> Any:
    return function_call("payments_refund", {"charge": charge, "amount_minor": cents}, call_id=id)


def asks(*answers: list[Any]) -> ScriptedModel:
    """A model that gives these answers, and then says that it was told."""
    return ScriptedModel([*answers, *([assistant_message("told")] for _ in range(3))])


class Conversation:
    """An agent, and the state of a run of it that is kept as JSON."""

    def __init__(self, functions: GovernedFunctions, agent: Agent[Any]) -> None:
        self.functions = functions
        self.agent = agent
        self.kept = ""

    async def ask(self) -> Any:
        """Run the agent; what it waits for is kept."""
        result = await Runner.run(self.agent, "refund it")
        self.kept = result.to_state().to_string()
        return result

    async def state(self) -> RunState[Any, Any]:
        return await RunState.from_string(self.agent, self.kept)

    async def resume(self) -> Any:
        """Go on from what is kept, as far as people have decided."""
        state = await self.state()
        await self.functions.ask_again(state)
        return await Runner.run(self.agent, state)

    async def approved(self) -> Any:
        """Go on from what is kept with the SDK's own yes to everything."""
        state = await self.state()
        for item in state.get_interruptions():
            state.approve(item)
        return await Runner.run(self.agent, state)

    async def waiting(self, result: Any) -> Any:
        """The one action that a run waits for."""
        (asked,) = await self.functions.waiting(result.interruptions)
        return asked["action"]


async def conversation(
    desk: Desk, name: str, model: Any, *, run: str = "run-1", wait_s: float = 5.0
) -> Conversation:
    functions = GovernedFunctions(await desk.session(run), conversation=name, wait_s=wait_s)
    agent = Agent[Any](name="desk", model=model, tools=await functions.tools())
    return Conversation(functions, agent)


def returned(result: Any) -> Any:
    """What the model was told of its last call."""
    return all_returned(result)[-1]


def all_returned(result: Any) -> list[Any]:
    """What the model was told, call by call."""
    items = [each for each in result.new_items if isinstance(each, ToolCallOutputItem)]
    return [json.loads(each.output) for each in items]


@case
async def the_catalogue_describes_the_tools(desk: Desk) -> None:
    talk = await conversation(desk, "t-0", asks())
    await talk.ask()
    tools = {each.name: each for each in talk.agent.tools}
    assert sorted(tools) == ["payments_charge", "payments_refund", "payments_refund_of"]
    refund = tools["payments_refund"]
    assert isinstance(refund, FunctionTool)
    assert refund.description == "Pays money back."
    assert refund.params_json_schema["required"] == ["charge", "amount_minor"]


@case
async def an_allowed_call_runs_once(desk: Desk) -> None:
    result = await (await conversation(desk, "t-1", asks(calls(("c-1", SMALL))))).ask()
    told = returned(result)
    assert result.final_output == "told"
    assert (told["status"], told["verdict"]) == ("done", "verified")
    assert (told["result"], told["message"]) == ({"refunded": "c-1"}, "the expectation holds")
    assert desk.refunds("c-1") == 1


@case
async def a_denied_call_tells_why_and_runs_nothing(desk: Desk) -> None:
    told = returned(await (await conversation(desk, "t-2", asks(calls(("c-2", BEYOND))))).ask())
    assert (told["status"], told["code"]) == ("refused", "denied")
    assert told["message"]
    assert told["help"]
    assert desk.refunds("c-2") == 0


@case
async def what_cannot_be_a_call_is_told_too(desk: Desk) -> None:
    wrong = await conversation(desk, "t-3", asks(calls(("c-3", -1))))
    assert returned(await wrong.ask())["code"] == "arguments_invalid"
    failing = await conversation(desk, "t-4", asks(calls(("broken", SMALL))))
    told = returned(await failing.ask())
    assert (told["status"], told["message"]) == ("failed", "the bank is closed")
    # The SDK asks people of its own about arguments that it cannot read; there is nothing to ask.
    torn = [function_call("payments_refund", '{"charge": "c-3", ', call_id="call_0")]
    talk = await conversation(desk, "t-5", asks(torn))
    result = await talk.ask()
    assert await talk.functions.waiting(result.interruptions) == []
    assert returned(await talk.resume())["code"] == "json_malformed"


@case
async def a_parked_call_waits_for_people_and_runs_once(desk: Desk) -> None:
    talk = await conversation(desk, "t-6", asks(calls(("c-4", LARGE))))
    result = await talk.ask()
    action = await talk.waiting(result)
    assert (result.final_output, desk.refunds("c-4")) == (None, 0)
    await desk.vote(action)
    for go_on in (talk.approved, talk.resume):  # twice from the same state
        told = returned(await go_on())
        assert (told["status"], told["action"]) == ("done", action)
    other = await conversation(desk, "t-6", asks(), run="another")
    other.kept = talk.kept
    assert returned(await other.resume())["action"] == action
    assert desk.refunds("c-4") == 1


@case
async def what_was_done_beside_it_is_not_done_again(desk: Desk) -> None:
    talk = await conversation(desk, "t-7", asks(calls(("c-5", SMALL), ("c-6", LARGE))))
    action = await talk.waiting(await talk.ask())
    assert (desk.refunds("c-5"), desk.refunds("c-6")) == (1, 0)
    await desk.vote(action)
    assert (await talk.resume()).final_output == "told"
    assert (desk.refunds("c-5"), desk.refunds("c-6")) == (1, 1)


@case
async def the_frameworks_yes_approves_nothing(desk: Desk) -> None:
    talk = await conversation(desk, "t-8", asks(calls(("c-7", LARGE))), wait_s=0.05)
    action = await talk.waiting(await talk.ask())
    for _ in range(2):
        faults = [*await asyncio.gather(talk.approved(), return_exceptions=True)]
        assert isinstance(faults[0], UserError)
        cause = faults[0].__cause__
        assert isinstance(cause, ApprovalError)
        assert (cause.code, cause.details["action"]) == ("approval_required", action)
    # Asked in our way, it is still an interruption.
    assert await talk.waiting(await talk.resume()) == action
    assert (await desk.state(action), desk.refunds("c-7")) == ("parked", 0)
    await desk.vote(action)
    assert await desk.ended(action) == "done"
    assert (returned(await talk.approved())["action"], desk.refunds("c-7")) == (action, 1)


@case
async def a_no_of_people_is_told(desk: Desk) -> None:
    talk = await conversation(desk, "t-9", asks(calls(("c-8", LARGE))))
    await desk.vote(await talk.waiting(await talk.ask()), "deny")
    told = returned(await talk.resume())
    assert (told["status"], told["code"]) == ("denied", "denied_by_people")
    assert "because" in told["message"]
    assert desk.refunds("c-8") == 0


@case
async def the_frameworks_no_takes_the_action_back(desk: Desk) -> None:
    talk = await conversation(desk, "t-10", asks(calls(("c-9", LARGE))))
    result = await talk.ask()
    action = await talk.waiting(result)
    taken = await (await desk.session()).cancel(action)
    state = await talk.state()
    state.reject(state.get_interruptions()[0], rejection_message=taken.message)
    assert (await Runner.run(talk.agent, state)).final_output == "told"
    assert (taken.code, desk.refunds("c-9")) == ("cancelled", 0)
    assert await desk.state(action) == "refused"


@case
async def two_intended_calls_are_two(desk: Desk) -> None:
    both = calls(("c-10", SMALL), ("c-10b", SMALL))
    await (await conversation(desk, "t-11", asks(both))).ask()
    await (await conversation(desk, "t-12", asks(both))).ask()
    assert (desk.refunds("c-10"), desk.refunds("c-10b")) == (2, 2)


@case
async def the_frameworks_retry_of_a_call_runs_once(desk: Desk) -> None:
    """The same run is begun again with the same answer of the model, as a durable engine does."""
    for _ in range(3):
        talk = await conversation(desk, "t-13", asks(calls(("c-11", SMALL))))
        assert returned(await talk.ask())["status"] == "done"
    assert desk.refunds("c-11") == 1


@tool_input_guardrail
def never(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
    return ToolGuardrailFunctionOutput.reject_content("never")


@case
async def an_agents_own_functions_are_governed_by_name(desk: Desk) -> None:
    ran = []

    @function_tool
    def payments_refund(charge: str, amount_minor: int) -> str:
        """Refunds, ungoverned."""
        ran.append(charge)
        return "refunded"

    @function_tool
    def wipe(disk: str) -> str:
        """Wipes a disk."""
        ran.append(disk)
        return "wiped"

    functions = GovernedFunctions(await desk.session(), conversation="t-14")
    wiping = [function_call("wipe", {"disk": "a"}, call_id="call_w")]
    agent = Agent[Any](
        name="desk",
        model=asks(wiping, calls(("c-12", SMALL)), [one_call("c-13", LARGE, "call_x")]),
        tools=await functions.governed([payments_refund, wipe]),
    )
    talk = Conversation(functions, agent)
    first = await talk.ask()
    codes = [each.get("code", each["status"]) for each in all_returned(first)]
    assert codes == ["tool_not_granted", "done"]
    action = await talk.waiting(first)
    await desk.vote(action)
    assert returned(await talk.resume())["action"] == action
    assert (ran, desk.refunds("c-12"), desk.refunds("c-13")) == ([], 1, 1)
    wipe.tool_input_guardrails = [never]
    for other in (WebSearchTool(), wipe):
        faults = [*await asyncio.gather(functions.governed([other]), return_exceptions=True)]
        assert isinstance(faults[0], ConfigError)
        assert faults[0].code == "tool_not_governable"


@case
def a_plain_program_works_too(folder: Path) -> None:
    with open_blocking(folder) as bailiwick:
        session = bailiwick.session("refund-desk", subject="support", run="run-2")
        functions = GovernedFunctions(session, conversation="t-15")
        agent = Agent[Any](
            name="desk",
            model=asks(calls(("c-14", SMALL), ("c-15", LARGE))),
            tools=asyncio.run(functions.tools()),
        )
        asyncio.set_event_loop(asyncio.new_event_loop())
        result = Runner.run_sync(agent, "refund them")
        assert len(result.interruptions) == 1
        asyncio.get_event_loop().close()
    assert (refunds(folder, "c-14"), refunds(folder, "c-15")) == (1, 0)


async def killed_midway(desk: Desk) -> None:
    """One run waits for people, with its state kept; in another the process dies in a call."""
    waits = await conversation(desk, "t-w", asks(calls(("c-16", LARGE))), run="run-w")
    assert await waits.waiting(await waits.ask())
    (desk.folder / "waits.json").write_text(waits.kept)
    await (await conversation(desk, "t-k", asks(calls(("kill-1", SMALL))), run="run-k")).ask()


@case
async def killed_after_its_effect_it_is_not_run_again(desk: Desk) -> None:
    model = asks(calls(("kill-1", SMALL)))
    told = returned(await (await conversation(desk, "t-k", model, run="run-k2")).ask())
    assert (told["status"], desk.refunds("kill-1")) == ("done", 1)


@case
async def killed_while_it_waits_it_is_resumed_elsewhere(desk: Desk) -> None:
    talk = await conversation(desk, "t-w", asks(), run="run-w2")
    talk.kept = (desk.folder / "waits.json").read_text()
    (asked,) = await talk.functions.waiting((await talk.state()).get_interruptions())
    await desk.vote(asked["action"])
    for _ in range(2):
        assert returned(await talk.resume())["action"] == asked["action"]
    assert desk.refunds("c-16") == 1


@case
async def the_page_is_true(desk: Desk) -> None:
    told: dict[str, Any] = {}
    exec(page(of="OpenAI Agents SDK"), told)  # noqa: S102 - our own page
    session = await desk.session()
    kept = await told["start"](asks(calls(("c-17", LARGE))), session)
    (request,) = told["waiting"]
    await desk.vote(request["action"])
    assert await told["resume"](asks(), session, kept) == "told"
    assert desk.refunds("c-17") == 1


if __name__ == "__main__":
    main(killed_midway)
