"""A bounded queue and the thread that empties it: whoever puts something in never waits."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

CAPACITY = 8192
BATCH = 512
_EVERY_S = 1.0
_TRIES = 5
_CLOSE_S = 2.0


class Postbox(Generic[T]):
    """Hands on what is put in, in batches, from a thread of its own; a full queue drops and counts.

    `deliver` takes a batch and gives None when that is settled, or after how many seconds it is to
    be tried again; after five tries the batch is dropped and counted. `meanwhile` is called about
    once a second, and with True as the last thing. The thread begins with the first thing put in.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[list[T]], float | None],
        meanwhile: Callable[[bool], None] = lambda last: None,
        capacity: int = CAPACITY,
    ) -> None:
        self._capacity = capacity
        self.dropped = 0
        self._deliver = deliver
        self._meanwhile = meanwhile
        self._queue: deque[T] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._give_up_at_s = float("inf")
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def put(self, item: T) -> None:
        """Put something in, or drop it and count."""
        waiting = len(self._queue)
        if waiting >= self._capacity:
            self.dropped += 1
            return
        self._queue.append(item)
        if waiting == BATCH:
            self._wake.set()
        elif self._thread.ident is None:
            self.start()

    def start(self) -> None:
        """Begin to hand on, if that has not begun."""
        if self._thread.ident is None and not self._closing.is_set():
            self._thread.start()

    def close(self) -> bool:
        """Hand on what waits, for two seconds at most. False if the thread hangs after that."""
        self._give_up_at_s = time.monotonic() + _CLOSE_S
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(_EVERY_S)
            self._wake.clear()
            self._empty()
            self._meanwhile(False)
        self._empty()
        if time.monotonic() < self._give_up_at_s:
            self._meanwhile(True)

    def _empty(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if not self._delivered(batch):
                self.dropped += len(batch)

    def _delivered(self, batch: list[T]) -> bool:
        for _ in range(_TRIES):
            if time.monotonic() > self._give_up_at_s:
                return False
            try:
                again_s = self._deliver(batch)
            except (ValueError, TypeError):
                return False  # what the wire form cannot hold costs its batch, and not the thread
            if again_s is None:
                return True
            self._closing.wait(again_s)
        return False
