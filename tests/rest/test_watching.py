"""What operators see of the server: counts, and a line a request; neither tells of anybody."""

import json
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.desk import soon
from tests.gateway.served import Up, founded_desk
from tests.rest.asking import Asking


def counted(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a scrape."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.claim("rest.counts-tell-nobody")
def test_counts_and_lines_hold_names_of_ours_alone(founded: Path, tmp_path: Path) -> None:
    desk = founded_desk(founded, tmp_path)
    settings = desk.project / "bailiwick.yaml"
    settings.write_text(settings.read_text() + "serve: {requests: state/requests.jsonl}\n")
    up = Up(desk)
    asking = Asking(up)
    try:
        asking.log_in("ada")
        key = asking.access_key("a-secret-subject")
        body = {"tool": "notes.add", "arguments": {"customer": "c_9", "text": "a secret text"}}
        headers = {"idempotency-key": "k-1", "x-request-id": "mine-1"}
        done = asking(key, "POST", "/v1/actions", json=body, headers=headers)
        assert done.headers["x-request-id"] == "mine-1"
        unsafe = asking(key, "GET", "/v1/tools", headers={"x-request-id": "not safe"})
        assert unsafe.headers["x-request-id"].startswith("req_")
        asking("", "GET", "/a-secret-path")
        body["tool"] = "a.secret.tool"
        asking(key, "POST", "/v1/actions", json=body, headers={"idempotency-key": "k-2"})
        scrape = asking("", "GET", "/metrics")
        found = counted(scrape.text)
        told = (("code", ""), ("status", "done"), ("tool", "notes.add"))
        assert found["bailiwick_actions_total", told] == 1
        route = (("method", "POST"), ("route", "/v1/actions"), ("status", "200"))
        assert found["bailiwick_http_requests_total", route] == 1
        missing = (("method", "GET"), ("route", "unmatched"), ("status", "404"))
        assert found["bailiwick_http_requests_total", missing] == 1
        assert found["bailiwick_ready", ()] == 1
        assert found["bailiwick_approvals_waiting", ()] == 0
        log = desk.project / "state" / "requests.jsonl"
        for _ in soon():
            if log.exists() and "unmatched" in log.read_text():
                break
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        (mine,) = [line for line in lines if line["request_id"] == "mine-1"]
        assert (mine["route"], mine["status"], mine["method"]) == ("/v1/actions", 200, "POST")
        for text in (scrape.text, log.read_text(), up.said):
            assert "secret" not in text
            assert key not in text
    finally:
        asking.http.close()
        assert up.stop() == 0


@pytest.mark.claim("rest.counts-not-for-strangers")
def test_behind_a_proxy_counts_are_for_people_alone(founded: Path, tmp_path: Path) -> None:
    desk = founded_desk(founded, tmp_path)
    settings = desk.project / "bailiwick.yaml"
    settings.write_text(settings.read_text() + "serve: {behind_proxy: true}\n")
    up = Up(desk)
    asking = Asking(up)
    try:
        asking.log_in("vi")
        assert httpx2.get(f"{up.url}/metrics").status_code == 401
        assert asking("vi", "GET", "/metrics").status_code == 200
        assert asking(asking.sessions["vi"] + "x", "GET", "/metrics").status_code == 401
    finally:
        asking.http.close()
        assert up.stop() == 0
