"""From tools, manifests and rule files to a rule book, or to everything that is wrong with them."""

from collections.abc import Mapping

from bailiwick.nouns import Manifest, Tool
from bailiwick.policy.cases import run_cases
from bailiwick.policy.check import check_rules
from bailiwick.policy.findings import Finding, refuse
from bailiwick.policy.manifests import write_policy
from bailiwick.policy.rulebook import RuleBook
from bailiwick.policy.rules import Rule, read_rules
from bailiwick.policy.schema import Shape, schema_text, shape_of

FOLDER = "policies/"


def compile_policies(
    tools: Mapping[str, Tool], manifests: Mapping[str, Manifest], files: Mapping[str, str]
) -> RuleBook:
    """Compile the rules of a release and hold them to its policy tests and assertions.

    `files` is the release by path; of it `policies/*.cedar`, `policies/tests/*.yaml` and
    `policies/assertions.yaml` are read. Raises `PolicyError` with every finding in
    `details["findings"]`.
    """
    rules, findings = _read_all(files)
    plain, wrong = _shapes(tools, rules)
    findings += wrong
    written, wrong = write_policy(manifests, plain) if not wrong else ({}, [])
    findings += wrong
    for file, text in written.items():
        more, wrong = read_rules(file, text)
        rules += more
        findings += wrong
    shapes, wrong = _shapes(tools, rules)
    if not wrong:
        gates = {rule.id for rule in rules if rule.queue}
        findings += check_rules(rules, schema_text(shapes.values(), gates), shapes, manifests)
    if findings:
        refuse(findings)
    book = RuleBook(rules, shapes, manifests)
    findings = list(run_cases(book, files))
    if findings:
        refuse(findings)
    return book


def _read_all(files: Mapping[str, str]) -> tuple[list[Rule], list[Finding]]:
    rules: list[Rule] = []
    findings: list[Finding] = []
    for file, text in sorted(files.items()):
        if file.startswith(FOLDER) and file.endswith(".cedar"):
            read, wrong = read_rules(file, text)
            rules += read
            findings += wrong
    return rules, findings


def _shapes(tools: Mapping[str, Tool], rules: list[Rule]) -> tuple[dict[str, Shape], list[Finding]]:
    gates = {rule.id for rule in rules if rule.queue}
    shapes: dict[str, Shape] = {}
    findings: list[Finding] = []
    for name, tool in sorted(tools.items()):
        shapes[name], wrong = shape_of(tool, gates)
        findings += wrong
    return shapes, findings
