"""Stories, stops, and whether every page can be used by everybody."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect

from tests.gateway.served import Up
from tests.pages.browsing import PHONE, WIDE, call, data, log_in, refund, spoken
from tests.pages.shop import BIDI, NASTY
from tests.pages.shots import happen

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def acted(up: Up) -> dict[str, str]:
    """Some of everything that can become of an action."""
    return happen(up)


@pytest.fixture(scope="module")
def di(browser: Browser, up: Up) -> Iterator[BrowserContext]:
    """The browser of an operator who is an approver too."""
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    log_in(context, up, "di").close()
    yield context
    context.close()


@pytest.fixture
def page(di: BrowserContext) -> Iterator[Page]:
    opened = di.new_page()
    opened.set_default_timeout(8000)
    yield opened
    opened.close()


ENDS = {
    "done": ("It was done", "verify", "settled"),
    "refused": ("It was refused at step 4", "validate", "no"),
    "never": ("It was refused at step 6", "decide", "no"),
    "failed": ("It certainly was not done", "execute", "no"),
    "unknown": ("Nobody knows whether it was done", "execute", "doubt"),
    "contradicted": ("the world does not show it", "verify", "doubt"),
    "large": ("It waits for people", "approve", "waits"),
}


def barriers(page: Page, rules: str = "resultTypes: ['violations']") -> list[str]:
    """What axe finds on a page as it stands, each with its place."""
    if not AXE.exists():
        pytest.skip("there is no axe-core: run `make tests/pages/node_modules/ready`")
    page.evaluate(AXE.read_text())
    return [
        f"{page.url}: {each['id']}: {node['html']} {node['failureSummary']}"
        for each in page.evaluate(f"axe.run({{{rules}}}).then((each) => each.violations)")
        for node in each["nodes"][:2]
    ]


@pytest.mark.claim("pages.story")
def test_a_story_shows_how_it_ended_and_where(up: Up, page: Page, acted: dict[str, str]) -> None:
    for name, (words, step, look) in ENDS.items():
        page.goto(f"{up.url}/actions/{acted[name]}")
        expect(page.locator(".sub").first).to_contain_text(words)
        steps = page.locator(".steps > li")
        assert steps.count() == 12
        here = page.locator(f".steps > li.{look}", has=page.get_by_text(step, exact=True))
        expect(here).to_have_count(1)
    # Where it was refused, nothing after that was reached.
    page.goto(f"{up.url}/actions/{acted['never']}")
    assert page.locator(".steps > li.ahead").count() == 6


def test_a_story_is_live_and_tells_of_erasing(up: Up, page: Page) -> None:
    meta = {"dev.bailiwick/run": "a-run-of-its-own"}
    told = call(up, "notes_add", meta, customer="c_9", text="to be erased")
    action = str(told["action"])
    page.goto(f"{up.url}/actions/{action}")
    expect(page.locator(".others")).to_contain_text("to be erased")
    run = data(up, "ada", "actions", "show", action)["run"]
    data(up, "ada", "vault", "erase", "--run", run, "--reason", "asked by the customer")
    expect(page.locator(".head")).to_contain_text("asked by the customer", timeout=5000)
    expect(page.locator(".others")).not_to_contain_text("to be erased")
    page.goto(f"{up.url}/actions")
    page.select_option("#state", "done")
    page.click("text=Show")
    expect(page.locator(f"a[href='/actions/{action}']")).to_be_visible()


@pytest.mark.claim("pages.story")
def test_a_story_tells_what_took_it_back(up: Up, page: Page) -> None:
    action = str(call(up, "shop_flag", order="undo_1", word=NASTY)["action"])
    undone = data(up, "di", "undo", action, "--yes", "--reason", NASTY + BIDI)
    page.goto(f"{up.url}/actions/{action}")
    expect(page.locator(".head .notice")).to_contain_text("Taken back by act_")
    expect(page.locator(".head .notice")).to_contain_text("done")
    page.click(".head .notice a")
    expect(page.locator(".head .notice")).to_contain_text(f"It takes back {action}")
    expect(page.locator("h1")).to_contain_text("shop.unflag")
    assert_text_alone(page)
    page.goto(f"{up.url}/actions")
    assert f"undoes {action}" in spoken(page), undone


@pytest.mark.claim("pages.story")
def test_what_is_in_flight_is_shown_while_it_is(up: Up, page: Page) -> None:
    page.goto(f"{up.url}/stops")
    with ThreadPoolExecutor(1) as beside:
        flying = beside.submit(call, up, "faults_dawdle", customer="c_flying")
        # It comes under one's eyes.
        expect(page.locator(".flying")).to_contain_text("faults.dawdle")
        page.click(".flying a")
        expect(page.locator(".head")).to_contain_text("It is in flight")
        here = page.locator(".steps > li.waits", has=page.get_by_text("execute", exact=True))
        expect(here).to_have_count(1)
        # It turns into its end under one's eyes.
        expect(page.locator(".head")).not_to_contain_text("It is in flight", timeout=8000)
        assert page.url.endswith(str(flying.result()["action"]))
    page.goto(f"{up.url}/stops")
    expect(page.locator("[data-live=flight]")).to_contain_text("Nothing is in flight")


@pytest.mark.claim("pages.outside-text-stays-text")
def test_what_stands_in_names_reasons_and_addresses_stays_text(
    browser: Browser, up: Up, page: Page
) -> None:
    asked: list[str] = []

    def hear(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", hear)
    told = [
        call(up, "notes_add", customer=NASTY, text=NASTY),
        call(up, "shop_flag", order=NASTY, word=BIDI),
        by_rest(up, NASTY, {"customer": BIDI}),
        by_rest(up, "notes.add", {NASTY: BIDI}),
    ]
    stories = [f"/actions/{each['action']}" for each in told if each.get("action")]
    assert len(stories) >= 2
    data(up, "di", "kill", "tool", "shop.flags", "--reason", NASTY + BIDI)
    nasty = quote(NASTY + '">' + BIDI, safe="")
    in_address = [
        f"/stops?scope={nasty}&target={nasty}&reason={nasty}",
        f"/login?next={nasty}&ended={nasty}",
        f"/actions?state={nasty}",
        f"/actions/{nasty}",
        f"/approvals/{nasty}",
        f"/{nasty}",
    ]
    for path in ["/actions", "/approvals", "/stops", *stories, *in_address]:
        page.goto(up.url + path)
        assert_text_alone(page)
    # Names that somebody tries to come in by, and the words of a form that is refused.
    context = browser.new_context()
    stranger = context.new_page()
    stranger.goto(f"{up.url}/login")
    stranger.fill("#name", NASTY + '"' + BIDI)
    stranger.fill("#password", NASTY)
    stranger.click("button.primary")
    expect(stranger.locator("#fault")).to_be_visible()
    assert_text_alone(stranger)
    context.close()
    page.goto(f"{up.url}/stops")
    expect(page.locator(".band")).to_contain_text("<script>document.title")
    page.fill("#target", NASTY + '"' + BIDI)
    page.fill("#why", NASTY + '"')
    page.click("button.stop-now")
    assert_text_alone(page)
    assert asked == []
    for person in ("ada", "di"):
        data(up, person, "resume", "tool", "shop.flags")


def assert_text_alone(page: Page) -> None:
    """Nothing of what others wrote is an element, a script, or a sign that misleads."""
    assert page.title().endswith("Bailiwick"), page.url
    assert page.locator("img, main script, [onerror]").count() == 0, page.url
    # What one has typed oneself is in the field as it was.
    told = re.sub(r'value="[^"]*"', "", page.content())
    assert not any(hidden in told for hidden in "\u202e\u200b\x1b"), page.url


def by_rest(up: Up, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Have the agent propose what no client of MCP could."""
    headers = {"authorization": f"Bearer {up.key}", "idempotency-key": f'"{len(tool)}-xss"'}
    body = {"tool": tool, "arguments": arguments}
    answer = httpx2.post(f"{up.url}/v1/actions", json=body, headers=headers, timeout=30)
    told: dict[str, Any] = answer.json()
    return dict(told.get("outcome", told))


@pytest.mark.claim("pages.stop")
def test_stopping_needs_a_word_and_resuming_a_second_person(
    browser: Browser, up: Up, page: Page
) -> None:
    action = refund(up, "stop_1")
    page.goto(f"{up.url}/approvals/{action}")
    page.click("text=Stop…")
    # The button stops what one was looking at, unless one chooses otherwise.
    assert (page.input_value("#scope"), page.input_value("#target")) == ("agent", "note-taker")
    page.fill("#why", "it pays too much")
    page.click("button.stop-now")
    expect(page.get_by_role("alert")).to_contain_text("Say that you mean it")
    assert data(up, "ada", "stops", "list") == []
    page.check("[name=sure]")
    page.click("button.stop-now")
    expect(page.locator(".notice")).to_contain_text("Stopped: agent note-taker, in")
    expect(page.locator(".notice")).to_contain_text("In flight under it")
    expect(page.locator(".band")).to_contain_text("it pays too much")
    # Not skipped in the middle, which would leave the agent stopped.
    assert not AXE.exists() or barriers(page) == []
    refused = call(up, "notes_add", customer="c_1", text="while it is stopped")
    assert (refused["status"], refused["code"]) == ("refused", "stopped")

    page.click("text=Resume agent")
    expect(page.locator(".notice")).to_contain_text("It waits for a second person")
    expect(page.locator(".switch")).to_contain_text("di has asked to resume")
    expect(page.locator(".switch button")).to_have_count(0)
    context = browser.new_context()
    ada = log_in(context, up, "ada", "/stops")
    ada.click("text=Confirm resuming")
    expect(ada.locator(".notice")).to_contain_text("Resumed: agent note-taker")
    context.close()
    # Who had the page open sees it go, and repeats nothing by it.
    expect(page.locator(".switch")).to_have_count(0, timeout=5000)
    assert data(up, "ada", "changes", "list") == []
    expect(page.locator(".band")).to_have_count(0, timeout=5000)
    assert data(up, "ada", "stops", "list") == []


def test_a_stop_for_a_name_that_nothing_has_says_so(up: Up, page: Page) -> None:
    page.goto(f"{up.url}/stops?scope=tool&target=shop.refnd")
    page.check("[name=sure]")
    page.click("button.stop-now")
    expect(page.locator(".notice")).to_contain_text("There is no tool of this name")
    expect(page.locator(".notice")).to_contain_text("did you mean shop.refund")
    for person in ("ada", "di"):
        data(up, person, "resume", "tool", "shop.refnd")


@pytest.mark.claim("pages.usable-by-everybody")
def test_no_page_has_a_barrier_or_overflows(
    browser: Browser, up: Up, di: BrowserContext, acted: dict[str, str]
) -> None:
    state: Any = di.storage_state()
    request, ended = f"/approvals/{acted['large']}", f"/actions/{acted['contradicted']}"
    some = ["/login", "/approvals", request, "/stops", ended]
    every = [*some, "/actions", "/nowhere", f"/actions/{acted['never']}"]
    found: list[str] = []
    looks: Any = (("light", (PHONE, WIDE), every), ("dark", (WIDE,), some))
    for scheme, sizes, paths in looks:
        context = browser.new_context(
            storage_state=state, color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        for path in paths:
            answer = page.goto(up.url + path)
            assert answer is not None
            assert answer.status == (404 if path == "/nowhere" else 200), path
            page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
            for size in sizes:
                page.set_viewport_size(size)
                wide = page.evaluate("document.documentElement.scrollWidth")
                if wide > size["width"]:
                    found.append(f"{path}: {wide} px wide at {size['width']}")
            # Only colours differ in the dark.
            only = ["runOnly: ['color-contrast']"] if scheme == "dark" else []
            found += barriers(page, *only)
        if scheme == "light":
            # It finds what there is.
            page.evaluate("document.querySelector('main').append(document.createElement('input'))")
            page.evaluate("document.querySelector('main').style.color = '#888'")
            seen = " ".join(barriers(page))
            assert ("label" in seen, "color-contrast" in seen) == (True, True)
        context.close()
    assert found == []


def test_the_keyboard_is_enough(up: Up, page: Page) -> None:
    action = refund(up, "keys_1")
    page.goto(f"{up.url}/approvals/{action}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.name || document.activeElement.className")
        )
        if reached[-1] == "choice":
            break
    assert reached[-2:] == ["reason", "choice"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    expect(page.locator("#decision")).to_contain_text("takes no more votes")
    assert "granted" in spoken(page) or "consumed" in spoken(page)
