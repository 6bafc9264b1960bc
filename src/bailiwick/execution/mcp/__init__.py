"""MCP servers as upstreams of tools: the one place that knows the official client.

`Upstreams` carries the calls; `definitions_of` asks a server what it offers, and `confusable` names
what can be taken for a tool. Both revisions of the
protocol are spoken: 2025-11-25, with a handshake and sessions, and 2026-07-28, without either.

supervising   a task for each upstream: its queue, its restarts; no fault of it reaches a caller
linking       one session: what it lists, one call in it
posting       a tool's call in the revision without sessions: one POST and its answer
messages      a call as a request, and what its result means
listing       all pages of a list, bounded and made safe
updates       which of its resources changed
hearing       what is heard while a call runs: progress, log messages, questions
abilities     what a server hears that its client can be asked
questions     the server's questions, in both revisions, and the call that is continued
pipes         standard input and output of a process
wire          HTTP, and what the transports know of the call they carry
definitions   what is pinned of a definition, and which names are easily confused
"""

from bailiwick.execution.mcp.definitions import confusable
from bailiwick.execution.mcp.supervising import Upstreams, definitions_of

__all__ = ["Upstreams", "confusable", "definitions_of"]
