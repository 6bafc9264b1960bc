"""A tenant with two agents, their keys and manifests: what the tests of step 2 act on.

The world has keys, remembered tokens, settings and randomness. Its other doors are None: step 2
has no business with them, and touching one would fail the test.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick.config import Settings
from bailiwick.identity import (
    VerifiedTokens,
    authenticate,
    create_keyring,
    issue,
    load_keyring,
    make_proof,
    narrow,
    register_agent,
)
from bailiwick.nouns import Caller, Cap, Credential, Grant, Manifest, Proposal, Refusal, Standing
from bailiwick.ports import ControlState, World

SECOND = 1_000_000
NOW_US = 1_800_000_000 * SECOND
REFUND = "payments.refund"

random = Random(20_260_101)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def new_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(random.randbytes(32))


def jwk_of(key: Ed25519PrivateKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}


def thumbprint(key: Ed25519PrivateKey) -> str:
    """RFC 7638, written out: required members in lexicographic order, no spaces."""
    x = jwk_of(key)["x"]
    return b64(hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest())


def jws(header: object, payload: object, sign: Callable[[bytes], bytes]) -> str:
    """A JWS by hand, so that a test can make ones that the code under test never would."""
    parts = (
        part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
        for part in (header, payload)
    )
    text = ".".join(b64(part) for part in parts)
    return f"{text}.{b64(sign(text.encode()))}"


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWS, unchecked."""
    header, payload, _ = token.split(".")
    return json.loads(unb64(header)), json.loads(unb64(payload))


def cap(unit: str, limit: int) -> Cap:
    return Cap(node="", unit=unit, limit=limit)


@dataclass(frozen=True)
class Desk:
    """Everything around one call of step 2; `but` gives a copy that differs."""

    folder: Path
    world: World
    control: ControlState
    manifests: Mapping[str, Manifest]
    keys: Mapping[str, Ed25519PrivateKey]
    now_us: int = NOW_US
    grants: Sequence[Grant] = field(default=(Grant(tools=("payments.*",)),))
    run: str | None = "run-1"

    def but(self, **changes: Any) -> "Desk":
        return replace(self, **changes)

    def later(self, **changes: Any) -> "Desk":
        """After a control change: the epoch has risen."""
        epoch = self.control.epoch + 1
        return self.but(control=msgspec.structs.replace(self.control, epoch=epoch, **changes))

    def token(self, agent: str = "refund-desk", subject: str = "ann") -> str:
        return issue(
            self.world,
            self.control,
            self.manifests[agent],
            key_id=thumbprint(self.keys[agent]),
            subject=subject,
            grants=self.grants,
            run=self.run,
            now_us=self.now_us,
        )

    def proof(self, token: str, key: Ed25519PrivateKey | None = None, **changes: Any) -> str:
        how: dict[str, Any] = {"tenant": "acme", "now_us": self.now_us}
        how |= {"nonce": self.world.tokens.nonce} | changes
        key = key or self.keys["refund-desk"]
        return make_proof(key, token, random=random.randbytes, **how)

    def credential(self, token: str, key: Ed25519PrivateKey | None = None) -> Credential:
        return Credential(token=token, proof=self.proof(token, key))

    def hand_on(
        self,
        parent: Credential,
        key: Ed25519PrivateKey,
        grants: Sequence[Grant],
        agent: str | None = None,
        **changes: Any,
    ) -> Credential:
        """A child's credential, narrowed from the parent's and bound to `key`."""
        how = {"grants": grants, "agent": agent, "now_us": self.now_us} | changes
        token = narrow(self.world, self.control, self.manifests, parent, jwk_of(key), **how)
        return self.credential(token, key)

    def ask(
        self, credential: Credential, tool: str = REFUND, run: str | None = None
    ) -> Caller | Refusal:
        proposal = Proposal(
            tenant=self.control.tenant,
            tool=tool,
            arguments={},
            canonical=b"{}",
            credential=credential,
            run=run,
        )
        return authenticate(self.world, self.control, self.manifests, proposal, self.now_us)

    def caller(self, credential: Credential, tool: str = REFUND) -> Caller:
        answer = self.ask(credential, tool)
        assert isinstance(answer, Caller), answer
        return answer

    def code(
        self, credential: Credential, tool: str = REFUND, run: str | None = None
    ) -> str | None:
        """The code of the refusal; None when the caller is let through."""
        answer = self.ask(credential, tool, run)
        return answer.code if isinstance(answer, Refusal) else None


def account(name: str, *keys: Ed25519PrivateKey, enabled: bool = True) -> Standing:
    standing = None
    for key in keys:
        standing = register_agent(name, jwk_of(key), standing)
    assert standing is not None
    return msgspec.structs.replace(standing, enabled=enabled)


def open_desk(folder: Path) -> Desk:
    """Tenant `acme` with the agents `refund-desk` and `mailer`."""
    create_keyring(folder, random.randbytes)
    keys = {"refund-desk": new_key(), "mailer": new_key()}
    doors: dict[str, Any] = dict.fromkeys(World.__struct_fields__)
    doors |= {
        "settings": Settings(tenant="acme"),
        "keys": load_keyring(folder, "acme.example/log"),
        "tokens": VerifiedTokens(random.randbytes),
        "random": random.randbytes,
    }
    return Desk(
        folder=folder,
        keys=keys,
        control=ControlState(
            tenant="acme",
            epoch=1,
            release=None,
            stops=(),
            standings={name: account(name, key) for name, key in keys.items()},
            revoked=frozenset(),
        ),
        manifests={
            "refund-desk": Manifest(
                name="refund-desk", owner="finance", tools=("payments.*", "mail.send", "crm.read")
            ),
            "mailer": Manifest(name="mailer", owner="support", tools=("mail.*", "payments.*")),
        },
        world=World(**doors),
    )
