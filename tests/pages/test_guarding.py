"""What a browser's pages could be made to do by others: forged forms, frames, stolen cookies."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx2
import pytest

from tests.cli.desk import PASSWORD
from tests.gateway.served import Up
from tests.pages.browsing import data, refund

PAGE = {"accept": "text/html"}


@pytest.fixture
def http(up: Up) -> Iterator[httpx2.Client]:
    """Somebody at a browser who is not logged in."""
    with httpx2.Client(base_url=up.url, timeout=30, headers=PAGE) as client:
        yield client


@pytest.fixture
def bo(up: Up, http: httpx2.Client) -> httpx2.Client:
    """Somebody who is logged in."""
    answer = entered(up, http, "bo")
    assert answer.status_code == 303
    return http


def entered(up: Up, http: httpx2.Client, name: str, **headers: str) -> httpx2.Response:
    form = {"name": name, "password": PASSWORD, "next": "/approvals"}
    return http.post("/login", data=form, headers={"origin": up.url, **headers})


class Inline(HTMLParser):
    """Finds what a page would run or look like by its own text: none of it is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name: value or "" for name, value in attrs}
        odd = [each for each in names if each.startswith("on") or each == "style"]
        odd += [each for each, value in names.items() if value.strip().startswith("javascript:")]
        if odd or tag == "style" or (tag == "script" and "src" not in names):
            self.seen.append(self.get_starttag_text() or tag)


def fields(page: str) -> dict[str, str]:
    """The hidden fields of a page's last form."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


@pytest.mark.claim("pages.headers")
def test_every_answer_has_the_headers_that_browsers_go_by(up: Up, bo: httpx2.Client) -> None:
    action = refund(up, "headers_1")
    for path in (
        "/login",
        "/approvals",
        f"/approvals/{action}",
        f"/actions/{action}",
        "/actions",
        "/stops",
        "/nowhere",
        "/approvals/act_none",
        "/static/console.js",
    ):
        answer = bo.get(path)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= {
            each.strip() for each in policy.split(";")
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        kept = "immutable" if path.startswith("/static") else "no-store"
        assert kept in answer.headers["cache-control"]
        if not path.startswith("/static"):
            found = Inline()
            found.feed(answer.text)
            assert (path, found.seen) == (path, [])


@pytest.mark.claim("pages.forged-forms-refused")
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {},
    ],
)
def test_a_form_of_another_page_does_nothing(
    up: Up, bo: httpx2.Client, headers: dict[str, str]
) -> None:
    action = refund(up, f"forged_{len(str(headers))}")
    form = {**fields(bo.get(f"/approvals/{action}").text), "choice": "approve", "reason": ""}
    for path, sent in (
        (f"/approvals/{action}/vote", form),
        ("/stops", {**form, "scope": "everything", "sure": "yes"}),
        ("/login", {"name": "cy", "password": PASSWORD}),
        ("/logout", form),
    ):
        answer = bo.post(path, data=sent, headers=headers)
        assert (answer.status_code, "request_foreign" in answer.text) == (403, True), path
        assert "set-cookie" not in answer.headers
    assert data(up, "ada", "actions", "show", action)["approval"]["votes"] == []
    assert data(up, "ada", "stops", "list") == []


@pytest.mark.claim("pages.forged-forms-refused")
def test_a_form_without_this_sessions_token_does_nothing(up: Up, bo: httpx2.Client) -> None:
    action = refund(up, "token_1")
    form = {**fields(bo.get(f"/approvals/{action}").text), "choice": "approve", "reason": ""}
    with httpx2.Client(base_url=up.url, timeout=30, headers=PAGE) as other:
        entered(up, other, "bo")
        foreign = fields(other.get(f"/approvals/{action}").text)["token"]
    for token in ("", foreign, form["token"][:-1], "é"):
        answer = bo.post(
            f"/approvals/{action}/vote", data={**form, "token": token}, headers={"origin": up.url}
        )
        assert (answer.status_code, "form_foreign" in answer.text) == (403, True)
    assert data(up, "ada", "actions", "show", action)["approval"]["votes"] == []


def test_a_foreign_name_is_refused(up: Up, http: httpx2.Client) -> None:
    answer = http.get("/login", headers={"host": "evil.example"})
    assert (answer.status_code, "host_unknown" in answer.text) == (421, True)


@pytest.mark.claim("pages.session-sealed")
def test_a_cookie_says_nothing_and_cannot_be_changed(up: Up, bo: httpx2.Client) -> None:
    ((name, value),) = bo.cookies.items()
    assert "bo" not in value.split(".")
    assert value.count(".") == 0  # no statement in clear
    half = len(value) // 2
    for forged in (
        value[:half] + ("A" if value[half] != "A" else "B") + value[half + 1 :],
        value[:-4],
        "A" * len(value),
        "",
    ):
        answer = httpx2.get(
            f"{up.url}/approvals", headers={**PAGE, "cookie": f"{name}={forged}"}, timeout=30
        )
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=/approvals")


@pytest.mark.claim("pages.session-revoked")
def test_a_session_that_ended_is_sent_to_log_in_and_votes_nothing(up: Up) -> None:
    action = refund(up, "ended_1")
    with httpx2.Client(base_url=up.url, timeout=30, headers=PAGE) as ed:
        entered(up, ed, "ed")
        form = fields(ed.get("/actions").text)
        data(up, "ada", "people", "disable", "ed")
        held = {"cookie": "; ".join(f"{name}={value}" for name, value in ed.cookies.items())}
        looked = ed.get(f"/actions/{action}?x=1", headers=held)
        assert looked.headers["location"] == f"/login?next=/actions/{action}%3Fx%3D1&ended=1"
        vote = {**form, "choice": "approve", "digest": "a" * 64}
        sent = {**held, "origin": up.url}
        voted = ed.post(f"/approvals/{action}/vote", data=vote, headers=sent)
        assert voted.headers["location"] == f"/login?next=/approvals/{action}&ended=1"
        assert "Your session has ended" in ed.get(voted.headers["location"]).text
    assert data(up, "ada", "actions", "show", action)["approval"]["votes"] == []


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_logging_in_never_leads_to_another_host(up: Up, http: httpx2.Client, wanted: str) -> None:
    assert 'name="next" value="/"' in http.get("/login", params={"next": wanted}).text
    form = {"name": "bo", "password": PASSWORD, "next": wanted}
    answer = http.post("/login", data=form, headers={"sec-fetch-site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_faults_are_pages_for_people_and_problems_for_programs(up: Up, bo: httpx2.Client) -> None:
    for path, status, words in (
        ("/nowhere", 404, "nothing at this address"),
        ("/approvals/act_none", 404, "nobody is asked"),
        ("/actions/act_none", 404, "there is no action"),
    ):
        answer = bo.get(path)
        assert (answer.status_code, words in answer.text.lower()) == (status, True), answer.text
        assert "<h1>" in answer.text
    assert bo.get("/stops/resume").status_code == 405
    program = httpx2.get(f"{up.url}/nowhere", timeout=30)
    assert program.json()["code"] == "not_found"
    with httpx2.Client(base_url=up.url, timeout=30, headers=PAGE) as vi:
        entered(up, vi, "vi")
        action = refund(up, "fault_1")
        answer = vi.get(f"/approvals/{action}")
        assert (answer.status_code, "not_allowed" in answer.text) == (403, True)
        assert "Stop…" not in answer.text
        form = {**fields(answer.text), "scope": "everything", "sure": "yes"}
        answer = vi.post("/stops", data=form, headers={"origin": up.url})
        assert (answer.status_code, "not_allowed" in answer.text) == (403, True)


def test_a_form_that_is_too_long_is_refused(up: Up, bo: httpx2.Client) -> None:
    answer = bo.post("/stops", data={"reason": "x" * 70_000}, headers={"origin": up.url})
    assert (answer.status_code, "form_too_large" in answer.text) == (413, True)


def test_receipts_are_a_file_for_the_verifier(up: Up, bo: httpx2.Client) -> None:
    action = refund(up, "receipt_1")
    for _ in range(50):
        answer = bo.get(f"/actions/{action}/receipts")
        if answer.status_code == 200:
            break
    assert answer.headers["content-disposition"] == f'attachment; filename="{action}.receipts.json"'
    assert {"record", "receipt", "index"} <= set(answer.json()["proofs"][0])
