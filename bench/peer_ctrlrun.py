"""A governed write of ctrlrun: `python -m bench.peer_ctrlrun SECONDS`.

`Control` on its `SQLiteStateStore` as it comes, around the refund, with the same 100 rules in its
own language: 40 under the refund (30 that deny and do not hold, then 10 that allow bands of
amounts; the first rule that holds decides) and 60 under another action. Each refund has an effect
key. 64 callers are threads, because it is synchronous; each thread has a connection of its own.

What it does not do, and a governed write here does: its commits are not synced (SQLite WAL with
`synchronous = NORMAL`), so a power cut loses the newest; no schema of arguments, credentials or
vault, and its success is what the function returned: nothing is read back.
"""

import tempfile
from pathlib import Path

from ctrlrun import (  # type: ignore[import-not-found]
    Control,
    Policy,
    SQLiteStateStore,
    context,
    protect,
)

from bench.timing import amount_minor, phase_seconds, tell, timed_in_threads

OUT = Path("bench/out")
MADE: list[str] = []


def policy() -> str:
    """The 100 rules, as a policy file of ctrlrun."""
    rules = [(f"amount_minor_gt: {100_000 + i}", "deny") for i in range(30)]
    rules += [
        (
            f"currency_eq: USD, amount_minor_gte: {500 * i}, amount_minor_lt: {500 * (i + 1)}",
            "allow",
        )
        for i in range(10)
    ]
    others = [(f"charge_eq: blocked-{i}", "deny") for i in range(60)]
    lines = ["schema: ctrlrun.policy/v2", "actions:"]
    for name, listed in (("till.refund", rules), ("till.charge", others)):
        lines += [f"  {name}:", "    rules:"]
        for condition, decision in listed:
            lines += [f"      - when: {{ {condition} }}", f"        decision: {decision}"]
    return "\n".join(lines)


def main() -> None:
    """Time the protected call."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as folder:
        file = Path(folder) / "ctrlrun.yaml"
        file.write_text(policy(), encoding="utf-8")
        store = SQLiteStateStore(Path(folder) / "state.db")
        control = Control(Policy.from_file(file), store)

        @protect("till.refund", effect="refund:{charge}", control=control)  # type: ignore[untyped-decorator]
        def refund(charge: str, amount_minor: int, currency: str) -> dict[str, str]:
            MADE.append(charge)
            return {"id": f"re_{len(MADE)}", "charge": charge}

        def call(number: str) -> None:
            with context(agent="bench"):
                refund(charge=f"ch_{number}", amount_minor=amount_minor(number), currency="USD")

        found = timed_in_threads(call, phase_seconds())
        store.close()
    assert len(MADE) == found["calls"]
    tell(found)


if __name__ == "__main__":
    main()
