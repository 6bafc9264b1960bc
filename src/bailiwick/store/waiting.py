"""Those who wait for an action to move, woken when it does or when their patience ends."""

import asyncio


class Waiting:
    """Futures by action. A word that is lost costs no more than the patience."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def tell(self, action: str) -> None:
        """Wake those who wait for the action."""
        for waiting in self._waiting.pop(action, ()):
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self, action: str, timeout_s: float) -> None:
        """Return when the action is told of, at the latest after the timeout."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(action, set()).add(waiting)
        try:
            await asyncio.wait((waiting,), timeout=timeout_s)
        finally:
            others = self._waiting.get(action)
            if others is not None:
                others.discard(waiting)
                if not others:
                    del self._waiting[action]
