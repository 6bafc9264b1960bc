"""Rotating keys: what the older ones are still needed for, and wrapping the keys of runs anew."""

from collections import Counter
from pathlib import Path

from bailiwick import identity, ledger
from bailiwick.errors import ControlError, LedgerError
from bailiwick.identity.keyring import Rolling
from bailiwick.ledger import note
from bailiwick.nouns import Person
from bailiwick.operations.changes import Parameters
from bailiwick.operations.channel import text_of
from bailiwick.ports import World
from bailiwick.values import JSON, shown

_STEP = 500


async def keys_rewrap(world: World, person: Person, given: Parameters) -> JSON:
    """One bounded step: the next runs `after` an id get their keys wrapped by the newest vault key.

    Give `next` as `after` until it is null. It is done again without harm.
    """
    after = text_of(given, "after", "")
    done = await ledger.rewrap(world, person.tenant, after, _STEP)
    return {
        "key": world.keys.vault_keys()[0][0],
        "looked": done.looked,
        "rewrapped": done.rewrapped,
        "lost": done.lost,
        "next": done.last,
    }


async def runs_by_key(world: World) -> Counter[str | None]:
    """How many runs are under each vault key, of all tenants; None: under none that is here.

    Runs of other tenants are not missed: their keys may lie elsewhere.
    """
    found: Counter[str | None] = Counter()
    for tenant in await world.due.tenants():
        after = ""
        while page := await world.due.run_keys(tenant, after, _STEP):
            kids = [ledger.unwrapped(world, tenant, *each)[0] for each in page]
            found.update(kid for kid in kids if kid or tenant == world.settings.tenant)
            after = page[-1][0]
    return found


async def retire_key(world: World, folder: Path, use: Rolling, kid: str) -> None:
    """Delete a key's file once newer ones do all that it did.

    Raises `ControlError` (`key_in_use`) while runs are under it, or while it is the only key of the
    log that is left under the newest head; `IdentityError` as the key ring does.
    """
    if use == "vault" and (runs := (await runs_by_key(world))[kid]):
        raise _in_use(f"{runs} runs are under `{shown(kid)}`", "run `bailiwick keys rewrap`")
    kept = await world.ledger.checkpoint()
    ids = world.keys.ids()["log"]
    others = [key for key, id in zip(ledger.log_keys(world.keys), ids, strict=True) if id != kid]
    if use == "log" and kept is not None:
        try:
            note.verify_checkpoint(kept[1].encode(), others)
        except LedgerError as fault:
            why = "no other key has signed the newest head yet"
            raise _in_use(why, "start the owner of the database once with both keys") from fault
    identity.retire_key(folder, use, kid)


def _in_use(why: str, help: str) -> ControlError:
    return ControlError(why, code="key_in_use", help=help)
