"""People log in, are shown what is asked, and vote on exactly that; with a browser."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.cli.desk import soon
from tests.gateway.served import Up
from tests.pages.browsing import aside, call, data, log_in, refund, spoken
from tests.pages.shop import BIDI, NASTY

Enter = Callable[..., Page]


@pytest.fixture(scope="module")
def contexts(browser: Browser, up: Up) -> Iterator[dict[str, BrowserContext]]:
    """A browser's profile for each person, logged in once."""
    made: dict[str, BrowserContext] = {}
    for name in ("bo", "cy", "vi"):
        made[name] = browser.new_context()
        log_in(made[name], up, name).close()
    yield made
    for each in made.values():
        each.close()


@pytest.fixture
def enter(contexts: dict[str, BrowserContext], up: Up) -> Iterator[Enter]:
    """Opens a page as somebody; each is closed after the test."""
    opened: list[Page] = []

    def entering(name: str, path: str = "/approvals") -> Page:
        page = contexts[name].new_page()
        page.set_default_timeout(8000)
        opened.append(page)
        page.goto(up.url + path)
        return page

    yield entering
    for page in opened:
        page.close()


def state(up: Up, action: str) -> Any:
    return data(up, "ada", "actions", "show", action)


def settled(up: Up, action: str) -> Any:
    """The action once it waits no longer."""
    until_s = time.monotonic() + 10
    while (told := state(up, action))["state"] in ("parked", "intended"):
        assert time.monotonic() < until_s, told["state"]
        time.sleep(0.1)
    return told


# --- logging in ----------------------------------------------------------------------------------


@pytest.mark.claim("pages.session-sealed")
def test_logging_in_leads_back_and_logging_out_ends_it(browser: Browser, up: Up) -> None:
    action = refund(up, "login_1")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{up.url}/approvals/{action}")
    assert "/login?next=/approvals/" in page.url
    page.fill("#name", "bo")
    page.fill("#password", "not the password at all")
    page.click("button.primary")
    expect(page.get_by_role("alert")).to_contain_text("name or the password is wrong")
    assert page.input_value("#name") == "bo"
    page.fill("#password", "correct horse battery staple")
    page.click("button.primary")
    page.wait_for_url(f"**/approvals/{action}")
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert 11 * 3600 < cookie["expires"] - time.time() <= 12 * 3600
    assert page.evaluate("document.cookie") == ""
    page.click("text=Log out")
    page.wait_for_url("**/login")
    assert context.cookies() == []
    # The cookie that somebody kept is worth what the session is: it goes on until it is revoked.
    context.close()


def test_guessing_is_told_how_long_it_waits(browser: Browser, up: Up) -> None:
    page = browser.new_page()
    page.goto(f"{up.url}/login")
    for _ in range(7):
        page.fill("#name", "ed")
        page.fill("#password", "a guess that is wrong")
        page.click("button.primary")
        if "try again in" in spoken(page).lower():
            break
    expect(page.get_by_role("alert")).to_contain_text("was tried")
    assert " s." in page.inner_text("[role=alert]")
    page.close()


# --- the inbox -----------------------------------------------------------------------------------


@pytest.mark.claim("pages.live")
def test_the_inbox_shows_what_comes_and_goes_without_reloading(up: Up, enter: Enter) -> None:
    page = enter("bo")
    page.evaluate("window.here = true")
    action = refund(up, "live_1", 7550)
    entry = page.locator(f"#r-{action}")
    expect(entry).to_contain_text("75.50 USD", timeout=4000)
    expect(entry).to_contain_text("shop.any: 0 of 1 from support")
    data(up, "bo", "approvals", "deny", action, "--reason", "no", "--yes")
    expect(entry).to_have_count(0, timeout=4000)
    assert page.evaluate("window.here")


def test_who_answers_for_no_queue_sees_what_waits_for_others(up: Up, enter: Enter) -> None:
    action = refund(up, "others_1")
    page = enter("vi")
    expect(page.locator(".empty")).to_contain_text("Nothing waits for you")
    expect(page.locator(f"#r-{action}")).to_contain_text("Order:others_1")
    # A viewer is not told what is in payloads, and may not open the request.
    assert "49.00" not in spoken(page)
    page.click(f"#r-{action}")
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()


# --- one request ---------------------------------------------------------------------------------


@pytest.mark.claim("pages.what-is-shown-is-signed")
def test_a_request_is_shown_approved_and_done(up: Up, enter: Enter) -> None:
    action = refund(up, "yes_1")
    page = enter("bo", f"/approvals/{action}")
    told = spoken(page)
    for fact in (
        "note-taker asks: shop.refund",
        "Order yes_1",
        "49.00 USD",
        "acct_77",
        "for anna",
        "shop.any asks 1 person of support",
        "yours is the last vote needed",
        "cannot be undone",
    ):
        assert fact in told
    row = page.locator("tr.changed")
    expect(row).to_contain_text("/order/status → /status")
    expect(row).to_contain_text("paid")
    expect(row).to_contain_text("refunded")
    page.click("button.approve")
    expect(page.locator("#decision")).to_contain_text("takes no more votes")
    done = settled(up, action)
    assert (done["state"], done["verdict"]) == ("done", "verified")
    (vote,) = done["approval"]["votes"]
    assert (vote["person"], vote["choice"]) == ("bo", "approve")


def test_a_client_whose_call_waits_hears_of_the_yes(up: Up, enter: Enter) -> None:
    arguments = {
        "order": "waits_1",
        "amount_minor": 100,
        "account": "a",
        "status": "refunded",
    }
    params = {"name": "shop_refund", "arguments": arguments, "_meta": {"progressToken": 1}}
    with ThreadPoolExecutor(1) as beside:
        waits = beside.submit(up.post, up.key, "tools/call", params)
        page = enter("bo")
        page.click("text=Order:waits_1")
        page.click("button.approve")
        answer = waits.result(timeout=20).text
    assert '"isError":false' in answer
    assert 'dev.bailiwick/verdict":"verified' in answer


@pytest.mark.claim("pages.denial-has-a-reason")
def test_a_denial_needs_a_reason_and_is_told(up: Up, enter: Enter) -> None:
    action = refund(up, "no_1")
    page = enter("bo", f"/approvals/{action}")
    page.click("button.deny")
    expect(page.get_by_role("alert")).to_contain_text("A denial needs a reason")
    assert state(up, action)["state"] == "parked"
    page.fill("#reason", "The customer has it already.")
    page.click("button.deny")
    expect(page.locator("#decision")).to_contain_text("denied")
    assert settled(up, action)["state"] == "denied"
    expect(page.locator(".others")).to_contain_text("The customer has it already.")


@pytest.mark.claim("pages.second-person")
def test_two_people_are_asked_one_after_the_other(up: Up, enter: Enter) -> None:
    action = refund(up, "two_1", 24_900)
    one = enter("bo", f"/approvals/{action}")
    expect(one.locator("#decision")).to_contain_text("1 more person must still say yes")
    other = enter("cy", f"/approvals/{action}")
    one.click("button.approve")
    expect(one.locator("#decision")).to_contain_text("`bo` has voted")
    expect(one.locator("#decision")).to_contain_text("Missing: 1 of support")
    # Who had it open is told that it has moved on, and nothing is exchanged under their eyes.
    expect(other.locator("#news")).to_contain_text("has changed", timeout=4000)
    expect(other.locator("#decision")).to_contain_text("1 more person must still say yes")
    other.click("text=Show it as it is now")
    expect(other.locator("#decision")).to_contain_text("yours is the last vote needed")
    other.click("button.approve")
    expect(other.locator("#decision")).to_contain_text("takes no more votes")
    assert settled(up, action)["state"] == "done"


@pytest.mark.claim("pages.what-is-shown-is-signed")
def test_a_request_that_changed_is_shown_anew_and_not_voted_on(up: Up, enter: Enter) -> None:
    action = refund(up, "moved_1")
    page = enter("bo", f"/approvals/{action}")
    page.fill("#reason", "looks right")
    digest = state(up, action)["approval"]["digest"]
    # Another refund of the order changes what was read before. The yes of another person wakes the
    # action, which is judged by what is so now: what is asked is another request.
    paid = up.desk.project / "state" / "refunds.json"
    paid.write_text('{"moved_1": ["act_other"]}')
    other = enter("cy", f"/approvals/{action}")
    other.click("button.approve")
    for _ in soon():
        asked = state(up, action)["approval"]
        if (asked["state"], asked["digest"] == digest) == ("open", False):
            break
    page.click("button.approve")
    expect(page.get_by_role("alert")).to_contain_text("This is not what you looked at")
    assert page.input_value("#reason") == "looks right"
    expect(page.locator("tr", has_text="refunded_times")).to_contain_text("1")
    assert state(up, action)["approval"]["votes"] == []
    page.click("button.approve")
    expect(page.locator("#decision")).to_contain_text("takes no more votes")
    assert [each["person"] for each in settled(up, action)["approval"]["votes"]] == ["bo"]


@pytest.mark.claim("pages.second-person")
def test_two_tabs_cast_one_vote(up: Up, enter: Enter) -> None:
    action = refund(up, "tabs_1", 24_900)
    first, second = (enter("bo", f"/approvals/{action}") for _ in range(2))
    first.click("button.approve")
    expect(first.locator("#decision")).to_contain_text("cannot vote")
    second.click("button.approve")
    expect(second.get_by_role("alert").first).to_contain_text("was not cast")
    assert len(state(up, action)["approval"]["votes"]) == 1


def test_no_answer_in_time_is_told_and_takes_no_vote(up: Up, enter: Enter) -> None:
    action = refund(up, "brief_1", memo="brief")
    page = enter("bo", f"/approvals/{action}")
    page.fill("#reason", "at last")
    expect(page.locator("#news")).to_contain_text("has changed", timeout=9000)
    page.click("button.approve")
    expect(page.get_by_role("alert")).to_contain_text("was not cast")
    expect(page.locator("#decision")).to_contain_text("takes no more votes")
    assert settled(up, action)["state"] == "denied"


def test_who_asks_may_not_vote_and_a_lent_vote_can_be_cast(up: Up, enter: Enter) -> None:
    key = up.key
    try:
        up.key = aside(up.access_key, "bo")
        action = refund(up, "lent_1")
    finally:
        up.key = key
    page = enter("bo", f"/approvals/{action}")
    expect(page.locator("#decision")).to_contain_text("asks for this action and may not vote")
    expect(page.locator("button.approve")).to_have_count(0)
    data(
        up,
        "di",
        "delegation",
        "grant",
        "cy",
        "--queue",
        "support",
        "--until",
        "2027-06-01",
        "--reason",
        "holidays",
        "--yes",
    )
    other = enter("cy", f"/approvals/{action}")
    other.select_option("#voice", "di")
    other.click("button.approve")
    expect(other.locator("#decision")).to_contain_text("takes no more votes")
    (vote,) = settled(up, action)["approval"]["votes"]
    assert (vote["person"], vote["on_behalf_of"]) == ("cy", "di")


@pytest.mark.claim("pages.outside-text-stays-text")
def test_what_others_wrote_stays_text(up: Up, enter: Enter) -> None:
    meta = {
        "dev.bailiwick/reason": NASTY + "\n" + "x" * 3000,
        "dev.bailiwick/sources": [NASTY, BIDI],
        "dev.bailiwick/uncertainty": BIDI,
    }
    action = str(
        call(
            up,
            "shop_refund",
            meta,
            order="xss_1",
            amount_minor=1,
            account=NASTY,
            status=BIDI,
            memo=NASTY + BIDI,
        )["action"]
    )
    page = enter("bo", f"/approvals/{action}")
    told = page.content()
    assert "<script>document" not in told
    assert page.locator("img").count() == 0
    assert "\u202e" not in told
    assert "\\u{202e}gro.live" in spoken(page)
    expect(page.locator(".others")).to_contain_text("The first 2000 of 3070 characters are shown")
    page.fill("#reason", NASTY + BIDI)
    page.click("button.deny")
    for path in (f"/approvals/{action}", f"/actions/{action}", "/actions", "/approvals"):
        page.goto(up.url + path)
        assert page.title().endswith("· Bailiwick")
        assert page.locator("img").count() == 0
        assert "\u202e" not in page.content()
    # The words of others are the last thing on the page.
    page.goto(f"{up.url}/approvals/{action}?whole=1")
    assert "characters are shown" not in spoken(page)
    assert page.evaluate("document.querySelector('main').lastElementChild.className") == (
        "card others"
    )


def test_everything_works_without_javascript(browser: Browser, up: Up) -> None:
    action = refund(up, "plain_1")
    context = browser.new_context(java_script_enabled=False)
    page = log_in(context, up, "bo")
    page.click(f"#r-{action}")
    page.fill("#reason", "fine")
    page.click("button.approve")
    expect(page.locator("#decision")).to_contain_text("takes no more votes")
    assert settled(up, action)["state"] == "done"
    context.close()
