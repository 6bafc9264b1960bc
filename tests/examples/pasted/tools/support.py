"""The tools that the pasted configurations name: they note that they were called, no more."""

from bailiwick import NotDone, tool

BOOKS: list[str] = []
READS: list[str] = []
KEYS: dict[str, object] = {}


@tool(name="crm.read", effect="read", owner="crm", resource=("Customer", "args.customer"))
async def read(customer: str) -> dict[str, object]:
    """Reads a customer."""
    READS.append(customer)
    return {"notes": BOOKS.count(customer)}


@tool(
    name="crm.update",
    effect="write",
    owner="crm",
    resource=("Customer", "args.customer"),
    reader={"tool": "crm.read", "arguments": {"customer": "args.customer"}},
    expect="after.notes > 0",
    key_retention_s="none",
    settles_within_s=0,
    cost_usd="0.02",
)
async def update(customer: str, fails: bool = False) -> dict[str, object]:
    """Changes a customer."""
    if fails:
        raise NotDone("not today")
    BOOKS.append(customer)
    return {}


@tool(
    name="payments.refund",
    effect="write",
    traits=("money",),
    owner="payments",
    resource=("Charge", "args.charge"),
    effect_key="args.charge",
    facts={"value": "args.amount_minor", "currency": "'USD'", "new_payee": "args.payee == 'new'"},
    reader={"tool": "crm.read", "arguments": {"customer": "args.charge"}},
    expect="after.notes > 0",
    key_retention_s="none",
    settles_within_s=0,
)
async def refund(charge: str, amount_minor: int, payee: str) -> dict[str, object]:
    """Pays money back."""
    BOOKS.append(charge)
    return {}


@tool(
    name="mail.send",
    effect="write",
    traits=("outbound",),
    owner="mail",
    resource=("Mail", "args.text"),
    facts={"recipients": "args.to", "destinations": "args.to"},
    reader={"tool": "crm.read", "arguments": {"customer": "args.text"}},
    expect="after.notes > 0",
    key_retention_s="none",
    settles_within_s=0,
)
async def send(to: list[str], text: str) -> dict[str, object]:
    """Sends mail."""
    BOOKS.append(text)
    return {}


@tool(
    name="users.delete",
    effect="write",
    traits=("destructive",),
    owner="users",
    resource=("User", "args.user"),
    effect_key="args.user",
    reader={"tool": "crm.read", "arguments": {"customer": "args.user"}},
    expect="after.notes > 0",
    key_retention_s="none",
    settles_within_s=0,
)
async def delete(user: str) -> dict[str, object]:
    """Deletes a user."""
    BOOKS.append(user)
    return {}


@tool(
    name="users.grant",
    effect="write",
    traits=("permission",),
    owner="users",
    resource=("User", "args.user"),
    reader={"tool": "crm.read", "arguments": {"customer": "args.user"}},
    expect="after.notes > 0",
    key_retention_s="none",
    settles_within_s=0,
)
async def grant(user: str) -> dict[str, object]:
    """Gives a user a role."""
    BOOKS.append(user)
    return {}
