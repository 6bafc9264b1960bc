"""What is handed on is less, and however often it is handed on, together it is not more."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from bailiwick.errors import IdentityError
from bailiwick.identity import covers
from bailiwick.nouns import Caller, Cap, Credential, Grant, Resource, Standing
from tests.s02_authenticate.desk import (
    NOW_US,
    REFUND,
    SECOND,
    Desk,
    account,
    cap,
    new_key,
    open_desk,
    parts_of,
    thumbprint,
)

CHARGE = Resource(type="Charge", id="ch_1")
TOOLS = ("payments.refund", "payments.read", "payments.eu.refund", "mail.send", "crm.read")
RESOURCES = (CHARGE, Resource(type="Charge", id="ch_2"), Resource(type="Order", id="ch_1"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One desk for all examples of a property; nothing in it changes."""
    return open_desk(Path(tmp_path_factory.mktemp("desk")) / "keys")


def draws(caller: Caller, tool: str = REFUND, resource: Resource = CHARGE) -> set[Cap]:
    """The caps that an action of this caller draws on."""
    return {cap for grant in covers(caller, tool, resource) for cap in grant.caps}


class Spending:
    """Budget nodes as the store keeps them: a spend happens if every cap has room for it."""

    def __init__(self) -> None:
        self.spent: dict[tuple[str, str, str], int] = defaultdict(int)

    def spend(self, caller: Caller, unit: str, amount: int) -> bool:
        caps = [cap for cap in draws(caller) if cap.unit == unit]
        keys = {(cap.node, cap.unit, cap.period) for cap in caps}
        if any(self.spent[c.node, c.unit, c.period] + amount > c.limit for c in caps):
            return False
        for key in keys:
            self.spent[key] += amount
        return True


# --- nodes ---------------------------------------------------------------------------------------


def node(desk: Desk, *grants: Grant) -> list[str]:
    token = desk.but(grants=grants).token()
    _, claims = parts_of(token)
    return [limit["node"] for entry in claims["authorization_details"] for limit in entry["limits"]]


SMALL = Grant(tools=(REFUND,), resources=("Charge:*",), caps=(cap("calls", 5),))


@pytest.mark.claim("identity.capability-node-stable")
@pytest.mark.parametrize(
    "again",
    [
        SMALL,
        msgspec.structs.replace(SMALL, caps=(cap("calls", 6),)),
        msgspec.structs.replace(SMALL, caps=(cap("micro_usd", 5),)),
    ],
)
def test_asking_again_finds_what_was_spent(desk: Desk, again: Grant) -> None:
    """Also with another limit: or a limit could be shed by asking for a different one."""
    first = node(desk, SMALL)
    later = desk.but(now_us=NOW_US + 3600 * SECOND)
    assert node(later, again) == first
    assert first[0].startswith("capability:")


@pytest.mark.claim("identity.capability-node-stable")
def test_the_order_of_a_grants_parts_does_not_matter(desk: Desk) -> None:
    one = Grant(tools=("payments.a", "payments.b"), resources=("A:*", "B:*"), caps=SMALL.caps)
    two = Grant(tools=("payments.b", "payments.a"), resources=("B:*", "A:*"), caps=SMALL.caps)
    assert node(desk, one) == node(desk, two)


@pytest.mark.claim("identity.capability-node-stable")
def test_other_runs_subjects_agents_and_scopes_have_other_nodes(desk: Desk) -> None:
    elsewhere = msgspec.structs.replace(SMALL, resources=("Order:*",))
    nodes = [
        node(desk, SMALL, elsewhere),
        node(desk.but(run="run-2"), SMALL),
        [parts["node"] for parts in limits(desk.but(grants=[SMALL]).token(subject="bob"))],
        [parts["node"] for parts in limits(desk.but(grants=[SMALL]).token(agent="mailer"))],
        node(desk.later(tenant="globex"), SMALL),
    ]
    flat = [id for some in nodes for id in some]
    assert len(set(flat)) == len(flat) == 6


def limits(token: str) -> list[dict[str, str]]:
    _, claims = parts_of(token)
    return [limit for entry in claims["authorization_details"] for limit in entry["limits"]]


# --- one step down -------------------------------------------------------------------------------

PARENT = Grant(tools=("payments.*", "mail.send"), resources=("Charge:*",), caps=(cap("calls", 10),))

TOO_WIDE = [
    ("another tool", Grant(tools=("crm.read",), resources=("Charge:*",))),
    ("one tool too many", Grant(tools=(REFUND, "crm.read"), resources=("Charge:*",))),
    ("a wider prefix", Grant(tools=("mail.*",), resources=("Charge:*",))),
    ("a name that begins alike", Grant(tools=("paymentsx.refund",), resources=("Charge:*",))),
    ("any resource", Grant(tools=(REFUND,))),
    ("another type", Grant(tools=(REFUND,), resources=("Order:ch_1",))),
    ("one resource too many", Grant(tools=(REFUND,), resources=("Charge:ch_1", "Order:*"))),
    (
        "a higher limit",
        Grant(tools=(REFUND,), resources=("Charge:*",), caps=(cap("calls", 11),)),
    ),
]
MALFORMED = [
    ("no tools", Grant(tools=())),
    ("no resources", Grant(tools=(REFUND,), resources=())),
    ("every tool", Grant(tools=("*",))),
    ("a star inside", Grant(tools=("pay*.refund",))),
    ("a bare prefix", Grant(tools=(".*",), resources=("Charge:*",))),
    ("a pattern of ids", Grant(tools=(REFUND,), resources=("Charge:ch_*",))),
    ("a resource without type", Grant(tools=(REFUND,), resources=("ch_1",))),
    ("an invisible letter", Grant(tools=("payments.\u200brefund",))),
    ("a negative limit", Grant(tools=(REFUND,), caps=(cap("calls", -1),))),
    ("an unknown unit", Grant(tools=(REFUND,), caps=(cap("dollars", 1),))),
    ("a limit twice", Grant(tools=(REFUND,), caps=(cap("calls", 1), cap("calls", 2)))),
]


@pytest.mark.claim("identity.narrowing-only")
@pytest.mark.parametrize("wide", [pytest.param(grant, id=name) for name, grant in TOO_WIDE])
def test_a_child_gets_nothing_the_parent_lacks(desk: Desk, wide: Grant) -> None:
    parent = desk.credential(desk.but(grants=[PARENT]).token())
    with pytest.raises(IdentityError) as refused:
        desk.hand_on(parent, new_key(), [wide])
    assert refused.value.code == "grant_too_wide"


@pytest.mark.parametrize("odd", [pytest.param(grant, id=name) for name, grant in MALFORMED])
def test_a_grant_that_cannot_be_read_for_sure_is_not_given(desk: Desk, odd: Grant) -> None:
    parent = desk.credential(desk.token())
    for give in (
        lambda: desk.but(grants=[odd]).token(),
        lambda: desk.hand_on(parent, new_key(), [odd]),
    ):
        with pytest.raises(IdentityError) as refused:
            give()
        assert refused.value.code == "grant_malformed"


@pytest.mark.parametrize("grants", [[], [SMALL, SMALL], [SMALL] * 33])
def test_grants_are_some_and_each_of_its_own_scope(desk: Desk, grants: list[Grant]) -> None:
    with pytest.raises(IdentityError) as refused:
        desk.but(grants=grants).token()
    assert refused.value.code == "grant_malformed"


def test_a_token_is_never_wider_than_the_manifest(desk: Desk) -> None:
    for tools in (("crm.*",), ("payments.refund", "hr.fire"), ("pay.*",)):
        with pytest.raises(IdentityError) as refused:
            desk.but(grants=[Grant(tools=tools)]).token()
        assert refused.value.code == "grant_too_wide"


@pytest.mark.parametrize(
    ("standings", "code"),
    [
        ({}, "agent_unknown"),
        ({"refund-desk": account("refund-desk", new_key())}, "agent_key_unknown"),
        ({"refund-desk": account("refund-desk", new_key(), enabled=False)}, "agent_disabled"),
    ],
)
def test_a_token_needs_an_account_in_good_standing(
    desk: Desk, standings: dict[str, Standing], code: str
) -> None:
    with pytest.raises(IdentityError) as refused:
        desk.later(standings=standings).token()
    assert refused.value.code == code


@pytest.mark.parametrize("subject", ["", "a\u202eb", "x" * 513])
def test_a_subject_has_a_name_that_people_can_read(desk: Desk, subject: str) -> None:
    with pytest.raises(IdentityError) as refused:
        desk.token(subject=subject)
    assert refused.value.code == "name_invalid"


def test_limits_need_a_named_run(desk: Desk) -> None:
    with pytest.raises(IdentityError) as refused:
        desk.but(grants=[SMALL], run=None).token()
    assert refused.value.code == "run_missing"


def test_a_token_has_a_size(desk: Desk) -> None:
    many = [
        Grant(tools=tuple(f"payments.tool_{i}_{j}" for j in range(64)), resources=("Charge:*",))
        for i in range(16)
    ]
    with pytest.raises(IdentityError) as refused:
        desk.but(grants=many).token()
    assert refused.value.code == "token_too_large"


@pytest.mark.claim("identity.narrowing-only")
def test_a_child_token_says_where_it_comes_from(desk: Desk) -> None:
    parent = desk.credential(desk.but(grants=[PARENT]).token())
    key = new_key()
    own = Grant(tools=(REFUND,), resources=("Charge:ch_1",), caps=(cap("calls", 4),))
    child = desk.caller(desk.hand_on(parent, key, [own], seconds=60))
    giver = desk.caller(parent)
    assert (child.agent, child.actors, child.subject) == ("refund-desk", (), "ann")
    assert child.capability.parents == (giver.capability.id,)
    assert child.capability.run == giver.capability.run
    assert child.capability.key_thumbprint == thumbprint(key)
    assert child.capability.expires_at_us == NOW_US + 60 * SECOND
    assert draws(giver) < draws(child)
    assert sorted(cap.limit for cap in draws(child)) == [4, 10]


@pytest.mark.claim("identity.narrowing-only")
def test_a_child_ends_with_its_parent(desk: Desk) -> None:
    parent = desk.credential(desk.token())
    later = desk.but(now_us=NOW_US + 400 * SECOND)
    child = later.hand_on(parent, new_key(), [Grant(tools=(REFUND,))])
    assert later.caller(child).capability.expires_at_us == NOW_US + 600 * SECOND
    assert desk.but(now_us=NOW_US + 600 * SECOND).code(child) == "token_expired"


@pytest.mark.claim("identity.narrowing-only")
def test_the_uncapped_of_two_grants_is_no_way_round_the_cap(desk: Desk) -> None:
    """The parent's refund draws on the first grant's cap; so does a child made from the second."""
    capped = Grant(tools=(REFUND,), resources=("Charge:*",), caps=(cap("calls", 3),))
    open_wide = Grant(tools=("payments.*",))
    parent = desk.credential(desk.but(grants=[capped, open_wide]).token())
    giver = desk.caller(parent)
    for grant in (Grant(tools=("payments.*",)), Grant(tools=(REFUND,), resources=("Charge:ch_1",))):
        child = desk.caller(desk.hand_on(parent, new_key(), [grant]))
        assert draws(giver) <= draws(child)


@pytest.mark.claim("identity.narrowing-only")
@pytest.mark.parametrize("wide", ["Charge:ch_11", "Charge:*", "Shop::Charge:ch_1", "*"])
def test_one_resource_is_that_one(desk: Desk, wide: str) -> None:
    one = Grant(tools=(REFUND,), resources=("Charge:ch_1",))
    parent = desk.credential(desk.but(grants=[one]).token())
    assert desk.code(desk.hand_on(parent, new_key(), [one])) is None
    with pytest.raises(IdentityError) as refused:
        desk.hand_on(parent, new_key(), [Grant(tools=(REFUND,), resources=(wide,))])
    assert refused.value.code == "grant_too_wide"


@pytest.mark.claim("identity.narrowing-only")
def test_the_lowest_limit_above_is_the_one_that_counts(desk: Desk) -> None:
    def limited(calls: int) -> Grant:
        return Grant(tools=(REFUND,), resources=("Charge:*",), caps=(cap("calls", calls),))

    root = desk.credential(desk.but(grants=[PARENT]).token())
    parent = desk.hand_on(root, new_key(), [limited(4)])
    assert desk.code(desk.hand_on(parent, new_key(), [limited(4)])) is None
    with pytest.raises(IdentityError) as refused:
        desk.hand_on(parent, new_key(), [limited(5)])
    assert refused.value.code == "grant_too_wide"


def test_no_two_generations_share_a_node(desk: Desk) -> None:
    """Not even for one key and one scope: or an action would be counted twice on it."""
    key = new_key()
    held = desk.credential(desk.but(grants=[SMALL]).token())
    for _ in range(3):
        held = desk.hand_on(held, key, [SMALL])
    caps = draws(desk.caller(held))
    assert len({cap.node for cap in caps}) == len(caps) == 4


def test_a_token_is_handed_on_in_its_own_tenant_only(desk: Desk) -> None:
    parent = desk.credential(desk.token())
    assert desk.code(parent) is None
    other = msgspec.structs.replace(desk.control, tenant="globex")
    with pytest.raises(IdentityError) as refused:
        desk.but(control=other).hand_on(parent, new_key(), [Grant(tools=(REFUND,))])
    assert refused.value.code == "token_wrong_audience"


def test_a_stolen_token_cannot_be_handed_on(desk: Desk) -> None:
    token = desk.token()
    thief = Credential(token=token, proof=desk.proof(token, new_key()))
    with pytest.raises(IdentityError) as refused:
        desk.hand_on(thief, new_key(), [Grant(tools=(REFUND,))])
    assert refused.value.code == "proof_invalid"


# --- to another agent ----------------------------------------------------------------------------


def test_handing_on_to_an_agent_keeps_who_asked(desk: Desk) -> None:
    parent = desk.credential(desk.token())
    child = desk.hand_on(parent, desk.keys["mailer"], [Grant(tools=(REFUND,))], "mailer")
    caller = desk.caller(child)
    assert (caller.agent, caller.actors, caller.subject) == ("mailer", ("refund-desk",), "ann")
    act = {"iss": "bailiwick:acme", "sub_profile": "ai_agent"}
    _, claims = parts_of(child.token)
    assert claims["act"] == {"sub": "mailer", **act, "act": {"sub": "refund-desk", **act}}


@pytest.mark.parametrize(
    ("agent", "own_key", "tools", "code"),
    [
        ("nobody", True, (REFUND,), "agent_unknown"),
        ("mailer", False, (REFUND,), "agent_key_unknown"),
        ("mailer", True, ("crm.read",), "grant_too_wide"),
    ],
)
def test_an_agent_receives_only_as_itself_and_within_its_manifest(
    desk: Desk, agent: str, own_key: bool, tools: tuple[str, ...], code: str
) -> None:
    giver = desk.but(grants=[Grant(tools=("payments.*", "crm.read"))])
    key = desk.keys["mailer"] if own_key else new_key()
    with pytest.raises(IdentityError) as refused:
        desk.hand_on(desk.credential(giver.token()), key, [Grant(tools=tools)], agent)
    assert refused.value.code == code


def test_a_delegation_does_not_turn_back(desk: Desk) -> None:
    parent = desk.credential(desk.token())
    child = desk.hand_on(parent, desk.keys["mailer"], [Grant(tools=(REFUND,))], "mailer")
    with pytest.raises(IdentityError) as refused:
        desk.hand_on(child, desk.keys["refund-desk"], [Grant(tools=(REFUND,))], "refund-desk")
    assert refused.value.code == "delegation_circular"


def test_a_delegation_has_a_depth(desk: Desk) -> None:
    held = desk.credential(desk.token())
    for _ in range(8):
        held = desk.hand_on(held, new_key(), [Grant(tools=(REFUND,))])
    assert desk.code(held) is None
    with pytest.raises(IdentityError) as refused:
        desk.hand_on(held, new_key(), [Grant(tools=(REFUND,))])
    assert refused.value.code == "delegation_too_deep"


# --- any tree ------------------------------------------------------------------------------------

BELOW = {
    "*": ["*", "Charge:*", "Charge:ch_1", "Order:*"],
    "Charge:*": ["Charge:*", "Charge:ch_1", "Charge:ch_2"],
    "payments.*": ["payments.*", "payments.refund", "payments.eu.*", "payments.eu.refund"],
    "payments.eu.*": ["payments.eu.*", "payments.eu.refund"],
}
tool_patterns = st.sampled_from([*TOOLS, *["payments.*"] * 4, "payments.eu.*"])
resource_patterns = st.sampled_from(["*", "Charge:*", "Charge:ch_1", "Order:*", "Order:ch_1"])
caps = st.dictionaries(
    st.sampled_from(["calls", "micro_usd", "value:EUR"]), st.integers(0, 20), max_size=2
).map(lambda chosen: tuple(cap(unit, limit) for unit, limit in chosen.items()))


def some(patterns: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(patterns, min_size=1, max_size=3).map(tuple)


grants = st.builds(Grant, tools=some(tool_patterns), resources=some(resource_patterns), caps=caps)


def below(grant: Grant) -> st.SearchStrategy[Grant]:
    """Grants that lie within this one, as far as their patterns go."""
    tools = st.sampled_from([narrow for tool in grant.tools for narrow in BELOW.get(tool, [tool])])
    ids = st.sampled_from([narrow for id in grant.resources for narrow in BELOW.get(id, [id])])
    return st.builds(Grant, tools=some(tools), resources=some(ids), caps=caps)


def children_of(giver: Caller) -> st.SearchStrategy[list[Grant]]:
    """Mostly what the giver may hand on, and sometimes anything."""
    within = st.sampled_from(giver.capability.grants).flatmap(below)
    return st.lists(st.one_of(within, within, within, grants), min_size=1, max_size=2)


def reach(caller: Caller) -> Iterator[tuple[str, Resource]]:
    """What a caller may touch."""
    for tool in TOOLS:
        for resource in RESOURCES:
            if covers(caller, tool, resource):
                yield tool, resource


def issued(desk: Desk, wanted: Sequence[Grant]) -> Credential | None:
    try:
        return desk.credential(desk.but(grants=wanted).token())
    except IdentityError:
        return None


def narrowed(desk: Desk, held: Credential, wanted: Sequence[Grant]) -> Credential | str:
    """The child's credential, or the code of the refusal."""
    try:
        return desk.hand_on(held, new_key(), wanted)
    except IdentityError as refused:
        return refused.code


def tool_of(credential: Credential) -> str:
    """A tool that the token names, to get through the door with."""
    _, claims = parts_of(credential.token)
    return str(claims["authorization_details"][0]["actions"][0]).replace(".*", ".x")


@pytest.mark.claim("identity.narrowing-only")
@settings(max_examples=150, deadline=None)
@given(parents=st.lists(grants, min_size=1, max_size=3), data=st.data())
def test_every_step_down_reaches_less_and_draws_on_more(
    shared: Desk, parents: list[Grant], data: st.DataObject
) -> None:
    held = issued(shared, parents)
    assume(held is not None)
    assert held is not None
    for _ in range(3):
        giver = shared.caller(held, tool_of(held))
        wanted = data.draw(children_of(giver))
        child = narrowed(shared, held, wanted)
        if isinstance(child, str):
            assert child in ("grant_too_wide", "grant_malformed")
            return
        receiver = shared.caller(child, tool_of(child))
        event("handed on")
        assert set(reach(receiver)) <= set(reach(giver))
        assert receiver.capability.expires_at_us <= giver.capability.expires_at_us
        for tool, resource in reach(receiver):
            assert draws(giver, tool, resource) <= draws(receiver, tool, resource)
        held = child


@pytest.mark.claim("identity.children-share-parent-cap")
@settings(max_examples=40, deadline=None)
@given(
    limit=st.integers(1, 30),
    tree=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=10),
    spends=st.lists(st.tuples(st.integers(0, 10), st.integers(1, 9)), max_size=60),
)
def test_a_tree_of_children_spends_what_its_root_may(
    shared: Desk,
    limit: int,
    tree: list[tuple[int, int]],
    spends: list[tuple[int, int]],
) -> None:
    """Each child hangs below an earlier one, with a limit of its own that is at most the root's."""
    top = Grant(tools=(REFUND,), resources=("Charge:*",), caps=(cap("value:EUR", limit),))
    held = [shared.credential(shared.but(grants=[top]).token())]
    for below, share in tree:
        own = Grant(
            tools=(REFUND,), resources=("Charge:ch_1",), caps=(cap("value:EUR", min(share, limit)),)
        )
        child = narrowed(shared, held[below % len(held)], [own])
        if isinstance(child, Credential):
            held.append(child)
        else:
            assert child == "grant_too_wide"
    callers = [shared.caller(credential) for credential in held]
    budget = Spending()
    total = 0
    for who, amount in spends:
        if budget.spend(callers[who % len(callers)], "value:EUR", amount):
            total += amount
    assert total <= limit
    rest = limit - total
    assert budget.spend(callers[0], "value:EUR", rest)
    assert not budget.spend(callers[-1], "value:EUR", 1)


@pytest.mark.claim("identity.children-share-parent-cap")
def test_ten_children_do_not_spend_ten_times(desk: Desk) -> None:
    ten_each = Grant(tools=(REFUND,), caps=(cap("calls", 10),))
    parent = desk.credential(desk.but(grants=[ten_each]).token())
    children = [desk.caller(desk.hand_on(parent, new_key(), [ten_each])) for _ in range(10)]
    budget = Spending()
    made = sum(budget.spend(child, "calls", 1) for child in children for _ in range(10))
    assert made == 10


@pytest.mark.claim("identity.children-share-parent-cap")
def test_two_children_with_keys_of_their_own_have_limits_of_their_own(desk: Desk) -> None:
    parent = desk.credential(desk.but(grants=[PARENT]).token())
    own = Grant(tools=(REFUND,), resources=("Charge:*",), caps=(cap("calls", 4),))
    one_key, other_key = new_key(), new_key()
    one, again, other = (
        desk.caller(desk.hand_on(parent, key, [own])) for key in (one_key, one_key, other_key)
    )
    budget = Spending()
    assert sum(budget.spend(one, "calls", 1) for _ in range(9)) == 4
    assert sum(budget.spend(again, "calls", 1) for _ in range(9)) == 0
    assert sum(budget.spend(other, "calls", 1) for _ in range(9)) == 4
    assert sum(budget.spend(desk.caller(parent), "calls", 1) for _ in range(9)) == 2
