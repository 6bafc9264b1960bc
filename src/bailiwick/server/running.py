"""The process of `bailiwick up`: it listens, says so, and leaves in order.

At SIGTERM or SIGINT it takes nothing new, waits for what is under way (a call in flight is carried
to its end, or left for recovery when the time is over), ends its streams and exits with 0. At the
second signal it does not wait.
"""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
import uvloop

from bailiwick.config import ServeSettings, Settings
from bailiwick.errors import BailiwickError, ConfigError
from bailiwick.ports import World
from bailiwick.runtime import Bailiwick
from bailiwick.server.admitting import Leaving
from bailiwick.server.app import application
from bailiwick.server.metrics import Counts

_STREAMS_S = 1
_BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn without its own handling of signals, which would cut what is under way."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings, ready: Callable[[str], None], **doors: Any) -> None:
    """Serve a project until a signal. `ready` is told the address once requests are taken.

    `doors` replaces doors of the world, as for `Bailiwick.open`.
    Raises what opening a project raises, and `ConfigError` (`address_taken`).
    """
    uvloop.run(_serve(settings, ready, doors))


async def _serve(
    settings: Settings, ready: Callable[[str], None], doors: Mapping[str, Any]
) -> None:
    asked, listening = _asked_to_leave(), _listen(settings.serve)
    with listening:
        url = address(settings.serve, listening.getsockname()[1])
        counts = Counts()
        async with (
            Bailiwick.open(settings, also=counts, **doors) as bailiwick,
            application(bailiwick, url, counts) as app,
        ):
            await _compiled(bailiwick.world)
            _spare_the_collector()
            server = _Server(_configured(settings, app))
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            await server.listens.wait()
            ready(url)
            await asyncio.wait((asked, serving), return_when="FIRST_COMPLETED")
            await _drained(app, settings.serve.drain_seconds)
            server.should_exit = True
            await serving


async def _compiled(world: World) -> None:
    """Have the release ready that decides, so that the first who asks does not wait for it.

    Where it cannot be compiled, whoever asks is told why; people can still look, and stop.
    """
    with suppress(BailiwickError):
        control = await world.store.control(world.settings.tenant)
        await world.bundle(world.settings.tenant, control.release)


def _spare_the_collector() -> None:
    """Have cycles looked for seldom, and never among what was made until now.

    What is here by now stays: modules, the release, the application. A request leaves few cycles,
    and by its usual thresholds the collector takes a tenth of the time of answering it.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


def address(serve: ServeSettings, port: int) -> str:
    """The address as others see it: the setting's, or the one that is listened on."""
    if serve.url is not None:
        return serve.url.rstrip("/")
    host = f"[{serve.host}]" if ":" in serve.host else serve.host
    return f"{'https' if serve.certificate else 'http'}://{host}:{port}"


async def _drained(app: Leaving, within_s: float) -> None:
    leaving = asyncio.create_task(app.leave())
    again = _asked_to_leave()
    await asyncio.wait((leaving, again), timeout=within_s, return_when="FIRST_COMPLETED")
    leaving.cancel()


def _asked_to_leave() -> "asyncio.Future[None]":
    """A future that is done at the next signal to leave."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[None] = loop.create_future()

    def ask() -> None:
        if not asked.done():
            asked.set_result(None)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ask)
    return asked


def _configured(settings: Settings, app: Leaving) -> uvicorn.Config:
    for name in ("mcp", "sse_starlette", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    serve = settings.serve
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=serve.behind_proxy,
        ssl_certfile=str(settings.path(serve.certificate)) if serve.certificate else None,
        ssl_keyfile=str(settings.path(serve.key)) if serve.key else None,
        timeout_graceful_shutdown=_STREAMS_S,
    )


def _listen(serve: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in serve.host else socket.AF_INET
    # With the protocol named: asyncio turns Nagle's algorithm off only where it sees TCP, and with
    # it an answer of two writes takes 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((serve.host, serve.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"`{serve.host}:{serve.port}` cannot be listened on: {(error.strerror or '').lower()}",
            code="address_taken",
            help="end what listens there, or set `serve: {port: …}` in bailiwick.yaml",
        ) from error
    return listening
