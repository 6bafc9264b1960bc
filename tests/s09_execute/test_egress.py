"""The egress door over real sockets: what is certain after a send, and what never leaves."""

import asyncio
import contextvars
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick.errors import ExecutionError, NotDone
from bailiwick.execution.egress import EgressDoor
from bailiwick.execution.tls import no_roots, system_roots
from bailiwick.ports import Lost, NotSent, Request, Response
from tests.s09_execute.bench import free_port
from tests.s09_execute.upstream import (
    Behaviour,
    Upstream,
    answer,
    bomb,
    close,
    drip,
    endless,
    reset,
    silence,
    upstream,
)

HALF_AN_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"


@pytest.fixture
async def door() -> AsyncIterator[EgressDoor]:
    door = EgressDoor(threads=2)
    yield door
    await door.close()


def request(url: str, *, timeout_s: float = 1.0, max_bytes: int = 1024, **headers: str) -> Request:
    return Request(
        method="POST",
        url=url,
        headers=headers,
        body=b"{}",
        timeout_s=timeout_s,
        max_bytes=max_bytes,
    )


async def opened() -> bool:
    return True


async def shut() -> bool:
    return False


async def told(error: type[Exception], sending: Awaitable[object]) -> str:
    """The code of the error that a send ends with."""
    with pytest.raises(error) as raised:
        await sending
    return str(raised.value.args[0])


# Over HTTP


async def test_an_answer_comes_back_whole_with_header_names_in_lower_case(
    door: EgressDoor,
) -> None:
    async with upstream() as system:
        system.on("/x", answer(201, {"id": 1}, Retry_After="3"))
        response = await door.send(request(f"{system.url}/x", X_Own="a"), opened)
    assert (response.status, response.body) == (201, b'{"id": 1}')
    assert response.headers["retry-after"] == "3"
    (arrival,) = system.arrivals
    assert (arrival.method, arrival.target, arrival.body) == ("POST", "/x", b"{}")
    assert arrival.headers["x_own"] == "a"


@pytest.mark.claim("execution.unknown-is-not-failed")
@pytest.mark.parametrize(
    "behaviour",
    [reset(), reset(after=HALF_AN_ANSWER), close(), silence(5), drip(0.05), answer(99)],
    ids=["reset", "cut", "closed", "timeout", "drip", "nonsense"],
)
async def test_what_may_have_arrived_is_lost(door: EgressDoor, behaviour: Behaviour) -> None:
    async with upstream() as system:
        system.on("/x", behaviour)
        started = time.monotonic()
        send = door.send(request(f"{system.url}/x", timeout_s=0.3, max_bytes=200_000), opened)
        assert await told(Lost, send) == "answer_lost"
        assert time.monotonic() - started < 1.0
    assert len(system.arrivals) == 1


async def test_a_refused_connection_and_an_unknown_name_are_not_sent(door: EgressDoor) -> None:
    for url in (f"http://127.0.0.1:{free_port()}/x", "http://no-such-host.invalid/x"):
        assert await told(NotSent, door.send(request(url), opened)) == "provider_unreachable"


async def test_a_connection_that_is_not_accepted_in_time_is_not_sent(door: EgressDoor) -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for waiting in (first, second):  # the queue of those who wait to be accepted is full
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        send = door.send(request(url, timeout_s=0.3), opened)
        assert await told(NotSent, send) == "provider_unreachable"


async def test_a_certificate_that_nobody_vouches_for_is_not_sent(
    door: EgressDoor, tmp_path: Path
) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(10))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=own_certificate(tmp_path))
    port = server.sockets[0].getsockname()[1]
    send = door.send(request(f"https://127.0.0.1:{port}/x"), opened)
    assert await told(NotSent, send) == "provider_unreachable"
    server.close()
    assert b"".join(received) == b""


@pytest.mark.claim("execution.roots-for-https")
async def test_the_systems_roots_are_read_for_https_alone_and_once(
    door: EgressDoor, tmp_path: Path
) -> None:
    """Reading them takes a good part of a second, which is not the call's to lose."""
    system_roots.cache_clear()
    async with upstream() as system:
        system.on("/x", answer(200, "{}"))
        assert (await door.send(request(system.url + "/x"), opened)).status == 200
    assert system_roots.cache_info().misses == 0
    for host in ("127.0.0.1", "localhost"):
        serve = asyncio.start_server(lambda *_: None, host, 0, ssl=own_certificate(tmp_path))
        async with await serve as server:
            url = f"HTTPS://{host}:{server.sockets[0].getsockname()[1]}/x"
            assert await told(NotSent, door.send(request(url), opened)) == "provider_unreachable"
    assert system_roots.cache_info().misses == 1
    assert system_roots().verify_mode is no_roots().verify_mode is ssl.CERT_REQUIRED
    assert system_roots().check_hostname
    assert no_roots().get_ca_certs() == []


def own_certificate(folder: Path) -> ssl.SSLContext:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, None)
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.mark.claim("execution.no-redirects")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(door: EgressDoor, status: int) -> None:
    async with upstream() as elsewhere, upstream() as system:
        elsewhere.on("/latest/meta-data", answer(200, "stolen"))
        for target in (f"{elsewhere.url}/latest/meta-data", "http://169.254.169.254/latest"):
            system.on("/x", answer(status, Location=target))
            response = await door.send(request(f"{system.url}/x"), opened)
            assert response.status == status
    assert elsewhere.connections == 0


async def test_an_answer_over_its_bound_is_given_up_before_it_is_whole(door: EgressDoor) -> None:
    async with upstream() as system:
        system.on("/x", endless())
        started = time.monotonic()
        send = door.send(request(f"{system.url}/x", timeout_s=5), opened)
        assert await told(Lost, send) == "result_too_large"
        assert time.monotonic() - started < 2


@pytest.mark.claim("execution.bounded-answers")
async def test_a_compressed_answer_is_neither_asked_for_nor_unpacked(door: EgressDoor) -> None:
    async with upstream() as system:
        system.on("/x", bomb(megabytes=50))
        response = await door.send(request(f"{system.url}/x", max_bytes=100_000), opened)
    assert system.arrivals[0].headers["accept-encoding"] == "identity"
    assert len(response.body) < 100_000


async def test_cookies_are_not_kept(door: EgressDoor) -> None:
    async with upstream() as system:
        system.on("/x", answer(200, Set_Cookie="session=1; Path=/"))
        first = await door.send(request(f"{system.url}/x"), opened)
        await door.send(request(f"{system.url}/x"), opened)
    assert "set-cookie" not in first.headers
    assert [("cookie" in arrival.headers) for arrival in system.arrivals] == [False, False]


async def test_a_proxy_of_the_environment_is_not_used(
    door: EgressDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upstream() as proxy, upstream() as system:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        system.on("/x", answer(200))
        assert (await door.send(request(f"{system.url}/x"), opened)).status == 200
    assert proxy.connections == 0


async def test_connections_are_used_again(door: EgressDoor) -> None:
    async with upstream() as system:
        system.on("/x", answer(200))
        for _ in range(3):
            await door.send(request(f"{system.url}/x"), opened)
        assert system.connections == 1


# The fence


@pytest.mark.claim("execution.fence-each-send")
async def test_the_fence_is_asked_with_the_connection_open_and_before_the_first_byte(
    door: EgressDoor,
) -> None:
    async with upstream() as system:
        system.on("/x", answer(200))
        seen: list[tuple[int, int]] = []

        async def fence() -> bool:
            await asyncio.sleep(0.05)
            seen.append((system.connections, len(system.arrivals)))
            return False

        assert await told(NotSent, door.send(request(f"{system.url}/x"), fence)) == "fenced"
        await asyncio.sleep(0.05)
        assert seen == [(1, 0)]
        assert system.arrivals == []
        await door.send(request(f"{system.url}/x"), opened)
        assert len(system.arrivals) == 1


@pytest.mark.claim("execution.fence-each-send")
async def test_a_tool_behind_a_shut_fence_does_not_begin(door: EgressDoor) -> None:
    begun: list[str] = []

    async def in_task() -> None:
        begun.append("task")

    def in_thread() -> None:
        begun.append("thread")

    assert await told(NotSent, door.call(in_task, {}, 1, shut)) == "fenced"
    assert await told(NotSent, door.call(in_thread, {}, 1, shut)) == "fenced"
    assert begun == []


@pytest.mark.claim("execution.quiet-after-a-stop")
async def test_quiet_waits_for_a_send_whose_fence_is_being_asked(door: EgressDoor) -> None:
    asked, open_now = asyncio.Event(), asyncio.Event()

    async def slow_fence() -> bool:
        asked.set()
        await open_now.wait()
        return True

    async with upstream() as system:
        system.on("/x", answer(200))
        send = asyncio.create_task(door.send(request(f"{system.url}/x"), slow_fence))
        await asked.wait()
        assert await door.quiet(0.05) is False
        waiting = asyncio.create_task(door.quiet(5))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        open_now.set()
        assert await waiting is True
        await send
        assert await door.quiet(0) is True


async def test_quiet_does_not_wait_for_answers_nor_for_later_sends(door: EgressDoor) -> None:
    async def never() -> bool:
        await asyncio.sleep(60)
        return False

    async with upstream() as system:
        system.on("/x", silence(60))
        send = asyncio.create_task(door.send(request(f"{system.url}/x", timeout_s=9), opened))
        await system.arrived.wait()
        assert await door.quiet(0.05) is True
        quiet = asyncio.create_task(door.quiet(0.2))
        await asyncio.sleep(0)
        later = asyncio.create_task(door.send(request(f"{system.url}/x", timeout_s=9), never))
        assert await quiet is True
        for task in (send, later):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await door.quiet(0) is True


@pytest.mark.claim("execution.quiet-after-a-stop")
async def test_after_a_stop_and_quiet_no_send_begins(door: EgressDoor) -> None:
    """The fence answers late, by a state that may be old by then, as a store in a thread does."""
    stopped = False
    begun: list[float] = []

    async def fence() -> bool:
        seen = stopped
        await asyncio.sleep(0.01)
        return not seen

    async def tool() -> None:
        begun.append(time.monotonic())

    async def caller() -> None:
        while True:
            try:
                await door.call(tool, {}, 1, fence)
            except NotSent:
                return

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    await asyncio.sleep(0.1)
    stopped = True
    assert await door.quiet(2)
    stopped_at = time.monotonic()
    await asyncio.gather(*callers)
    assert len(begun) > 8
    assert max(begun) <= stopped_at


async def test_a_transport_that_does_not_announce_the_first_byte_is_not_used(
    door: EgressDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = httpx2.MockTransport(lambda _: httpx2.Response(200))
    monkeypatch.setattr(httpx2, "AsyncHTTPTransport", lambda **_: silent)
    with pytest.raises(ExecutionError, match="egress_unfenced"):
        await door.send(request("http://localhost/x"), opened)


# Cancellation


@pytest.mark.claim("execution.unknown-is-not-failed")
async def test_a_cancelled_caller_gets_its_cancellation_and_no_report(door: EgressDoor) -> None:
    async with upstream() as system:
        system.on("/x", silence(60))
        send = asyncio.create_task(door.send(request(f"{system.url}/x", timeout_s=9), opened))
        await system.arrived.wait()
        send.cancel()
        with pytest.raises(asyncio.CancelledError):
            await send


async def test_a_cancelled_caller_cancels_its_async_tool(door: EgressDoor) -> None:
    ended = asyncio.Event()

    async def tool() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    call = asyncio.create_task(door.call(tool, {}, 60, opened))
    await asyncio.sleep(0.02)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(ended.wait(), 1)


async def test_a_tool_that_cancels_the_task_it_runs_in_is_lost_and_its_caller_lives(
    door: EgressDoor,
) -> None:
    async def tool() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    assert await told(Lost, door.call(tool, {}, 1, opened)) == "answer_lost"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


# Python tools


async def in_task(**arguments: object) -> object:
    return arguments


def in_thread(**arguments: object) -> object:
    assert threading.current_thread() is not threading.main_thread()
    return arguments


@pytest.mark.parametrize("function", [in_task, in_thread])
async def test_a_python_tool_gets_its_arguments_and_gives_its_result(
    door: EgressDoor, function: Callable[..., object]
) -> None:
    assert await door.call(function, {"a": 1}, 1, opened) == {"a": 1}


class Unheard(Exception):
    """An error that the door has never heard of."""


def failing(error: Exception, *, is_async: bool) -> Callable[..., object]:
    async def tool_in_task() -> None:
        raise error

    def tool_in_thread() -> None:
        raise error

    return tool_in_task if is_async else tool_in_thread


@pytest.mark.claim("execution.unknown-is-not-failed")
@pytest.mark.parametrize("is_async", [True, False])
async def test_only_a_tool_that_says_not_done_is_certainly_not_done(
    door: EgressDoor, is_async: bool
) -> None:
    refusing = failing(NotDone("no such order"), is_async=is_async)
    with pytest.raises(NotSent, match="no such order"):
        await door.call(refusing, {}, 1, opened)
    for error in (Unheard("the key sk_live_1"), TimeoutError(), StopAsyncIteration()):
        broken = failing(error, is_async=is_async)
        with pytest.raises(Lost) as raised:
            await door.call(broken, {}, 1, opened)
        assert "sk_live_1" not in str(raised.value)


async def test_a_tool_that_runs_out_of_time_is_lost(door: EgressDoor) -> None:
    release = threading.Event()

    async def slow_task() -> None:
        await asyncio.sleep(60)

    def slow_thread() -> None:
        release.wait(10)

    assert await told(Lost, door.call(slow_task, {}, 0.05, opened)) == "answer_lost"
    assert await told(Lost, door.call(slow_thread, {}, 0.05, opened)) == "answer_lost"
    release.set()


async def test_a_tool_that_finds_no_free_thread_does_not_begin_later(door: EgressDoor) -> None:
    release, begun = threading.Event(), []

    def stuck() -> None:
        release.wait(10)

    def late() -> None:
        begun.append(1)

    taken = [asyncio.create_task(door.call(stuck, {}, 0.2, opened)) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert await told(NotSent, door.call(late, {}, 0.05, opened)) == "threads_busy"
    ends = await asyncio.gather(*taken, return_exceptions=True)
    assert [type(end) for end in ends] == [Lost, Lost]
    # A thread that runs on after its timeout is still taken.
    assert await told(NotSent, door.call(late, {}, 0.05, opened)) == "threads_busy"
    release.set()
    await asyncio.sleep(0.05)
    await door.call(late, {}, 1, opened)
    assert begun == [1]


async def test_a_tool_in_a_thread_sees_the_context_of_its_caller(door: EgressDoor) -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("ours")
    assert await door.call(variable.get, {}, 1, opened) == "ours"


async def responses(door: EgressDoor, system: Upstream, count: int) -> list[Response]:
    sends = (door.send(request(f"{system.url}/x", timeout_s=5), opened) for _ in range(count))
    return await asyncio.gather(*sends)


async def test_many_sends_share_the_door(door: EgressDoor) -> None:
    async with upstream() as system:
        system.on("/x", answer(200, {"ok": True}))
        found = await responses(door, system, 60)
    assert {response.status for response in found} == {200}
    assert len(system.arrivals) == 60
