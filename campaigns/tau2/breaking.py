"""Counter-examples: calls that break one rule of the policy, made from the shop's own orders."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from campaigns.tau2.shop import Step

_ADDRESS: Mapping[str, str] = {
    "address1": "1 Rule Street",
    "address2": "",
    "city": "Austin",
    "state": "TX",
    "country": "USA",
    "zip": "78701",
}
_REASON = "no longer needed"
_MODIFY, _EXCHANGE = "modify_pending_order_items", "exchange_delivered_order_items"
SCHEMA = "arguments_invalid"


class Breach(NamedTuple):
    """A call that must be refused: which rule says so, for whom, and what is done before."""

    kind: str
    rule: str
    subject: str
    step: Step
    first: Step | None = None


def breaches(db: Any, each: int) -> Iterator[Breach]:
    """So many counter-examples of each kind."""
    orders = [order for order in db.orders.values() if order.items]
    yield from _of_statuses(db, orders, each)
    yield from _of_payments(db, orders, each)
    yield from _of_returns(db, orders, each)
    for method, status in ((_MODIFY, "pending"), (_EXCHANGE, "delivered")):
        held = [order for order in orders if order.status == status]
        yield from _of_changes(db, held, method, each)
    yield from _of_strangers(db, orders, each)
    yield from _of_repeats(db, orders, each)


def _of_statuses(db: Any, orders: list[Any], each: int) -> Iterator[Breach]:
    others = {
        status: [order for order in orders if order.status != status]
        for status in ("pending", "delivered")
    }
    for order in islice(others["pending"], each):
        step = Step("cancel_pending_order", {"order_id": order.order_id, "reason": _REASON})
        yield Breach("cancel_not_pending", "retail.cancel-pending", order.user_id, step)
        step = Step("modify_pending_order_address", {"order_id": order.order_id, **_ADDRESS})
        yield Breach("address_not_pending", "retail.modify-pending", order.user_id, step)
    pending = (order for order in orders if order.status == "pending")
    for order in islice(pending, each):
        step = Step("cancel_pending_order", {"order_id": order.order_id, "reason": "too dear"})
        yield Breach("cancel_other_reason", SCHEMA, order.user_id, step)
    for method, status, rule in (
        (_MODIFY, "pending", "retail.modify-pending"),
        (_EXCHANGE, "delivered", "retail.take-back-delivered"),
    ):
        possible = (_change(db, order, method) for order in others[status])
        for step in islice(filter(None, possible), each):
            user = db.orders[step.arguments["order_id"]].user_id
            yield Breach(f"{method}_not_{status}", rule, user, step)
    for order in islice(others["delivered"], each):
        step = _return(order, order.payment_history[0].payment_method_id)
        yield Breach("return_not_delivered", "retail.take-back-delivered", order.user_id, step)


def _of_payments(db: Any, orders: list[Any], each: int) -> Iterator[Breach]:
    pending = [order for order in orders if order.status == "pending"]
    for order in islice(pending, each):
        step = _pay(order, order.payment_history[0].payment_method_id)
        yield Breach("payment_same_method", "retail.another-method", order.user_id, step)
        step = _pay(order, _strange_method(db, order, "credit_card"))
        yield Breach("payment_strange_method", "retail.known-method", order.user_id, step)
    short = (
        (order, card)
        for order in pending
        for card in _methods(db, order, "gift_card")
        if card.balance < order.payment_history[0].amount
        and card.id != order.payment_history[0].payment_method_id
    )
    for order, card in islice(short, each):
        step = _pay(order, card.id)
        yield Breach("payment_gift_card_short", "retail.gift-card-covers", order.user_id, step)


def _of_returns(db: Any, orders: list[Any], each: int) -> Iterator[Breach]:
    delivered = [order for order in orders if order.status == "delivered"]
    other_ways = (
        (order, method.id)
        for order in delivered
        for method in _methods(db, order, "credit_card", "paypal")
        if method.id != order.payment_history[0].payment_method_id
    )
    for order, method in islice(other_ways, each):
        step = _return(order, method)
        yield Breach("return_other_method", "retail.refund-way", order.user_id, step)
    for order in islice(delivered, each):
        step = _return(order, _strange_method(db, order, "gift_card"))
        yield Breach("return_strange_gift_card", "retail.refund-way", order.user_id, step)
        given = {**_return(order, order.payment_history[0].payment_method_id).arguments}
        given["item_ids"] = [_strange_item(orders, order)]
        step = Step("return_delivered_order_items", given)
        yield Breach("return_strange_item", "retail.items-of-the-order", order.user_id, step)


def _of_changes(db: Any, held: list[Any], method: str, each: int) -> Iterator[Breach]:
    possible = [(order, step) for order in held if (step := _change(db, order, method)) is not None]
    for order, step in islice(possible, each):
        for kind, rule, changed in _spoilt(db, held, order, step):
            given = {**step.arguments, **changed}
            yield Breach(f"{method}_{kind}", rule, order.user_id, Step(method, given))
    for order, step in islice(_unavailable(db, held, method), each):
        yield Breach(f"{method}_unavailable", "retail.item-for-item", order.user_id, step)
    for order, step in islice(_too_dear(db, held, method), each):
        yield Breach(f"{method}_card_short", "retail.gift-card-covers", order.user_id, step)


def _spoilt(
    db: Any, held: list[Any], order: Any, step: Step
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Ways in which a change that would be right is made wrong."""
    old, new = step.arguments["item_ids"], step.arguments["new_item_ids"]
    product = order.items[0].product_id
    other = next(each for each in db.products.values() if each.product_id != product)
    stray = next(each.item_id for each in other.variants.values() if each.available)
    yield "other_product", "retail.same-product", {"new_item_ids": [stray]}
    if step.method == _MODIFY:
        yield "same_item", "retail.different-option", {"new_item_ids": old}
    yield "strange_item", "retail.items-of-the-order", {"item_ids": [_strange_item(held, order)]}
    yield "unpaired", "retail.item-for-item", {"new_item_ids": [*new, *new]}
    card = _strange_method(db, order, "credit_card")
    yield "strange_method", "retail.known-method", {"payment_method_id": card}


def _unavailable(db: Any, held: list[Any], method: str) -> Iterator[tuple[Any, Step]]:
    for order in held:
        item = order.items[0]
        for each in db.products[item.product_id].variants.values():
            ways = _methods(db, order, "credit_card", "paypal")
            if not each.available and each.item_id != item.item_id and ways:
                yield order, _changing(method, order, item.item_id, each.item_id, ways[0].id)
                break


def _too_dear(db: Any, held: list[Any], method: str) -> Iterator[tuple[Any, Step]]:
    for order in held:
        item = order.items[0]
        for each in db.products[item.product_id].variants.values():
            for card in _methods(db, order, "gift_card"):
                if each.available and each.price - item.price > card.balance:
                    yield order, _changing(method, order, item.item_id, each.item_id, card.id)


def _of_strangers(db: Any, orders: list[Any], each: int) -> Iterator[Breach]:
    """Calls that would be right, on behalf of somebody else."""
    users = list(db.users)
    for order in islice(orders, each):
        stranger = next(user for user in users if user != order.user_id)
        for step in _possible(db, order):
            yield Breach("another_customers_order", "retail.own-orders", stranger, step)
        profile = {"user_id": order.user_id}
        for step in (
            Step("get_user_details", profile),
            Step("modify_user_address", {**profile, **_ADDRESS}),
        ):
            yield Breach("another_customers_profile", "retail.own-profile", stranger, step)


def _possible(db: Any, order: Any) -> Iterator[Step]:
    """What the customer of an order may do with it."""
    of = {"order_id": order.order_id}
    yield Step("get_order_details", of)
    if order.status == "pending":
        yield Step("cancel_pending_order", {**of, "reason": _REASON})
        yield Step("modify_pending_order_address", {**of, **_ADDRESS})
    if order.status == "delivered":
        yield _return(order, order.payment_history[0].payment_method_id)
    for method, status in ((_MODIFY, "pending"), (_EXCHANGE, "delivered")):
        step = _change(db, order, method)
        if order.status == status and step is not None:
            yield step


def _of_repeats(db: Any, orders: list[Any], each: int) -> Iterator[Breach]:
    """What is not possible any more once the items of an order were changed."""
    for method, status in ((_MODIFY, "pending"), (_EXCHANGE, "delivered")):
        held = (order for order in orders if order.status == status)
        changed = ((order, _change(db, order, method)) for order in held)
        for order, first in islice(((one, step) for one, step in changed if step), each):
            of = {"order_id": order.order_id}
            way = order.payment_history[0].payment_method_id
            new = first.arguments["new_item_ids"]
            back = {"item_ids": new, "new_item_ids": first.arguments["item_ids"]}
            again = Step(method, {**first.arguments, **back})
            if method == _EXCHANGE:
                steps = [again, _return(order, way)]
                rule = "retail.take-back-delivered"
                for step in steps:
                    yield Breach("after_exchange", rule, order.user_id, step, first)
                continue
            cancel = Step("cancel_pending_order", {**of, "reason": _REASON})
            yield Breach("after_change", "retail.cancel-pending", order.user_id, cancel, first)
            address = Step("modify_pending_order_address", {**of, **_ADDRESS})
            for step in (address, again):
                yield Breach("after_change", "retail.modify-pending", order.user_id, step, first)


def _change(db: Any, order: Any, method: str) -> Step | None:
    """A change of an order's first item that the policy allows, but for the order's status."""
    item = order.items[0]
    ways = _methods(db, order, "credit_card", "paypal")
    variants = db.products[item.product_id].variants.values()
    new = [each.item_id for each in variants if each.available and each.item_id != item.item_id]
    return _changing(method, order, item.item_id, new[0], ways[0].id) if ways and new else None


def _changing(method: str, order: Any, old: str, new: str, way: str) -> Step:
    given = {"item_ids": [old], "new_item_ids": [new], "payment_method_id": way}
    return Step(method, {"order_id": order.order_id, **given})


def _return(order: Any, method: str) -> Step:
    given = {"item_ids": [order.items[0].item_id], "payment_method_id": method}
    return Step("return_delivered_order_items", {"order_id": order.order_id, **given})


def _pay(order: Any, method: str) -> Step:
    given = {"order_id": order.order_id, "payment_method_id": method}
    return Step("modify_pending_order_payment", given)


def _methods(db: Any, order: Any, *sources: str) -> list[Any]:
    methods = db.users[order.user_id].payment_methods.values()
    return [each for each in methods if each.source in sources]


def _strange_method(db: Any, order: Any, source: str) -> str:
    return next(
        str(method.id)
        for user in db.users.values()
        for method in user.payment_methods.values()
        if user.user_id != order.user_id and method.source == source
    )


def _strange_item(orders: list[Any], order: Any) -> str:
    own = {item.item_id for item in order.items}
    return next(
        str(item.item_id) for each in orders for item in each.items if item.item_id not in own
    )
