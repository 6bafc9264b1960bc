"""What an answer says about the effect: the table in the module's documentation, row by row."""

from email.utils import formatdate

import pytest

from bailiwick.execution.answers import SendReport, answered, lost, not_sent, returned
from bailiwick.ports import Lost, NotSent, Response

NOW_US = 1_795_000_000_000_000


def meant(
    status: int,
    body: bytes = b"",
    *,
    keyed: bool = False,
    looking: bool = False,
    secret: str = "",
    **headers: str,
) -> SendReport:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Response(status=status, headers=given, body=body)
    return answered(response, keyed=keyed, looking=looking, secret=secret, now_us=NOW_US)


@pytest.mark.claim("execution.unknown-is-not-failed")
@pytest.mark.parametrize(
    ("statuses", "keyed", "fate", "again", "code"),
    [
        ([200, 201, 202, 204, 299], False, "done", False, ""),
        ([400, 401, 402, 403, 404, 405, 410], True, "not_done", False, "provider_refused"),
        ([412, 413, 415, 422, 428, 431], True, "not_done", False, "provider_refused"),
        ([409], False, "not_done", False, "provider_refused"),
        ([409], True, "unknown", True, "provider_conflict"),
        ([429], False, "not_done", True, "provider_busy"),
        ([301, 302, 303, 304, 307, 308], False, "unknown", False, "provider_redirected"),
        ([406, 408, 418, 425, 499], False, "unknown", True, "provider_error"),
        ([500, 501, 502, 503, 504, 599], False, "unknown", True, "provider_error"),
        ([100, 600, 999], False, "unknown", True, "provider_error"),
    ],
)
def test_what_a_status_means(
    statuses: list[int], keyed: bool, fate: str, again: bool, code: str
) -> None:
    for status in statuses:
        report = meant(status, keyed=keyed)
        found = (report.fate, report.again, report.code, report.http_status)
        assert found == (fate, again, code, status)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("99999999999", 86_400.0),
        (formatdate(NOW_US / 1_000_000 + 30, usegmt=True), 30.0),
        (formatdate(NOW_US / 1_000_000 - 30, usegmt=True), 0.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        ("Mon, 1 Jan 99999999999999999999 00:00:00 GMT", None),
        ("\u0663", None),
    ],
)
def test_a_503_is_nothing_done_only_if_it_says_when_to_come_back(
    text: str, wait_s: float | None
) -> None:
    report = meant(503, retry_after=text)
    assert report.retry_after_s == wait_s
    assert report.code == ("provider_error" if wait_s is None else "provider_busy")


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"", None),
        (b"  \n", None),
        (b'{"a": 1.0}', {"a": 1}),
        (b' [1, "x", null] ', [1, "x", None]),
        (b'"x"', "x"),
        (b"7", 7),
        (b"null", None),
    ],
)
def test_json_of_any_kind_is_handed_on(body: bytes, result: object) -> None:
    report = meant(200, body)
    assert (report.fate, report.code, report.result) == ("done", "", result)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{",
        b'{"a":1,"a":2}',
        b'1,"x":2',
        b'1}{"a":2',
        b"1 2",
        b"NaN",
        b"[1e400]",
        b"9007199254740993",
        b"\xef\xbb\xbf{}",
        b"\xef\xbb\xbf1",
        b'"\\ud800"',
        b"\xff",
        b"[" * 500 + b"]" * 500,
    ],
)
def test_what_is_not_strict_json_is_done_all_the_same_and_withheld(body: bytes) -> None:
    report = meant(200, body)
    assert (report.fate, report.code, report.result) == ("done", "result_unreadable", None)


def test_an_encoded_answer_is_withheld() -> None:
    report = meant(200, b"{}", content_encoding="gzip")
    assert (report.fate, report.code) == ("done", "result_unreadable")


@pytest.mark.claim("execution.secrets-stay-secret")
def test_an_answer_that_repeats_the_secret_is_withheld() -> None:
    secret = "sk_live_0123456789"
    report = meant(200, f'{{"auth":"Bearer {secret}"}}'.encode(), secret=secret)
    assert (report.fate, report.code, report.result) == ("done", "result_holds_secret", None)
    assert secret not in meant(401, f"invalid key {secret}".encode(), secret=secret).message


def test_a_refusal_quotes_a_bounded_escaped_piece_of_the_answer() -> None:
    report = meant(422, b"line\r\n\x1b[2J \xe2\x80\xae" + b"x" * 100_000)
    assert "\\u{d}\\u{a}\\u{1b}[2J \\u{202e}" in report.message
    assert len(report.message) < 400


def test_nothing_there_is_a_fact_only_to_who_looks() -> None:
    for status in (404, 410):
        seen = meant(status, b'{"error": "no such refund"}', looking=True)
        assert (seen.fate, seen.code, seen.result) == ("done", "", None)
        assert meant(status).fate == "not_done"
    assert meant(403, looking=True).fate == "not_done"


def test_a_python_result_is_json_or_withheld() -> None:
    assert returned({"a": (1, 2.0)}, 100).result == {"a": [1, 2]}
    for value in (object(), {"a": b"x"}, {1: 2}, 2**60, float("nan"), "x" * 200):
        report = returned(value, 100)
        assert (report.fate, report.code, report.result) == ("done", "result_unreadable", None)


@pytest.mark.parametrize(
    ("error", "fate", "again", "begun", "code"),
    [
        (NotSent("fenced", "x"), "not_done", False, False, "stopped"),
        (NotSent("not_done", "x"), "not_done", False, True, "not_done"),
        (NotSent("provider_unreachable", "x"), "not_done", True, False, "provider_unreachable"),
        (NotSent(), "not_done", True, False, "provider_unreachable"),
        (Lost("answer_lost", "x"), "unknown", True, True, "answer_lost"),
        (Lost("result_too_large", "x"), "unknown", False, True, "result_too_large"),
        (Lost(), "unknown", True, True, "answer_lost"),
    ],
)
def test_what_no_answer_means(
    error: NotSent | Lost, fate: str, again: bool, begun: bool, code: str
) -> None:
    report = not_sent(error, "", "") if isinstance(error, NotSent) else lost(error)
    assert (report.fate, report.again, report.begun, report.code) == (fate, again, begun, code)
