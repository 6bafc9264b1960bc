"""vault: erase payloads for good, and the legal holds that stand against it."""

from collections.abc import Mapping
from typing import cast

import click

from bailiwick.cli.frame import FOUND, OK, Frame, Group, pass_frame
from bailiwick.cli.people import waiting
from bailiwick.cli.reaching import ask
from bailiwick.cli.telling import at, line, table
from bailiwick.values import JSON

Object = Mapping[str, JSON]


@click.group("vault", cls=Group)
def vault() -> None:
    """What was asked and answered, sealed: erase it, or hold it against erasure."""


@vault.command("erase")
@click.option("--run", help="Everything of this run, and its key.")
@click.option("--action", help="One action.")
@click.option("--subject", help="Everything on behalf of this subject.")
@click.option("--reason", required=True, help="Why, for whoever asks where it is.")
@pass_frame
def vault_erase(
    frame: Frame, run: str | None, action: str | None, subject: str | None, reason: str
) -> int:
    """Erase payloads for good. With two people who may, the second one does it.

    What has undone an action, or was to, was told a copy of its payload, and is erased with it.
    Records and their commitments stay, and the ledger still verifies. Refused while anything of a
    run is parked, in flight or in doubt, and under a legal hold.
    """
    answer = ask(frame, "vault erase", run=run, action=action, subject=subject, reason=reason)
    if (waits := waiting(frame, answer)) is not None:
        return waits
    told = cast("Object", answer)
    frame.tell(
        told,
        [
            f"erased: payloads of {told['erased']} actions, and {told['run_keys']} keys of runs",
            *(f"with what undoes it: {id}" for id in cast("list[str]", told["undoing"])),
            "backups that were made before still hold them, for whoever has the vault's key too",
        ],
    )
    return OK


@vault.command("hold")
@click.option("--run", help="Everything of this run.")
@click.option("--subject", help="Everything on behalf of this subject.")
@click.option("--reason", required=True, help="Why: the matter, say.")
@pass_frame
def vault_hold(frame: Frame, run: str | None, subject: str | None, reason: str) -> int:
    """Keep a run or a subject from being erased, at once. Exit code 1 if nothing is of that name.

    The hold then stands all the same, for what is to come.
    """
    answer = cast("Object", ask(frame, "vault hold", run=run, subject=subject, reason=reason))
    frame.tell(answer, [f"held: {line(run or subject)}, {answer['covers']} actions until now"])
    if answer["covers"]:
        return OK
    frame.warn(f"nothing that is kept is of `{line(run or subject)}`: the hold stands all the same")
    return FOUND


@vault.command("release-hold")
@click.option("--run", help="The run that is held.")
@click.option("--subject", help="The subject that is held.")
@pass_frame
def vault_release_hold(frame: Frame, run: str | None, subject: str | None) -> int:
    """Lift a legal hold. With two people who may, the second one does it."""
    answer = ask(frame, "vault release-hold", run=run, subject=subject)
    if (waits := waiting(frame, answer)) is not None:
        return waits
    frame.tell(answer, [f"lifted: {line(run or subject)}"])
    return OK


@vault.command("holds")
@pass_frame
def vault_holds(frame: Frame) -> int:
    """List the legal holds that stand."""
    answer = cast("list[Object]", ask(frame, "vault holds"))
    rows = [
        [each["kind"], each["target"], each["by"], at(each["since_us"]), each["reason"]]
        for each in answer
    ]
    headings = ["KIND", "OF", "BY", "SINCE", "WHY"]
    frame.tell(answer, table(headings, rows, "nothing is held"))
    return OK


@vault.command("overdue")
@pass_frame
def vault_overdue(frame: Frame) -> int:
    """List what is kept past its time because something of its run is not settled.

    Nothing of a run is erased while an action in it waits for people, is in flight or in doubt:
    decide on it, or say what became of it. Exit code 1 if there is such a run.
    """
    answer = cast("list[Object]", ask(frame, "vault overdue"))
    rows = [
        [
            each["run"],
            at(each["since_us"]),
            str(len(cast("list[str]", each["actions"]))),
            ", ".join(cast("list[str]", each["open"])),
        ]
        for each in answer
    ]
    headings = ["RUN", "DUE SINCE", "ACTIONS", "OPEN"]
    frame.tell(answer, table(headings, rows, "nothing is kept past its time"))
    return FOUND if answer else OK


COMMANDS = (vault,)
