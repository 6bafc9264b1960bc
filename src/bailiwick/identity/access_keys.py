"""Access keys: for clients that can send a fixed header and prove nothing.

An access key is 256 random bits, shown once. The agent's account keeps its SHA-256 among the
agent's other keys, with the subject it stands for and its end; it is revoked as they are. At a
door it is exchanged for a token of that door, so that what the spine sees is a capability always.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from bailiwick.errors import IdentityError
from bailiwick.identity.agents import check_account
from bailiwick.identity.jose import SECOND, encode
from bailiwick.identity.keyring import Random
from bailiwick.identity.tokens import issue
from bailiwick.nouns import Credential, Grant, Manifest, Standing
from bailiwick.ports import ControlState, World
from bailiwick.values import JSON, identifier

MAX_DAYS = 366
_SECRET = re.compile(r"bwk_[A-Za-z0-9_-]{43}").fullmatch
_KIND = "access"


def create_access_key(
    standing: Standing, subject: str, *, days: int, now_us: int, random: Random
) -> tuple[Standing, str, str]:
    """The account with a new access key for a subject; the key's id, and the key itself.

    Raises `IdentityError` (`access_key_invalid`) for a time of no or too many days, `BadInput` for
    a subject that is no name.
    """
    if not 0 < days <= MAX_DAYS:
        raise IdentityError(
            f"an access key lives for 1 to {MAX_DAYS} days",
            code="access_key_invalid",
            help="choose a time after which somebody will look at it again",
        )
    secret = f"bwk_{encode(random(32))}"
    kid = _id(secret)
    kept: dict[str, JSON] = {
        "kty": _KIND,
        "kid": kid,
        "subject": identifier(subject, "the subject"),
        "exp": now_us // SECOND + days * 86_400,
    }
    made = replace(
        standing,
        keys={**standing.keys, kid: kept},
        since_us={**standing.since_us, kid: now_us},
    )
    return made, kid, secret


def is_access_key(text: str) -> bool:
    """Whether a bearer's credential has the form of an access key."""
    return text.startswith("bwk_")


def open_door(
    world: World,
    control: ControlState,
    manifests: Mapping[str, Manifest],
    secret: str,
    *,
    door: str,
    run: str | None,
    now_us: int,
    grants: Sequence[Grant] | None = None,
    holder: str = "",
) -> Credential:
    """Exchange an access key for a token of one door, with the agent's whole manifest or `grants`.

    Raises `IdentityError`: `access_key_unknown` for one that is not there or revoked,
    `access_key_expired`, and what `issue` raises.
    """
    kid = _id(secret) if _SECRET(secret) else ""
    account = next((each for each in control.standings.values() if kid in each.keys), None)
    if account is None or kid in control.revoked:
        raise IdentityError(
            "the access key is not known, or was revoked",
            code="access_key_unknown",
            help="make one with `bailiwick agents access-key`",
        )
    kept = check_account(control, account.agent, kid)
    ends_s = kept.get("exp")
    if not isinstance(ends_s, int) or now_us >= ends_s * SECOND:
        raise IdentityError(
            "the access key has expired",
            code="access_key_expired",
            help="make one with `bailiwick agents access-key`",
        )
    manifest = manifests.get(account.agent)
    if manifest is None:
        raise IdentityError(
            "the agent of the access key has no manifest in the active release",
            code="agent_unknown",
            help="release a manifest for it",
        )
    token = issue(
        world,
        control,
        manifest,
        key_id=kid,
        subject=str(kept["subject"]),
        grants=(Grant(tools=manifest.tools),) if grants is None else grants,
        run=run,
        now_us=now_us,
        door=door,
        ends_s=ends_s,
        holder=holder,
    )
    return Credential(token=token, proof="", door=door)


def _id(secret: str) -> str:
    return encode(hashlib.sha256(secret.encode()).digest())
