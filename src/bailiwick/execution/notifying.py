"""Telling people: one notice as an e-mail, or as a signed webhook through the egress door.

Webhooks are signed as Standard Webhooks says: `webhook-id`, `webhook-timestamp` and
`webhook-signature`, `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. A notice may
arrive twice, always under its one id.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

from bailiwick.config import EmailSettings, WebhookSettings
from bailiwick.errors import BadInput, ExecutionError
from bailiwick.execution.mail import send_mail
from bailiwick.nouns.notices import Notice
from bailiwick.ports import Lost, NotSent, Request, World
from bailiwick.values import JSON, canonical, shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_ANSWER = 16 * 1024
_SECRET = "whsec_"  # noqa: S105 - the prefix of a secret, and no secret


async def notify(world: World, notice: Notice) -> str:
    """Deliver a notice by its channel; give the code of what went wrong, or nothing.

    Nothing is raised for a receiver's fault, and no code holds a secret or what a receiver said.
    """
    email, webhook = world.settings.notify.email, world.settings.notify.webhook
    try:
        if notice.channel == "email" and email is not None:
            return await _mailed(world, notice, email)
        if notice.channel == "webhook" and webhook is not None:
            return await _posted(world, notice, webhook)
    except (ExecutionError, BadInput) as fault:
        return fault.code
    return "channel_gone"


def text_of(notice: Notice) -> tuple[str, str]:
    """Give the subject and the text of a notice: what is asked, by whom, and how to answer."""
    what = f"{shown(notice.agent)} / {shown(notice.tool)}"
    head = {
        "asked": f"approval asked: {what}",
        "reminder": f"still waiting for approval: {what}",
        "decided": f"{shown(notice.outcome)}: {what}",
    }.get(notice.event, what)
    lines = {
        "action": notice.action,
        "agent": notice.agent,
        "tool": notice.tool,
        "queue": notice.queue,
        "rules": ", ".join(notice.rules),
        "amount": notice.amount,
        "for": notice.subject,
        "touches": notice.resource,
        "outcome": notice.outcome,
        "until": _moment(notice.expires_at_us) if notice.expires_at_us else "",
    }
    told = [f"{name + ':':<9} {shown(value, 500)}" for name, value in lines.items() if value]
    verb = "actions" if notice.event == "decided" else "approvals"
    told += ["", f"See it, and answer it, with: bailiwick {verb} show {notice.action}", ""]
    return f"[bailiwick] {head}", "\n".join(told)


def signed_headers(notice: Notice, secret: str, at_s: int, body: bytes) -> Mapping[str, str]:
    """Give a webhook's headers. Raises `ExecutionError` for a secret that is not `whsec_…`."""
    try:
        if not secret.startswith(_SECRET):
            raise ValueError("prefix")
        key = base64.b64decode(secret.removeprefix(_SECRET), validate=True)
    except (ValueError, binascii.Error):
        raise ExecutionError(
            "the webhook's secret is not `whsec_` and base64",
            code="webhook_secret",
            help="store the secret as the receiver gave it",
        ) from None
    signature = hmac.digest(key, b"%s.%d.%s" % (notice.id.encode(), at_s, body), "sha256")
    return {
        "content-type": "application/json",
        "webhook-id": notice.id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


async def _mailed(world: World, notice: Notice, email: EmailSettings) -> str:
    to = email.to.get(notice.queue, ())
    if not to:
        return "nobody_to_tell"
    password = ""
    if email.credential is not None:
        password = world.broker.secret(email.credential, "notify.email", email.host, True)
    message = EmailMessage()
    message["Subject"], text = text_of(notice)
    message["From"], message["To"] = email.sender, ", ".join(to)
    message["Message-ID"] = f"<{notice.id}@{email.sender.rpartition('@')[2]}>"
    message["Date"] = _EPOCH + timedelta(microseconds=notice.created_at_us)
    message.set_content(text)
    return await send_mail(email, password, message)


async def _posted(world: World, notice: Notice, webhook: WebhookSettings) -> str:
    host = world.egress.target(webhook.url).authority
    secret = world.broker.secret(webhook.credential, "notify.webhook", host, True)
    at_us = world.now_us()
    body = canonical(
        {
            "type": f"approval.{notice.event}",
            "timestamp": _moment(notice.created_at_us),
            "data": _data(notice),
        }
    )
    request = Request(
        method="POST",
        url=webhook.url,
        headers=signed_headers(notice, secret, at_us // 1_000_000, body),
        body=body,
        timeout_s=webhook.timeout_seconds,
        max_bytes=_MAX_ANSWER,
    )
    try:
        response = await world.egress.send(request, _always)
    except NotSent:
        return "not_sent"
    except Lost:
        return "answer_lost"
    return "" if 200 <= response.status < 300 else f"http_{response.status}"


def _data(notice: Notice) -> dict[str, JSON]:
    data: dict[str, JSON] = {
        "action": notice.action,
        "agent": notice.agent,
        "tool": notice.tool,
        "queue": notice.queue,
        "rules": list(notice.rules),
        "amount": notice.amount,
        "subject": notice.subject,
        "resource": notice.resource,
        "outcome": notice.outcome,
        "until": _moment(notice.expires_at_us) if notice.expires_at_us else "",
        "answer_with": f"bailiwick approvals show {notice.action}",
    }
    return {name: value for name, value in data.items() if value}


def _moment(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _always() -> bool:
    """No fence: to tell people is no effect of an agent, and a stop must not keep them from it."""
    return True
