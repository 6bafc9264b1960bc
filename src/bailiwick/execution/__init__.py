"""Step 9, execute, and the reads of steps 4, 9 and 10: all that leaves, leaves from here.

read            one look at the world, with a read credential; a value or a refusal
listed          what an MCP server offers beside its tools, as it lists it now
updates         which resources of an MCP server changed
execute         done, failed (certainly not done) or unknown
reconcile       after a crash: the same, or None when it is too early to say
action_names    what an expression may read as `action`
placed          a tool's expressions by name, without those of arguments that were not given
action_names_of the same before there is an action
authorization   the header for a secret of the settings
upstream_host   where a secret for an MCP server goes
provider_key    the idempotency key of an action, the same for all its sends
CredentialBroker    the door `Broker`; `egress.EgressDoor` is the door `Egress`, opened on demand:
                what it needs of HTTP is not loaded with the package
"""

from bailiwick.execution.broker import CredentialBroker
from bailiwick.execution.executing import execute, read
from bailiwick.execution.keys import action_names, provider_key
from bailiwick.execution.listing import listed, updates
from bailiwick.execution.outgoing import placed
from bailiwick.execution.reconciling import reconcile
from bailiwick.execution.sending import authorization, upstream_host

__all__ = [
    "CredentialBroker",
    "action_names",
    "authorization",
    "execute",
    "listed",
    "placed",
    "provider_key",
    "read",
    "reconcile",
    "updates",
    "upstream_host",
]
