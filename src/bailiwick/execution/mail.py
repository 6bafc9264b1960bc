"""SMTP, by the standard library, in a thread of its own."""

import asyncio
import smtplib
import ssl
import threading
from email.message import EmailMessage

from bailiwick.config import EmailSettings


async def send_mail(settings: EmailSettings, password: str, message: EmailMessage) -> str:
    """Send a message once; give the code of what went wrong, or nothing.

    The thread is a daemon: a server that stands still keeps no program from ending.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()

    def tell(code: str) -> None:
        if not ended.done():
            ended.set_result(code)

    def work() -> None:
        code = _sent(settings, password, message)
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, code)

    threading.Thread(target=work, name="bailiwick-mail", daemon=True).start()
    return await ended


def _sent(settings: EmailSettings, password: str, message: EmailMessage) -> str:
    try:
        with smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_seconds) as server:
            if settings.starttls:
                server.starttls(context=ssl.create_default_context(cafile=settings.certificate))
            if settings.username:
                server.login(settings.username, password)
            refused = server.send_message(message)
            return "mail_partly_refused" if refused else ""
    except ssl.SSLError:
        return "mail_tls"
    except smtplib.SMTPAuthenticationError:
        return "mail_login"
    except smtplib.SMTPResponseException as error:
        return f"mail_{error.smtp_code}"
    except smtplib.SMTPException:
        return "mail_refused"
    except OSError:
        return "mail_unreachable"
