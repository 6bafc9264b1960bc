"""The books compared: the client's log, the provider's database, and the program's own."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from bailiwick import ledger
from bailiwick.config import load_settings
from bailiwick.ledger import records
from bailiwick.nouns import Action
from bailiwick.operations import audit, export
from bailiwick.operations.doubts import in_doubt_list
from bailiwick.store.batch import decode_action
from bailiwick.wiring import open_world
from campaigns.crash.kinds import Kind
from campaigns.crash.lanes import Lane
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
    """What is wrong, for people; `count` says which of the numbers it is in, if in one."""

    count: str
    text: str


class Books:
    """One lane's database after the last life: what it says of the client's calls."""

    def __init__(self, lane: Lane, kinds: Mapping[str, Kind]) -> None:
        self.lane = lane
        self.kinds = kinds
        self.findings: list[Finding] = []
        # Actions that were looked up after a crash and said to be found.
        self.said_found: set[str] = set()
        file = load_settings(lane.folder / "project").path("state/bailiwick.sqlite")
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
            bodies = database.execute("select body from actions")
            self.actions: dict[str, Action] = {
                action.id: action for action in (decode_action(body) for (body,) in bodies)
            }
            self.budgets: dict[tuple[str, str], tuple[int, int]] = {
                (node, unit): (spent, held)
                for node, unit, spent, held in database.execute(
                    "select node, unit, sum(spent), sum(held) from budgets group by node, unit"
                )
            }
            said = database.execute("select action from records where kind = 'intended'")
            self.intents = Counter(action for (action,) in said)
        self.by_name: defaultdict[str, list[Action]] = defaultdict(list)
        for action in self.actions.values():
            self.by_name[action.name].append(action)


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
    return Count(
        **counts, unresolved=len(unresolved), unresolved_where_key_settles=len(keyed)
    )


def _duplicates(books: Books, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    found = []
    for call in books.lane.calls.values():
        ours = [effect for effect in effects.get(call.charge, ()) if effect.source == "api"]
        found += [f"{call.charge} was refunded again: {effect}" for effect in ours[1:]]
    return found


def _unrecorded(books: Books, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    found = []
    for call in books.lane.calls.values():
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
    for key, answers in books.lane.answers.items():
        call = books.lane.calls[key]
        stored = {action.id: action for action in books.by_name[f"key:{key}"]}
        made = {e.action for e in effects.get(call.charge, ()) if e.source == "api"}
        for answer in answers:
            action = stored.get(answer.action)
            if action is None or (action.state, action.verdict) != (answer.status, answer.verdict):
                found.append(f"{key} was answered {answer}, and the store says {action}")
            elif answer.status == "done" and answer.verdict != "contradicted":
                if action.id not in made:
                    found.append(f"{key} was answered {answer}, and the provider has no effect")
        if len({answer.action for answer in answers}) != 1 or len(stored) != 1:
            found.append(f"{key} has {len(stored)} actions and the answers {answers}")
    for call in books.lane.open_calls:
        found.append(f"{call.key} was never answered")
    return found


def _false_found(books: Books, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    found = []
    for call in books.lane.calls.values():
        made = {e.action for e in effects.get(call.charge, ()) if e.source != "person"}
        for action in books.by_name[f"key:{call.key}"]:
            claimed = action.state == "done" and action.verdict != "contradicted"
            if (claimed or action.id in books.said_found) and action.id not in made:
                found.append(f"{action.id} on {call.charge} is called {action.verdict}")
    return found


def unsettled(books: Books) -> list[Action]:
    """The actions whose end nobody knows."""
    waiting = ("unknown", "intended", "parked")
    return [action for action in books.actions.values() if action.state in waiting]


def check_budgets(books: Books) -> None:
    """Compare what the budgets hold and have spent with what the actions say."""
    amounts = {call.charge: call.amount_minor for call in books.lane.calls.values()}
    expected: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for action in books.actions.values():
        assert action.resource is not None
        value = amounts[action.resource.id]
        sure = action.state == "done" and action.verdict != "contradicted"
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


async def look_inside(books: Books) -> None:
    """Ask the program itself: sequence, audit and export its ledger, and open its doubts.

    The export must verify by the verifier that shares no code with the program, and everything
    unsettled must stand in the in-doubt queue.
    """
    world = open_world(load_settings(books.lane.folder / "project"))
    try:
        await ledger.sequence(world.ledger, world.keys)
        audited = await audit(world)
        told = await export(world, books.lane.folder / "export")
        person = (await world.register.people("default"))[0]
        listed: Any = await in_doubt_list(world, person, {})
        for action in books.actions.values():
            if action.state == "done":
                kept: Any = await world.vault.open(action.tenant, action.id, "result")
                if kept["evidence"].get("find") == "found":
                    books.said_found.add(action.id)
    finally:
        await world.close()
    if audited["verified"] is not True or audited["unsequenced"] != 0:
        books.findings.append(Finding("", f"the audit found {json.dumps(audited)}"))
    command = [sys.executable, str(_VERIFIER), "verify", str(told["folder"])]
    verified = subprocess.run(
        [*command, "--key", str(told["vkey"])], capture_output=True, text=True, check=False
    )
    if verified.returncode != 0:
        books.findings.append(Finding("", f"the verifier says {verified.stdout[-2000:]}"))
    queue = {each["action"] for each in listed}
    books.findings += [
        Finding("", f"{action.id} is {action.state} and not in the in-doubt queue")
        for action in unsettled(books)
        if action.id not in queue
    ]


def _kind(action: Action) -> str:
    return action.tool.partition(".")[0]
