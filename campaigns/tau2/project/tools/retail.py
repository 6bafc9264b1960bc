"""The tools of the retail agent. Each calls the method of that name of tau2's shop."""

from typing import Any, Literal

from bailiwick import ToolContext, tool
from campaigns.tau2.shop import Json, call

ORDER: Any = {"tool": "shop.order", "arguments": {"order_id": "args.order_id"}}
METHOD: Any = {
    "tool": "shop.method",
    "arguments": {"order_id": "args.order_id", "payment_method_id": "args.payment_method_id"},
}
ITEMS: Any = {
    "tool": "shop.items",
    "arguments": {"order_id": "args.order_id", "item_ids": "args.item_ids"},
}
CHANGE: Any = {
    "tool": "shop.change",
    "arguments": {
        "order_id": "args.order_id",
        "item_ids": "args.item_ids",
        "new_item_ids": "args.new_item_ids",
    },
}
OF_ORDER = {"owner": "before.order.user_id", "order_status": "before.order.status"}
OF_METHOD = {
    "method_known": "before.method.known",
    "method_original": "before.method.original",
    "method_gift_card": "before.method.gift_card",
}
OF_CHANGE = {
    "items_of_order": "before.items.of_order",
    "item_for_item": "before.change.item_for_item",
    "same_product": "before.change.same_product",
    "new_items_available": "before.change.available",
    "different_option": "before.change.different",
    "gift_card_short": (
        "before.method.gift_card && before.method.balance_minor < before.change.due_minor"
    ),
    "value": "before.change.value_minor",
    "currency": "'USD'",
}
TEXTS = ("owner", "order_status")
STANDARD = ("value", "currency")


def law(facts: dict[str, str], expect: str, **members: Any) -> Any:
    """What every write of an order has in common; its facts have the type that their name says."""
    types = {name: "String" if name in TEXTS else "Bool" for name in facts if name not in STANDARD}
    return {
        "effect": "write",
        "owner": "shop",
        "resource": ("Order", "args.order_id"),
        "facts": facts,
        "fact_types": types,
        "reader": ORDER,
        "expect": expect,
        "key_retention_s": "none",
        "settles_within_s": 0,
        **members,
    }


def once(purpose: str) -> dict[str, Any]:
    """Money that moves once for an order, in each of the shops."""
    key = f"before.order.shop + '/' + args.order_id + '/{purpose}'"
    return {"traits": ("money",), "effect_key": key}


@tool(name="retail.find_user_id_by_email", effect="read", owner="shop")
async def find_user_id_by_email(context: ToolContext, email: str) -> str:
    """Finds a customer by e-mail address."""
    return str(call(context.run, "find_user_id_by_email", email=email))


@tool(name="retail.find_user_id_by_name_zip", effect="read", owner="shop")
async def find_user_id_by_name_zip(
    context: ToolContext, first_name: str, last_name: str, zip: str
) -> str:
    """Finds a customer by name and postal code."""
    given = {"first_name": first_name, "last_name": last_name, "zip": zip}
    return str(call(context.run, "find_user_id_by_name_zip", **given))


@tool(name="retail.get_user_details", effect="read", owner="shop")
async def get_user_details(context: ToolContext, user_id: str) -> Json:
    """Shows the profile of the customer."""
    found: Json = call(context.run, "get_user_details", user_id=user_id)
    return found


@tool(name="retail.get_product_details", effect="read", owner="shop")
async def get_product_details(context: ToolContext, product_id: str) -> Json:
    """Shows a product and its variants."""
    found: Json = call(context.run, "get_product_details", product_id=product_id)
    return found


@tool(
    name="retail.get_order_details", effect="read", owner="shop", before={"order": ORDER},
    facts={"owner": OF_ORDER["owner"]}, fact_types={"owner": "String"},
)  # fmt: skip
async def get_order_details(context: ToolContext, order_id: str) -> Json:
    """Shows an order of the customer."""
    found: Json = call(context.run, "get_order_details", order_id=order_id)
    return found


@tool(
    name="retail.cancel_pending_order",
    **law(
        {**OF_ORDER, "value": "before.method.paid_minor", "currency": "'USD'"},
        "after.status == 'cancelled' && after.cancel_reason == args.reason",
        before={
            "order": ORDER,
            "method": {
                "tool": "shop.method",
                "arguments": {
                    "order_id": "args.order_id",
                    "payment_method_id": "before.order.payment_history[0].payment_method_id",
                },
            },
        },
        **once("cancel"),
    ),
)
async def cancel_pending_order(
    context: ToolContext,
    order_id: str,
    reason: Literal["no longer needed", "ordered by mistake"],
) -> Json:
    """Cancels an order that was not sent yet, and pays it back."""
    made: Json = call(context.run, "cancel_pending_order", order_id=order_id, reason=reason)
    return made


@tool(
    name="retail.modify_pending_order_address",
    **law(
        OF_ORDER,
        "after.address == {'address1': args.address1, 'address2': args.address2,"
        " 'city': args.city, 'state': args.state, 'country': args.country, 'zip': args.zip}",
        before={"order": ORDER},
    ),
)
async def modify_pending_order_address(
    context: ToolContext,
    *,
    order_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,
) -> Json:
    """Sends an order somewhere else."""
    to = {"address1": address1, "address2": address2, "city": city}
    to |= {"state": state, "country": country, "zip": zip}
    made: Json = call(context.run, "modify_pending_order_address", order_id=order_id, **to)
    return made


@tool(
    name="retail.modify_pending_order_payment",
    **law(
        {
            **OF_ORDER,
            **OF_METHOD,
            "gift_card_short": (
                "before.method.gift_card && before.method.balance_minor < before.method.paid_minor"
            ),
            "value": "before.method.paid_minor",
            "currency": "'USD'",
        },
        "after.payment_history.exists(each, each.transaction_type == 'payment'"
        " && each.payment_method_id == args.payment_method_id)",
        before={"order": ORDER, "method": METHOD},
        **once("payment"),
    ),
)
async def modify_pending_order_payment(
    context: ToolContext, order_id: str, payment_method_id: str
) -> Json:
    """Has an order paid in another way."""
    given = {"order_id": order_id, "payment_method_id": payment_method_id}
    made: Json = call(context.run, "modify_pending_order_payment", **given)
    return made


@tool(
    name="retail.modify_pending_order_items",
    **law(
        {**OF_ORDER, **OF_METHOD, **OF_CHANGE},
        "after.status == 'pending (item modified)'"
        " && args.new_item_ids.all(each, after.items.exists(item, item.item_id == each))",
        before={"order": ORDER, "method": METHOD, "items": ITEMS, "change": CHANGE},
        **once("items"),
    ),
)
async def modify_pending_order_items(
    context: ToolContext,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> Json:
    """Changes items of an order that was not sent yet."""
    given = {"order_id": order_id, "payment_method_id": payment_method_id}
    changed = {"item_ids": item_ids, "new_item_ids": new_item_ids}
    made: Json = call(context.run, "modify_pending_order_items", **given, **changed)
    return made


@tool(
    name="retail.exchange_delivered_order_items",
    **law(
        {**OF_ORDER, **OF_METHOD, **OF_CHANGE},
        "after.status == 'exchange requested'"
        " && after.exchange_payment_method_id == args.payment_method_id"
        " && args.new_item_ids.all(each, each in after.exchange_new_items)",
        before={"order": ORDER, "method": METHOD, "items": ITEMS, "change": CHANGE},
        **once("items"),
    ),
)
async def exchange_delivered_order_items(
    context: ToolContext,
    order_id: str,
    item_ids: list[str],
    new_item_ids: list[str],
    payment_method_id: str,
) -> Json:
    """Exchanges items that were delivered."""
    given = {"order_id": order_id, "payment_method_id": payment_method_id}
    changed = {"item_ids": item_ids, "new_item_ids": new_item_ids}
    made: Json = call(context.run, "exchange_delivered_order_items", **given, **changed)
    return made


@tool(
    name="retail.return_delivered_order_items",
    **law(
        {
            **OF_ORDER,
            **OF_METHOD,
            "items_of_order": "before.items.of_order",
            "value": "before.items.value_minor",
            "currency": "'USD'",
        },
        "after.status == 'return requested'"
        " && after.return_payment_method_id == args.payment_method_id"
        " && args.item_ids.all(each, each in after.return_items)",
        before={"order": ORDER, "method": METHOD, "items": ITEMS},
        **once("items"),
    ),
)
async def return_delivered_order_items(
    context: ToolContext, order_id: str, item_ids: list[str], payment_method_id: str
) -> Json:
    """Takes items back that were delivered."""
    given = {"order_id": order_id, "payment_method_id": payment_method_id}
    made: Json = call(context.run, "return_delivered_order_items", **given, item_ids=item_ids)
    return made


@tool(
    name="retail.modify_user_address", effect="write", owner="shop",
    resource=("Customer", "args.user_id"), key_retention_s="none", settles_within_s=0,
    reader={"tool": "shop.customer", "arguments": {"user_id": "args.user_id"}},
    expect="after.address == {'address1': args.address1, 'address2': args.address2,"
    " 'city': args.city, 'state': args.state, 'country': args.country, 'zip': args.zip}",
)  # fmt: skip
async def modify_user_address(
    context: ToolContext,
    *,
    user_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,
) -> Json:
    """Changes the default address of the customer."""
    to = {"address1": address1, "address2": address2, "city": city}
    to |= {"state": state, "country": country, "zip": zip}
    made: Json = call(context.run, "modify_user_address", user_id=user_id, **to)
    return made
