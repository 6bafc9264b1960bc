"""Requests to a running server, as people and as the agent; each answer held to the document."""

from typing import Any

import httpx2

from tests.cli.desk import PASSWORD
from tests.gateway.served import Up


class Asking:
    """A server, and the credentials of those who ask it."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.http = httpx2.Client(base_url=up.url, timeout=30)
        self.sessions: dict[str, str] = {}

    def log_in(self, *names: str) -> None:
        """Log people in by REST."""
        for name in names:
            given = {"name": name, "password": PASSWORD}
            answer = self.http.post("/v1/session", json=given)
            assert answer.status_code == 200, answer.text
            self.sessions[name] = answer.json()["statement"]

    def access_key(self, subject: str = "anna") -> str:
        """An access key of the agent for a subject."""
        given = {"subject": subject, "days": 1}
        made = self("ada", "POST", "/v1/agents/note-taker/access-keys", json=given)
        assert made.status_code == 200, made.text
        return str(made.json()["access_key"])

    def __call__(self, who: str, method: str, path: str, **more: Any) -> httpx2.Response:
        """One request, as a person, or with a credential as it stands; empty: as nobody."""
        credential = self.sessions.get(who, who)
        headers = dict(more.pop("headers", {}))
        if credential:
            headers.setdefault("authorization", f"Bearer {credential}")
        return self.http.request(method, path, headers=headers, **more)
