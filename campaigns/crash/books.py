"""The books compared: the client's log, the provider's database, and the program's own."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from bailiwick import ledger
from bailiwick.config import Settings, load_settings
from bailiwick.nouns import Action
from bailiwick.operations import audit, export
from bailiwick.operations.doubts import in_doubt_list
from bailiwick.store.rows import decode_action
from bailiwick.wiring import open_world
from campaigns.crash.client import Call
from campaigns.crash.kinds import Kind
from campaigns.crash.lanes import Answer, Lane
from campaigns.crash.providers import Effect

_VERIFIER = Path(__file__).resolve().parents[2] / "src" / "bailiwick_verify.py"


class Count(NamedTuple):
    """What the line says, but the kills."""

    duplicate_effects: int = 0
    unrecorded_effects: int = 0
    lost_acknowledgements: int = 0
    false_found: int = 0
    unresolved: int = 0
    unresolved_where_key_settles: int = 0

    def plus(self, other: "Count") -> "Count":
        """Add another lane's."""
        return Count(*(one + two for one, two in zip(self, other, strict=True)))


class Finding(NamedTuple):
    """What is wrong, for people; `number` says in which of the line's numbers it is, if in one."""

    number: str
    text: str


@dataclass
class Books:
    """One lane's database after the last life: what it says of the client's calls.

    `budgets` is (spent, held) by node and unit, `intents` how many intent records an action has,
    `said_found` the actions that were looked up after a crash and said to be found.
    """

    calls: Mapping[str, Call]
    answers: Mapping[str, Sequence[Answer]]
    kinds: Mapping[str, Kind]
    actions: Mapping[str, Action]
    intents: Counter[str]
    budgets: Mapping[tuple[str, str], tuple[int, int]]
    said_found: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def of(self, key: str) -> list[Action]:
        """The actions under a client's key."""
        return [action for action in self.actions.values() if action.name == f"key:{key}"]


def read_books(lane: Lane, kinds: Mapping[str, Kind]) -> Books:
    """Read a lane's database, past the program that wrote it."""
    settings = load_settings(lane.folder / "project")
    with closing(_opened(settings)) as database:
        bodies = database.execute("select body from actions").fetchall()
        budgets = database.execute(
            "select node, unit, sum(spent), sum(held) from budgets group by node, unit"
        ).fetchall()
        intents = database.execute("select action from records where kind = 'intended'").fetchall()
    actions = [decode_action(body) for (body,) in bodies]
    return Books(
        calls=lane.calls,
        answers=lane.answers,
        kinds=kinds,
        actions={action.id: action for action in actions},
        intents=Counter(action for (action,) in intents),
        budgets={(node, unit): (int(spent), int(held)) for node, unit, spent, held in budgets},
    )


def _opened(settings: Settings) -> Any:
    if settings.is_shared:
        return psycopg.connect(settings.store)
    file = settings.path(settings.store)
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def compare(books: Books, effects: Mapping[str, Sequence[Effect]]) -> Count:
    """Count the disagreements; `effects` are those of each charge. Each is told in `findings`."""
    checks = (
        ("duplicate_effects", _duplicates),
        ("unrecorded_effects", _unrecorded),
        ("lost_acknowledgements", _lost),
        ("false_found", _false_found),
    )
    counts = {}
    for name, check in checks:
        found = check(books, effects)
        books.findings += [Finding(name, text) for text in found]
        counts[name] = len(found)
    unresolved = unsettled(books)
    keyed = [action for action in unresolved if books.kinds[_kind(action)].key_settles]
    return Count(**counts, unresolved=len(unresolved), unresolved_where_key_settles=len(keyed))


def _duplicates(books: Books, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    found = []
    for call in books.calls.values():
        ours = [effect for effect in effects.get(call.charge, ()) if effect.source == "api"]
        found += [f"{call.charge} was refunded again: {effect}" for effect in ours[1:]]
    return found


def _unrecorded(books: Books, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    found = []
    for call in books.calls.values():
        for effect in effects.get(call.charge, ()):
            if effect.source == "person":
                continue
            action = books.actions.get(effect.action or "")
            admitted = action is not None and action.state in ("done", "unknown", "intended")
            if action is None or not admitted or books.intents[action.id] != 1:
                found.append(f"{effect} is not admitted: {action and action.state}")
    return found


def _lost(books: Books, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    found = []
    for key, answers in books.answers.items():
        call = books.calls[key]
        stored = {action.id: action for action in books.of(key)}
        made = {e.action for e in effects.get(call.charge, ()) if e.source == "api"}
        for answer in answers:
            action = stored.get(answer.action)
            if action is None or (action.state, action.verdict) != (answer.status, answer.verdict):
                found.append(f"{key} was answered {answer}, and the store says {action}")
            elif _claims(answer) and action.id not in made:
                found.append(f"{key} was answered {answer}, and the provider has no effect")
        if len({answer.action for answer in answers}) != 1 or len(stored) != 1:
            found.append(f"{key} has {len(stored)} actions and the answers {answers}")
    unanswered = books.calls.keys() - books.answers.keys()
    return [*found, *(f"{key} was never answered" for key in sorted(unanswered))]


def _claims(said: Answer | Action) -> bool:
    """Whether it is said that the effect is there."""
    status = said.status if isinstance(said, Answer) else said.state
    return status == "done" and said.verdict != "contradicted"


def _false_found(books: Books, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    found = []
    for call in books.calls.values():
        made = {e.action for e in effects.get(call.charge, ()) if e.source != "person"}
        for action in books.of(call.key):
            if (_claims(action) or action.id in books.said_found) and action.id not in made:
                found.append(f"{action.id} on {call.charge} is called {action.verdict}")
    return found


def unsettled(books: Books) -> list[Action]:
    """The actions whose end nobody knows."""
    waiting = ("unknown", "intended", "parked")
    return [action for action in books.actions.values() if action.state in waiting]


def check_budgets(books: Books) -> None:
    """Compare what the budgets hold and have spent with what the actions say."""
    amounts = {call.charge: call.amount_minor for call in books.calls.values()}
    expected: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for action in books.actions.values():
        if action.resource is None:
            continue  # refused before it was known what it is about: it never held anything
        value = amounts[action.resource.id]
        sure = _claims(action)
        held = not sure and action.state in ("done", "unknown", "intended")
        for node, unit, amount in (
            ("tenant", "value:USD", value),
            (f"agent:{action.agent}", "value:USD", value),
            (f"run:{action.run}", "calls", 1),
        ):
            # A call that failed was made all the same.
            spent = sure or (unit == "calls" and action.state == "failed")
            expected[node, unit][0] += amount if spent else 0
            expected[node, unit][1] += amount if held else 0
    for key in expected.keys() | books.budgets.keys():
        says, should = books.budgets.get(key, (0, 0)), tuple(expected[key])
        if says != should:
            books.findings.append(Finding("", f"budget {key} says {says}, actions {should}"))


def look_inside(books: Books, lane: Path) -> None:
    """Ask the program itself: sequence, audit and export its ledger, and open its doubts.

    The export must verify by the verifier that shares no code with the program, and everything
    unsettled must stand in the in-doubt queue.
    """
    told = asyncio.run(_told(books, lane))
    if told.audited["verified"] is not True or told.audited["unsequenced"] != 0:
        books.findings.append(Finding("", f"the audit found {json.dumps(told.audited)}"))
    command = [sys.executable, str(_VERIFIER), "verify", str(lane / "export"), "--key", told.vkey]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    if verified.returncode != 0:
        books.findings.append(Finding("", f"the verifier says {verified.stdout[-2000:]}"))
    books.findings += [
        Finding("", f"{action.id} is {action.state} and not in the in-doubt queue")
        for action in unsettled(books)
        if action.id not in told.in_doubt
    ]


class _Told(NamedTuple):
    audited: Mapping[str, Any]
    vkey: str
    in_doubt: set[str]


async def _told(books: Books, lane: Path) -> _Told:
    world = open_world(load_settings(lane / "project"))
    try:
        await ledger.sequence(world.ledger, world.keys)
        audited = await audit(world)
        exported = await export(world, lane / "export")
        person = (await world.register.people("default"))[0]
        listed: Any = await in_doubt_list(world, person, {})
        for action in books.actions.values():
            if action.state == "done":
                kept: Any = await world.vault.open(action.tenant, action.id, "result")
                if kept["evidence"].get("find") == "found":
                    books.said_found.add(action.id)
    finally:
        await world.close()
    return _Told(audited, str(exported["vkey"]), {each["action"] for each in listed})


def _kind(action: Action) -> str:
    return action.tool.partition(".")[0]
