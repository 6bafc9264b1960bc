"""Where telemetry goes and how: the file's settings, and OpenTelemetry's own variables."""

from pathlib import Path

import pytest

from bailiwick.config import load_settings
from bailiwick.errors import ConfigError
from tests.spine.house import opened

VARIABLES = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-key=k%201, x-other=o",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/etc/ca.pem",
    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.name=other",
    "OTEL_SERVICE_NAME": "desk",
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def written(folder: Path, text: str) -> Path:
    (folder / "bailiwick.yaml").write_text(text)
    return folder


@pytest.mark.claim("telemetry.environment")
def test_the_environment_fills_in_what_the_file_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = written(tmp_path, "telemetry: {timeout_seconds: 1.5}\n")
    assert load_settings(project).telemetry_endpoint is None
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    found = load_settings(project)
    assert found.telemetry_endpoint == "http://collector:4318"
    assert found.telemetry.headers == {"x-key": "k 1", "x-other": "o"}
    assert found.telemetry.timeout_seconds == 1.5
    assert found.telemetry.certificate == "/etc/ca.pem"
    assert found.telemetry.resource == {
        "deployment.environment.name": "test",
        "service.name": "desk",
    }
    assert load_settings(written(tmp_path, "{}\n")).telemetry.timeout_seconds == 2.5
    ours = written(tmp_path, "telemetry_endpoint: http://ours:4318\n")
    assert load_settings(ours).telemetry_endpoint == "http://ours:4318"
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert load_settings(ours).telemetry_endpoint is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("telemetry_endpoint: collector:4318\n", "not an http or https address"),
        ("telemetry_endpoint: http://user:sesame-7261@c\n", "not an http or https address"),
        ("telemetry_endpoint: http://c:99999\n", "not an http or https address"),
        ('telemetry: {headers: {x: "sesame-7261\\r\\nb: c"}}\n', "cannot stand in an HTTP request"),
        ("telemetry: {timeout_seconds: 0}\n", "`$.telemetry.timeout_seconds`"),
        ("telemetry: {child_spans: 2}\n", "`$.telemetry.child_spans`"),
        ("telemetry: {no: 1}\n", "`no`"),
        ("telemetry: 1\n", "`$.telemetry`"),
    ],
)
def test_what_cannot_be_a_setting_is_refused_without_a_secret(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_settings(written(tmp_path, text))
    assert caught.value.code == "settings_invalid"
    assert said in str(caught.value)
    assert "7261" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_EXPORTER_OTLP_TIMEOUT", "2s"), ("OTEL_EXPORTER_OTLP_HEADERS", "sesame-7261")],
)
def test_a_variable_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name) as caught:
        load_settings(written(tmp_path, "{}\n"))
    assert caught.value.code == "environment_invalid"
    assert "7261" not in str(caught.value)


def test_settings_show_no_header(tmp_path: Path) -> None:
    found = load_settings(written(tmp_path, "telemetry: {headers: {x-key: sesame-7261}}\n"))
    assert "7261" not in repr(found) + repr(found.telemetry)


async def test_a_certificate_that_cannot_be_read_leaves_nothing_open(folder: Path) -> None:
    settings = folder / "bailiwick.yaml"
    before = settings.read_text()
    told = "telemetry_endpoint: https://localhost:1\ntelemetry: {certificate: missing.pem}\n"
    settings.write_text(before + told)
    with pytest.raises(ConfigError, match=r"missing\.pem") as caught:
        async with opened(folder):
            pass
    assert caught.value.code == "certificate_unreadable"
    settings.write_text(before)
    async with opened(folder) as house:
        assert (await (await house.clerk()).act("desk.look", {"on": "t"})).status == "done"
