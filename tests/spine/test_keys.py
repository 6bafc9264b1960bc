"""Keys that are rotated under a running project: what they signed and wrapped stays good."""

import asyncio
import json
import random
from pathlib import Path

import pytest

import bailiwick_verify as verifier
from bailiwick import ledger, operations
from bailiwick.config import load_settings
from bailiwick.errors import ControlError
from bailiwick.identity import create_agent_key, retire_key, rotate_key
from bailiwick.identity.jose import read_private_jwk
from bailiwick.identity.private_files import read_private
from bailiwick.ledger import note
from bailiwick.values import parse
from bailiwick.wiring import keys_folder
from tests.spine.house import House, opened


def keys_of(folder: Path) -> Path:
    return keys_folder(load_settings(folder))


def log_signers(folder: Path) -> list[note.NoteSigner]:
    """The log's private keys, oldest first, as a thief would have them."""
    made = []
    for path in sorted(keys_of(folder).glob("log-*.json")):
        key = read_private_jwk(parse(read_private(path, "key")))
        made.append(note.signer("bailiwick.local/log", key.private_bytes_raw()))
    return made


async def act(house: House, on: str) -> str:
    outcome = await (await house.clerk(run=f"run-{on}")).act("desk.note", {"on": on})
    assert outcome.status == "done"
    await house.bailiwick.settle()
    return outcome.action


async def receipts(house: House, action: str) -> list[tuple[bytes, bytes]]:
    """Each record of an action with its receipt under the newest head, once one covers them."""
    while True:
        found = await house.world.ledger.records(0, 0, of=("default", action))
        kept = await house.world.ledger.checkpoint()
        places = [each.leaf_index for each in found if each.leaf_index is not None]
        if kept is not None and len(places) == len(found) and max(places) < kept[0]:
            return [
                (each.body, await ledger.prove(house.world.ledger, index))
                for each, index in zip(found, places, strict=True)
            ]
        await asyncio.sleep(0.02)


async def head(house: House) -> bytes:
    kept = await house.world.ledger.checkpoint()
    assert kept is not None
    return kept[1].encode()


async def changes(house: House) -> list[tuple[str, str]]:
    """The changes of keys on record, each with the key's name without its random part."""
    return [
        (str(fields["change"]), str(fields["target"]).partition("-")[0])
        for _, fields in await ledger.rolling.changes(house.world)
        if str(fields["change"]).startswith(("key-", "agents-register"))
    ]


def listed(tenures: list[ledger.Tenure]) -> list[verifier.LogKey]:
    """The list of keys as `ledger keys` prints it and the separate verifier reads it."""
    lines = [f"{t.vkey} {t.first} {'-' if t.last is None else t.last}" for t in tenures]
    return [verifier.read_key(line) for line in lines]


@pytest.mark.claim("ledger.log-key-rotates")
@pytest.mark.claim("ledger.retired-key-refused")
async def test_the_logs_key_is_rotated_with_an_overlap_and_the_retired_one_signs_no_more(
    folder: Path, tmp_path: Path
) -> None:
    async with opened(folder) as house:
        before = await receipts(house, await act(house, "t-1"))
    (old,) = log_signers(folder)
    rotate_key(keys_of(folder), "log", random.randbytes)
    async with opened(folder) as house:
        overlap = await receipts(house, await act(house, "t-2"))
        exported = await operations.export(house.world, tmp_path / "overlap")
    new = log_signers(folder)[1]
    vkeys = [verifier.read_key(each.key.vkey) for each in (old, new)]
    assert exported["vkey"] == new.key.vkey
    for key in vkeys:  # who has not heard of the new key yet, and who has forgotten the old one
        assert verifier.verify_export(tmp_path / "overlap", [key]).faults == []
        assert [verifier.verify_receipt(*each, [key])[0] for each in overlap]
    with pytest.raises(verifier.NotVerified, match="not signed by the key given"):
        verifier.verify_receipt(*before[0], vkeys[1:])

    retire_key(keys_of(folder), "log", next(iter(keys_of(folder).glob("log-1-*"))).stem[4:])
    async with opened(folder) as house:
        after = await receipts(house, await act(house, "t-3"))
        keys = listed(await ledger.tenures(house.world))
        assert (await operations.audit(house.world))["findings"] == []
        await operations.export(house.world, tmp_path / "after")
        newest = await head(house)
        checkpoint = note.parse_checkpoint(note.parse(newest).text)
    assert [key.text for key in keys] == [old.key.vkey, new.key.vkey]
    assert (keys[0].first, keys[1].last) == (0, 2**63)
    assert keys[1].first <= keys[0].last < checkpoint.size
    for record, receipt in (*before, *overlap, *after):
        verifier.verify_receipt(record, receipt, keys)
    assert verifier.verify_export(tmp_path / "after", keys).faults == []
    with pytest.raises(verifier.NotVerified, match="not signed by the key given"):
        verifier.verify_receipt(*after[0], keys[:1])

    # A thief of the retired key signs what the log has grown to since.
    forged = note.sign(note.checkpoint_text(checkpoint), [old])
    index = after[0][1].partition(b"\n\n")[0]
    with pytest.raises(verifier.NotVerified, match="no key that signed the checkpoint may sign"):
        verifier.verify_receipt(after[0][0], index + b"\n\n" + forged, keys)
    (tmp_path / "after" / "checkpoint").write_bytes(forged)
    with pytest.raises(verifier.NotVerified, match="no key that signed the checkpoint may sign"):
        verifier.verify_export(tmp_path / "after", keys)
    # Who was told no sizes learns of the end from the log's own records.
    (fault,) = verifier.verify_export(tmp_path / "after", vkeys[:1]).faults
    assert fault == "checkpoint: all keys that signed it are retired by its own records"


@pytest.mark.claim("ledger.key-changes-recorded")
async def test_every_rotation_leaves_one_record_that_begins_an_epoch(
    folder: Path, tmp_path: Path
) -> None:
    async with opened(folder) as house:
        await act(house, "t-1")
        assert await changes(house) == []
    for use in ("token", "vault", "log"):
        rotate_key(keys_of(folder), use, random.randbytes)
    for _ in range(2):  # a second start has nothing to add
        async with opened(folder) as house:
            assert await changes(house) == [
                ("key-added", f"{use}/{n}") for use in ("token", "log", "vault") for n in (1, 2)
            ]
            assert (await operations.audit(house.world))["findings"] == []
    retire_key(keys_of(folder), "token", next(iter(keys_of(folder).glob("token-1-*"))).stem[6:])
    async with opened(folder) as house:
        assert (await changes(house))[6:] == [("key-retired", "token/1")]
        jwk = create_agent_key(tmp_path / "clerk.json", random.randbytes)
        await house.command("ada", "agents register", agent="clerk", jwk=jwk)
        assert (await changes(house))[7:] == [("agents-register", "clerk")]
        await act(house, "t-2")
        assert (await operations.audit(house.world))["findings"] == []


@pytest.mark.claim("ledger.runs-rewrapped")
async def test_the_keys_of_runs_are_wrapped_anew_in_bounded_steps(folder: Path) -> None:
    async with opened(folder) as house:
        actions = [await act(house, f"t-{n}") for n in range(3)]
    old = next(iter(keys_of(folder).glob("vault-1-*")))
    rotate_key(keys_of(folder), "vault", random.randbytes)
    async with opened(folder) as house:
        world = house.world
        with pytest.raises(ControlError, match="3 runs are under") as refused:
            await operations.retire_key(world, keys_of(folder), "vault", old.stem[6:])
        assert refused.value.code == "key_in_use"
        looked, rewrapped, lost, last = await ledger.rewrap(world, "default", "", 2)
        assert (looked, rewrapped, lost, last) == (2, 2, 0, "run-t-1")
        # Somebody who saw an older state of a run changes nothing.
        assert await world.due.rewrap("default", [("run-t-2", b"another", b"x")]) == 0
        told = await house.command("ada", "keys rewrap", after="run-t-1")
        assert (told["rewrapped"], told["lost"], told["next"]) == (1, 0, None)
        assert (await house.command("ada", "keys rewrap"))["rewrapped"] == 0
        # An erased run has no key: it is under none, and gets none.
        ((run, wrapped), *_) = await world.due.run_keys("default", "", 1)
        assert await world.due.rewrap("default", [(run, wrapped, b"")]) == 1
        again = await house.command("ada", "keys rewrap")
        assert (again["looked"], again["lost"]) == (2, 0)
        assert await world.due.rewrap("default", [(run, b"", wrapped)]) == 1
        await operations.retire_key(world, keys_of(folder), "vault", old.stem[6:])
    async with opened(folder) as house:
        for action in actions:
            kept = await house.world.vault.open("default", action, "proposal")
            assert kept is not None
            assert json.dumps(kept["tool"]) == '"desk.note"'
        await act(house, "t-4")
