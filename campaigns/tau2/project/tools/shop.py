"""What the rules want to know of the shop. No agent is granted these reads."""

from typing import Any

from bailiwick import ToolContext, tool
from campaigns.tau2.shop import Json, call, cents


@tool(name="shop.order", effect="read", owner="shop")
async def order(context: ToolContext, order_id: str) -> Json:
    """An order, with the shop that it is in."""
    return {**call(context.run, "get_order_details", order_id=order_id), "shop": context.run}


@tool(name="shop.customer", effect="read", owner="shop")
async def customer(context: ToolContext, user_id: str) -> Json:
    """A customer's profile."""
    found: Json = call(context.run, "get_user_details", user_id=user_id)
    return found


@tool(name="shop.method", effect="read", owner="shop")
async def method(context: ToolContext, order_id: str, payment_method_id: str) -> Json:
    """What a payment method is to an order and to its customer."""
    order = call(context.run, "get_order_details", order_id=order_id)
    customer = call(context.run, "get_user_details", user_id=order["user_id"])
    own = customer["payment_methods"].get(payment_method_id, {})
    first = order["payment_history"][0]
    return {
        "known": bool(own),
        "original": first["payment_method_id"] == payment_method_id,
        "gift_card": own.get("source") == "gift_card",
        "balance_minor": cents(own.get("balance", 0)),
        "paid_minor": cents(first["amount"]),
    }


@tool(name="shop.items", effect="read", owner="shop")
async def items(context: ToolContext, order_id: str, item_ids: list[str]) -> Json:
    """Whether items are of an order, as often as they are named, and what they cost."""
    held = call(context.run, "get_order_details", order_id=order_id)["items"]
    ids = [each["item_id"] for each in held]
    prices = {each["item_id"]: each["price"] for each in held}
    return {
        "of_order": all(item_ids.count(each) <= ids.count(each) for each in item_ids),
        "value_minor": cents(sum(prices.get(each, 0) for each in item_ids)),
    }


@tool(name="shop.change", effect="read", owner="shop")
async def change(
    context: ToolContext, order_id: str, item_ids: list[str], new_item_ids: list[str]
) -> Json:
    """What it would mean to give new items for items of an order; `due_minor` is to be paid."""
    held = call(context.run, "get_order_details", order_id=order_id)["items"]
    old = {each["item_id"]: each for each in held}
    pairs = list(zip(item_ids, new_item_ids, strict=False))
    new: dict[str, dict[str, Any]] = {}
    for before, after in pairs:
        if before in old:
            product = call(context.run, "get_product_details", product_id=old[before]["product_id"])
            new[after] = product["variants"].get(after, {})
    known = [(before, after) for before, after in pairs if before in old and new.get(after)]
    due = sum(new[after]["price"] - old[before]["price"] for before, after in known)
    return {
        "item_for_item": len(item_ids) == len(new_item_ids) > 0,
        "same_product": len(known) == len(pairs),
        "available": all(new[after]["available"] for _, after in known),
        "different": all(before != after for before, after in pairs),
        "due_minor": cents(due),
        "value_minor": abs(cents(due)),
    }
