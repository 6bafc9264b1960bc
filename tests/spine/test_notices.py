"""People are told: by mail and webhook, once due, again after faults; and asked in time."""

import asyncio
import base64
import hmac
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bailiwick.errors import BailiwickError
from bailiwick.housekeeping import tick
from bailiwick.nouns.notices import Notice
from bailiwick.testing import Clock
from tests.spine.house import LIMITS, House, opened
from tests.spine.test_parking import activate

NOW_US = 1_800_000_000_000_000
HOUR = 3600.0
KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PASSWORD = "mail-pass-phrase"
ASKED = {"on": "ch-secret", "amount_minor": 20_000}
LEVELS = (
    LIMITS
    + """\
queues:
  finance: {remind_after_s: 3600, escalate_after_s: 7200, escalate_to: leads, expire_after_s: 86400}
"""
)


class Mailbox:
    """What a mail server took, and what it answers instead of taking it."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            self.taken.append(envelope)
        return self.answer


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "mail.key").write_bytes(private)
    (folder / "mail.pem").write_bytes(made.public_bytes(pem))
    return folder / "mail.key", folder / "mail.pem"


def port_of_nobody() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def mail_server(folder: Path, port: int) -> Iterator[Mailbox]:
    """A real mail server on loopback that wants STARTTLS and a password."""
    key, made = certificate(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, key)

    def check(*told: Any) -> AuthResult:
        given = told[-1]
        assert isinstance(given, LoginPassword)
        good = (given.login, given.password) == (b"bailiwick", PASSWORD.encode())
        return AuthResult(success=good, handled=good)

    mailbox = Mailbox()
    controller = Controller(
        mailbox,
        hostname="localhost",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=check,
    )
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


class Hook:
    """What a webhook's receiver got, and with which status it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((headers, body))
        writer.write(
            b"HTTP/1.1 %d x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % self.status
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiver() -> AsyncIterator[Hook]:
    hook = Hook()
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield hook
    finally:
        server.close()


def told(folder: Path, *, hook: str = "", port: int = 0, extra: str = "") -> None:
    """Have a project tell its queues, by a mail server, a webhook or both."""
    for name, secret in (("hook", SECRET), ("mail", PASSWORD)):
        path = folder / name
        path.write_text(secret)
        path.chmod(0o600)
    text = (folder / "bailiwick.yaml").read_text() + "credentials:\n"
    for name, host in (("hook", "127.0.0.1"), ("mail", "localhost")):
        tool = "notify.webhook" if name == "hook" else "notify.email"
        text += f"  {name}: {{file: {name}, hosts: [{host}], tools: [{tool}], access: write}}\n"
    text += f"notify:\n{extra}"
    if hook:
        text += f"  webhook: {{url: '{hook}', credential: hook}}\n"
    if port:
        text += (
            f"  email: {{host: localhost, port: {port}, sender: b@example.com, certificate:"
            f" {folder / 'mail.pem'}, username: bailiwick, credential: mail, timeout_seconds: 5,"
            " to: {finance: [fay@example.com], leads: [lou@example.com]}}\n"
        )
    text = text.replace("tick_seconds: 0.05", "tick_seconds: 900")
    (folder / "bailiwick.yaml").write_text(text)


async def park(house: House, on: str = "ch-secret") -> str:
    outcome = await (await house.clerk()).act("desk.refund", ASKED | {"on": on})
    assert outcome.status == "parked", outcome
    return outcome.action


async def eventually(house: House, check: Callable[[], bool], undelivered: int = 0) -> list[Notice]:
    """Keep house until it is so, and so much is undelivered: its own first tick may be slow."""
    async with asyncio.timeout(10):
        while True:
            await tick(house.world)
            left = list(await house.world.outbox.undelivered("default"))
            if check() and len(left) == undelivered:
                return left
            await asyncio.sleep(0.02)


@pytest.mark.claim("approval.notices-signed")
async def test_a_webhook_is_signed_tried_again_and_holds_no_payload(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with receiver() as hook:
        told(folder, hook=hook.url)
        async with opened(folder, now_us=clock.now_us) as house:
            hook.status = 503
            action = await park(house)
            (waits,) = await eventually(house, lambda: len(hook.got) == 1, 1)
            assert (waits.said, waits.attempts, waits.state) == ("http_503", 1, "waiting")
            await tick(house.world)
            assert len(hook.got) == 1, "it waits before it is tried again"
            hook.status = 204
            clock.advance(10)
            await eventually(house, lambda: len(hook.got) == 2)
            await tick(house.world)
            (first, _), (headers, body) = hook.got
            assert first["webhook-id"] == headers["webhook-id"]
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            signature = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
            assert headers["webhook-signature"] == f"v1,{signature}"
            event = json.loads(body)
            assert event["type"] == "approval.asked"
            assert event["data"]["action"] == action
            assert event["data"]["amount"] == "100 to 1000 USD"
            assert event["data"]["answer_with"] == f"bailiwick approvals show {action}"
            assert b"ch-secret" not in body
            assert b"sue" not in body
            await house.vote("bo", action)
            await eventually(house, lambda: len(hook.got) == 3)
            decided = json.loads(hook.got[-1][1])
            assert (decided["type"], decided["data"]["outcome"]) == ("approval.decided", "granted")
            # Twelve times without an answer, and it is given up; doctor says so.
            hook.status = 500
            await park(house, "ch-2")
            for _ in range(14):
                await tick(house.world)
                clock.advance(HOUR + 1)
            (lost,) = await house.world.outbox.undelivered("default")
            assert (lost.state, lost.attempts) == ("failed", 12)


@pytest.mark.claim("approval.notices-by-mail")
async def test_mail_goes_out_by_starttls_and_a_dead_server_changes_nothing_else(
    folder: Path,
) -> None:
    clock, port = Clock(NOW_US), port_of_nobody()
    told(folder, port=port, extra="  tell: [subject]\n")
    async with opened(folder, now_us=clock.now_us) as house:
        action = await park(house)
        (waits,) = await eventually(house, lambda: True, 1)
        assert waits.said == "mail_unreachable"
        clock.advance(10)
    with mail_server(folder, port) as mailbox:
        async with opened(folder, now_us=clock.now_us) as house:
            await eventually(house, lambda: len(mailbox.taken) == 1)
            (mail,) = mailbox.taken
            text = message_from_bytes(mail.content, policy=policy.default).get_content()
            assert mail.rcpt_tos == ["fay@example.com"]
            assert f"bailiwick approvals show {action}" in text
            assert "sue" in text, "the settings let the subject be told"
            assert "ch-secret" not in text
            mailbox.answer = "550 no"
            await house.vote("bo", action)
            (waits,) = await eventually(house, lambda: True, 1)
            assert (waits.event, waits.said) == ("decided", "mail_550")
            (folder / "mail").write_text("wrong")
            clock.advance(10)
            await tick(house.world)
            (waits,) = await house.world.outbox.undelivered("default")
            assert waits.said == "mail_login"


@pytest.mark.claim("approval.service-levels")
async def test_a_queue_is_reminded_once_escalated_once_and_expires(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with receiver() as hook:
        told(folder, hook=hook.url)
        async with opened(folder, now_us=clock.now_us) as house:
            await activate(house, limits=LEVELS)
            answer = await house.command(
                "ada", "people add", name="lou", roles=["approver"], queues=["leads"]
            )
            given = {"name": "lou", "password": answer["password"]}
            login = await house.perform({"command": "login", "parameters": given})
            action = await park(house)
            await tick(house.world)
        async with opened(folder, now_us=clock.now_us) as house:
            house.sessions["lou"] = json.dumps(login)
            clock.advance(HOUR)
            await asyncio.gather(*(tick(house.world) for _ in range(4)))
            with pytest.raises(BailiwickError) as fault:
                await house.vote("lou", action)
            assert fault.value.code in ("not_allowed", "voter_not_entitled")
            clock.advance(HOUR)
            await asyncio.gather(*(tick(house.world) for _ in range(4)))
            await eventually(house, lambda: len(hook.got) == 3)
            events = [
                (each["type"], each["data"]["queue"])
                for each in (json.loads(body) for _, body in hook.got)
            ]
            assert events == [
                ("approval.asked", "finance"),
                ("approval.reminder", "finance"),
                ("approval.asked", "leads"),
            ]
            # Once, with its record: each epoch was begun by one change.
            entries = await house.world.ledger.records(0, 10_000)
            bodies = [json.loads(each.body) for each in entries]
            changes = [each for each in bodies if each.get("change") == "escalate"]
            assert [each["target"] for each in changes] == [f"{action}/finance/leads"]
            await house.vote("lou", action)
            await house.bailiwick.settle()
            assert (await house.bailiwick.outcome(action)).status == "done"
            # No answer in the queue's own time is a denial.
            late = await park(house, "late")
            clock.advance(24 * HOUR)
            await house.bailiwick.settle()
            assert (await house.bailiwick.outcome(late)).code == "approval_expired"


@pytest.mark.claim("approval.service-levels")
@pytest.mark.parametrize(
    "queue",
    [
        "{remind_after_s: 0}",
        "{escalate_after_s: 5}",
        "{escalate_to: leads}",
        "{escalate_after_s: 5, escalate_to: finance}",
        "{expire_after_s: 99999999999}",
        "{remind: 5}",
    ],
)
async def test_a_level_that_cannot_be_kept_does_not_load(house: House, queue: str) -> None:
    with pytest.raises(BailiwickError):
        await activate(house, limits=f"{LIMITS}queues:\n  finance: {queue}\n")
