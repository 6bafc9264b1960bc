"""The sample project of these tests, and questions to its policy, from data."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bailiwick.errors import PolicyError
from bailiwick.nouns import (
    Caller,
    Cap,
    Capability,
    Manifest,
    PythonBinding,
    Reader,
    Resource,
    Situation,
    Tool,
)
from bailiwick.policy import RuleBook, compile_policies
from bailiwick.ports import Question

DATA = Path(__file__).parent / "data"
# Leaves out the project's own tests and assertions, for changes that they rightly catch.
UNCHECKED = {"policies/assertions.yaml": "", "policies/tests/refunds.yaml": ""}
MONDAY_NINE_US = 1_767_603_600_000_000  # 2026-01-05 09:00 UTC


class _Loader(yaml.SafeLoader):
    """JSON's scalars, as in a project's files, but test data may use aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _kind, _form, _first in (
    ("null", r"(null|~|)$", ["n", "~", ""]),
    ("bool", r"(true|false)$", ["t", "f"]),
    ("int", r"-?(0|[1-9][0-9]*)$", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_form), _first)


def load(name: str) -> Any:
    """A data file of these tests."""
    return yaml.load((DATA / name).read_text(encoding="utf-8"), _Loader)  # noqa: S506 - our own


def tools(more: Sequence[Mapping[str, Any]] = ()) -> dict[str, Tool]:
    """The tools of the sample project; further ones in the same form replace or follow them."""
    content = load("project/tools.yaml")
    found: dict[str, Tool] = {}
    for entry in (*content["tools"], *more):
        fields = {**content["base"], **entry, "traits": tuple(entry["traits"])}
        if "reader" in fields:
            fields["reader"] = Reader(**fields["reader"])
        binding = PythonBinding(reference="tools/acme.py", source_digest="0")
        found[entry["name"]] = Tool(**fields, binding=binding)
    return found


def manifest(source: Mapping[str, Any]) -> Manifest:
    """A manifest as the catalogue gives it."""
    return Manifest(
        name=source["name"],
        owner=source.get("owner", "ada"),
        tools=tuple(source.get("tools_allowlist", ())),
        require_approval=tuple(source.get("actions_require_approval", ())),
        source=source,
    )


def manifests(more: Sequence[Mapping[str, Any]] = ()) -> dict[str, Manifest]:
    """The manifests of the sample project; further ones replace or follow them."""
    files = sorted((DATA / "project/agents").glob("*.yaml"))
    sources = [load(f"project/agents/{file.name}") for file in files]
    return {source["name"]: manifest(source) for source in (*sources, *more)}


def files() -> dict[str, str]:
    """The policy files of the sample project, by their path in the release."""
    project = DATA / "project"
    return {
        path.relative_to(project).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted((project / "policies").rglob("*.*"))
    }


def sample(
    *,
    rules: str = "",
    more_tools: Sequence[Mapping[str, Any]] = (),
    agents: Sequence[Mapping[str, Any]] = (),
    replace: Mapping[str, str] | None = None,
) -> RuleBook:
    """The sample project compiled, with further rules, tools, agents and files."""
    changed = {**files(), **({"policies/more.cedar": rules} if rules else {}), **(replace or {})}
    return compile_policies(tools(more_tools), manifests(agents), changed)


def findings(**changes: Any) -> list[dict[str, Any]]:
    """What the sample project is refused for once it is changed; nothing if it is not refused."""
    try:
        sample(**changes)
    except PolicyError as error:
        found = error.details["findings"]
    else:
        return []
    assert isinstance(found, list)
    return found


def ask(entry: Mapping[str, Any]) -> Question:
    """A question from data: agent, tool, and what differs from a harmless request."""
    agent, tool = entry["agent"], entry["tool"]
    resource = entry.get("resource", "Charge:ch_1")
    type_, _, id_ = resource.partition(":")
    return Question(
        caller=Caller(
            tenant=entry.get("tenant", "acme"),
            agent=agent,
            subject=entry.get("subject", "customer-7"),
            capability=Capability(
                id="cap_1",
                run=entry.get("run", "run_1"),
                grants=(),
                issued_at_us=0,
                expires_at_us=0,
                key_thumbprint="",
            ),
        ),
        tool=tool,
        situation=Situation(
            arguments=entry.get("input", {}),
            canonical=b"",
            resource=Resource(type=type_, id=id_),
            facts=entry.get("facts", {}),
            input=entry.get("input", {}),
            before={},
        ),
        over=tuple(Cap(node=node, unit="calls", limit=0) for node in entry.get("over", ())),
        evidence=tuple(entry.get("evidence", ())),
        now_us=entry.get("now_us", MONDAY_NINE_US),
        sources=tuple(entry.get("sources", ())),
        mode=entry.get("mode", "live"),
    )
