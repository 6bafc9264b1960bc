"""By whose word a server's certificate is believed: the system's roots, which take long to read."""

import ssl
from functools import cache

import httpx2


def context_for(url: str) -> ssl.SSLContext:
    """What connections to this address are made with. The roots are read for https alone, once."""
    return system_roots() if url.lower().startswith("https:") else no_roots()


@cache
def system_roots() -> ssl.SSLContext:
    """Believe whom the system believes; nothing of the environment counts."""
    return httpx2.create_ssl_context(trust_env=False)


@cache
def no_roots() -> ssl.SSLContext:
    """Believe nobody. Plain http needs no more, and a way to https cannot open by mistake."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
