"""Pictures of every page, for people to look at: `make shots` writes them to tests/pages/out."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.cli.desk import Desk
from tests.gateway.served import Up
from tests.pages.browsing import PHONE, WIDE, browsing, call, log_in, refund, with_key
from tests.pages.shop import BIDI, NASTY, found_shop

OUT = Path(__file__).parent / "out"
WHY = {
    "dev.bailiwick/reason": "The parcel never came, and the carrier says that it is lost.",
    "dev.bailiwick/sources": ["ticket 4711: where is my parcel?", NASTY],
    "dev.bailiwick/uncertainty": "The carrier's word is all I have.",
}


@contextmanager
def serving() -> Iterator[Up]:
    """A shop behind a server of its own, with everybody logged in and an access key."""
    folder = Path(tempfile.mkdtemp())
    try:
        project = found_shop(folder / "project")
        (folder / "homes").mkdir()
        desk = Desk(project, folder / "homes")
        desk.log_in("ada", "bo")
        up = Up(desk)
        try:
            yield with_key(up)
        finally:
            up.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def happen(up: Up) -> dict[str, str]:
    """Some of everything that can become of an action; the actions by what became of them."""
    refund(up, "o_20")
    refund(up, "o_21", 7550, memo="second parcel of the same order")
    actions = {
        "large": call(
            up,
            "shop_refund",
            WHY,
            order="o_1",
            amount_minor=24900,
            account="acct_77",
            status="refunded",
            memo=BIDI,
        )["action"],
        "refused": call(up, "notes_add", customer="c_1")["action"],
        "done": call(up, "notes_add", customer="c_1", text="likes tea")["action"],
        "failed": call(up, "faults_refuse", customer="c_2")["action"],
        "unknown": call(up, "faults_lose", customer="c_3")["action"],
        "contradicted": call(up, "faults_pretend", customer="c_4")["action"],
        "never": call(up, "shop_refund", order="o_9", amount_minor=95000, account="a", status="s")[
            "action"
        ],
        "denied": refund(up, "o_30", 5000),
    }
    return {name: str(each) for name, each in actions.items()}


def picture(page: Page, name: str) -> None:
    """One page as it stands, whole."""
    page.screenshot(path=str(OUT / f"{name}.png"), full_page=True)


def shoot(browser: Browser, up: Up) -> None:
    """Every page, wide and light, wide and dark, and on a phone."""
    acted = happen(up)
    looks: Any = {"light": (WIDE, "light"), "dark": (WIDE, "dark"), "phone": (PHONE, "light")}
    for look, (size, scheme) in looks.items():
        context = browser.new_context(viewport=size, color_scheme=scheme)
        page = context.new_page()
        page.goto(f"{up.url}/login")
        picture(page, f"login-{look}")
        page = log_in(context, up, "di")
        picture(page, f"inbox-{look}")
        for name, path in {
            "approval": f"/approvals/{acted['large']}",
            "actions": "/actions",
            "stops": "/stops",
            "missing": "/nowhere",
            **{f"story-{each}": f"/actions/{id}" for each, id in acted.items()},
        }.items():
            page.goto(up.url + path)
            picture(page, f"{name}-{look}")
        context.close()


def main() -> None:
    """Write the pictures."""
    OUT.mkdir(exist_ok=True)
    began_s = time.monotonic()
    with serving() as up, browsing() as browser:
        shoot(browser, up)
    sys.stderr.write(f"{OUT}: {time.monotonic() - began_s:.0f} s\n")


if __name__ == "__main__":
    main()
