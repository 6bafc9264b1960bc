"""One caller's median, then the rate of 64 callers: the same phases for every subject.

The standard library alone, because the peers' interpreters have nothing else.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

CALLERS = 64


def amount_minor(number: str) -> int:
    """What the refund of a number is about: from 1.00 to 49.99, spread evenly."""
    return 100 + crc32(number.encode()) % 4900


def phase_seconds() -> float:
    """How long the one caller calls, from the command line; 64 do for twice as long."""
    return float(sys.argv[1])


async def timed(call: Callable[[str], Awaitable[object]], seconds: float) -> dict[str, float]:
    """Time calls that are awaited: 64 tasks of one event loop. Each call gets another number."""
    until = time.perf_counter() + seconds / 2
    number = 0
    while time.perf_counter() < until:
        await call(f"warm-{(number := number + 1)}")
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await call(f"alone-{len(latencies)}")
        latencies.append(time.perf_counter() - began)

    async def caller(which: int) -> int:
        done = 0
        while time.perf_counter() < until:
            await call(f"many-{which}-{done}")
            done += 1
        return done

    began = time.perf_counter()
    until = began + 2 * seconds
    done = sum(await asyncio.gather(*map(caller, range(CALLERS))))
    return _found(latencies, done, time.perf_counter() - began, number)


def timed_in_threads(call: Callable[[str], object], seconds: float) -> dict[str, float]:
    """Time calls that block: 64 threads."""
    until = time.perf_counter() + seconds / 2
    number = 0
    while time.perf_counter() < until:
        call(f"warm-{(number := number + 1)}")
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        call(f"alone-{len(latencies)}")
        latencies.append(time.perf_counter() - began)

    def caller(which: int) -> int:
        done = 0
        while time.perf_counter() < until:
            call(f"many-{which}-{done}")
            done += 1
        return done

    with ThreadPoolExecutor(CALLERS) as threads:
        began = time.perf_counter()
        until = began + 2 * seconds
        done = sum(threads.map(caller, range(CALLERS)))
    return _found(latencies, done, time.perf_counter() - began, number)


def tell(found: dict[str, float]) -> None:
    """Print what was found, for the conductor."""
    print(json.dumps(found))


def _found(latencies: list[float], done: int, took_s: float, warm: int) -> dict[str, float]:
    return {
        "c1.p50_ms": statistics.median(latencies) * 1000,
        "c64.per_s": done / took_s,
        "calls": warm + len(latencies) + done,
    }
