"""The short form of `make crash`, and a judge that finds what it is there to find."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bailiwick.nouns import Action, Caller, Capability, Resource
from campaigns.crash.books import Books, Count, Finding, check_budgets, compare
from campaigns.crash.campaign import ALL_KINDS, Result
from campaigns.crash.client import Call
from campaigns.crash.kinds import KINDS
from campaigns.crash.lanes import Answer
from campaigns.crash.providers import Effect

ROOT = Path(__file__).resolve().parents[2]
CALL = Call(key="k-1", kind="sound", charge="ch-1", amount_minor=100, run="run-1")
NUMBERS = (
    "duplicate_effects",
    "unrecorded_effects",
    "lost_acknowledgements",
    "false_found",
    "unresolved",
    "unresolved_where_key_settles",
)


@pytest.mark.claim("crash.unresolved-are-listed")
@pytest.mark.parametrize(
    ("kills", "unresolved", "findings", "holds"),
    [
        (100, 5, 0, True),
        (100, 6, 0, False),  # more than one in twenty, where the provider's key would settle it
        (99, 0, 0, False),
        (100, 0, 1, False),
    ],
)
def test_a_campaign_holds_only_within_its_bounds(
    kills: int, unresolved: int, findings: int, holds: bool
) -> None:
    (settles, *_) = (kind.name for kind in ALL_KINDS if kind.key_settles)
    (other, *_) = (kind.name for kind in ALL_KINDS if not kind.key_settles)
    counts = Count(unresolved_where_key_settles=unresolved)
    found = (Finding("lost_acknowledgements", "one"),) * findings
    result = Result(Counter({settles: kills}), counts, found)
    assert result.holds(100) is holds
    # Kills of kinds whose key settles nothing do not thin the share out.
    assert Result(Counter({settles: kills, other: 9000}), counts, found).share == result.share


def run(*command: str) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.claim("crash.no-duplicate-effects")
@pytest.mark.claim("crash.no-unrecorded-effects")
@pytest.mark.claim("crash.no-lost-acknowledgements")
@pytest.mark.claim("crash.no-false-found")
@pytest.mark.claim("crash.unresolved-are-listed")
@pytest.mark.claim("crash.books-agree")
@pytest.mark.parametrize(("store", "kills", "lanes"), [("sqlite", 60, 6), ("postgres", 24, 3)])
def test_a_short_campaign_finds_nothing_wrong(
    tmp_path: Path, store: str, kills: int, lanes: int
) -> None:
    told = run(
        *("-m", "campaigns.crash", "--folder", str(tmp_path / "crash"), "--lanes", str(lanes)),
        *("--kills", str(kills), "--seconds", "180", "--store", store),
    )
    assert told.returncode == 0, told.stderr
    line = json.loads(told.stdout)
    assert tuple(line) == ("kills", *NUMBERS)
    assert line["kills"] >= kills
    assert {name: line[name] for name in NUMBERS[:4]} == dict.fromkeys(NUMBERS[:4], 0)


def action(**members: Any) -> Action:
    """A refund that was made, verified and answered."""
    capability = Capability(
        id="t", run="run-1", grants=(), issued_at_us=0, expires_at_us=0, key_thumbprint=""
    )
    plain = Action(
        id="act-1",
        tenant="default",
        agent="client",
        subject="campaign",
        run="run-1",
        tool="sound.refund",
        tool_digest="",
        name="key:k-1",
        attempt=1,
        state="done",
        version=2,
        arguments_mac="",
        caller=Caller(tenant="default", agent="client", subject="campaign", capability=capability),
        created_at_us=0,
        updated_at_us=0,
        resource=Resource(type="Charge", id="ch-1"),
        verdict="verified",
    )
    return msgspec.structs.replace(plain, **members)


OURS = Effect("ch-1", "act-1", "api")
DOUBLE = Effect("ch-1", "act-1", "fault")
BY_HAND = Effect("ch-1", None, "person")
DONE = Answer("act-1", "done", "verified", "")


def books(
    stored: tuple[Action, ...] = (action(),),
    answers: tuple[Answer, ...] = (DONE,),
    *,
    intents: int = 1,
    said_found: bool = False,
) -> Books:
    return Books(
        calls={"k-1": CALL},
        answers={"k-1": answers} if answers else {},
        kinds={kind.name: kind for kind in KINDS},
        actions={each.id: each for each in stored},
        intents=Counter({each.id: intents for each in stored}),
        budgets={
            ("tenant", "value:USD"): (100, 0),
            ("agent:client", "value:USD"): (100, 0),
            ("run:run-1", "calls"): (1, 0),
        },
        said_found={"act-1"} if said_found else set(),
    )


@pytest.mark.parametrize(
    ("given", "effects", "found"),
    [
        (books(), [OURS], set()),
        (books(), [OURS, DOUBLE], set()),
        (books(), [BY_HAND, OURS], set()),
        (
            books((action(verdict="contradicted"),), (DONE._replace(verdict="contradicted"),)),
            [],
            set(),
        ),
        (books(), [OURS, OURS], {"duplicate_effects"}),
        (
            books(),
            [OURS, OURS._replace(action="act-2")],
            {"duplicate_effects", "unrecorded_effects"},
        ),
        (books(intents=0), [OURS], {"unrecorded_effects"}),
        (
            books((action(state="failed", verdict=None),), (Answer("act-1", "failed", None, ""),)),
            [OURS],
            {"unrecorded_effects"},
        ),
        (books(), [], {"lost_acknowledgements", "false_found"}),
        (books(), [BY_HAND], {"lost_acknowledgements", "false_found"}),
        (books(answers=()), [OURS], {"lost_acknowledgements"}),
        (books(()), [], {"lost_acknowledgements"}),
        (
            books(answers=(DONE, Answer("act-2", "done", "verified", ""))),
            [OURS],
            {"lost_acknowledgements"},
        ),
        (
            books((action(state="unknown", verdict=None),)),
            [OURS],
            {"lost_acknowledgements", "unresolved", "unresolved_where_key_settles"},
        ),
        (
            books(
                (action(state="unknown", verdict=None, tool="blind.refund"),),
                (Answer("act-1", "unknown", None, ""),),
            ),
            [OURS],
            {"unresolved"},
        ),
        (
            books(
                (action(verdict="contradicted"),),
                (DONE._replace(verdict="contradicted"),),
                said_found=True,
            ),
            [BY_HAND],
            {"false_found"},
        ),
    ],
)
def test_the_judge_counts_each_kind_of_disagreement(
    given: Books, effects: list[Effect], found: set[str]
) -> None:
    count = compare(given, {"ch-1": effects})._asdict()
    assert {name for name, number in count.items() if number} == found


@pytest.mark.parametrize(
    ("stored", "agree"),
    [
        ((action(),), True),
        ((), False),
        ((action(state="failed", verdict=None),), False),
        ((action(state="unknown", verdict=None),), False),
        ((action(verdict="contradicted"),), False),
        ((action(), action(id="act-2")), False),
    ],
)
def test_the_judge_compares_the_budgets_with_the_actions(
    stored: tuple[Action, ...], agree: bool
) -> None:
    given = books(stored)
    check_budgets(given)
    assert (given.findings == []) is agree


DYING = """
import asyncio, sys
from bailiwick.testing.crashing import Calls, Moment, deadly

async def call():
    print("inside", flush=True)

async def main():
    moment = Moment("a.door", int(sys.argv[1]), sys.argv[2] == "after")
    door = deadly("a.door", call, Calls(), moment)
    await door()
    await door()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("turn", "when", "status", "inside"),
    [
        (1, "before", -signal.SIGKILL, 0),
        (1, "after", -signal.SIGKILL, 1),
        (2, "before", -signal.SIGKILL, 1),
        (2, "after", -signal.SIGKILL, 2),
        (3, "before", 0, 2),
    ],
)
def test_a_door_kills_before_or_after_its_call(
    turn: int, when: str, status: int, inside: int
) -> None:
    told = run("-c", DYING, str(turn), when)
    assert (told.returncode, told.stdout.count("inside")) == (status, inside)
