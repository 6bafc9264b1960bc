r"""What an answer, or its absence, says about the effect of one send.

For a write. A *repeat* of a send whose fate is unknown needs a key that the provider honours, and a
refusal of a repeat says nothing of the send before it.

    answer                                              this send   repeat  code
    2xx                                                 done        -       (see below)
    4xx of `_REFUSED`; 409 where no key was sent        not done    no      provider_refused
    409 with a key: an earlier send may be in work      unknown     yes     provider_conflict
    429, and 503 with Retry-After                       not done    yes     provider_busy
    3xx, never followed                                 unknown     no      provider_redirected
    any other: 408, 425, 500, 502, 503, 504 ...         unknown     yes     provider_error
    nothing left: refused, unresolved, TLS, pool full   not done    yes     provider_unreachable
    all threads for Python tools are taken              not done    yes     threads_busy
    the fence was shut                                  not done    no      the fence's own
    a Python tool raised `NotDone`                      not done    no      not_done
    an answer that is too large                         unknown     no      result_too_large
    reset, cut or timed out; a Python tool raised       unknown     yes     answer_lost

For a call of an MCP server's tool the same holds, and:

    isError, and the tool is declared to do nothing then not done    no      tool_error
    isError                                             unknown     no      tool_error
    JSON-RPC: no such method or tool, invalid params,
    or a revision or header that was not agreed         not done    no      provider_refused
    any other JSON-RPC error                            unknown     yes     provider_error
    it asks for input that it may not ask for, or for
    more and more                                       unknown     no      input_required
    a stop came before a call could be continued        unknown     no      stopped
    its definition is held                              not done    no      definition_…
    it could not be started or listed; its queue is full not done   yes     provider_unreachable …

A read changes nothing: what is unknown above is *not done* for it. When a read looks at the world
for another tool, 404 and 410 to a GET are a fact, namely that nothing is there: null.

Only JSON is handed on, parsed by the rules of the one value; the body of a 2xx that is not
(`result_unreadable`), or that repeats the secret it was sent (`result_holds_secret`), is withheld:
the write is done all the same. Source: RFC 9110, 10.2.3 and 15.
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec
from msgspec import Struct

from bailiwick.errors import BadInput
from bailiwick.nouns import ToolAnswer, ToolContent
from bailiwick.ports import Lost, NotSent, Response
from bailiwick.values import JSON, parse, plain, shown

Fate = Literal["done", "not_done", "unknown"]

# Refused before or instead of being done. Not here: 406, which a server may find out after the
# work, 408 and 425, which speak of the transfer, and what no RFC defines.
_REFUSED = frozenset(
    {400, 401, 402, 403, 404, 405, 407, 410, 411, 412, 413, 414, 415, 417, 421, 422, 426, 428, 431}
)
_NOTHING_THERE = (404, 410)
# JSON-RPC: no such method, invalid params; MCP: headers, capabilities or revision not agreed.
_NOT_AGREED = frozenset({-32601, -32602, -32020, -32021, -32022})
_NO_RESOURCE = -32002  # 2025-11-25; later -32602
_FINAL = frozenset(
    {"result_too_large", "result_unreadable", "provider_redirected", "input_required", "stopped"}
)
_MAX_RETRY_AFTER_S = 86_400.0
_EXCERPT_BYTES = 4096
# A shorter one is found in innocent answers too, and is no secret.
_SHORTEST_SECRET = 8


class SendReport(Struct, frozen=True, kw_only=True):
    """What one send is known to have done. `again`: a repeat may do or tell more."""

    fate: Fate
    again: bool = False
    begun: bool = True
    code: str = ""
    message: str = ""
    result: JSON = None
    retry_after_s: float | None = None
    http_status: int | None = None
    content: ToolContent | None = None
    heard: Mapping[str, JSON] = {}


def answered(
    response: Response, *, keyed: bool, looking: bool, secret: str, now_us: int
) -> SendReport:
    """Say what a whole HTTP answer means.

    `keyed`: the provider's key went out. `looking`: it was a GET that looks at the world.
    """
    status = response.status
    if 200 <= status < 300:
        return _result(response, secret)
    if looking and status in _NOTHING_THERE:
        return SendReport(fate="done", http_status=status)
    wait_s = _retry_after_s(response.headers, now_us)
    fate, again, code = _meaning(status, keyed=keyed, told_to_wait=wait_s is not None)
    text = response.body[:_EXCERPT_BYTES].decode("utf-8", "replace").strip()
    if secret:
        text = text.replace(secret, "[secret]")
    return SendReport(
        fate=fate,
        again=again,
        code=code,
        message=f"the provider answered {status}" + (f": `{shown(text)}`" if text else ""),
        retry_after_s=wait_s,
        http_status=status,
    )


def returned(value: object, max_bytes: int) -> SendReport:
    """Say what a Python tool's return means: it is done; its value is handed on if it is JSON."""
    try:
        return SendReport(
            fate="done", result=parse({"result": value}, max_bytes=max_bytes)["result"]
        )
    except BadInput as error:
        return _withheld("result_unreadable", f"the tool's result is not JSON: {error.code}")


def told(
    answer: ToolAnswer, *, on_error: Literal["unknown", "not_done"], secret: str, max_bytes: int
) -> SendReport:
    """Say what an MCP server's answer means. Its structured content is the result, else its text.

    `on_error` is what is declared of a tool that reports an error; what it said is told all the
    same.
    """
    report = _meant(answer, on_error=on_error, secret=secret, max_bytes=max_bytes)
    return msgspec.structs.replace(report, heard=answer.heard) if answer.heard else report


def _meant(
    answer: ToolAnswer, *, on_error: Literal["unknown", "not_done"], secret: str, max_bytes: int
) -> SendReport:
    if answer.error_code is not None:
        return _refused_call(answer, secret)
    report = _whole(answer.content or answer.value, secret, max_bytes)
    if answer.content is None:
        return msgspec.structs.replace(report, http_status=answer.status)
    if answer.content.is_error:
        return SendReport(
            fate=on_error,
            code="tool_error",
            message=f"the tool reports an error{_said(answer.content.text, secret)}",
            content=report.content,
        )
    return msgspec.structs.replace(report, http_status=answer.status)


def _whole(said: ToolContent | JSON, secret: str, max_bytes: int) -> SendReport:
    """What was said, if it is JSON, not too large, and holds no secret."""
    report = returned(msgspec.to_builtins(said), max_bytes)
    if len(secret) >= _SHORTEST_SECRET and secret.encode() in plain(report.result):
        return _withheld("result_holds_secret", "the answer repeats the credential")
    if report.code or not isinstance(said, ToolContent):
        return report
    content = msgspec.convert(report.result, ToolContent)
    return SendReport(fate="done", result=content.result, content=content)


def _refused_call(answer: ToolAnswer, secret: str) -> SendReport:
    fate: Fate = "unknown"
    again, code = True, "provider_error"
    if answer.status is not None and answer.status not in (200, 400, 404):
        fate, again, code = _meaning(answer.status, keyed=True, told_to_wait=False)
    elif answer.error_code in _NOT_AGREED or answer.status in _REFUSED:
        fate, again, code = "not_done", False, "provider_refused"
    elif answer.error_code == _NO_RESOURCE:
        again = False
    said = _said(answer.text, secret)
    return SendReport(
        fate=fate,
        again=again,
        code=code,
        message=f"the provider answered with error {answer.error_code}{said}",
        http_status=answer.status,
    )


def _said(text: str, secret: str) -> str:
    text = text[:_EXCERPT_BYTES].strip()
    if secret:
        text = text.replace(secret, "[secret]")
    return f": `{shown(text)}`" if text else ""


def not_sent(error: NotSent, fence_code: str, fence_reason: str) -> SendReport:
    """Say what a send means that certainly did nothing."""
    code, message = _told(error, "provider_unreachable")
    if code == "fenced":
        return SendReport(
            fate="not_done",
            begun=False,
            code=fence_code or "stopped",
            message=fence_reason or message,
        )
    if code == "not_done":
        return SendReport(fate="not_done", code=code, message=message)
    again = not code.startswith("definition_")
    return SendReport(fate="not_done", again=again, begun=False, code=code, message=message)


def lost(error: Lost) -> SendReport:
    """Say what a send means whose answer never came whole."""
    code, message = _told(error, "answer_lost")
    again = code not in _FINAL
    return SendReport(fate="unknown", again=again, code=code, message=message)


def _meaning(status: int, *, keyed: bool, told_to_wait: bool) -> tuple[Fate, bool, str]:
    if status in _REFUSED or (status == 409 and not keyed):
        return "not_done", False, "provider_refused"
    if status == 409:
        return "unknown", True, "provider_conflict"
    if status == 429 or (status == 503 and told_to_wait):
        return "not_done", True, "provider_busy"
    if 300 <= status < 400:
        return "unknown", False, "provider_redirected"
    return "unknown", True, "provider_error"


def _result(response: Response, secret: str) -> SendReport:
    body = response.body.strip()
    if len(secret) >= _SHORTEST_SECRET and secret.encode() in body:
        return _withheld(
            "result_holds_secret", "the answer repeats the credential", response.status
        )
    if response.headers.get("content-encoding", "identity") != "identity":
        return _withheld(
            "result_unreadable", "the answer has a content coding nobody asked for", response.status
        )
    try:
        result = _strict(body) if body else None
    except BadInput as error:
        reason = f"the answer is not JSON that can be kept: {error.code}"
        return _withheld("result_unreadable", reason, response.status)
    return SendReport(fate="done", result=result, http_status=response.status)


def _strict(body: bytes) -> JSON:
    """Parse any JSON value by the rules of the one value, which is always an object."""
    if body.startswith(b"{"):
        return parse(body, max_bytes=len(body))
    whole = b'{"result":%b}' % body
    parsed = parse(whole, max_bytes=len(whole))
    if len(parsed) != 1:
        raise BadInput("the answer is more than one value", code="json_malformed")
    return parsed["result"]


def _withheld(code: str, message: str, http_status: int | None = None) -> SendReport:
    return SendReport(fate="done", code=code, message=message, http_status=http_status)


def _retry_after_s(headers: Mapping[str, str], now_us: int) -> float | None:
    """Give the seconds of Retry-After, a number or an HTTP date; None if it says neither."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
        wait_s = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now_us / 1_000_000
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _MAX_RETRY_AFTER_S)


def _told(error: Exception, default: str) -> tuple[str, str]:
    """Take an error of the egress door apart: its code and its sentence."""
    code, message = (*map(str, error.args[:2]), "", "")[:2]
    return code or default, message
