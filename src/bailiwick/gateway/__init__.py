"""The MCP gateway: whatever an MCP client asks becomes a proposal, and its outcome an answer.

Both revisions are served on one endpoint, 2025-11-25 and 2026-07-28, by the official SDK; a plain
call is answered beside it. Nothing here decides: a call goes to `act` as it came, under the
credential it came with, and what is told is what `act` said. Only here is the server's side of MCP
known.

doors       who speaks to it, as the spine takes him
offering    the tools that a client is shown
offers      what MCP servers offer beside tools: resources, prompts, completion
asking      a call as a proposal
hearing     what a server says and asks during a call, handed on
telling     an outcome as a result
calling     a call from the one to the other, whichever way it came by
waiting     what a client hears while people think
tasks       calls that wait, to be polled
serving     the server itself, of the official SDK
plain       the calls that need none of its machinery, answered without
mirroring   arguments that go by headers too
listening   clients that are told when what they see changes
resuming    what sessions were told, for who lost its connection
piping      the same over pipes, for clients that speak nothing else
"""

from bailiwick.gateway.doors import Bearer, BearerDoor, KeyHolder, Shown, step_up
from bailiwick.gateway.offering import Offering
from bailiwick.gateway.piping import lent, speak
from bailiwick.gateway.serving import Gateway

__all__ = [
    "Bearer",
    "BearerDoor",
    "Gateway",
    "KeyHolder",
    "Offering",
    "Shown",
    "lent",
    "speak",
    "step_up",
]
