"""up: the project behind one address."""

import click
from msgspec.structs import replace

from bailiwick.cli.frame import OK, Command, Frame, pass_frame
from bailiwick.wiring import on_demand


@click.command("up", cls=Command)
@click.option("--host", help="The address to listen on, instead of the setting's.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one.")
@pass_frame
def up(frame: Frame, host: str | None, port: int | None) -> int:
    """Serve this project: MCP at /mcp, until SIGTERM or an interrupt.

    What is under way then is carried to its end. Where it listens says `serve` in bailiwick.yaml.
    Needs `bailiwick[server]`.
    """
    settings = frame.enter()
    given = {"host": host, "port": port}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = replace(settings, serve=replace(settings.serve, **chosen))

    def ready(url: str) -> None:
        frame.tell({"url": url, "mcp": f"{url}/mcp"}, [f"bailiwick is up at {url}"])

    on_demand("server")(settings, ready)
    return OK


COMMANDS = (up,)
