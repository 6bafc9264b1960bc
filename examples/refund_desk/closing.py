"""The end of the demo: what became of each ticket, what it cost, and the proof of it."""

import json
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import premises
import scoreboard
from scoreboard import money
from seed import outcomes
from stage import Demo

import bailiwick_verify

COMMAND_S = 60.0
# What people's decisions on tk_28, tk_32 and tk_33 must have come to at the provider.
CUSTOMERS: dict[str, tuple[str, list[str]]] = {
    "cus_07": ("active", []),
    "cus_29": ("deleted", []),
    "cus_30": ("active", ["billing_admin"]),
}


async def account(demo: Demo) -> None:
    """Print what became of each ticket, what it cost, how long it took, and who could delete."""
    demo.heading("What became of each ticket, and why")
    holders, rows = demo.holders(), [["ticket", "asked for", "outcome", "why"]]
    for story in demo.stories.values():
        words = scoreboard.asked(story.ticket), story.outcome, scoreboard.why(story, holders)
        rows.append([story.ticket.id, *words])
    print(*scoreboard.table(rows, (6, 22, 16)), sep="\n")
    counts = Counter(story.outcome for story in demo.stories.values())
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    print("", *textwrap.wrap(f"in all: {told}", scoreboard.WIDTH), sep="\n", flush=True)

    demo.heading("What it cost and how long it took")
    acts = [act for story in demo.stories.values() for act in story.acts]
    refunded = sum(each["amount_minor"] for each in demo.effects())
    cost = sum(demo.spent_micro_usd.values()) / 1_000_000
    print(f"refunded  {money(refunded)} in {len(demo.effects())} refunds")
    print(f"cost      ${cost:.4f} for {len(demo.spent_micro_usd)} actions; model $0, there is none")
    for kind, took in scoreboard.latencies(acts):
        middle, slow = (scoreboard.percentile(took, share) for share in (0.5, 0.95))
        print(f"{kind:<8}  p50 {middle:6.1f} ms   p95 {slow:6.1f} ms   of {len(took)}")
    for row in await demo.voters.command("olga", "budget"):
        if row["period"] == "day" and row["node"] in ("tenant", "agent:refund-desk"):
            print(f"budget    {_budget(row)}")

    demo.heading("Which agents can delete customer data?")
    deletes = {"action": "payments.delete_customer"}
    for answer in await demo.voters.command("olga", "who-can", **deletes):
        reason = f"asks {', '.join(answer['tier'])}" if answer["can"] == "yes" else answer["reason"]
        print(f"{answer['agent']:<12}  {answer['can']}: {reason}")
    alone = await demo.voters.command("olga", "who-can", **deletes, automatic=True)
    able = [each["agent"] for each in alone if each["can"] != "no"]
    demo.expect(not able, f"without people {able} could delete")
    told = ", ".join(able) or "no agent, which is proved over all requests there can be"
    print(f"without people: {told}", flush=True)


def _budget(row: dict[str, Any]) -> str:
    if row["unit"] == "micro_usd":
        spent, limit = (f"${row[name] / 1_000_000:.4f}" for name in ("spent", "limit"))
    else:
        spent, limit = money(row["spent"]), money(row["limit"])
    return f"{row['node']}: {spent} of {limit} a day ({row['unit']}), {row['held']} held"


def check(demo: Demo) -> None:
    """Compare the outcomes with what must be, and the provider's books with ours."""
    expected = outcomes(demo.votes)
    for id, story in demo.stories.items():
        as_expected = story.outcome == expected[id]
        demo.expect(as_expected, f"{id} came to {story.outcome}, not to {expected[id]}")
        for act in story.acts:
            noted = not act["tool"].startswith("desk.") or act["verdict"] == "verified"
            demo.expect(noted, f"{id}: {act['tool']} is {act['status']} {act['verdict']}")
    ours = Counter(demo.drilled)
    for story in demo.stories.values():
        last = story.last
        if last is not None and last["tool"] == "payments.refund" and last["status"] == "done":
            ours[last["action"]] += 1
    theirs = Counter(each["action_id"] for each in demo.effects())
    demo.expect(ours == theirs, "the provider's refunds are not those on record")
    demo.expect(set(ours.values()) == {1}, "an action refunded more than once")
    customers = {id: demo.payments.ask("GET", f"/v1/customers/{id}") for id in CUSTOMERS}
    seen = {id: (each["status"], each["roles"]) for id, each in customers.items()}
    demo.expect(seen == CUSTOMERS, f"customers are otherwise than people decided: {seen}")
    if ours == theirs:
        print()
        demo.say(f"the provider made {theirs.total()} refunds: each an action of ours, none twice")


# --- the proof -----------------------------------------------------------------------------------


def prove(demo: Demo) -> None:
    """Verify the ledger, also with the separate verifier, and a copy in which a byte is changed."""
    demo.heading("The ledger")
    verified = command(demo, "ledger", "verify")
    demo.expect(verified.returncode == 0, f"the ledger does not verify: {verified.stdout}")
    demo.say(f"`bailiwick ledger verify`: {_first_line(verified)}")
    export = premises.STATE / "export"
    exported = command(demo, "--json", "ledger", "export", str(export))
    demo.expect(exported.returncode == 0, f"the ledger cannot be exported: {exported.stderr}")
    if exported.returncode:
        return
    key = json.loads(exported.stdout)["vkey"]
    separate = verifier(export, key)
    demo.expect(separate.returncode == 0, f"its export does not verify: {separate.stdout}")
    demo.say(
        f"`bailiwick_verify.py`, a separate program: {_first_line(separate).partition(' of ')[0]}"
    )
    copy = premises.STATE / "changed-copy"
    shutil.copytree(export, copy)
    number = change_a_byte(copy, demo.stories["tk_14"].action)
    demo.say(f"in a copy, one byte of record {number} is changed")
    changed = verifier(copy, key)
    told = " ".join(changed.stdout.split())
    named = changed.returncode == 1 and f"record {number}" in told
    demo.expect(named, f"the changed byte was not found: {told}")
    for line in changed.stdout.splitlines():
        print(f"         {scoreboard.cut(line, scoreboard.WIDTH - 9)}")


def command(demo: Demo, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `bailiwick` on the demo's project; these commands need nobody to be logged in."""
    call = [sys.executable, "-m", "bailiwick.cli", "--project", str(demo.project), *words]
    return subprocess.run(call, capture_output=True, text=True, timeout=COMMAND_S, check=False)


def verifier(export: Path, key: str) -> subprocess.CompletedProcess[str]:
    """Run the separate verifier, isolated from everything else that is installed as ours."""
    call = [sys.executable, "-I", bailiwick_verify.__file__, "verify", str(export), "--key", key]
    return subprocess.run(call, capture_output=True, text=True, timeout=COMMAND_S, check=False)


def change_a_byte(export: Path, action: str) -> int:
    """Change one letter of the first record that names an action; gives the record's number.

    A file of entries holds 256 records, each after its length in 16 bits.
    """
    path = export / "tile" / "entries" / "000"
    content, at = bytearray(path.read_bytes()), 0
    for number in range(256):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        found = content.find(action.encode(), at + 2, end)
        if found >= 0:
            last = found + len(action) - 1
            content[last] = ord("0") if content[last] != ord("0") else ord("1")
            path.write_bytes(content)
            return number
        at = end
    raise RuntimeError(f"no record of {action} is among the first 256")


# --- the end -------------------------------------------------------------------------------------


def verdict(demo: Demo) -> bool:
    """Say what to try next, and whether everything was as expected."""
    if demo.shared:
        print("\nThe PostgreSQL server was this demo's own; `make demo` leaves a project to try.")
    else:
        suggest(demo)
    print()
    if demo.surprises:
        demo.say(f"NOT AS EXPECTED, {len(demo.surprises)} times:")
        print(*(f"  {each}" for each in demo.surprises), sep="\n", flush=True)
        return False
    demo.say("as expected: forty of forty tickets, the crash, the kill, the changed byte")
    return True


def suggest(demo: Demo) -> None:
    """Say what to do with the project that the demo leaves."""
    demo.heading("Five things to try next, in the project that was just used")
    for line in entrance(demo):
        print(f"  {line}")
    for number, (words, what) in enumerate(suggestions(demo), start=1):
        print(f"  {number}  # {what}\n     bailiwick {shlex.join(words)}")


def suggestions(demo: Demo) -> list[tuple[list[str], str]]:
    """Commands of `bailiwick` that work now, with real ids, and what each shows."""
    crashed, large = demo.stories["tk_14"].action, demo.stories["tk_15"].action
    hidden = str((demo.stories["tk_27"].last or {}).get("run", ""))
    return [
        (["actions", "show", crashed], "the refund that the crash cut off, step by step"),
        (["approvals", "show", large], "what two people of finance were shown, and signed"),
        (["actions", "list", "--run", hidden], "the ticket that hid an instruction"),
        (["policy", "show", "refunds.new-payee"], "the rule that refused it"),
        (["ledger", "prove", large, "--to", "proofs"], "receipts that anybody can verify offline"),
    ]


def entrance(demo: Demo) -> list[str]:
    """How a shell gets to where the commands work."""
    here = Path.cwd()
    project = demo.project.relative_to(here) if demo.project.is_relative_to(here) else demo.project
    activate = Path(sys.prefix, "bin", "activate")
    lines = [f"cd {shlex.quote(str(project))}"]
    if activate.is_file():
        known = activate.relative_to(here) if activate.is_relative_to(here) else activate
        lines.insert(0, f". {shlex.quote(str(known))}")
    return [*lines, f"bailiwick login olga    # the password: {premises.PASSWORD}"]


def _first_line(ran: subprocess.CompletedProcess[str]) -> str:
    return (ran.stdout or ran.stderr).partition("\n")[0]
