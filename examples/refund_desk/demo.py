"""The refund desk, from an empty folder to a verified ledger. Run it with `make demo`.

    python examples/refund_desk/demo.py

Processes on this machine, none of which knows the others' code: a payments provider (payments.py),
a ticket desk (ticket_desk.py), Bailiwick (serving.py), and the agents, which are ordinary MCP
clients (agent.py). This file says hello before anything large is imported; what happens then is in
conductor.py.
"""

import importlib
import sys


def main() -> int:
    """Say what comes, then let the conductor do it; gives the exit code."""
    print("Bailiwick: the refund desk. Forty tickets, four processes, half a minute.", flush=True)
    code: int = importlib.import_module("conductor").main()
    return code


if __name__ == "__main__":
    sys.exit(main())
