"""Step 9 against the example's payments provider, a process of its own with faults to switch on.

What the provider has really done is read from its books, not from our reports.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import msgspec
import pytest

from bailiwick.config import CredentialSource
from bailiwick.execution import execute, reconcile
from bailiwick.nouns import Action, EffectReport, Reader, Tool
from bailiwick.values import JSON
from tests.examples.outside_system import OutsideSystem, running
from tests.s09_execute.bench import Bench, action, bench, http_tool, now_us, settings

FOUND = "after.data.exists(r, has(r.metadata.action_id) && r.metadata.action_id == action.id)"
NUMBERS = count(1)


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideSystem]:
    folder = tmp_path_factory.mktemp("payments")
    with running("payments.py", folder, "--seed", "--admin") as system:
        yield system


@pytest.fixture
async def at(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setenv("PAYMENTS_READ", "example-read")
    monkeypatch.setenv("PAYMENTS_WRITE", "example-write")
    known = settings(
        reading=credential("PAYMENTS_READ", "read"), writing=credential("PAYMENTS_WRITE", "write")
    )
    async with bench(known) as made:
        yield made


def credential(env: str, access: Any) -> CredentialSource:
    return CredentialSource(env=env, hosts=("127.0.0.1",), tools=("payments.*",), access=access)


class Case:
    """One refund of a charge of its own."""

    def __init__(self, at: Bench, payments: OutsideSystem, **members: Any) -> None:
        number = next(NUMBERS)
        self.at, self.payments = at, payments
        self.charge, self.id = f"ch_test_{number}", f"act-test-{number}"
        admin(
            payments,
            "POST",
            "/admin/charges",
            {
                "id": self.charge,
                "customer": "cus_01",
                "invoice": f"in_{number}",
                "amount_minor": 1000,
                "currency": "EUR",
                "payee": "p",
            },
        )
        self.arguments: dict[str, JSON] = {
            "charge": self.charge,
            "amount_minor": 500,
            "currency": "EUR",
        }
        self.tool = refund_tool(at, payments, **members)

    def fault(self, name: str, **params: Any) -> None:
        body = {"name": name, "charge": self.charge, **params}
        admin(self.payments, "POST", "/admin/faults", body)

    @property
    def effects(self) -> list[str]:
        """Who made each refund of the charge, by the provider's books: `api` or `person`."""
        rows = admin(self.payments, "GET", "/admin/effects")["data"]
        return [row["source"] for row in rows if row["charge"] == self.charge]

    async def execute(self, action: Action) -> EffectReport:
        bundle = self.at.bundle
        return await execute(
            self.at.world, bundle, action, self.tool, self.arguments, before={}, epoch=7
        )

    async def crash(self) -> Action:
        """Send, and be gone at the deadline: it has arrived, but no answer is heard."""
        made = action(self.tool, id=self.id)
        sending = asyncio.create_task(self.execute(made))
        await asyncio.to_thread(self.wait_for_arrival)
        assert not sending.done()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        return msgspec.structs.replace(made, deadline_at_us=now_us())

    def wait_for_arrival(self) -> None:
        while True:
            rows = admin(self.payments, "GET", "/admin/arrivals")["data"]
            if any(row["action_id"] == self.id for row in rows):
                return
            time.sleep(0.02)

    async def reconcile(self, action: Action) -> EffectReport | None:
        return await reconcile(
            self.at.world,
            self.at.bundle,
            action,
            self.tool,
            self.arguments,
            before={},
            now_us=now_us(),
        )

    async def reconcile_in_time(self, action: Action) -> EffectReport:
        for _ in range(100):
            report = await self.reconcile(action)
            if report is not None:
                return report
            await asyncio.sleep(0.1)
        raise AssertionError("it is still too early")


def refund_tool(
    at: Bench, payments: OutsideSystem, *, authoritative: bool = False, **members: Any
) -> Tool:
    url = f"http://127.0.0.1:{payments.port}"
    at.add(
        http_tool(
            url,
            "/v1/refunds",
            name="payments.refunds",
            method="GET",
            query={"charge": "args.charge"},
            read_credential="reading",
        )
    )
    arguments = {"charge": "args.charge"}
    find = Reader(tool="payments.refunds", arguments=arguments, authoritative=authoritative)
    body = {name: f"args.{name}" for name in ("charge", "amount_minor", "currency")}
    usual: dict[str, Any] = {
        "body": {**body, "metadata.action_id": "action.id"},
        "credential": "writing",
        "key_header": "Idempotency-Key",
        "key_retention_s": 86_400.0,
        "find": find,
        "found": FOUND,
        "settles_within_s": 0.5,
    }
    return at.add(http_tool(url, "/v1/refunds", **{**usual, **members}))


def admin(payments: OutsideSystem, method: str, path: str, body: object = None) -> Any:
    reply = payments.call(method, path, body, token=None)
    assert reply.status < 300, reply
    return reply.json


@pytest.mark.parametrize(
    ("fault", "status", "effects"),
    [
        (None, "done", 1),
        ({"name": "status_429", "retry_after_s": 0.1, "times": 1}, "done", 1),
        ({"name": "status_500", "times": 1}, "done", 1),
        ({"name": "connection_reset", "times": 1}, "done", 1),
        ({"name": "timeout_after_effect", "times": 1}, "done", 1),
        ({"name": "late_effect", "delay_s": 1.5, "times": 1}, "done", 1),
        ({"name": "connection_reset"}, "unknown", 0),
        ({"name": "status_500"}, "unknown", 0),
        ({"name": "status_500_after_effect"}, "unknown", 1),
        ({"name": "ok_no_effect"}, "done", 0),
    ],
)
@pytest.mark.claim("execution.unknown-is-not-failed")
async def test_faults_while_it_is_sent(
    at: Bench,
    payments: OutsideSystem,
    fault: dict[str, Any] | None,
    status: str,
    effects: int,
) -> None:
    case = Case(at, payments)
    if fault:
        case.fault(**fault)
    report = await case.execute(action(case.tool, id=case.id, deadline_s=6))
    assert report.status == status
    assert len(case.effects) == effects


async def test_a_refused_refund_is_failed_with_the_providers_reason(
    at: Bench, payments: OutsideSystem
) -> None:
    case = Case(at, payments)
    case.arguments["amount_minor"] = 5000
    report = await case.execute(action(case.tool, id=case.id))
    assert (report.status, report.code, case.effects) == ("failed", "provider_refused", [])
    assert "422" in report.message


@pytest.mark.claim("execution.found-needs-our-id")
@pytest.mark.parametrize(
    ("fault", "params"),
    [
        ("timeout_after_effect", {}),
        ("slow", {"delay_s": 1.0}),
        ("late_effect", {"delay_s": 0.9}),
        ("late_effect", {"delay_s": 2.0}),
        ("timeout_after_effect", {"ignore_key": True}),
    ],
)
async def test_after_a_crash_the_effect_is_there_once(
    at: Bench, payments: OutsideSystem, fault: str, params: dict[str, Any]
) -> None:
    case = Case(at, payments)
    if params.pop("ignore_key", False):
        case.fault("ignore_key")
    case.fault(fault, **params)
    sent = await case.crash()
    assert await case.reconcile(sent) is None
    report = await case.reconcile_in_time(sent)
    assert report.status == "done"
    await asyncio.sleep(1.5 if params.get("delay_s") == 2.0 else 0)  # what is late may still come
    assert case.effects == ["api"]


@pytest.mark.claim("execution.found-needs-our-id")
@pytest.mark.parametrize("keyed", [True, False])
async def test_a_persons_equal_refund_is_not_taken_for_ours(
    at: Bench, payments: OutsideSystem, keyed: bool
) -> None:
    unkeyed: dict[str, Any] = {} if keyed else {"key_retention_s": None, "authoritative": True}
    case = Case(at, payments, **unkeyed)
    case.fault("person_same_change", when="before")
    case.fault("ok_no_effect", times=1)
    case.fault("slow", delay_s=2.0, times=1)
    sent = await case.crash()
    report = await case.reconcile_in_time(sent)
    if keyed:
        assert (report.status, case.effects) == ("done", ["person", "api"])
    else:
        assert (report.status, report.code) == ("failed", "not_found_after_crash")
        assert case.effects == ["person"]


@pytest.mark.claim("execution.unknown-is-not-failed")
async def test_a_reader_that_lags_does_not_make_a_refund_disappear(
    at: Bench, payments: OutsideSystem
) -> None:
    """Without a key and with a reader that is not authoritative, what is not seen is unknown."""
    case = Case(at, payments, key_retention_s=None)
    case.fault("timeout_after_effect")
    case.fault("reader_lag", lag_s=30.0)
    report = await case.reconcile_in_time(await case.crash())
    assert (report.status, report.code) == ("unknown", "in_doubt")
    assert case.effects == ["api"]
