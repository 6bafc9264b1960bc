"""What an action draws on, in which unit, and when it does not fit."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bailiwick import limits
from bailiwick.errors import ConfigError
from bailiwick.nouns import (
    Balance,
    Cap,
    Grant,
    Hold,
    Manifest,
    Period,
    Price,
    Release,
    Resource,
    Situation,
    Tool,
)
from bailiwick.ports import Bundle, Catalogue, Policies
from bailiwick.transactions import InsertAction, MoveAction, Settle, Take
from bailiwick.values import JSON, MAX_INTEGER
from tests.s03_admit.samples import CALLER, MANIFEST, NOW_US, TOOL, Shop, open_shop, stored

EUR: dict[str, JSON] = {"value": 7500, "currency": "EUR"}
LOOK = replace(TOOL, name="payments.look", effect="read", traits=(), cost_micro_usd=0)


def cap(node: str, unit: str = "calls", limit: int = 10, period: Period = "all") -> Cap:
    return Cap(node=node, unit=unit, limit=limit, period=period)


def bundle(*caps: Cap, rates: tuple[Cap, ...] = (), manifest: Manifest = MANIFEST) -> Bundle:
    """A release of which pricing may read the caps, rates and manifests only."""
    return Bundle(
        release=Release(digest="r1", files={}, created_at_us=NOW_US, created_by="ann"),
        catalogue=cast(Catalogue, None),
        policies=cast(Policies, None),
        manifests={"refund-desk": manifest},
        caps=caps,
        rates=rates,
    )


def situation(facts: Mapping[str, JSON]) -> Situation:
    return Situation(
        arguments={},
        canonical=b"{}",
        resource=Resource(type="Charge", id="ch_1"),
        facts=facts,
        input={},
        before={},
    )


def holds(
    of: Bundle,
    facts: Mapping[str, JSON] = EUR,
    tool: Tool = TOOL,
    grants: tuple[Grant, ...] = (),
) -> list[tuple[str, str, int]]:
    found = limits.holds_for(of, CALLER, tool, situation(facts), grants)
    return [(hold.cap.node, hold.cap.unit, hold.amount) for hold in found]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


async def priced(
    shop: Shop,
    of: Bundle,
    facts: Mapping[str, JSON] = EUR,
    tool: Tool = TOOL,
    grants: tuple[Grant, ...] = (),
) -> Price:
    return await limits.price(shop.world, of, CALLER, tool, situation(facts), grants=grants)


# --- units and nodes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "tool", "facts", "amount"),
    [
        ("calls", TOOL, EUR, 1),
        ("calls", LOOK, {}, 1),
        ("micro_usd", TOOL, EUR, 250),
        ("micro_usd", LOOK, {}, None),
        ("tokens", TOOL, EUR, None),
        ("value:EUR", TOOL, EUR, 7500),
        ("value:EUR", TOOL, {"value": 0, "currency": "EUR"}, None),
        ("value:EUR", LOOK, {}, None),
        ("value:EUR", LOOK, EUR, 7500),
    ],
)
def test_each_unit_has_its_amount_and_nothing_is_held_for_none(
    unit: str, tool: Tool, facts: dict[str, JSON], amount: int | None
) -> None:
    expected = [] if amount is None else [("tenant", unit, amount)]
    assert holds(bundle(cap("tenant", unit)), facts, tool) == expected


@pytest.mark.parametrize(
    ("node", "placed"),
    [
        ("tenant", "tenant"),
        ("agent", "agent:refund-desk"),
        ("agent:refund-desk", "agent:refund-desk"),
        ("agent:ledger-clerk", None),
        ("run", "run:run-1"),
        ("run:run-2", None),
        ("tool", "tool:payments.refund"),
        ("tool:payments.payout", None),
        ("customer", "customer:c-7"),
        ("customer:c-7", "customer:c-7"),
        ("customer:c-8", None),
        ("rate:tool:payments.refund", "rate:tool:payments.refund"),
        ("rate:tool:payments.payout", None),
        ("rate:agent:refund-desk", "rate:agent:refund-desk"),
        ("rate:agent", "rate:agent:refund-desk"),
        ("rate:tenant", "rate:tenant"),
        ("capability:cap-0", "capability:cap-0"),
    ],
)
def test_a_cap_counts_at_the_node_of_this_action(node: str, placed: str | None) -> None:
    found = holds(bundle(cap(node)), {**EUR, "customer": "c-7"})
    assert found == ([(placed, "calls", 1)] if placed else [])


def test_a_customers_cap_is_nothing_to_an_action_about_no_customer() -> None:
    assert holds(bundle(cap("customer"))) == []


@pytest.mark.parametrize(
    ("bad", "facts"),
    [
        (cap("galaxy"), EUR),
        (cap("rate:galaxy:x"), EUR),
        (cap("capability:"), EUR),
        (cap(""), EUR),
        (cap("tenant", "euros"), EUR),
        (cap("tenant", "value:eur"), EUR),
        (cap("tenant", "value:"), EUR),
        (cap("customer"), {**EUR, "customer": ["c-7", "c-8"]}),
    ],
    ids=str,
)
def test_a_cap_that_means_nothing_is_a_fault_and_not_a_free_pass(
    bad: Cap, facts: dict[str, JSON]
) -> None:
    with pytest.raises(ConfigError) as fault:
        holds(bundle(bad), facts)
    assert fault.value.code == "cap_invalid"


def test_caps_come_from_release_manifest_rates_and_covering_grants_hottest_last() -> None:
    manifest = replace(
        MANIFEST,
        caps=(cap("run"), cap("agent", "value:EUR")),
        rates=(cap("rate:agent:refund-desk", period="minute"),),
    )
    grant = Grant(tools=("payments.*",), caps=(cap("capability:cap-1"), cap("capability:cap-0")))
    of = bundle(
        cap("tenant", "value:EUR"),
        cap("tenant"),
        cap("customer"),
        rates=(cap("rate:tool:payments.refund", period="minute"),),
        manifest=manifest,
    )
    found = holds(of, {**EUR, "customer": "c-7"}, grants=(grant,))
    assert [(node, unit) for node, unit, _ in found] == [
        ("capability:cap-0", "calls"),
        ("capability:cap-1", "calls"),
        ("run:run-1", "calls"),
        ("agent:refund-desk", "value:EUR"),
        ("rate:agent:refund-desk", "calls"),
        ("customer:c-7", "calls"),
        ("rate:tool:payments.refund", "calls"),
        ("tenant", "calls"),
        ("tenant", "value:EUR"),
    ]


def test_of_equal_caps_the_lowest_limit_counts_once_and_each_period_by_itself() -> None:
    of = bundle(cap("agent", limit=9), cap("agent:refund-desk", limit=4), cap("agent", limit=7))
    (hold,) = limits.holds_for(of, CALLER, TOOL, situation(EUR), ())
    assert hold == Hold(cap=cap("agent:refund-desk", limit=4), amount=1)
    of = bundle(cap("agent", limit=9, period="day"), cap("agent", limit=4))
    assert len(holds(of)) == 2


# --- what does not fit --------------------------------------------------------------------------


@pytest.mark.claim("limits.foreign-currency-over")
@pytest.mark.parametrize(
    ("facts", "tool", "fits"),
    [
        (EUR, TOOL, True),
        ({"value": 1, "currency": "USD"}, TOOL, False),
        ({"value": 1, "currency": "eur"}, TOOL, False),
        ({"value": 1}, TOOL, False),
        ({"currency": "EUR"}, TOOL, False),
        ({}, TOOL, False),
        ({}, LOOK, True),
        ({"value": 1, "currency": "USD"}, LOOK, False),
        ({"value": -1, "currency": "EUR"}, TOOL, False),
        ({"value": 1.5, "currency": "EUR"}, TOOL, False),
        ({"value": True, "currency": "EUR"}, TOOL, False),
        ({"value": "1", "currency": "EUR"}, TOOL, False),
        ({"value": MAX_INTEGER + 1, "currency": "EUR"}, TOOL, False),
    ],
    ids=str,
)
async def test_money_that_a_cap_cannot_count_is_over_it(
    shop: Shop, facts: dict[str, JSON], tool: Tool, fits: bool
) -> None:
    money = cap("tenant", "value:EUR", MAX_INTEGER)
    found = await priced(shop, bundle(money, cap("run")), facts, tool)
    assert found.over == (() if fits else (money,))
    assert ("run:run-1", 1) in [(hold.cap.node, hold.amount) for hold in found.holds]


@pytest.mark.claim("limits.foreign-currency-over")
async def test_a_cap_in_each_currency_bounds_both(shop: Shop) -> None:
    of = bundle(
        cap("tenant", "value:EUR", 100, "day"),
        cap("tenant", "value:USD", 100, "day"),
        cap("agent", "value:EUR", 100),
    )
    dollars = await priced(shop, of, {"value": 5, "currency": "USD"})
    assert [(hold.cap.unit, hold.amount) for hold in dollars.holds] == [("value:USD", 5)]
    assert [each.node for each in dollars.over] == ["agent:refund-desk"]
    yen = await priced(shop, of, {"value": 5, "currency": "JPY"})
    assert yen.holds == ()
    assert len(yen.over) == 3


async def test_a_cost_that_is_no_amount_is_over_the_cap(shop: Shop) -> None:
    of = bundle(cap("tenant", "micro_usd", 10), cap("tenant", "value:EUR", 9000))
    for cost in (-1, MAX_INTEGER + 1):
        found = await priced(shop, of, tool=replace(TOOL, cost_micro_usd=cost))
        assert [each.unit for each in found.over] == ["micro_usd"]


async def test_a_price_follows_what_is_spent_and_held(shop: Shop) -> None:
    money = cap("tenant", "value:EUR", 20_000)
    of = bundle(money, cap("run", limit=3))
    taken = []
    for number in range(3):
        found = await priced(shop, of)
        taken.append([each.node for each in found.over])
        if not found.over:
            action = stored(f"act-{number}")
            await shop.commit(
                Take(action=action.id, holds=found.holds), InsertAction(action=action)
            )
    assert taken == [[], [], ["tenant"]]
    again = MoveAction(action=replace(stored("act-0"), state="failed", version=2))
    await shop.commit(Settle(action="act-0", spent={"value:EUR": 0}), again)
    assert (await priced(shop, of)).over == ()


async def test_a_day_and_a_minute_begin_again(shop: Shop) -> None:
    of = bundle(
        cap("tenant", limit=1, period="day"), rates=(cap("rate:agent", limit=1, period="minute"),)
    )
    await shop.commit(Take(action="act-0", holds=(await priced(shop, of)).holds))
    overs = []
    for later_us in (0, 60_000_000, 86_400_000_000):
        shop.clock.now_us = NOW_US + later_us
        overs.append([each.period for each in (await priced(shop, of)).over])
    assert overs == [["minute", "day"], ["day"], []]


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        ([cap("a", limit=1, period="minute")], 60.0),
        ([cap("a", limit=1, period="minute"), cap("a", limit=1, period="hour")], 3600.0),
        ([cap("a", limit=1, period="minute"), cap("a", limit=1)], None),
        ([cap("a", limit=0, period="minute")], None),
        ([], None),
    ],
    ids=["one", "the-longest", "never-again", "nothing-fits", "nothing-over"],
)
def test_when_it_would_fit_again_is_said_only_where_time_helps(
    caps: list[Cap], expected: float | None
) -> None:
    held = Price(holds=tuple(Hold(cap=each, amount=1) for each in caps), over=tuple(caps))
    assert limits.reopens_after_s(held, NOW_US - NOW_US % 86_400_000_000) == expected


async def test_without_caps_nothing_is_held_and_nothing_is_over(shop: Shop) -> None:
    assert await priced(shop, bundle()) == Price(holds=())


# --- properties ---------------------------------------------------------------------------------

amounts = st.integers(0, MAX_INTEGER)
caps = st.lists(
    st.builds(
        cap,
        st.sampled_from(["tenant", "agent", "run", "agent:refund-desk", "tool", "agent:other"]),
        st.sampled_from(["calls", "micro_usd", "tokens", "value:EUR", "value:USD"]),
        amounts,
        st.sampled_from(["all", "day", "hour", "minute"]),
    ),
    max_size=8,
)


@given(caps=caps, value=st.integers(-5, MAX_INTEGER + 5), order=st.randoms())
def test_each_cap_that_applies_is_held_in_full_or_over_at_its_lowest_limit(
    caps: list[Cap], value: int, order: Any
) -> None:
    facts = situation({"value": value, "currency": "EUR"})
    found = limits.holds_for(bundle(*caps), CALLER, TOOL, facts, ())
    keys = [(hold.cap.node, hold.cap.unit, hold.cap.period) for hold in found]
    assert len(keys) == len(set(keys))
    assert all(0 < hold.amount <= MAX_INTEGER for hold in found)
    for hold in found:
        same = [each.limit for each in caps if placed(each) == placed(hold.cap)]
        assert hold.cap.limit == min(same)
    expected = {"calls": 1, "micro_usd": 250, "value:EUR": value}
    countable = 0 < value <= MAX_INTEGER
    wanted = {
        placed(each)
        for each in caps
        if each.node != "agent:other"
        and each.unit in expected
        and (countable or each.unit != "value:EUR")
    }
    assert set(keys) == wanted
    assert all(hold.amount == expected[hold.cap.unit] for hold in found)
    shuffled = order.sample(caps, len(caps))
    assert limits.holds_for(bundle(*shuffled), CALLER, TOOL, facts, ()) == found


def placed(of: Cap) -> tuple[str, str, str]:
    own = {"agent": "agent:refund-desk", "run": "run:run-1", "tool": "tool:payments.refund"}
    return own.get(of.node, of.node), of.unit, of.period


@given(limit=st.integers(0, 2**60), spent=amounts, held=amounts, amount=st.integers(1, MAX_INTEGER))
def test_what_fits_is_within_the_limit_and_within_what_can_be_counted(
    limit: int, spent: int, held: int, amount: int
) -> None:
    hold = Hold(cap=cap("tenant", limit=limit), amount=amount)
    balance = Balance(node="tenant", unit="calls", bucket="", spent=spent, held=held)
    over = limits.misfits((hold,), (balance,)) != ()
    assert over == (spent + held + amount > limit or spent + held + amount >= 2**53)


@pytest.mark.parametrize(("spent", "over"), [(MAX_INTEGER - 1, False), (MAX_INTEGER, True)])
def test_no_limit_is_higher_than_what_can_be_counted(spent: int, over: bool) -> None:
    hold = Hold(cap=cap("tenant", limit=2**60), amount=1)
    balance = Balance(node="tenant", unit="calls", bucket="", spent=spent, held=0)
    assert bool(limits.misfits((hold,), (balance,))) is over


def test_balances_that_do_not_belong_to_the_holds_are_a_fault() -> None:
    with pytest.raises(ValueError, match="shorter"):
        limits.misfits((Hold(cap=cap("tenant"), amount=1),), ())
