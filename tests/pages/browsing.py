"""A browser of the system's, and people at it: no browser is downloaded."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from tests.cli.desk import PASSWORD
from tests.gateway.served import Up

T = TypeVar("T")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDE: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 780}


@contextmanager
def browsing() -> Iterator[Browser]:
    """A headless browser until the block ends."""
    # Root has no sandbox of Chromium's; nothing but our own pages is opened.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*sandbox, "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


def with_key(up: Up) -> Up:
    """The server with an access key of its agent, once it has compiled its release."""
    assert httpx2.get(f"{up.url}/health/ready", timeout=60).status_code == 200
    up.key = aside(up.access_key)
    return up


def log_in(context: BrowserContext, up: Up, name: str, path: str = "/approvals") -> Page:
    """A page of somebody who logs in, and then looks at `path`."""
    page = context.new_page()
    page.goto(f"{up.url}/login?next={path}")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.primary")
    page.wait_for_url(f"{up.url}{path}")
    return page


def call(up: Up, tool: str, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    """Have the agent call a tool; its structured answer, with the action's id."""
    params = {"name": tool, "arguments": arguments, "_meta": meta or {}}
    result = up.post(up.key, "tools/call", params).json()["result"]
    told = dict(result.get("structuredContent") or {})
    told.setdefault("action", result["_meta"]["dev.bailiwick/action"])
    return told


def aside(function: Callable[..., T], *given: Any) -> T:
    """Call what runs a loop of its own in a thread: the browser's runs in this one."""
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(function, *given).result()


def data(up: Up, person: str, *words: str) -> Any:
    """A command of a person's at a terminal; its JSON answer."""
    answer = aside(up.desk.here, person, *words, "--json")
    assert answer.code in (0, 4), answer.err
    return answer.data


def refund(up: Up, order: str, amount_minor: int = 4900, **more: Any) -> str:
    """Have the agent ask for a refund; the action that waits."""
    arguments = {"account": "acct_77", "status": "refunded", **more}
    told = call(up, "shop_refund", order=order, amount_minor=amount_minor, **arguments)
    assert told["status"] == "parked", told
    return str(told["action"])


def spoken(page: Page) -> str:
    """The page's text, with every run of white space as one blank."""
    return re.sub(r"\s+", " ", page.inner_text("body"))
