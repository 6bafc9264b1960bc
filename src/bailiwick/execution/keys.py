"""What an effect carries, so that it can be found again: the action id and the provider's key."""

import hashlib
from functools import lru_cache

from bailiwick.nouns import Action
from bailiwick.values import JSON


@lru_cache(maxsize=1024)
def provider_key(tenant: str, action_id: str) -> str:
    """Give the idempotency key of an action: the same for its first send and for each repeat.

    43 characters, ASCII. It depends on the tenant and the action id and on nothing else, so that a
    restart finds it again and two actions with equal arguments have two keys.
    """
    seed = b"\0".join((b"provider-key", tenant.encode(), action_id.encode()))
    return f"bw-{hashlib.sha256(seed).hexdigest()[:40]}"


def action_names(action: Action) -> dict[str, JSON]:
    """Give what an expression may read of an action as `action`."""
    return {
        "id": action.id,
        "run": action.run,
        "agent": action.agent,
        "subject": action.subject,
        "provider_key": provider_key(action.tenant, action.id),
    }
