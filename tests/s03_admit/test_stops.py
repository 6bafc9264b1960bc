"""Kill switches: each scope stops what it covers and nothing else, and says who pulled it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bailiwick import limits
from bailiwick.errors import ControlError
from bailiwick.execution.fencing import covering
from bailiwick.nouns import Action, Refusal, Scope, Standing, Stop
from bailiwick.ports import ControlState
from bailiwick.transactions import LiftStop, PutStop, RaiseEpoch
from tests.s03_admit.samples import CALLER, NOW_US, TENANT, TOOL, Shop, open_shop

TARGETS: dict[Scope, tuple[str, str]] = {  # the target that covers the call, and one that does not
    "tenant": (TENANT, "other"),
    "agent": ("refund-desk", "ledger-clerk"),
    "tool": ("payments.refund", "payments.payout"),
    "upstream": ("pay.example", "mail.example"),
    "run": ("run-1", "run-2"),
}


def stop(scope: Scope, target: str = "", **others: str) -> Stop:
    about = {"by": "ann", "reason": "double refunds", **others}
    return Stop(scope=scope, target=target, since_us=NOW_US, **about)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


async def admitted(shop: Shop, agent: str = "refund-desk", actors: tuple[str, ...] = ()) -> object:
    case = await shop.case(replace(CALLER, agent=agent, actors=actors))
    return await limits.admit(shop.world, case, None)


@pytest.mark.claim("limits.stop-covers-every-scope")
@pytest.mark.parametrize("scope", ["everything", *TARGETS])
async def test_a_stop_of_each_scope_refuses_until_it_is_lifted(shop: Shop, scope: Scope) -> None:
    target = TARGETS[scope][0] if scope in TARGETS else ""
    assert await admitted(shop) is None
    await shop.commit(*limits.stop_ops(stop(scope, target)))
    refusal = await admitted(shop)
    assert isinstance(refusal, Refusal)
    assert (refusal.step, refusal.code) == (3, "stopped")
    await shop.commit(*limits.lift_ops(scope, target))
    assert await admitted(shop) is None


@pytest.mark.claim("limits.stop-covers-every-scope")
@pytest.mark.parametrize("scope", TARGETS)
async def test_a_stop_of_something_else_stops_nothing_here(shop: Shop, scope: Scope) -> None:
    await shop.commit(*limits.stop_ops(stop(scope, TARGETS[scope][1])))
    assert await admitted(shop) is None


@pytest.mark.claim("limits.stop-covers-every-scope")
async def test_what_a_stopped_agent_has_delegated_stops_with_it(shop: Shop) -> None:
    await shop.commit(*limits.stop_ops(stop("agent", "planner")))
    assert await admitted(shop, actors=("router",)) is None
    assert isinstance(await admitted(shop, actors=("router", "planner")), Refusal)


async def test_a_stop_raises_the_epoch_and_so_does_lifting_it(shop: Shop) -> None:
    epochs = [await shop.store.epoch(TENANT)]
    for ops in (limits.stop_ops(stop("everything")), limits.lift_ops("everything", "")):
        await shop.commit(*ops)
        epochs.append(await shop.store.epoch(TENANT))
    assert epochs == sorted(set(epochs))


async def test_the_refusal_says_what_who_when_and_why(shop: Shop) -> None:
    pulled = stop("agent", "refund-desk", reason="double\x1b[2J refunds")
    await shop.commit(*limits.stop_ops(pulled))
    refusal = await admitted(shop)
    assert isinstance(refusal, Refusal)
    assert refusal.message == (
        "agent `refund-desk` was stopped by `ann` at 2026-11-18 11:06:40Z: "
        "`double\\u{1b}[2J refunds`"
    )
    assert refusal.details["scope"] == "agent"
    assert refusal.help


def covers(of: Stop, upstream: str | None = "pay.example") -> bool:
    return limits.covers(
        of,
        tenant=TENANT,
        agent="refund-desk",
        tool="payments.refund",
        upstream=upstream,
        run="run-1",
    )


@pytest.mark.parametrize("scope", TARGETS)
def test_a_target_of_one_scope_means_nothing_in_another(scope: Scope) -> None:
    for other, (target, _) in TARGETS.items():
        assert covers(stop(scope, target)) is (scope == other)


def test_a_tool_without_upstream_is_in_no_stopped_upstream() -> None:
    assert covers(stop("upstream", "pay.example"))
    assert not covers(stop("upstream", "pay.example"), upstream=None)
    assert not covers(stop("upstream", ""), upstream=None)


def test_a_scope_that_a_newer_version_wrote_stops_everything() -> None:
    assert covers(replace(stop("run", "x"), scope="region"))


def test_the_fence_before_each_send_knows_the_same_stops() -> None:
    """Two organs that may not know each other apply one rule: what is refused is not sent."""
    caller = replace(CALLER, key_ids=("k1",))
    action = Action(
        id="act-1",
        tenant=TENANT,
        agent=caller.agent,
        subject=caller.subject,
        run=caller.capability.run,
        tool=TOOL.name,
        tool_digest=TOOL.digest,
        name="n",
        attempt=1,
        state="intended",
        version=2,
        arguments_mac="mac",
        caller=caller,
        created_at_us=NOW_US,
        updated_at_us=NOW_US,
    )
    standing = Standing(agent=caller.agent, enabled=True, keys={"k1": {}})
    pulled = [stop("everything"), *(stop(scope, own) for scope, (own, _) in TARGETS.items())]
    # A stop of scope tenant is only ever kept with its own tenant.
    beside = [stop(scope, other) for scope, (_, other) in TARGETS.items() if scope != "tenant"]
    for each in [*pulled, *beside]:
        control = ControlState(
            tenant=TENANT,
            epoch=1,
            release=None,
            stops=(each,),
            standings={caller.agent: standing},
            revoked=frozenset(),
        )
        assert covers(each) is (each in pulled), each
        assert (covering(control, action, TOOL) is not None) is (each in pulled), each


# --- the operations -----------------------------------------------------------------------------


def test_the_operations_are_the_epoch_and_the_switch() -> None:
    pulled = stop("tool", "payments.refund")
    assert limits.stop_ops(pulled) == (RaiseEpoch(), PutStop(stop=pulled))
    lifted = LiftStop(scope="tool", target="payments.refund")
    assert limits.lift_ops("tool", "payments.refund") == (RaiseEpoch(), lifted)


@pytest.mark.parametrize(
    ("scope", "target", "code"),
    [
        ("region", "eu", "scope_unknown"),
        ("", "", "scope_unknown"),
        ("everything", "payments.refund", "target_invalid"),
        ("tool", "", "target_invalid"),
        ("agent", "refund\u200bdesk", "target_invalid"),
        ("run", "x" * 513, "target_invalid"),
    ],
)
def test_a_switch_that_would_stop_nothing_is_refused(scope: str, target: str, code: str) -> None:
    with pytest.raises(ControlError) as lifting:
        limits.lift_ops(scope, target)
    with pytest.raises(ControlError) as stopping:
        limits.stop_ops(replace(stop("run", target), scope=scope))
    assert lifting.value.code == stopping.value.code == code


def test_a_stop_names_its_operator() -> None:
    with pytest.raises(ControlError) as fault:
        limits.stop_ops(stop("everything", by=""))
    assert fault.value.code == "operator_unknown"


@pytest.mark.claim("limits.loosening-needs-two")
@pytest.mark.parametrize("kind", ["stop", "revoke", "disable_agent"])
@pytest.mark.parametrize("admins", [0, 1, 2, 5])
def test_tightening_waits_for_nobody(kind: str, admins: int) -> None:
    assert not limits.needs_second(kind, admins)


@pytest.mark.claim("limits.loosening-needs-two")
@pytest.mark.parametrize("kind", ["lift_stop", "activate_release", "disable_person", "novelty"])
def test_anything_else_waits_for_a_second_person_once_there_are_two(kind: str) -> None:
    assert [limits.needs_second(kind, admins) for admins in (0, 1, 2, 3)] == [
        False,
        False,
        True,
        True,
    ]
