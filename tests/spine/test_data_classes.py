"""What a run was shown it carries: customer data leaves for approved places only."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bailiwick.operations import found
from bailiwick.testing import write_project
from tests.postgres import Server
from tests.repo.sources import ROOT
from tests.spine.house import (
    LIMITS,
    PEOPLE,
    SETTINGS,
    House,
    copied,
    given_a_database,
    opened,
    storing_in,
)

DOC = (ROOT / "docs" / "egress.md").read_text(encoding="utf-8")
RULE = re.findall(r"```cedar\n(.*?)```", DOC, re.S)[0]
TEST = re.findall(r"```yaml\n(.*?)```", DOC, re.S)[-1]
AGENT = """\
owner: support
tools_allowlist: ["crm.*", "mail.*"]
tiers: [{on: outbound, unit: recipients, auto_up_to: 5}]
"""
TOOLS = '''\
"""Customers that can be read, and mail that can be sent. What was sent is in `BOOKS`."""

from typing import Annotated

from msgspec import Meta

from bailiwick import tool

BOOKS = []
READS = []
KEYS = {}
LOOK = {"tool": "mail.sent", "arguments": {}}


@tool(name="crm.customer", effect="read", owner="o", resource=("Customer", "args.id"),
      data_classes=["customer"])
async def customer(id: str) -> dict[str, str]:
    """Shows a customer."""
    return {"id": id, "iban": "DE00 1234"}


@tool(name="crm.prices", effect="read", owner="o")
async def prices() -> dict[str, int]:
    """Shows what everybody may know."""
    return {"basic": 5}


@tool(name="mail.sent", effect="read", owner="o")
async def sent() -> list[str]:
    """Shows what was sent."""
    return [each["text"] for each in BOOKS]


@tool(name="mail.send", effect="write", traits=("outbound",), owner="o",
      facts={"recipients": "args.to", "destinations": "args.to"},
      reader=LOOK, expect="args.text in after", key_retention_s="none", settles_within_s=0)
async def send(
    to: list[str],
    text: str,
    iban: Annotated[str | None, Meta(extra_json_schema={"x-data-class": "customer"})] = None,
) -> None:
    """Sends a mail."""
    BOOKS.append({"on": to[0], "text": text})
'''


@pytest.fixture(scope="module")
def built(kind: Server | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def build() -> Path:
        files = {
            "bailiwick.yaml": SETTINGS,
            "limits.yaml": LIMITS,
            "agents/helper.yaml": AGENT,
            "agents/second.yaml": AGENT,
            "tools/crm.py": TOOLS,
            "policies/data.cedar": RULE,
            "policies/tests/data.yaml": TEST,
        }
        folder = write_project(tmp_path_factory.mktemp("crm") / "project", files)
        given_a_database(folder)
        await found(folder, PEOPLE)
        return folder

    with storing_in(kind, keep=True):
        return asyncio.run(build())


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return copied(built, tmp_path / "project")


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    async with opened(folder) as house:
        yield house


async def mail(house: House, run: str, to: str, agent: str = "helper", **more: Any) -> Any:
    session = await house.bailiwick.session(agent, subject="sue", run=run)
    return await session.act("mail.send", {"to": [to], "text": f"{run} to {to}", **more})


@pytest.mark.claim("egress.run-carries-what-it-read")
async def test_a_run_that_read_customer_data_mails_approved_places_only(folder: Path) -> None:
    async with opened(folder) as house:
        reader = await house.bailiwick.session("helper", subject="sue", run="reads")
        assert (await reader.act("crm.prices", {})).status == "done"
        assert (await mail(house, "reads", "eve@elsewhere.example")).status == "done"
        assert (await reader.act("crm.customer", {"id": "c-1"})).result is not None
        no = await mail(house, "reads", "eve@else.example")
        assert (no.status, no.code) == ("refused", "denied")
        assert no.details["rules"] == ["customer-data.approved-places"]
        assert (await mail(house, "reads", "anna@partner.example")).status == "done"
        mixed = await house.bailiwick.session("helper", subject="sue", run="reads")
        both = {"to": ["anna@example.com", "eve@else.example"], "text": "both"}
        assert (await mixed.act("mail.send", both)).code == "denied"
        # Another run was shown nothing.
        assert (await mail(house, "blank", "eve@elsewhere.example")).status == "done"
    async with opened(folder) as house:
        assert (await mail(house, "reads", "eve@third.example")).code == "denied"
        assert (await mail(house, "blank", "eve@third.example")).status == "done"


@pytest.mark.claim("egress.marked-arguments")
async def test_a_marked_argument_is_classified_wherever_it_comes_from(house: House) -> None:
    no = await mail(house, "blank", "eve@elsewhere.example", iban="DE00")
    assert (no.status, no.code) == ("refused", "denied")
    assert (await mail(house, "blank", "eve@elsewhere.example", iban=None)).status == "done"
    assert (await mail(house, "blank", "anna@example.com", iban="DE00")).status == "done"


@pytest.mark.claim("egress.run-carries-what-it-read")
async def test_an_answer_for_another_run_is_given_without_its_content(house: House) -> None:
    first = await house.bailiwick.session("helper", subject="sue", run="first")
    second = await house.bailiwick.session("helper", subject="sue", run="second")
    shown = await first.act("crm.customer", {"id": "c-1"}, key="k")
    again = await second.act("crm.customer", {"id": "c-1"}, key="k")
    assert (shown.action, shown.result is None) == (again.action, False)
    assert again.result is None
    assert "read it under another key" in again.message
    assert (await first.act("crm.customer", {"id": "c-1"}, key="k")).result == shown.result
    assert (await mail(house, "second", "eve@elsewhere.example")).status == "done"


async def test_who_can_tells_the_classes_apart(house: House) -> None:
    on = {"destinations": ["elsewhere.example"], "recipients": 1}
    asked = {"action": "mail.send", "automatic": True}
    told = await house.command("ada", "who-can", on=on, **asked)
    assert {each["can"] for each in told} == {"yes"}
    carrying = {**on, "data_classes": ["customer"]}
    told = await house.command("ada", "who-can", on=carrying, **asked)
    assert {each["can"] for each in told} == {"no"}
