"""Two tenants, each with a server of its own, on one PostgreSQL database and under equal names."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bailiwick.operations import found
from bailiwick.server.rest.rows import AGENTS, PEOPLE
from tests.cli.desk import MORE, Desk, write_project
from tests.cli.desk import PEOPLE as STAFF
from tests.gateway.served import Up
from tests.postgres import Server
from tests.rest.asking import Asking
from tests.rest.test_agents import act, note


def tenant(folder: Path, name: str, store: str, log_keys: Path | None = None) -> Desk:
    """The project of a tenant, founded."""
    more = {"bailiwick.yaml": MORE["bailiwick.yaml"] + f"store: {store}\ntenant: {name}\n"}
    (folder / name).mkdir()
    project = write_project(folder / name / "project", more)
    asyncio.run(found(project, STAFF, log_keys=log_keys))
    (folder / name / "homes").mkdir()
    return Desk(project, folder / name / "homes")


@pytest.fixture(scope="module")
def both(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Asking, Asking]]:
    """Two servers, which even sign with the same keys: what keeps tenants apart is the tenant."""
    folder, store = tmp_path_factory.mktemp("tenants"), server.url(server.create())
    one = tenant(folder, "one", store)
    two = tenant(folder, "two", store, one.project / "keys")
    for mine in (two.project / "keys").glob("token-*.json"):
        mine.unlink()
    for theirs in (one.project / "keys").glob("token-*.json"):
        shutil.copy(theirs, two.project / "keys")
    asked = (Asking(Up(one)), Asking(Up(two)))
    for each in asked:
        each.log_in("ada", "bo", "vi")
    yield asked
    for each in asked:
        each.http.close()
        each.up.stop()


@pytest.mark.claim("rest.tenants-apart")
def test_nothing_of_a_tenant_works_or_shows_at_another(both: tuple[Asking, Asking]) -> None:
    one, two = both
    key = one.access_key("anna")
    parked = act(one, key, note(visible_to="customer"), "the-same-key").json()["action"]
    done = [act(one, key, note(), f"k-{number}").json()["action"] for number in range(3)]
    form = {
        "grant_type": "client_credentials",
        "client_id": "note-taker",
        "client_secret": key,
        "resource": f"{one.up.url}/v1",
    }
    token = one.http.post("/v1/token", data=form).json()["access_token"]
    assert one(token, "GET", "/v1/tools").status_code == 200
    cursor = one("vi", "GET", "/v1/actions", params={"limit": 2}).json()["next"]
    tags = {path: one("ada", "GET", path).headers["etag"] for path in ("/v1/me", "/v1/policy")}

    # Credentials of one open nothing of the other, by whichever route.
    own = two.access_key("anna")
    foreign = {"person": (one.sessions["ada"], key, token), "agent": (key, token)}
    for row in (*PEOPLE, *AGENTS):
        if row.who == "nobody":
            continue
        path = row.path.replace(":path}", "}").format(**dict.fromkeys(row.in_path, parked))
        for credential in foreign[row.who]:
            body: dict[str, Any] = {"json": {}} if row.has_body else {}
            assert two(credential, row.method, path, **body).status_code == 401, row.path
    assert two.http.post("/v1/token", data=form).status_code == 400
    there = {**form, "resource": f"{two.up.url}/v1"}
    assert two.http.post("/v1/token", data=there).status_code == 401
    assert two.up.post(key, "tools/list", {}).status_code == 401

    # Ids, keys, cursors and tags of one name nothing at the other.
    for id in (parked, *done):
        for path in ("", "/payloads", "/redecision", "/bisection"):
            assert two("ada", "GET", f"/v1/actions/{id}{path}").status_code == 404
        assert two("bo", "GET", f"/v1/approvals/{id}").status_code == 404
        assert two(own, "GET", f"/v1/outcomes/{id}").status_code == 404
        assert two(own, "POST", f"/v1/outcomes/{id}/cancel").status_code == 404
        assert two("ada", "GET", f"/v1/ledger/receipts/{id}").status_code == 404
    fresh = act(two, own, note(), "the-same-key")
    assert fresh.status_code == 200
    assert "idempotent-replayed" not in fresh.headers
    wrong = two("vi", "GET", "/v1/actions", params={"limit": 2, "cursor": cursor})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "cursor_invalid")
    for path, tag in tags.items():
        again = two("ada", "GET", path, headers={"if-none-match": tag})
        assert (again.status_code, again.headers["etag"] == tag) == (200, False)

    # And no list, story or record of the other holds anything of it.
    for row in PEOPLE:
        if row.method == "GET" and not row.in_path and row.command != "undo plan":
            told = two("ada", "GET", row.path)
            assert told.status_code == 200, (row.path, told.text)
            assert not any(id in told.text for id in (parked, *done)), row.path
    size = int(two("vi", "GET", "/v1/ledger/checkpoint").text.splitlines()[1])
    kept = two("vi", "GET", "/v1/ledger/records", params={"limit": 256}).json()["records"]
    theirs = [each["index"] for each in kept if each["record"] is None]
    assert theirs
    assert len(theirs) < len(kept)
    assert two("vi", "GET", f"/v1/ledger/receipts/{theirs[0]}").status_code == 404
    mixed = two("vi", "GET", f"/v1/ledger/tile/entries/000.p/{size}")
    assert (mixed.status_code, mixed.json()["code"]) == (403, "tile_of_others")
    assert two("vi", "GET", f"/v1/ledger/tile/0/000.p/{size}").status_code == 200
    assert one(key, "GET", f"/v1/outcomes/{parked}").json()["status"] == "parked"
