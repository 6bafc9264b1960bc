"""Identity owns step 2, authenticate, and everything that says who somebody is.

The spine calls `authenticate`, `standing` (again before step 8) and `covers`; `not_granted` is its
no to a resource. Around them: tokens (`issue`, `exchange`, `narrow`) and the proofs that go with
them, the keyring, the agents' and the people's accounts, sessions, roles, signatures for votes.
"""

from bailiwick.identity.access_keys import create_access_key, is_access_key, open_door
from bailiwick.identity.agents import create_agent_key, read_agent_key, register_agent
from bailiwick.identity.assertions import (
    SeenAssertions,
    exchange,
    make_assertion,
    own_credential,
    prover,
)
from bailiwick.identity.authentication import (
    VerifiedTokens,
    authenticate,
    check_credential,
    not_granted,
    standing,
)
from bailiwick.identity.clients import check_client, subjects_of
from bailiwick.identity.dpop import RequestProof, thumbprint_of, use_proof
from bailiwick.identity.grants import covers, scoped, tool_granted
from bailiwick.identity.keyring import (
    Keyring,
    create_keyring,
    list_keys,
    load_keyring,
    retire_key,
    rotate_key,
)
from bailiwick.identity.narrowing import narrow
from bailiwick.identity.people import (
    change_password,
    clear_tries,
    count_try,
    create_person,
    unlock,
)
from bailiwick.identity.proofs import make_proof
from bailiwick.identity.roles import COMMANDS, allowed
from bailiwick.identity.sessions import (
    MAX_SECONDS,
    LogIn,
    check_session,
    end_session,
    is_api_key,
    make_api_key,
    open_session,
    read_session,
    write_session,
)
from bailiwick.identity.signatures import sign, verify
from bailiwick.identity.tokens import issue, read_token

__all__ = [
    "COMMANDS",
    "MAX_SECONDS",
    "Keyring",
    "LogIn",
    "RequestProof",
    "SeenAssertions",
    "VerifiedTokens",
    "allowed",
    "authenticate",
    "change_password",
    "check_client",
    "check_credential",
    "check_session",
    "clear_tries",
    "count_try",
    "covers",
    "create_access_key",
    "create_agent_key",
    "create_keyring",
    "create_person",
    "end_session",
    "exchange",
    "is_access_key",
    "is_api_key",
    "issue",
    "list_keys",
    "load_keyring",
    "make_api_key",
    "make_assertion",
    "make_proof",
    "narrow",
    "not_granted",
    "open_door",
    "open_session",
    "own_credential",
    "prover",
    "read_agent_key",
    "read_session",
    "read_token",
    "register_agent",
    "retire_key",
    "rotate_key",
    "scoped",
    "sign",
    "standing",
    "subjects_of",
    "thumbprint_of",
    "tool_granted",
    "unlock",
    "use_proof",
    "verify",
    "write_session",
]
