"""up, mcp: the project behind one address, or at the pipes of one client."""

import asyncio
import gc

import click
from msgspec.structs import replace

from bailiwick.cli.frame import OK, Command, Frame, pass_frame
from bailiwick.wiring import on_demand


@click.command("up", cls=Command)
@click.option("--host", help="The address to listen on, instead of the setting's.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one.")
@pass_frame
def up(frame: Frame, host: str | None, port: int | None) -> int:
    """Serve this project: pages at /, MCP at /mcp, REST at /v1; until SIGTERM or an interrupt.

    What is under way then is carried to its end. Where it listens says `serve` in bailiwick.yaml.
    Needs `bailiwick[server]`.
    """
    settings = frame.enter()
    given = {"host": host, "port": port}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = replace(settings, serve=replace(settings.serve, **chosen))

    def ready(url: str) -> None:
        frame.tell({"url": url, "mcp": f"{url}/mcp"}, [f"bailiwick is up at {url}"])

    # What is imported and compiled until it serves is no garbage: to look for some among it would
    # take a quarter of the start. The server enables the collector again.
    gc.disable()
    try:
        on_demand("server")(settings, ready)
    finally:
        gc.enable()
    return OK


@click.command("mcp", cls=Command)
@click.option("--stdio", is_flag=True, required=True, help="Speak over standard input and output.")
@click.option("--agent", required=True, help="Which agent of this project the client is.")
@click.option("--subject", required=True, help="On whose behalf it acts.")
@pass_frame
def mcp(frame: Frame, stdio: bool, agent: str, subject: str) -> int:
    """Serve one MCP client over pipes, for clients that start a command: until it leaves.

    It acts by the agent's key in this project's keys. A project that `bailiwick up` serves is
    spoken to through it. Needs `bailiwick[server]`.
    """
    asyncio.run(on_demand("pipes")(frame.enter(), agent, subject))
    return OK


COMMANDS = (up, mcp)
