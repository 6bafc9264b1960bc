"""What every request for a page passes: whose name it was sent to, from where, and the headers."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # With `no-referrer` a browser would send forms with `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_SAFE = ("GET", "HEAD")

Refused = Callable[[Request, str, str], Awaitable[Response]]


class Guard:
    """Refuses a request under a foreign name (DNS rebinding) or from a foreign page (CSRF)."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str], secure: bool, refused: Refused) -> None:
        """`hosts` are our names, `name:*` with any port; `refused` makes the answer."""
        self._app = app
        self._hosts = hosts
        self._secure = secure
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        app = self._app
        if not self._ours(headers):
            app = await self._refused(
                Request(scope), "host_unknown", "this server is not known under that name"
            )
        elif scope["method"] not in _SAFE and not self._from_here(headers):
            app = await self._refused(
                Request(scope), "request_foreign", "the request does not come from one of our pages"
            )
        await app(scope, receive, self._with_headers(send))

    def _ours(self, headers: Headers) -> bool:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return False
        try:
            name = urlsplit(f"//{hosts[0]}").hostname or ""
        except ValueError:
            return False
        bracketed = f"[{name}]" if ":" in name else name
        return hosts[0] in self._hosts or f"{bracketed}:*" in self._hosts

    def _from_here(self, headers: Headers) -> bool:
        """Every browser says where a form comes from; what says nothing is no browser of ours."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is None and origin is None:
            return False
        if site is not None and site != "same-origin":
            return False
        if origin is None:
            return True
        try:
            came = urlsplit(origin)
        except ValueError:
            return False
        scheme = came.scheme == "https" if self._secure else came.scheme in ("http", "https")
        return scheme and came.netloc == headers["host"]

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                if self._secure:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        return sending
