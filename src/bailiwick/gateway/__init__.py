"""The MCP gateway: whatever an MCP client asks becomes a proposal, and its outcome an answer.

Both revisions are served on one endpoint, 2025-11-25 and 2026-07-28, by the official SDK. Nothing
here decides: a call goes to `act` as it came, under the credential it came with, and what is told
is what `act` said. Only here is the server's side of MCP known.

doors       the bearer's credential of a request, as the spine takes it
offering    the tools that a client is shown
asking      a call as a proposal
telling     an outcome as a result
waiting     what a client hears while people think
serving     the server itself
"""

from bailiwick.gateway.doors import BearerDoor, principal, step_up
from bailiwick.gateway.offering import Offering
from bailiwick.gateway.serving import Gateway

__all__ = ["BearerDoor", "Gateway", "Offering", "principal", "step_up"]
