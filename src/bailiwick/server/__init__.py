"""The server behind one address: MCP, REST, pages, health and metrics, over one open project.

app         the ASGI application: what is served under which path
admitting   what every request passes: draining, the bearer of an agent
running     the process: it listens, says so, and leaves in order
oauth       the token endpoint for agents, and its metadata
metrics     counts for Prometheus, and a line a request
people      logging in, commands and votes, for REST and the pages
problems    a fault as a problem document (RFC 9457)
"""

from bailiwick.server.running import serve

__all__ = ["serve"]
