"""The vault: payloads sealed under their run's key, which only the vault key can unwrap.

A run's key that is made here becomes real with the first commit that stores it. If another process
was first, that commit is blocked, the key is forgotten and the payload sealed again.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from bailiwick.errors import LedgerError
from bailiwick.ledger.records import SALT_BYTES
from bailiwick.ledger.sealing import KEY_BYTES, NONCE_BYTES, RunKey, framed, place
from bailiwick.nouns import Action
from bailiwick.ports import Keys, Shelf
from bailiwick.transactions import Op, PutPayload, PutRun
from bailiwick.values import JSON, Canonical, canonical

_READY_RUNS = 1024

_decode = msgspec.json.Decoder(dict[str, JSON]).decode


class _Ready(NamedTuple):
    key: RunKey
    wrapped: bytes
    place: bytes
    stored: bool
    epoch: int


class RunVault:
    """Seals and opens payloads; keeps the keys of the runs in use ready, a bounded number."""

    def __init__(self, keys: Keys, shelf: Shelf, random: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._shelf = shelf
        self._random = random
        self._ready: OrderedDict[tuple[str, str], _Ready] = OrderedDict()

    async def seal(
        self, action: Action, kind: str, value: Mapping[str, JSON | Canonical], epoch: int
    ) -> tuple[tuple[Op, ...], str]:
        """Seal a payload; give the writes that keep it, and its commitment (hex).

        A run's key may have been dropped by a change that began the epoch: it is read again then.
        """
        ready = await self._key(action.tenant, action.run, epoch)
        noise = self._random(SALT_BYTES + NONCE_BYTES)
        sealed = ready.key.seal(
            aad=ready.place + framed(action.id) + framed(kind),
            salt=noise[:SALT_BYTES],
            nonce=noise[SALT_BYTES:],
            payload=canonical(value),
        )
        payload = PutPayload(
            action=action.id,
            run=action.run,
            kind=kind,
            sealed=sealed.ciphertext,
            commitment=sealed.commitment,
        )
        if ready.stored:
            return (payload,), sealed.commitment
        begin = PutRun(run=action.run, agent=action.agent, wrapped_key=ready.wrapped)
        return (begin, payload), sealed.commitment

    async def open(self, tenant: str, action: str, kind: str) -> Mapping[str, JSON] | None:
        """Open a payload; None once erased. Raises `LedgerError` if it was changed."""
        kept = await self._shelf.payload(tenant, action, kind)
        if kept is None:
            return None
        return await self.unseal(tenant, action, kind, *kept)

    async def unseal(
        self, tenant: str, action: str, kind: str, run: str, sealed: bytes
    ) -> Mapping[str, JSON] | None:
        """Open a payload that was read already; None if its run's key is erased."""
        ready = await self._key(tenant, run)
        if not ready.stored:
            return None
        aad = ready.place + framed(action) + framed(kind)
        try:
            opened = ready.key.open(sealed, aad=aad)
        except LedgerError:
            # Another process may have dropped the key that is known here, and begun anew.
            self.forget(tenant, run)
            ready = await self._key(tenant, run)
            if not ready.stored:
                return None
            opened = ready.key.open(sealed, aad=aad)
        try:
            return _decode(opened.payload)
        except msgspec.MsgspecError as error:
            raise LedgerError("the payload is not JSON", code="sealed_invalid") from error

    def forget(self, tenant: str, run: str) -> None:
        """Look the run's key up again next time."""
        self._ready.pop((tenant, run), None)

    async def _key(self, tenant: str, run: str, epoch: int = 0) -> _Ready:
        ready = self._ready.get((tenant, run))
        if ready is not None and ready.stored:
            if ready.epoch >= epoch:
                return ready
            ready = None
        row = await self._shelf.run(tenant, run)
        wrapped = row.wrapped_key if row else None
        keks = [kek for _, kek in self._keys.vault_keys()]
        if wrapped is not None:
            key = RunKey.unwrap(keks, wrapped, tenant=tenant, run=run)
            ready = _Ready(key, wrapped, place(tenant, run), stored=True, epoch=epoch)
        elif ready is None:
            key = RunKey(self._random(KEY_BYTES))
            nonce = self._random(NONCE_BYTES)
            wrapped = key.wrap(keks[0], tenant=tenant, run=run, nonce=nonce)
            ready = _Ready(key, wrapped, place(tenant, run), stored=False, epoch=epoch)
        self._ready[tenant, run] = ready
        if len(self._ready) > _READY_RUNS:
            self._ready.popitem(last=False)
        return ready
