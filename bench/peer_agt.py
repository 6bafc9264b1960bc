"""A governed write of agent-governance-toolkit: `python -m bench.peer_agt SECONDS`.

`agentmesh.governance.govern` around the refund, as its documentation shows it, with the same 100
rules in its own language (40 name the action: 10 allow bands of amounts, of which one holds, and 30
deny and do not hold) and its audit log. The load is a keyword call; 64 callers are threads, because
it is synchronous.

What it does not do, and a governed write here does: nothing is written to a disk, so nothing
survives the process (the audit log is a list in memory); the audit entry is made before the tool
runs and no outcome is recorded; no schema of arguments, credentials, budgets, idempotency or
reading back.
"""

from agentmesh.governance import govern  # type: ignore[import-not-found]

from bench.timing import amount_minor, phase_seconds, tell, timed_in_threads

MADE: list[str] = []


def refund(action: str, charge: str, amount_minor: int, currency: str) -> dict[str, str]:
    """Pays money back."""
    MADE.append(charge)
    return {"id": f"re_{len(MADE)}", "charge": charge}


def policy() -> str:
    """The 100 rules, as a policy file of the toolkit."""
    mine = "action.type == 'till.refund'"
    bands = [
        f"amount_minor.value >= {500 * i} and amount_minor.value < {500 * (i + 1)}"
        for i in range(10)
    ]
    permits = [
        (f"permit-{i}", f"{mine} and currency.value == 'USD' and {band}")
        for i, band in enumerate(bands)
    ]
    forbids = [(f"forbid-{i}", f"{mine} and amount_minor.value > {100_000 + i}") for i in range(30)]
    others = [
        (f"other-{i}", f"action.type == 'till.charge' and charge.value == 'blocked-{i}'")
        for i in range(60)
    ]
    lines = ["apiVersion: governance.toolkit/v1", "name: bench", "agents: [bench]", "rules:"]
    for action, rules in (("allow", permits), ("deny", forbids + others)):
        for name, condition in rules:
            lines += [f"  - name: {name}", f'    condition: "{condition}"', f"    action: {action}"]
    return "\n".join(lines)


def main() -> None:
    """Time the governed call."""
    governed = govern(refund, policy=policy(), agent_id="bench")

    def call(number: str) -> None:
        governed(
            action="till.refund",
            charge=f"ch_{number}",
            amount_minor=amount_minor(number),
            currency="USD",
        )

    found = timed_in_threads(call, phase_seconds())
    assert len(MADE) == found["calls"]
    tell(found)


if __name__ == "__main__":
    main()
