"""A PostgreSQL database that processes share: what only such a store can get wrong."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import errors

from bailiwick.config import Settings
from bailiwick.errors import BailiwickError, StoreFenced, StoreUnavailable
from bailiwick.nouns.notices import Notice
from bailiwick.store.postgres import PostgresDatabase, open_doors
from bailiwick.store.postgres.connections import Address, Line, fault_of, is_gone
from bailiwick.store.postgres.migrating import FOLDER, SCHEMA_VERSION, bring_up, migrate
from bailiwick.store.postgres.statements import SQL
from bailiwick.store.rows import encode
from bailiwick.transactions import (
    Append,
    Blocked,
    Commit,
    Committed,
    EpochIs,
    InsertAction,
    MarkBreaker,
    MoveAction,
    MoveNotice,
    PutNotice,
    PutPayload,
    RaiseEpoch,
    Settle,
    Take,
)
from tests.postgres import Server, cutting
from tests.s08_intend.depot import TENANT, Where, action, depot, hold
from tests.s08_intend.disks import disk_of, filled_up

RECORD = Append(kind="test", action=None, body=b"{}", hash="00")


@pytest.fixture
def where(server: Server, blank: str) -> Iterator[Where]:
    """An empty database."""
    name = server.create(blank)
    yield Where(server.url(name))
    server.drop(name)


def insert(name: str) -> InsertAction:
    return InsertAction(action=action(name))


@pytest.mark.claim("store.commit-fate")
@pytest.mark.parametrize("before", [True, False])
async def test_a_commit_whose_answer_is_lost_is_written_once_and_answered(
    server: Server, where: Where, before: bool
) -> None:
    async with cutting(server, before=before) as (port, cuts):
        through = Where(where.store.replace(f":{server.port}/", f":{port}/"))
        async with depot(where) as looking, depot(through, alone=False) as at:
            taken = Take(action="act-a", holds=(hold("tenant", 7),))
            answer = await at.commit(taken, RECORD, insert("a"))
            assert isinstance(answer, Committed)
            assert cuts == [2]
            assert looking.balances() == {"tenant": (0, 7)}
            # Numbers are drawn by every attempt: what was committed was not tried again.
            assert looking.rows("select seq from records") == [(2 if before else 1,)]


@pytest.mark.claim("store.commit-fate")
async def test_what_a_server_that_died_did_not_keep_is_not_taken_for_what_came_after_it(
    server: Server, where: Where
) -> None:
    """What a crash loses takes its number with it, and another transaction gets that number."""

    def crash() -> None:
        server.kill()
        server.start_again()
        for _ in range(20):
            with psycopg.connect(where.store) as other:
                other.execute("insert into rounds values ('other', pg_current_xact_id(), '', 0)")

    async with cutting(server, before=True, meanwhile=crash) as (port, cuts):
        through = Where(where.store.replace(f":{server.port}/", f":{port}/"))
        async with depot(where) as looking, depot(through, alone=False) as at:
            answer = await at.commit(Take(action="act-a", holds=(hold("tenant", 7),)), RECORD)
            assert (isinstance(answer, Committed), cuts) == (True, [2])
            assert looking.balances() == {"tenant": (0, 7)}
            assert len(looking.rows("select seq from records")) == 1


@pytest.mark.claim("store.server-restart")
async def test_a_server_that_dies_is_a_coded_fault_and_serves_again_without_a_restart(
    server: Server, where: Where
) -> None:
    async with depot(where) as at:
        assert isinstance(await at.commit(insert("a"), RECORD), Committed)
        server.stop()
        try:
            for asked in (
                at.commit(insert("b"), RECORD),
                at.store.epoch(TENANT),
                at.due().tenants(),
            ):
                with pytest.raises(StoreUnavailable) as fault:
                    await asked
                assert fault.value.code == "store_unreachable"
                assert server.password not in str(fault.value)
        finally:
            server.start()
        assert isinstance(await at.commit(insert("c"), RECORD), Committed)
        assert at.rows("select id from actions order by id") == [("act-a",), ("act-c",)]
        assert await at.due().tenants() == [TENANT]


@pytest.mark.claim("store.server-hangs")
async def test_a_server_that_answers_nobody_is_as_gone_as_one_that_left(
    server: Server, where: Where
) -> None:
    address = Address(f"{where.store}?connect_timeout=2", answer_s=0.5)
    database = PostgresDatabase(address, Settings(store=where.store), fate_s=0.1)
    written = Commit(tenant=TENANT, ops=(RECORD,))
    try:
        assert isinstance(await database.commit(written), Committed)
        assert await database.reader.epoch(TENANT) >= 0
        server.freeze()
        try:
            async with asyncio.timeout(15):
                told = await asyncio.gather(
                    database.commit(written),
                    database.reader.epoch(TENANT),
                    return_exceptions=True,
                )
        finally:
            server.thaw()
        assert [getattr(each, "code", each) for each in told] == ["store_unreachable"] * 2
        assert isinstance(await database.commit(written), Committed)
        assert await database.reader.epoch(TENANT) >= 0
        with psycopg.connect(where.store) as connection:
            assert connection.execute("select count(*) from records").fetchone() == (2,)
    finally:
        await database.close()


@pytest.mark.claim("store.server-restart")
@pytest.mark.parametrize(
    ("state", "gone"),
    [
        *((each, True) for each in ("57P01", "57P02", "57P03", "57P05", "08006", "25P03")),
        *((each, False) for each in ("57014", "53300", "40001", "23505")),
    ],
)
def test_a_server_that_takes_its_leave_with_a_code_is_as_gone_as_one_without(
    state: str, gone: bool
) -> None:
    error = errors.lookup(state)("on its way out")
    code = fault_of(error, Address("postgresql://u@h/d")).code
    assert (is_gone(error), code == "store_unreachable") == (gone, gone)


@pytest.mark.claim("store.stopped-process")
async def test_who_stands_still_in_a_commit_keeps_no_kill_waiting(where: Where) -> None:
    async with depot(where) as at:
        still = Line(Address(where.store))
        connection = await still.connected()
        await connection.execute(SQL["begin"])
        await connection.execute(SQL["share_control"], {"tenants": [TENANT]})
        began = time.monotonic()
        assert isinstance(await at.commit(RaiseEpoch()), Committed)
        assert time.monotonic() - began < 4.0
        with pytest.raises(psycopg.Error):
            await connection.execute(SQL["commit"])
        await still.close()


@pytest.mark.claim("store.epoch-guard")
async def test_a_commit_that_waited_for_a_control_change_sees_it(where: Where) -> None:
    async with depot(where) as at:
        known = await at.store.epoch(TENANT)
        with psycopg.connect(where.store) as killing:
            killing.execute(SQL["hold_control"], {"tenants": [TENANT]})
            late = asyncio.create_task(at.commit(EpochIs(epoch=known), insert("a")))
            await asyncio.sleep(0.2)
            assert not late.done()
            killing.execute("update control set epoch = epoch + 1")
        assert await late == Blocked(code="epoch_moved")


@pytest.mark.claim("store.member-all-or-nothing")
async def test_processes_share_a_budget_and_its_keys_exactly(where: Where) -> None:
    async with depot(where) as one, depot(where) as two:

        async def use(number: int) -> bool:
            at = (one, two)[number % 2]
            holds = (hold(f"run-{number % 3}", 1), hold("tenant", 1, limit=60))
            taken = Take(action=f"act-{number}", holds=holds)
            made = await at.commit(taken, InsertAction(action=action(f"{number}")), RECORD)
            if isinstance(made, Blocked):
                assert made.code == "over_budget"
                return False
            ended = action(f"{number}", version=2, state="done", lease_until_us=None)
            settled = await at.commit(Settle(action=ended.id), MoveAction(action=ended))
            return isinstance(settled, Committed)

        done = await asyncio.gather(*map(use, range(160)))
        assert sum(done) == 60
        assert one.balances()["tenant"] == (60, 0)
        assert sum(spent for node, (spent, _) in one.balances().items() if node != "tenant") == 60
        # The same name from both: whoever comes second is told, whenever he comes.
        twins = [insert("twin"), InsertAction(action=action("twin", id="act-other"))]
        answers = await asyncio.gather(one.commit(twins[0]), two.commit(twins[1]))
        assert sorted(type(each).__name__ for each in answers) == ["Blocked", "Committed"]


@pytest.mark.claim("store.many-processes")
async def test_what_another_process_begins_between_reading_and_writing_is_not_written_over(
    where: Where,
) -> None:
    mark = MarkBreaker(target="till", failed=True, threshold=9, open_for_us=1)
    notice = Notice(
        id="n-1",
        tenant=TENANT,
        event="asked",
        channel="webhook",
        queue="finance",
        action="act-a",
        request_digest="",
        agent="clerk",
        tool="desk.note",
        rules=(),
        due_at_us=0,
        created_at_us=0,
    )
    async with depot(where) as one, depot(where) as two:
        await one.commit(Take(action="act-a", holds=(hold("tenant", 1),)))
        with psycopg.connect(where.store) as busy:
            busy.execute("select from budgets for update")
            taken = Take(action="act-b", holds=(hold("tenant", 1),))
            late = asyncio.create_task(one.commit(taken, mark, PutNotice(notice=notice)))
            # It has seen neither breaker nor notice, and waits for the balance.
            await asyncio.to_thread(wait_for_a_waiter, where)
            assert isinstance(await two.commit(mark, PutNotice(notice=notice)), Committed)
            moved = replace(notice, state="sent", attempts=1)
            assert isinstance(await two.commit(MoveNotice(notice=moved)), Committed)
            assert not late.done()
        assert isinstance(await late, Committed)
        assert one.rows("select failures from breakers") == [(2,)]
        assert one.rows("select state, attempts from notices") == [("sent", 1)]


def wait_for_a_waiter(where: Where) -> None:
    """Return when some transaction waits for a lock."""
    until_s = time.monotonic() + 10
    with psycopg.connect(where.store, autocommit=True) as looking:
        while not looking.execute("select 1 from pg_locks where not granted").fetchall():
            assert time.monotonic() < until_s
            time.sleep(0.01)


@pytest.mark.claim("ledger.late-commit-sequenced")
async def test_a_record_that_is_committed_late_still_gets_its_leaf(where: Where) -> None:
    async with depot(where) as one, depot(where) as two:
        with psycopg.connect(where.store) as late:
            late.execute(
                "insert into records select nextval('record_numbers'), 'a', 'k', '', '', ''"
            )
            late.execute("insert into unsequenced select max(seq) from records")
            await one.commit(RECORD)
            early = [each.seq for each in await one.ledger.unsequenced(10)]
            assert await one.ledger.extend(0, early, [])
        missed = [each.seq for each in await two.ledger.unsequenced(10)]
        assert max(missed) < min(early)
        # Of two sequencers one extends the tree; the other writes nothing.
        extended = await asyncio.gather(
            *(at.ledger.extend(len(early), missed, []) for at in (one, two))
        )
        assert sorted(extended) == [False, True]
        assert await one.ledger.tree_size() == 2
        leaves = [(each.seq, each.leaf_index) for each in await one.ledger.records(0, 10)]
        assert leaves == [(early[0], 0), (missed[0], 1)]
        assert await two.ledger.unsequenced(10) == []


@pytest.mark.claim("store.moves-are-told")
async def test_a_move_by_another_process_wakes_those_who_wait_for_it(where: Where) -> None:
    async with depot(where) as one, depot(where) as two:
        await one.commit(insert("a"))
        await one.store.changed("act-none", 0.3)  # by now it listens
        waiting = asyncio.create_task(one.store.changed("act-a", 20.0))
        await asyncio.sleep(0)
        await two.commit(MoveAction(action=replace(action("a"), version=2, state="done")))
        async with asyncio.timeout(10):
            await waiting


@pytest.mark.claim("store.no-password-told")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda url: url.replace("@", "x@"), "store_denied"),
        (lambda url: url.replace("@127.0.0.1:", "@127.0.0.1:1"), "store_unreachable"),
        (lambda url: url + "x", "store_missing"),
        (lambda url: url + "?a password", "store_address"),
    ],
)
def test_no_fault_and_no_settings_tell_the_password(
    server: Server, where: Where, change: Callable[[str], str], code: str
) -> None:
    settings = Settings(store=change(where.store))
    with pytest.raises(BailiwickError) as fault:
        open_doors(settings)
    told = f"{fault.value} {fault.value.details} {fault.value.__cause__} {settings!r}"
    assert (fault.value.code, server.password in told) == (code, False)


@pytest.mark.claim("store.no-password-told")
async def test_the_password_may_come_from_a_file(
    server: Server, where: Where, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(f"*:*:*:*:{server.password}\n")
    file.chmod(0o600)
    name = where.store.rpartition("/")[2]
    doors = open_doors(Settings(store=f"{server.url(name, password=False)}?passfile={file}"))
    assert await doors.due.tenants() == []
    await doors.close()


@pytest.mark.claim("store.newer-schema-refused")
def test_a_database_of_a_newer_program_is_not_touched(where: Where) -> None:
    with psycopg.connect(where.store) as connection:
        connection.execute("insert into schema_versions values (99, now(), 99)")
    with pytest.raises(StoreFenced) as fault:
        open_doors(Settings(store=where.store))
    assert (fault.value.code, "newer program" in fault.value.help) == ("schema_version", True)


@pytest.mark.claim("store.full-disk-nothing-half-done")
async def test_a_servers_full_disk_fails_whole_commits_and_serves_again_with_room(
    server: Server, blank: str
) -> None:
    with disk_of("nobody", "40m") as folder:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"create tablespace small location '{folder}'".encode())
            full = f'create database filled template "{blank}" tablespace small'
            connection.execute(full.encode())
        where = Where(server.url("filled"))
        async with depot(where) as store:
            filled_up(folder / "filler")
            sealed = PutPayload(
                action="act-a", run="run-1", kind="x", sealed=os.urandom(2**20), commitment=""
            )
            with pytest.raises(StoreUnavailable) as fault:
                await store.commit(sealed, InsertAction(action=action("a")))
            assert fault.value.code == "disk_full"
            assert store.rows("select count(*) from actions") == [(0,)]
            (folder / "filler").unlink()
            done = await store.commit(sealed, InsertAction(action=action("a")))
            assert isinstance(done, Committed)
        server.drop("filled")
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("drop tablespace small")


def test_an_empty_database_is_given_its_tables_once_by_many(server: Server) -> None:
    name = server.create()
    settings = Settings(store=server.url(name))
    with pytest.raises(StoreFenced):
        open_doors(settings, alone=False)
    open_doors(settings)
    open_doors(settings)
    server.drop(name)


@pytest.mark.claim("store.versions-side-by-side")
async def test_older_programs_go_on_beside_an_expanded_schema_and_stop_at_a_contracted_one(
    where: Where, tmp_path: Path
) -> None:
    address = Address(where.store)
    next_one, after_that = SCHEMA_VERSION + 1, SCHEMA_VERSION + 2
    async with depot(where) as old:
        (tmp_path / f"{next_one:04}_more.sql").write_text(
            "-- expand\nalter table actions add column colour text;"
        )
        assert bring_up(address, tmp_path) == (SCHEMA_VERSION, next_one)
        # One that runs, and one that is started now.
        assert isinstance(await old.commit(insert("a"), RECORD), Committed)
        async with depot(where, alone=False) as another:
            assert isinstance(await another.commit(insert("b"), RECORD), Committed)
        open_doors(Settings(store=where.store))

        (tmp_path / f"{after_that:04}_less.sql").write_text(
            "-- contract\nalter table actions drop column records;"
        )
        with psycopg.connect(where.store) as busy:
            busy.execute(SQL["fence"])  # as a transaction does that is under way
            waiting = asyncio.create_task(asyncio.to_thread(bring_up, address, tmp_path))
            late = asyncio.create_task(old.commit(insert("c"), RECORD))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        assert await waiting == (next_one, after_that)
        # Whoever was before the migration is written, whoever comes after it is refused.
        for asked in (old.commit(insert("d")), old.ledger.keep_checkpoint(1, "")):
            with pytest.raises(StoreFenced) as fault:
                await asked
            assert fault.value.code == "schema_version"
            assert "newer program" in fault.value.help
        with suppress(StoreFenced):
            assert isinstance(await late, Committed)
        assert ("act-d",) not in old.rows("select id from actions")
    with pytest.raises(StoreFenced) as fault:
        open_doors(Settings(store=where.store))
    assert fault.value.code == "schema_version"


@pytest.mark.claim("store.older-schema-migrated")
async def test_an_older_database_is_refused_until_it_is_migrated(
    server: Server, tmp_path: Path
) -> None:
    (first,) = FOLDER.glob("0001_*.sql")
    (tmp_path / first.name).write_bytes(first.read_bytes())
    name = server.create()
    settings = Settings(store=server.url(name))
    assert bring_up(Address(settings.store), tmp_path) == (0, 1)
    old = action("a")
    values = (TENANT, old.id, old.agent, old.subject, old.name, 1, "done", 1, 0, encode(old))
    with psycopg.connect(settings.store) as connection:
        connection.execute(
            "insert into actions (tenant, id, agent, subject, name, attempt, state, version,"
            " updated_at_us, body) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            values,
        )
    with pytest.raises(StoreFenced) as fault:
        open_doors(settings)
    assert (fault.value.code, fault.value.help) == ("schema_version", "run `bailiwick migrate`")
    assert migrate(settings.store) == (1, SCHEMA_VERSION)
    assert migrate(settings.store) == (SCHEMA_VERSION, SCHEMA_VERSION)
    async with depot(Where(settings.store)) as store:
        assert [each.id for each in await store.keeping.kept(TENANT, "run-1", "", 9)] == ["act-a"]
    server.drop(name)


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("action_row", "actions_pkey"),
        ("lock_actions", "actions_pkey"),
        ("find_action", "actions_by_name"),
        ("read_names", "actions_by_name"),
        ("touched_since", "actions_by_resource"),
        ("lock_approvals", "approvals_pkey"),
        ("lock_budgets", "budgets_pkey"),
    ],
)
def test_no_lookup_goes_through_a_tenants_rows_before_there_are_statistics(
    where: Where, statement: str, index: str
) -> None:
    one = dict.fromkeys(("tenant", "id", "agent", "subject", "name", "resource", "action"), "a")
    if statement.startswith(("lock", "read")):
        keys = {name: [value] for name, value in one.items()}
        more = ("node", "unit", "bucket", "settled", "settled_tenant")
        values = {**keys, **{name: ["a"] for name in more}, "attempt": [1]}
    else:
        values = {**one, "since_us": 0}
    with psycopg.connect(where.store) as connection:
        connection.execute(SQL["indexed"])
        plan = connection.execute("explain " + SQL[statement], values).fetchall()
    assert index in "".join(line for (line,) in plan)
