"""Each command with each role, by the routes: the table of roles is all there is."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
import pytest

from bailiwick.identity.roles import COMMANDS
from bailiwick.nouns import Role
from bailiwick.server.rest.rows import PEOPLE, RestRow
from tests.rest.asking import Asking


def least(kind: Any) -> Any:
    """The least value of a type that a body takes, of the types that stand in our structs."""
    described = msgspec.json.schema(kind)
    return _least(described, described.get("$defs", {}))


def _least(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        return _least(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _least(schema["anyOf"][0], defs)
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            return {name: _least(members[name], defs) for name in schema.get("required", ())}
        case "array":
            return [_least(schema["items"], defs)] * schema.get("minItems", 0)
        case "integer":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return schema.get("const", "0" * 8)


@pytest.fixture(scope="module")
def by_role(asking: Asking) -> dict[Role, str]:
    """Somebody with each role and no other, logged in."""
    people: dict[Role, str] = {}
    for role in get_args(Role):
        given = {"name": f"one-{role}", "roles": [role], "queues": ["support"]}
        waits = asking("ada", "POST", "/v1/people", json=given)
        # From the second administrator on, a change of accounts takes two.
        made = (
            waits
            if waits.status_code == 200
            else asking("one-admin", "POST", "/v1/people", json=given)
        )
        assert made.status_code == 200, made.text
        session = {"name": given["name"], "password": made.json()["password"]}
        told = asking.http.post("/v1/session", json=session).json()
        asking.sessions[f"one-{role}"] = told["statement"]
        people[role] = f"one-{role}"
    return people


@pytest.mark.claim("rest.roles")
def test_each_command_is_for_the_roles_of_the_table(
    asking: Asking, by_role: Mapping[Role, str]
) -> None:
    rows = [row for row in PEOPLE if row.who == "person"]
    for row in rows:
        for role, name in by_role.items():
            answer = ask(asking, row, name)
            code = answer.json().get("code", "") if answer.status_code >= 400 else ""
            may = role in COMMANDS[row.command]
            if row.command.startswith("approvals ") and row.method == "POST":
                may = may or code == "approval_unknown"
            assert (answer.status_code == 403 and code == "not_allowed") != may, (
                row.command,
                role,
                answer.text,
            )


def ask(asking: Asking, row: RestRow, name: str) -> Any:
    """A request that is well formed, about things that are not there."""
    path = row.path.replace(":path}", "}").format(**dict.fromkeys(row.in_path, "0" * 8))
    given = {key: value for key, value in least(row.given).items() if key not in row.in_path}
    if row.command.startswith("approvals ") and row.method == "POST":
        given |= {"digest": "0", "password": "x"}
    if row.command in ("vault erase", "vault hold", "vault release-hold"):
        given |= {"run": "r_none"}
    if row.has_body:
        return asking(name, row.method, path, json=given)
    return asking(name, row.method, path, params=given)
