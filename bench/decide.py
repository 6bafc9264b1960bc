"""One decision among a thousand rules: `python -m bench.decide SECONDS` prints microseconds.

Beside it stands what the engine alone takes for the hundred rules of open scope, parsed once.

A release of 15 tools, 10 agents and 1,000 hand-written rules. 100 have an open scope (any agent,
any action, any resource), so that all of them must be looked at for every request; they read what
all actions share, such as the subject, the run, the sources and the hour. The other 900 each name
an agent and a tool, and read the tool's own facts.

Every question is another one, in everything that a rule can read, so that no answer can have been
kept. What is kept between decisions is as warm as in a process that has decided a while.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice

from cedarpy import Decision as CedarDecision
from cedarpy import Entities, PolicySet, is_authorized

from bailiwick.nouns import Caller, Capability, Release, Resource, Situation
from bailiwick.ports import Bundle, Question
from bailiwick.values import JSON, canonical, digest
from bailiwick.wiring import compile_bundle
from bench.timing import phase_seconds, tell

RULES, OPEN, TOOLS, AGENTS = 1_000, 100, 15, 10
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
BEGAN_US = 20_775 * DAY_US

READER = '''
from bailiwick import tool

@tool(name="desk.paid", effect="read", owner="payments", resource=("Charge", "args.charge"))
async def paid(charge: str) -> dict[str, bool]:
    """Looks."""
    return {"paid": True}
'''
TOOL = '''
@tool(name="desk.pay_{n}", effect="write", traits=("money",), owner="payments",
      resource=("Charge", "args.charge"), key_retention_s="none", settles_within_s=0,
      facts={{"value": "args.amount_minor", "currency": "args.currency"}}, effect_key="args.charge",
      reader={{"tool": "desk.paid", "arguments": {{"charge": "args.charge"}}}}, expect="after.paid")
async def pay_{n}(charge: str, amount_minor: int, currency: str) -> dict[str, str]:
    """Pays."""
    return {{}}
'''
AGENT = """\
name: agent-{n}
owner: bench
tools_allowlist: ["desk.*"]
tiers:
  - on: money
    unit: USD
    auto_up_to: "1000000.00"
    then: [{{approval: "finance:1"}}]
"""
# The scope and condition of the open rules, and of those that name an agent and a tool.
OPEN_FORBIDS = (
    'context.subject.id == "blocked-{n}"',
    'context.run.id like "replay-{n}-*"',
    'context.provenance.sources.contains("feed-{n}")',
    'context.time.hour == {hour} && context.subject.id like "night-{n}*"',
    "context.facts.over_budget && context.time.weekday > 5",
)
OPEN_PERMITS = (
    'context.subject.id like "customer-{digit}*" && context.time.hour < 20',
    "context.time.weekday == {weekday}",
)
OWN_FORBIDS = (
    "context.facts.value > {large}",
    'context.facts.currency == "X{n}"',
    'context.input.charge like "ch_blocked_{n}_*"',
    "context.facts.value == {n} && context.time.hour > 21",
)
OWN_PERMIT = 'context.facts.currency == "USD" && context.facts.value < {large}'


def rules() -> Iterator[str]:
    """The thousand rules."""
    for n in range(OPEN):
        texts, effect = (OPEN_PERMITS, "permit") if n % 10 == 0 else (OPEN_FORBIDS, "forbid")
        when = texts[n % len(texts)] if effect == "forbid" else texts[n // 10 % len(texts)]
        condition = when.format(n=n, hour=n % 24, digit=n // 20, weekday=n // 20 + 1)
        yield f'@id("open-{n}") {effect}(principal, action, resource) when {{ {condition} }};'
    for n in range(RULES - OPEN):
        permits = n % 5 == 0
        when = OWN_PERMIT if permits else OWN_FORBIDS[n % len(OWN_FORBIDS)]
        agent, tool = n % AGENTS, n // AGENTS % TOOLS
        yield (
            f'@id("own-{n}") {"permit" if permits else "forbid"}('
            f'principal == Agent::"agent-{agent}", action == Action::"desk.pay_{tool}", resource)'
            f" when {{ {when.format(n=n, large=90_000_000 + n)} }};"
        )


def bundle() -> Bundle:
    """The release, compiled."""
    files = {
        "tools/desk.py": READER + "".join(TOOL.format(n=n) for n in range(TOOLS)),
        "policies/rules.cedar": "\n".join(rules()),
        **{f"agents/agent-{n}.yaml": AGENT.format(n=n) for n in range(AGENTS)},
    }
    made = Release(digest=digest(files), files=files, created_at_us=0, created_by="bench")
    return compile_bundle(made)


def questions(seed: int) -> Iterator[Question]:
    """Questions without end, no two alike."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        arguments: dict[str, JSON] = {
            "charge": f"ch_{number}",
            "amount_minor": chance.randrange(1, 9_000_000),
            "currency": "USD",
        }
        yield Question(
            caller=Caller(
                tenant="default",
                agent=f"agent-{chance.randrange(AGENTS)}",
                subject=f"customer-{chance.randrange(10_000)}",
                capability=Capability(
                    id="token",
                    run=f"run-{chance.randrange(1_000)}",
                    grants=(),
                    issued_at_us=0,
                    expires_at_us=DAY_US,
                    key_thumbprint="",
                ),
            ),
            tool=f"desk.pay_{chance.randrange(TOOLS)}",
            situation=Situation(
                arguments=arguments,
                canonical=canonical(arguments),
                resource=Resource(type="Charge", id=f"ch_{number}"),
                facts={"value": arguments["amount_minor"], "currency": "USD"},
                input=arguments,
                before={},
            ),
            now_us=BEGAN_US + chance.randrange(7 * DAY_US),
            sources=(f"mail-{number}",),
        )


def engine() -> Callable[[Question], bool]:
    """The engine alone on the rules of open scope: whether they allow; it needs no schema."""
    rules_of_open_scope = PolicySet.from_str("\n".join(islice(rules(), OPEN)))
    nobody = Entities.from_json_str("[]")

    def decide(question: Question) -> bool:
        caller, resource = question.caller, question.situation.resource
        context = {
            "subject": {"id": caller.subject},
            "run": {"id": caller.capability.run},
            "provenance": {"sources": list(question.sources)},
            "time": {
                "hour": question.now_us // HOUR_US % 24,
                "weekday": question.now_us // DAY_US % 7 + 1,
            },
            "facts": {"over_budget": False},
        }
        request = {
            "principal": {"type": "Agent", "id": caller.agent},
            "action": {"type": "Action", "id": question.tool},
            "resource": {"type": resource.type, "id": resource.id},
            "context": context,
        }
        answer = is_authorized(request, rules_of_open_scope, nobody)
        assert not answer.diagnostics.errors, answer.diagnostics.errors
        return answer.decision == CedarDecision.Allow

    return decide


def main() -> None:
    """Time decisions one by one, each of a new question: by the engine alone, then by ours."""
    policies, alone, seconds = bundle().policies, engine(), phase_seconds()
    asked, engines, found = questions(1), list[float](), list[float]()
    allowed = 0
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + 2 * seconds:
        question = next(asked)
        start = time.perf_counter()
        alone(question)
        between = time.perf_counter()
        decision = policies.decide(question)
        if now > began + seconds:
            engines.append(between - start)
            found.append(time.perf_counter() - between)
        assert not decision.errors, decision
        allowed += decision.effect == "allow"
    assert allowed > len(found) // 2
    medians = {"engine_us": statistics.median(engines), "us": statistics.median(found)}
    tell({name: seconds * 1_000_000 for name, seconds in medians.items()})


if __name__ == "__main__":
    main()
