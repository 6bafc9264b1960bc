"""Too many at once: who logs in by REST or at the pages, and what is over a budget."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from bailiwick import Bailiwick
from bailiwick.server.app import application
from bailiwick.server.metrics import Counts
from tests.cli.desk import PASSWORD
from tests.gateway.served import founded_desk

URL = "http://127.0.0.1:8080"


@asynccontextmanager
async def within(project: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a project's application, in this process."""
    counts = Counts()
    async with (
        Bailiwick.open(project, also=counts) as bailiwick,
        application(bailiwick, URL, counts) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=URL) as client,
    ):
        yield client


@pytest.mark.claim("rest.logins-bounded")
async def test_a_flood_of_logins_is_bounded_at_both_doors(founded: Path, tmp_path: Path) -> None:
    desk = founded_desk(founded, tmp_path)
    async with within(desk.project) as client:
        bo, cy = ({"name": name, "password": PASSWORD} for name in ("bo", "cy"))
        answers = await asyncio.gather(
            *(client.post("/login", headers={"origin": URL}, data=bo) for _ in range(20)),
            *(client.post("/v1/session", json=cy) for _ in range(20)),
        )
        # They wait in one line, whichever door they came by: 16 at most.
        full = [each for each in answers if "many people are logging in" in each.text]
        assert len(full) == 40 - 16
        assert {(each.status_code, each.headers["retry-after"]) for each in full} == {(503, "1")}
        assert [each.json()["code"] for each in answers[20:]] == ["logins_full"] * 20
        entered = Counter(each.status_code for each in answers[:16])
        assert entered[303]
        assert entered.keys() <= {303, 429}
        assert (await client.post("/v1/session", json=cy)).status_code == 200


async def test_who_is_disabled_does_not_come_in_by_either(founded: Path, tmp_path: Path) -> None:
    desk = founded_desk(founded, tmp_path)
    async with within(desk.project) as client:
        given = {"name": "ada", "password": PASSWORD}
        ada = (await client.post("/v1/session", json=given)).json()["statement"]
        ended = await client.post(
            "/v1/people/vi/disable", headers={"authorization": f"Bearer {ada}"}
        )
        assert ended.status_code == 200, ended.text
        given["name"] = "vi"
        rest = await client.post("/v1/session", json=given)
        page = await client.post("/login", data=given, headers={"origin": URL})
        assert (rest.status_code, rest.json()["code"], page.status_code) == (
            401,
            "person_disabled",
            401,
        )
        told = (await client.get("/v1/openapi.json")).json()
        assert "401" in told["paths"]["/v1/session"]["post"]["responses"]


async def test_what_is_over_a_budget_says_which_and_when(founded: Path, tmp_path: Path) -> None:
    desk = founded_desk(founded, tmp_path)
    limits = "budgets:\n  - {unit: calls, limit: 2, period: day}\n"
    (desk.project / "limits.yaml").write_text(limits)

    def released() -> str:
        desk.log_in("ada")
        assert desk.here("ada", "release", "activate").code == 0
        made = desk.data("ada", "agents", "access-key", "note-taker", "--subject", "anna")
        return str(made["access_key"])

    bearer = {"authorization": f"Bearer {await asyncio.to_thread(released)}"}
    async with within(desk.project) as client:
        answers = [
            await client.post(
                "/v1/actions",
                json={"tool": "notes.read", "arguments": {"customer": f"c_{n}"}},
                headers={**bearer, "idempotency-key": f'"over-{n}"'},
            )
            for n in range(3)
        ]
    assert [each.status_code for each in answers] == [200, 200, 429]
    told = answers[-1].headers
    assert told["ratelimit-policy"] == '"tenant:calls:day";q=2;w=86400'
    assert told["ratelimit"] == f'"tenant:calls:day";r=0;t={told["retry-after"]}'
    assert 0 < int(told["retry-after"]) <= 86400
    assert "ratelimit" not in answers[0].headers
