"""The credential broker: for whom a secret is, and what it never does."""

import logging
import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from bailiwick.config import CredentialSource, Settings
from bailiwick.errors import ExecutionError
from bailiwick.execution import CredentialBroker

SECRET = "sk_live_0123456789"


def broker(tmp_path: Path, **members: object) -> CredentialBroker:
    """A broker of one credential in a file, for refunds at one host."""
    file = tmp_path / "secret"
    if not file.exists():
        write(file, SECRET)
    entry = {
        "file": "secret",
        "hosts": ("api.example.com", "*.pay.example.com", "10.0.0.1:8443"),
        "tools": ("payments.refund", "ledger.*"),
        "access": "write",
        **members,
    }
    source = CredentialSource(**entry)  # type: ignore[arg-type]
    return CredentialBroker(Settings(project=str(tmp_path), credentials={"payments": source}))


def write(file: Path, secret: str, mode: int = 0o600) -> None:
    file.write_text(secret + "\n", encoding="utf-8")
    file.chmod(mode)


@pytest.mark.claim("execution.credential-bound-to-host-tool-use")
@pytest.mark.parametrize(
    ("tool", "host", "write_use", "code"),
    [
        ("payments.refund", "api.example.com", True, ""),
        ("payments.refund", "API.example.com", True, ""),
        ("payments.refund", "api.example.com:8443", True, ""),
        ("payments.refund", "eu.pay.example.com", True, ""),
        ("payments.refund", "10.0.0.1:8443", True, ""),
        ("ledger.post", "api.example.com", True, ""),
        ("payments.refund", "api.example.com", False, "wrong_use"),
        ("payments.refunds", "api.example.com", True, "wrong_tool"),
        ("ledger", "api.example.com", True, "wrong_tool"),
        ("ledger.", "api.example.com", True, "wrong_tool"),
        ("ledgerx.post", "api.example.com", True, "wrong_tool"),
        ("payments.refund", "example.com", True, "wrong_host"),
        ("payments.refund", "evil.example.com", True, "wrong_host"),
        ("payments.refund", "api.example.com.evil.net", True, "wrong_host"),
        ("payments.refund", "evilapi.example.com", True, "wrong_host"),
        ("payments.refund", "api.example.com.", True, "wrong_host"),
        ("payments.refund", "pay.example.com", True, "wrong_host"),
        ("payments.refund", "a.b.pay.example.com", True, "wrong_host"),
        ("payments.refund", ".pay.example.com", True, "wrong_host"),
        ("payments.refund", "10.0.0.1", True, "wrong_host"),
        ("payments.refund", "10.0.0.1:443", True, "wrong_host"),
        ("payments.refund", "", True, "wrong_host"),
    ],
)
def test_a_secret_is_given_for_its_hosts_its_tools_and_its_use_alone(
    tmp_path: Path, tool: str, host: str, write_use: bool, code: str
) -> None:
    given = broker(tmp_path)
    if not code:
        assert given.secret("payments", tool, host, write_use) == SECRET
        return
    with pytest.raises(ExecutionError) as raised:
        given.secret("payments", tool, host, write_use)
    assert raised.value.code == f"credential_{code}"


@pytest.mark.claim("execution.credential-bound-to-host-tool-use")
def test_a_read_credential_does_not_write(tmp_path: Path) -> None:
    given = broker(tmp_path, access="read")
    assert given.secret("payments", "payments.refund", "api.example.com", False) == SECRET
    with pytest.raises(ExecutionError, match="credential_wrong_use"):
        given.secret("payments", "payments.refund", "api.example.com", True)


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("*.com", "example.com", False),
        ("*", "example.com", False),
        ("*.example.com:444", "a.example.com:444", True),
        ("*.example.com:444", "a.example.com", False),
        ("[::1]", "[::1]:8080", True),
        ("[::1]:80", "[::1]:8080", False),
        ("", "", False),
    ],
)
def test_what_a_host_pattern_means(tmp_path: Path, pattern: str, host: str, matches: bool) -> None:
    given = broker(tmp_path, hosts=(pattern,))
    expected: AbstractContextManager[object] = nullcontext()
    if not matches:
        expected = pytest.raises(ExecutionError, match="credential_wrong_host")
    with expected:
        assert given.secret("payments", "payments.refund", host, True) == SECRET


def refused(given: CredentialBroker, name: str = "payments") -> str:
    with pytest.raises(ExecutionError) as raised:
        given.secret(name, "payments.refund", "api.example.com", True)
    assert raised.value.help
    return raised.value.code


@pytest.mark.claim("execution.secrets-stay-secret")
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o666, 0o601])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "secret", SECRET, mode)
    assert refused(broker(tmp_path)) == "credential_unreadable"


def test_a_file_that_is_opened_to_others_later_is_refused(tmp_path: Path) -> None:
    given = broker(tmp_path)
    given.secret("payments", "payments.refund", "api.example.com", True)
    (tmp_path / "secret").chmod(0o644)
    assert refused(given) == "credential_unreadable"


def test_what_is_missing_or_no_header_could_carry_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(broker(tmp_path), "other") == "credential_unknown"
    assert refused(broker(tmp_path, file=None)) == "credential_missing"
    assert refused(broker(tmp_path, env="BOTH_AT_ONCE")) == "credential_missing"
    assert refused(broker(tmp_path, file="elsewhere")) == "credential_missing"
    assert refused(broker(tmp_path, file=".")) == "credential_unreadable"
    monkeypatch.delenv("PAYMENTS_SECRET", raising=False)
    from_environment = broker(tmp_path, file=None, env="PAYMENTS_SECRET")
    assert refused(from_environment) == "credential_missing"
    monkeypatch.setenv("PAYMENTS_SECRET", "two\r\nX-Injected: 1")
    assert refused(from_environment) == "credential_unreadable"
    for content in ("", "   ", "\n"):
        write(tmp_path / "empty", content)
        assert refused(broker(tmp_path, file="empty")) == "credential_missing"
    for content in ("sch\u00fcssel", "a\x00b", "a" * 20_000):
        write(tmp_path / "odd", content)
        assert refused(broker(tmp_path, file="odd")) == "credential_unreadable"


def test_a_rotated_secret_is_used_by_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = broker(tmp_path)
    assert given.secret("payments", "ledger.post", "api.example.com", True) == SECRET
    write(tmp_path / "secret", SECRET.replace("0", "9"))
    os.utime(tmp_path / "secret", ns=(time.time_ns(), time.time_ns() + 1_000_000))
    rotated = given.secret("payments", "ledger.post", "api.example.com", True)
    assert rotated == SECRET.replace("0", "9")
    monkeypatch.setenv("PAYMENTS_SECRET", "first")
    from_environment = broker(tmp_path, file=None, env="PAYMENTS_SECRET")
    assert from_environment.secret("payments", "ledger.post", "api.example.com", True) == "first"
    monkeypatch.setenv("PAYMENTS_SECRET", "second")
    assert from_environment.secret("payments", "ledger.post", "api.example.com", True) == "second"


@pytest.mark.claim("execution.secrets-stay-secret")
def test_no_error_log_or_repr_holds_the_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = broker(tmp_path)
    given.secret("payments", "payments.refund", "api.example.com", True)
    said = [repr(given), str(given)]
    for use in (
        ("payments", "payments.refund", "evil.example.com", True),
        ("payments", "other.tool", "api.example.com", True),
        ("payments", "payments.refund", "api.example.com", False),
    ):
        with pytest.raises(ExecutionError) as raised:
            given.secret(*use)
        said += [str(raised.value), repr(raised.value), repr(raised.value.__dict__)]
    write(tmp_path / "secret", f"{SECRET}\u00e9")
    with pytest.raises(ExecutionError) as raised:
        given.secret("payments", "payments.refund", "api.example.com", True)
    said += [repr(raised.value), repr(raised.value.__context__), caplog.text]
    assert [text for text in said if SECRET in text] == []
