"""The payments provider of the refund desk, as a process behind HTTP, with each of its faults."""

import http.client
import itertools
import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.examples.outside_system import OutsideSystem, Reply, running

NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Charge:
    """A charge of one test alone, so that faults on it concern nobody else."""

    provider: OutsideSystem
    id: str

    def refund(
        self, minor: int = 1_000, *, key: str | None = None, timeout_s: float = 10, **more: object
    ) -> Reply:
        """Asks for a refund."""
        body = {"charge": self.id, "amount_minor": minor, "currency": "USD", **more}
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.provider.call("POST", "/v1/refunds", body, headers=headers, timeout_s=timeout_s)

    def refund_unheard(self, **more: Any) -> None:
        """Asks for a refund and gives up before an answer comes."""
        with pytest.raises(TimeoutError):
            self.refund(timeout_s=0.15, **more)

    def fault(self, name: str, **params: object) -> None:
        """Switches a fault on for this charge."""
        body = {"charge": self.id, "fault": name, **params}
        assert self.provider.call("POST", "/admin/faults", body, token=None).status == 201

    def effects(self) -> list[dict[str, Any]]:
        """Gives the refunds really made."""
        rows = self.provider.call("GET", "/admin/effects", token=None).json["data"]
        return [row for row in rows if row["charge"] == self.id]

    def seen(self) -> list[dict[str, Any]]:
        """Gives the refunds a reader sees."""
        found: list[dict[str, Any]] = self.provider.get(f"/v1/refunds?charge={self.id}")["data"]
        return found

    def refunded_minor(self) -> int:
        """Gives what the charge says is refunded."""
        return int(self.provider.get(f"/v1/charges/{self.id}")["refunded_minor"])


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideSystem]:
    """One provider with its administration, for all tests here."""
    with running("payments.py", tmp_path_factory.mktemp("payments"), "--seed", "--admin") as system:
        yield system
        assert system.end(signal.SIGTERM) == 0


@pytest.fixture
def charge(provider: OutsideSystem) -> Charge:
    """A fresh charge of $100.00."""
    return new_charge(provider)


def new_charge(provider: OutsideSystem) -> Charge:
    """Adds a charge of $100.00 that nobody else uses."""
    number = next(NUMBERS)
    body = {"id": f"ch_t{number}", "invoice": f"T-{number}", "customer": "cus_01"}
    money = {"amount_minor": 10_000, "currency": "USD", "payee": "acct_01"}
    assert provider.call("POST", "/admin/charges", {**body, **money}, token=None).status == 201
    return Charge(provider, body["id"])


def eventually(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Reads


def test_a_charge_is_found_by_id_invoice_and_customer(provider: OutsideSystem) -> None:
    charge = provider.get("/v1/charges/ch_33")
    assert charge == {
        "id": "ch_33",
        "customer": "cus_03",
        "invoice": "INV-1033",
        "amount_minor": 180_000,
        "currency": "USD",
        "refunded_minor": 0,
        "payee": "acct_03",
        "status": "succeeded",
        "refunds": [],
        "created_at_us": charge["created_at_us"],
    }
    assert provider.get("/v1/charges?invoice=INV-1033")["data"] == [charge]
    assert charge in provider.get("/v1/charges?customer=cus_03")["data"]
    assert provider.get("/v1/charges?customer=cus_03&invoice=INV-1032")["data"] == []


def test_a_customer_names_its_known_payees(provider: OutsideSystem) -> None:
    assert provider.get("/v1/customers/cus_05") == {
        "id": "cus_05",
        "name": "Esi Owusu",
        "email": "customer05@example.com",
        "known_payees": ["acct_05", "acct_05_b"],
        "roles": [],
        "status": "active",
    }


# Refunds


def test_a_refund_is_made_once_and_shows_on_its_charge(charge: Charge) -> None:
    before_us = time.time_ns() // 1000
    reply = charge.refund(2_500, reason="broken", metadata={"action_id": "a-1", "run_id": "r-1"})
    made = reply.json
    assert reply.status == 201
    assert before_us <= made.pop("created_at_us") <= time.time_ns() // 1000
    assert made.pop("id").startswith("re_")
    assert made == {
        "charge": charge.id,
        "amount_minor": 2_500,
        "currency": "USD",
        "payee": "acct_01",
        "reason": "broken",
        "status": "succeeded",
        "metadata": {"action_id": "a-1", "run_id": "r-1"},
        "idempotency_key": None,
        "canceled_at_us": None,
        "cancel_action_id": None,
    }
    shown = charge.provider.get(f"/v1/charges/{charge.id}")
    assert (shown["refunded_minor"], shown["status"]) == (2_500, "partially_refunded")
    (effect,) = charge.effects()
    assert shown["refunds"] == [effect["id"]]
    assert (effect["amount_minor"], effect["action_id"], effect["source"]) == (2_500, "a-1", "api")


def test_a_refund_may_go_to_another_account(charge: Charge) -> None:
    assert charge.refund(payee="acct_99").json["payee"] == "acct_99"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"charge": "ch_none"}, "unknown_charge"),
        ({"currency": "EUR"}, "wrong_currency"),
        ({"amount_minor": 10_001}, "amount_too_large"),
        ({"amount_minor": 0}, "amount_invalid"),
        ({"amount_minor": -1}, "amount_invalid"),
        ({"amount_minor": 10.5}, "amount_invalid"),
        ({"amount_minor": "1000"}, "amount_invalid"),
        ({"amount_minor": True}, "amount_invalid"),
        ({"amount_minor": 2**64}, "amount_invalid"),
        ({"amount_minor": None}, "amount_invalid"),
    ],
)
def test_what_cannot_be_refunded_is_a_422(
    charge: Charge, change: dict[str, object], code: str
) -> None:
    body = {"charge": charge.id, "amount_minor": 1_000, "currency": "USD", **change}
    reply = charge.provider.call("POST", "/v1/refunds", body)
    assert (reply.status, reply.json["error"]["code"]) == (422, code)
    assert charge.effects() == []


def test_no_more_is_refunded_than_was_paid_however_many_ask_at_once(charge: Charge) -> None:
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: charge.refund(3_000), range(12)))
    assert sorted(reply.status for reply in replies) == [201] * 3 + [422] * 9
    assert charge.refunded_minor() == 9_000


def test_a_refund_is_found_by_id_charge_action_and_key(charge: Charge) -> None:
    made = charge.refund(key="find-me", metadata={"action_id": "find-action"}).json
    charge.refund(key="another", metadata={"action_id": "another"})
    assert charge.provider.get(f"/v1/refunds/{made['id']}") == made
    for query in ("action_id=find-action", "idempotency_key=find-me"):
        assert charge.provider.get(f"/v1/refunds?{query}")["data"] == [made]
    assert len(charge.seen()) == 2
    assert charge.provider.get("/v1/refunds?idempotency_key=never-sent")["data"] == []


def test_canceling_gives_the_money_back_and_may_be_repeated(charge: Charge) -> None:
    made = charge.refund(10_000).json
    path = f"/v1/refunds/{made['id']}/cancel"
    first = charge.provider.call("POST", path, {"metadata": {"action_id": "undo-1"}})
    assert (first.status, first.json["status"]) == (200, "canceled")
    assert first.json["cancel_action_id"] == "undo-1"
    again = charge.provider.call("POST", path, {"metadata": {"action_id": "undo-2"}})
    assert (again.status, again.json) == (200, first.json)
    assert charge.refunded_minor() == 0
    assert charge.refund(10_000).status == 201


# Idempotency keys


def test_the_same_key_and_body_replay_the_first_answer(charge: Charge) -> None:
    first = charge.refund(key="k-replay", metadata={"action_id": "a"})
    again = charge.refund(key='"k-replay"', metadata={"action_id": "a"})
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status, again.json) == (201, first.json)
    assert len(charge.effects()) == 1


def test_another_body_under_a_key_is_refused(charge: Charge) -> None:
    charge.refund(1_000, key="k-body")
    reply = charge.refund(1_001, key="k-body")
    assert (reply.status, reply.json["error"]["code"]) == (422, "idempotency_mismatch")
    assert len(charge.effects()) == 1


def test_a_key_whose_request_is_in_work_is_a_conflict(charge: Charge) -> None:
    charge.fault("slow", delay_s=1.0, times=1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(charge.refund, key="k-work")
        eventually(lambda: len(charge.effects()) == 1)
        reply = charge.refund(key="k-work")
        assert (reply.status, reply.json["error"]["code"]) == (409, "idempotency_in_flight")
        assert first.result().status == 201
    assert charge.refund(key="k-work").headers["Idempotent-Replayed"] == "true"
    assert len(charge.effects()) == 1


def test_a_refused_request_leaves_its_key_free(charge: Charge) -> None:
    assert charge.refund(10_001, key="k-free").status == 422
    assert charge.refund(10_000, key="k-free").status == 201


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_refunds_and_keys_survive_the_end_of_the_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    body = {"charge": "ch_01", "amount_minor": 5_000, "currency": "USD"}
    headers = {"Idempotency-Key": "k-survive"}
    with running("payments.py", tmp_path, "--seed") as first:
        made = first.call("POST", "/v1/refunds", body, headers=headers)
        assert made.status == 201
        assert first.end(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    with running("payments.py", tmp_path, "--seed") as second:
        assert second.get("/v1/charges/ch_01")["refunded_minor"] == 5_000
        again = second.call("POST", "/v1/refunds", body, headers=headers)
        assert (again.status, again.json) == (201, made.json)
        assert again.headers["Idempotent-Replayed"] == "true"


# Customers


def test_deleting_a_customer_marks_it(provider: OutsideSystem) -> None:
    assert provider.call("DELETE", "/v1/customers/cus_29").json["status"] == "deleted"
    assert provider.get("/v1/customers/cus_29")["status"] == "deleted"
    assert provider.get("/v1/customers/cus_28")["status"] == "active"


def test_a_role_is_granted_once(provider: OutsideSystem) -> None:
    for _ in range(2):
        path = "/v1/customers/cus_30/permissions"
        assert provider.call("POST", path, {"role": "billing_admin"}).status == 201
    assert provider.get("/v1/customers/cus_30")["roles"] == ["billing_admin"]


# Who may do what, and what is written down


@pytest.mark.parametrize(
    ("token", "method", "path", "status"),
    [
        ("read", "GET", "/v1/charges/ch_02", 200),
        ("write", "GET", "/v1/charges/ch_02", 200),
        ("wrong", "GET", "/v1/charges/ch_02", 401),
        (None, "GET", "/v1/charges/ch_02", 401),
        ("read", "POST", "/v1/refunds", 403),
        ("read", "DELETE", "/v1/customers/cus_02", 403),
        ("wrong", "POST", "/v1/refunds", 401),
        (None, "POST", "/v1/refunds", 401),
        (None, "POST", "/v1/customers/cus_02/permissions", 401),
    ],
)
def test_the_read_token_reads_and_only_the_write_token_writes(
    provider: OutsideSystem, token: str | None, method: str, path: str, status: int
) -> None:
    body = {"charge": "ch_02", "amount_minor": 1, "currency": "USD"} if method == "POST" else None
    reply = provider.call(method, path, body, token=token)
    assert reply.status == status
    assert ("error" in reply.json) == (status != 200)
    assert provider.get("/v1/charges/ch_02")["refunded_minor"] == 0
    assert provider.get("/v1/customers/cus_02")["status"] == "active"


def test_each_write_is_noted_on_arrival_whatever_becomes_of_it(charge: Charge) -> None:
    system, before_us = charge.provider, time.time_ns() // 1000
    charge.refund(key="k-arrive", metadata={"action_id": "arrive-1"})
    body = {"metadata": {"action_id": "arrive-2"}}
    system.call("POST", "/v1/refunds", body, token="read")
    system.call("DELETE", "/v1/customers/none", token=None, headers={"X-Action-Id": "arrive-3"})
    charge.fault("connection_reset", times=1)
    with pytest.raises(ConnectionResetError):
        charge.refund(metadata={"action_id": "arrive-4"})
    system.get(f"/v1/charges/{charge.id}")
    rows = system.call("GET", "/admin/arrivals", token=None).json["data"][-4:]
    columns = ("method", "path", "action_id", "idempotency_key", "token")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("POST", "/v1/refunds", "arrive-1", "k-arrive", "write"),
        ("POST", "/v1/refunds", "arrive-2", None, "read"),
        ("DELETE", "/v1/customers/none", "arrive-3", None, "none"),
        ("POST", "/v1/refunds", "arrive-4", None, "write"),
    ]
    times = [before_us, *(row["at_us"] for row in rows), time.time_ns() // 1000]
    assert times == sorted(times)


def test_a_request_arrives_with_its_first_bytes(charge: Charge) -> None:
    body = json.dumps({"charge": charge.id, "amount_minor": 1, "currency": "USD"}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", charge.provider.port, timeout=10)
    connection.putrequest("POST", "/v1/refunds")
    connection.putheader("Authorization", "Bearer example-write")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    time.sleep(0.3)
    connection.send(body)
    assert connection.getresponse().status == 201
    connection.close()
    arrival = charge.provider.call("GET", "/admin/arrivals", token=None).json["data"][-1]
    assert charge.effects()[0]["at_us"] - arrival["at_us"] >= 250_000


def test_without_its_switch_there_is_no_administration_and_old_refunds_stay(
    tmp_path: Path,
) -> None:
    tokens = ("--token-read", "a", "--token-write", "example-write")
    with running("payments.py", tmp_path, "--seed", "--cancel-window-s", "0", *tokens) as system:
        for method, path in [("GET", "/admin/effects"), ("GET", "/admin/arrivals")]:
            assert system.call(method, path).status == 404
        assert system.call("POST", "/admin/faults", {"name": "slow"}).status == 404
        assert system.call("GET", "/v1/charges/ch_01", token="read").status == 401
        body = {"charge": "ch_01", "amount_minor": 5_000, "currency": "USD"}
        refund = system.call("POST", "/v1/refunds", body).json["id"]
        reply = system.call("POST", f"/v1/refunds/{refund}/cancel")
        assert (reply.status, reply.json["error"]["code"]) == (422, "too_late")


# Faults


def test_timeout_after_effect_makes_the_refund_and_says_nothing(charge: Charge) -> None:
    charge.fault("timeout_after_effect", times=1)
    charge.refund_unheard(key="k-timeout")
    eventually(lambda: len(charge.effects()) == 1)
    assert charge.refund(key="k-timeout").headers["Idempotent-Replayed"] == "true"
    assert len(charge.effects()) == 1


def test_timeout_after_effect_ends_without_an_answer(charge: Charge) -> None:
    charge.fault("timeout_after_effect", delay_s=0.2)
    with pytest.raises(http.client.RemoteDisconnected):
        charge.refund()
    assert len(charge.effects()) == 1


def test_late_effect_lands_when_the_client_has_long_been_gone(charge: Charge) -> None:
    charge.fault("late_effect", delay_s=1.2)
    charge.refund_unheard(metadata={"action_id": "late"})
    assert charge.seen() == []
    eventually(lambda: [r["metadata"] for r in charge.seen()] == [{"action_id": "late"}])
    assert len(charge.effects()) == 1


@pytest.mark.parametrize(("ignore_key", "effects"), [(False, 1), (True, 2)])
def test_late_effect_looks_at_its_key_when_it_lands(
    charge: Charge, ignore_key: bool, effects: int
) -> None:
    charge.fault("late_effect", delay_s=0.6, times=1)
    if ignore_key:
        charge.fault("ignore_key")
    charge.refund_unheard(key=f"k-{charge.id}")
    assert charge.refund(key=f"k-{charge.id}").status == 201
    time.sleep(0.9)
    assert len(charge.effects()) == effects


def test_ok_no_effect_answers_well_and_does_nothing(charge: Charge) -> None:
    charge.fault("ok_no_effect")
    reply = charge.refund(key="k-lie", metadata={"action_id": "lie"})
    assert (reply.status, reply.json["status"]) == (201, "succeeded")
    assert charge.provider.call("GET", f"/v1/refunds/{reply.json['id']}").status == 404
    assert charge.provider.get("/v1/refunds?idempotency_key=k-lie")["data"] == []
    assert (charge.effects(), charge.seen(), charge.refunded_minor()) == ([], [], 0)


def test_act_twice_makes_two_refunds_for_one_request(charge: Charge) -> None:
    charge.fault("act_twice", times=1)
    reply = charge.refund(8_000, metadata={"action_id": "twice"})
    assert [effect["source"] for effect in charge.effects()] == ["api", "fault"]
    assert charge.effects()[0]["id"] == reply.json["id"]
    assert [refund["metadata"]["action_id"] for refund in charge.seen()] == ["twice", "twice"]
    assert charge.refunded_minor() == 16_000


@pytest.mark.parametrize(
    ("fault", "params", "status"),
    [("status_429", {"retry_after_s": 2}, 429), ("status_500", {}, 500)],
)
def test_a_request_turned_away_at_the_door_leaves_its_key_free(
    charge: Charge, fault: str, params: dict[str, object], status: int
) -> None:
    charge.fault(fault, times=1, **params)
    reply = charge.refund(key=f"k-{fault}")
    assert (reply.status, reply.headers.get("Retry-After")) == (
        status,
        "2" if status == 429 else None,
    )
    assert charge.effects() == []
    retried = charge.refund(key=f"k-{fault}")
    assert (retried.status, "Idempotent-Replayed" in retried.headers) == (201, False)
    assert len(charge.effects()) == 1


def test_status_500_after_effect_keeps_the_error_under_the_key(charge: Charge) -> None:
    charge.fault("status_500_after_effect", times=1)
    assert charge.refund(key="k-500").status == 500
    again = charge.refund(key="k-500")
    assert (again.status, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert len(charge.effects()) == len(charge.seen()) == 1


def test_ignore_key_makes_a_refund_for_each_request(charge: Charge) -> None:
    charge.fault("ignore_key")
    replies = [charge.refund(key="k-ignored") for _ in range(2)]
    assert [reply.status for reply in replies] == [201, 201]
    assert replies[0].json["id"] != replies[1].json["id"]
    assert [effect["idempotency_key"] for effect in charge.effects()] == ["k-ignored"] * 2
    assert charge.provider.get("/v1/refunds?idempotency_key=k-ignored")["data"] == []


def test_forget_key_protects_for_its_time_and_then_no_more(charge: Charge) -> None:
    charge.fault("forget_key", key_ttl_s=1.2)
    path = "/v1/refunds?idempotency_key=k-forget"
    first = charge.refund(key="k-forget").json
    assert charge.refund(key="k-forget").json == first
    assert charge.provider.get(path)["data"] == [first]
    time.sleep(1.3)
    assert charge.provider.get(path)["data"] == []
    assert charge.refund(key="k-forget").json["id"] != first["id"]
    assert len(charge.effects()) == 2


def test_reader_lag_shows_every_reader_the_past(charge: Charge) -> None:
    charge.fault("reader_lag", lag_s=1.2)
    made = charge.refund(key="k-lag", metadata={"action_id": "lag"}).json
    system, path = charge.provider, f"/v1/refunds/{made['id']}"
    assert len(charge.effects()) == 1
    assert (charge.seen(), charge.refunded_minor()) == ([], 0)
    assert system.get("/v1/refunds?action_id=lag")["data"] == []
    assert system.get("/v1/refunds?idempotency_key=k-lag")["data"] == []
    assert system.call("GET", path).status == 404
    eventually(lambda: charge.seen() == [made])
    assert charge.refunded_minor() == 1_000
    assert system.get(path) == made
    system.call("POST", f"{path}/cancel")
    assert (system.get(path)["status"], charge.refunded_minor()) == ("succeeded", 1_000)
    eventually(lambda: charge.refunded_minor() == 0)
    assert system.get(path)["status"] == "canceled"


def test_reader_lag_counts_the_reads_it_acts_on(charge: Charge) -> None:
    charge.fault("reader_lag", lag_s=60, times=2)
    made = charge.refund().json
    assert charge.provider.call("GET", f"/v1/refunds/{made['id']}").status == 404
    assert (charge.seen(), charge.seen()) == ([], [made])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_person_makes_the_same_change_by_hand_once(charge: Charge, when: str) -> None:
    charge.fault("person_same_change", when=when)
    charge.refund(metadata={"action_id": "mine"})
    charge.refund(metadata={"action_id": "mine"})
    effects = [(effect["source"], effect["action_id"]) for effect in charge.effects()]
    by_person, by_api = ("person", None), ("api", "mine")
    first_two = [by_person, by_api] if when == "before" else [by_api, by_person]
    assert effects == [*first_two, by_api]
    assert {"amount_minor": 1_000, "metadata": {}}.items() <= next(
        refund for refund in charge.seen() if refund["reason"] == "made by hand"
    ).items()


def test_a_person_may_act_where_the_request_was_lost(charge: Charge) -> None:
    charge.fault("connection_reset", times=1)
    charge.fault("person_same_change")
    with pytest.raises(ConnectionResetError):
        charge.refund(metadata={"action_id": "lost"})
    assert [effect["source"] for effect in charge.effects()] == ["person"]


def test_slow_makes_the_refund_at_once_and_answers_later(charge: Charge) -> None:
    charge.fault("slow", delay_s=1.0)
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(charge.refund)
        eventually(lambda: len(charge.effects()) == 1, within_s=0.9)
        assert answer.result().status == 201
    assert time.monotonic() - began >= 1.0


def test_connection_reset_comes_before_the_effect(charge: Charge) -> None:
    charge.fault("connection_reset", times=1)
    with pytest.raises(ConnectionResetError) as caught:
        charge.refund(key="k-reset")
    assert caught.type is ConnectionResetError  # its subclass RemoteDisconnected is a mere close
    assert charge.effects() == []
    assert charge.refund(key="k-reset").status == 201


def test_a_fault_of_one_charge_leaves_the_others_alone(provider: OutsideSystem) -> None:
    faulty, sound = new_charge(provider), new_charge(provider)
    faulty.fault("status_500", times=2)
    assert [faulty.refund().status, sound.refund().status] == [500, 201]
    assert [faulty.refund().status, faulty.refund().status] == [500, 201]


def test_faults_of_all_charges_are_listed_and_cleared(tmp_path: Path) -> None:
    with running("payments.py", tmp_path, "--seed", "--admin") as system:
        first, second = Charge(system, "ch_01"), Charge(system, "ch_02")
        body = {"name": "status_429"}
        reply = system.call("POST", "/admin/faults", body, token=None)
        params = {"retry_after_s": 1.0}
        listed = [{"name": "status_429", "charge": None, "times": None, "params": params}]
        assert (reply.status, reply.json["data"]) == (201, listed)
        assert (first.refund().status, second.refund().status) == (429, 429)
        first.fault("status_429", times=1, retry_after_s=9)
        assert first.refund().headers["Retry-After"] == "9"
        assert first.refund().headers["Retry-After"] == "1"
        assert system.call("DELETE", "/admin/faults", token=None).json == {"data": []}
        assert (first.refund().status, second.refund().status) == (201, 201)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "no_such_fault"}, 422),
        ({"name": "slow", "lag_s": 1}, 400),
        ({"name": "slow", "delay_s": "long"}, 422),
        ({"name": "slow", "delay_s": -1}, 422),
        ({"name": "slow", "times": 0}, 422),
        ({"name": "person_same_change", "when": "never"}, 422),
        ({}, 400),
    ],
)
def test_a_fault_that_is_not_understood_is_refused(
    provider: OutsideSystem, body: dict[str, object], status: int
) -> None:
    before = provider.call("GET", "/admin/faults", token=None).json
    reply = provider.call("POST", "/admin/faults", body, token=None)
    assert (reply.status, reply.json.keys()) == (status, {"error"})
    assert provider.call("GET", "/admin/faults", token=None).json == before


# What is not a good request


# All but the metadata of a refund that would be made.
ORDER = b'{"charge": "ch_34", "amount_minor": 1, "currency": "USD", "metadata": %s}'


def post(body: bytes, extra: str = "") -> bytes:
    """Gives the bytes of a POST to /v1/refunds with the write token."""
    head = "POST /v1/refunds HTTP/1.1\r\nAuthorization: Bearer example-write\r\n"
    return f"{head}{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00 not http\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"PATCH /v1/refunds HTTP/1.1\r\n\r\n", 405),
        (b"GET /" + b"a" * 20_000, 431),
        (b"POST /v1/refunds HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/refunds HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (post(b"{"), 400),
        (post(b"[]"), 400),
        (post(b'"text"'), 400),
        (post(b"\xff\xfe"), 400),
        (post(ORDER % b'{"note": NaN}'), 400),
        (post(ORDER % b'{"note": "\\ud800"}'), 400),
        (post(b"[" * 200_000), 400),
        (post(b"1" * 10_000), 400),
        (post(b'{"surprise": 1}'), 400),
        (post(ORDER % b"[]"), 400),
        (post(ORDER % b'{"action_id": 5}'), 400),
        (post(b'{"charge": 5}'), 400),
        (post(ORDER % b"{}", f"Idempotency-Key: {'k' * 300}\r\n"), 400),
    ],
)
def test_bad_input_is_a_4xx_in_json(provider: OutsideSystem, sent: bytes, status: int) -> None:
    head, _, body = provider.send_raw(sent).partition(b"\r\n\r\n")
    assert int(head.split(b" ")[1]) == status
    assert json.loads(body)["error"].keys() == {"code", "message"}
    assert provider.get("/v1/charges/ch_34")["refunded_minor"] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/charges/none",
        "/v1/charges/ch_33/",
        "/v1/charges/ch_33/../../customers/cus_03",
        "/v1/charges/ch_33%2F..%2Fch_32",
        "/v1/refunds/none",
        "/admin",
        "/admin/nothing",
    ],
)
def test_a_path_that_leads_nowhere_is_a_404(provider: OutsideSystem, path: str) -> None:
    assert provider.call("GET", path).status == 404


@pytest.mark.parametrize(
    "path", ["/v1/charges", "/v1/refunds?", "/v1/refunds?amount_minor=1", "/v1/charges?id=ch_33"]
)
def test_a_list_needs_a_filter_that_is_known(provider: OutsideSystem, path: str) -> None:
    assert provider.call("GET", path).status == 400


def test_a_body_over_one_mebibyte_is_refused_in_json(provider: OutsideSystem) -> None:
    reply = provider.call("POST", "/v1/refunds", {"reason": "x" * 2**21})
    assert (reply.status, reply.json["error"]["code"]) == (413, "body_too_large")


def test_one_connection_serves_many_requests(charge: Charge) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", charge.provider.port, timeout=10)
    connection.connect()
    own_socket = connection.sock
    for _ in range(5):
        connection.request(
            "GET", f"/v1/charges/{charge.id}", headers={"Authorization": "Bearer example-read"}
        )
        assert json.loads(connection.getresponse().read())["id"] == charge.id
        assert connection.sock is own_socket
    connection.close()


def test_it_stops_at_once_with_connections_open_and_work_pending(tmp_path: Path) -> None:
    with running("payments.py", tmp_path, "--seed", "--admin") as system:
        charge = Charge(system, "ch_01")
        charge.fault("late_effect", delay_s=30)
        charge.refund_unheard()
        idle = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
        idle.connect()
        began = time.monotonic()
        assert system.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5
        idle.close()
