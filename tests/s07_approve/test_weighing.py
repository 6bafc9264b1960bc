"""Step 7 itself, on a real store: what the votes cast so far say of the request as it is today."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from msgspec.structs import replace

from bailiwick import approval
from bailiwick.config import Settings
from bailiwick.nouns import Approval, Credential, Manifest, Proposal, Refusal, Situation, Vote
from bailiwick.ports import Bundle, Case, ControlState, World
from bailiwick.store.migrating import migrate
from bailiwick.store.sqlite import Database, SqliteRegister, SqliteShelf, SqliteStore
from bailiwick.transactions import (
    CastVote,
    CloseApproval,
    Commit,
    Committed,
    Op,
    OpenApproval,
    PutPerson,
)
from tests.s07_approve.samples import (
    ACTION,
    CALLER,
    DECISION,
    HOUR_US,
    NOW_US,
    PEOPLE,
    SITUATION,
    TOOL,
    asking,
    vote,
)

CONTROL = ControlState(
    tenant="acme", epoch=1, release=None, stops=(), standings={}, revoked=frozenset()
)


class Office:
    """A store with the people in it; the world holds only what weighing may open."""

    def __init__(self, database: Database) -> None:
        self.store = SqliteStore(database)
        doors = SimpleNamespace(
            settings=Settings(park_seconds=3600),
            shelf=SqliteShelf(database),
            register=SqliteRegister(database),
        )
        self.world = cast(World, doors)

    async def commit(self, *ops: Op) -> None:
        assert isinstance(await self.store.commit(Commit(tenant="acme", ops=ops)), Committed)

    async def ask(self, *votes: str | Vote) -> Approval:
        on = asking()
        people = [PutPerson(person=each, secret={}) for each in PEOPLE.values()]
        cast_votes = [CastVote(vote=vote(v, on) if isinstance(v, str) else v) for v in votes]
        await self.commit(*people, OpenApproval(approval=on), *cast_votes)
        return on

    async def weigh(
        self, *, later_us: int = 0, situation: Situation = SITUATION, stored: bool = True
    ) -> tuple[Case, Refusal | None]:
        parked = replace(ACTION, park_until_us=NOW_US + HOUR_US if stored else None)
        case = Case(
            control=CONTROL,
            bundle=cast(Bundle, SimpleNamespace(queues={})),
            now_us=NOW_US + later_us,
            proposal=Proposal(
                tenant="acme",
                tool=TOOL.name,
                arguments=situation.arguments,
                canonical=b"",
                credential=Credential(token="", proof=""),
            ),
            caller=CALLER,
            manifest=Manifest(name="refund-desk", owner="olga", tools=()),
            tool=TOOL,
            action=parked,
            mode="live",
            stored=stored,
            situation=situation,
            decision=DECISION,
        )
        return case, await approval.weigh(self.world, case)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    file = tmp_path / "acme.sqlite"
    migrate(file)
    database = Database(file, Settings(), lambda: NOW_US + 2, alone=True)
    try:
        yield Office(database)
    finally:
        await database.close()


async def test_a_new_action_opens_a_request_that_ends_when_its_park_does(office: Office) -> None:
    case, no = await office.weigh(stored=False)
    assert (no, case.approval, case.evidence) == (None, asking(), {})


@pytest.mark.claim("approval.quorum-waits-for-all")
@pytest.mark.parametrize(
    ("names", "evidence"),
    [
        (("bob",), {}),
        (("lena",), {"new-payee": ("lena",)}),
        (("bob", "carol"), {"over-50": ("bob", "carol")}),
        (("bob", "both", "carol"), {"new-payee": ("both",), "over-50": ("bob", "carol")}),
    ],
)
async def test_votes_in_the_store_are_evidence_for_the_rules_they_satisfy(
    office: Office, names: tuple[str, ...], evidence: dict[str, tuple[str, ...]]
) -> None:
    await office.ask(*names)
    case, no = await office.weigh()
    assert (no, case.evidence) == (None, evidence)


@pytest.mark.claim("approval.per-request-digest")
async def test_when_the_pre_state_has_moved_people_are_asked_anew(office: Office) -> None:
    on = await office.ask("bob", "carol", "lena")
    moved = replace(SITUATION, before={"charge": {"refunded_minor": 7500}})
    case, no = await office.weigh(situation=moved)
    assert (no, case.evidence) == (None, {})
    assert case.approval is not None
    assert case.approval.request_digest != on.request_digest
    assert (case.approval.votes, case.approval.expires_at_us) == ((), on.expires_at_us)


@pytest.mark.claim("approval.expiry-is-denial")
@pytest.mark.parametrize("names", [(), ("bob", "carol", "lena")])
async def test_at_the_end_of_its_time_a_request_is_denied(
    office: Office, names: tuple[str, ...]
) -> None:
    await office.ask(*names)
    assert (await office.weigh(later_us=HOUR_US - 1))[1] is None
    case, no = await office.weigh(later_us=HOUR_US)
    assert no is not None
    assert (no.step, no.code, case.evidence) == (7, "approval_expired", {})


async def test_a_denial_refuses_with_its_reason(office: Office) -> None:
    no_vote = vote("carol", asking(), "deny", reason="the invoice\x07 is a copy")
    await office.ask("bob", no_vote)
    case, no = await office.weigh()
    assert no is not None
    assert (no.step, no.code, case.evidence) == (7, "denied_by_people", {})
    assert no.message == "`carol` denied it: the invoice\\u{7} is a copy"


async def test_a_request_closed_as_denied_stays_so_when_the_voter_leaves(office: Office) -> None:
    await office.ask(vote("carol", asking(), "deny", reason="a copy"), "bob", "both", "lena")
    gone = PutPerson(person=replace(PEOPLE["carol"], enabled=False), secret={})
    await office.commit(CloseApproval(action="act-1", expect=("open",), state="denied"), gone)
    case, no = await office.weigh()
    assert no is not None
    assert (no.code, case.evidence) == ("denied_by_people", {})


@pytest.mark.parametrize("state", ["consumed", "withdrawn", "expired"])
async def test_a_request_that_is_over_gives_no_evidence(office: Office, state: str) -> None:
    await office.ask("bob", "carol", "lena")
    assert len((await office.weigh())[0].evidence) == 2
    await office.commit(CloseApproval(action="act-1", expect=("open",), state=state))
    assert (await office.weigh())[0].evidence == {}
