"""Rule files taken apart: one `Rule` for each, with its tree, its text and what it reads."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace

from cedarpy import PolicySet, pst
from msgspec import Struct

from bailiwick.policy.findings import Finding

Path = tuple[str, ...]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_QUEUE = re.compile(r"([a-z0-9][a-z0-9_-]{0,63}):([1-9][0-9]?)")


class Use(Struct, frozen=True):
    """A place where a rule looks: the variable, the path below it, and if it only asks `has`."""

    variable: str
    path: Path
    has: bool


class Rule(Struct, frozen=True, kw_only=True):
    """A Cedar rule. `text` is as written; `text_hash` is over the engine's own rendering of it.

    A rule that people may satisfy has an approval `queue` and its `quorum`; others have 0.
    """

    id: str
    effect: pst.Effect
    file: str
    line: int
    text: str
    text_hash: str
    tree: pst.Template
    uses: tuple[Use, ...]
    queue: str = ""
    quorum: int = 0


def read_rules(file: str, text: str) -> tuple[list[Rule], list[Finding]]:
    """Take a file of Cedar apart. Rules without an id are named by their line and are findings."""
    rules: list[Rule] = []
    findings: list[Finding] = []
    for line, source in split(text):
        try:
            tree = PolicySet.from_str(source).to_pst()
        except ValueError as error:
            findings.append(_does_not_parse(file, line, str(error)))
            continue
        if tree.templates or len(tree.static_policies) != 1:
            reason = "a template has slots that nothing fills"
            findings.append(_does_not_parse(file, line, reason))
            continue
        (template,) = tree.static_policies.values()
        rule, wrong = _rule(file, line, source, template)
        rules.append(rule)
        findings += wrong
    return rules, findings


def split(text: str) -> Iterator[tuple[int, str]]:
    """Cut a file after each rule's semicolon: the line on which a rule starts, and its text.

    Comments above a rule belong to it; text after the last rule is a rule that does not parse,
    unless it is comment.
    """
    start = 0
    for token in re.finditer(r'"(?:\\.|[^"\\])*"|//[^\n]*|;', text):
        if token.group() == ";":
            yield _located(text, start, token.end())
            start = token.end()
    rest = re.sub(r"//[^\n]*", "", text[start:])
    if rest.strip():
        yield _located(text, start, len(text))


def parse_queue(text: str) -> tuple[str, int] | None:
    """Read `finance:2` as a queue and a quorum; None if it is none."""
    match = _QUEUE.fullmatch(text)
    return (match[1], int(match[2])) if match else None


def path_of(expression: pst.Expr) -> tuple[str, Path] | None:
    """The variable and the attributes of `context.facts.value`; None for what is no such path."""
    names: list[str] = []
    while isinstance(expression, pst.GetAttr):
        names.append(expression.attr)
        expression = expression.base
    if isinstance(expression, pst.Var):
        return expression.name, tuple(reversed(names))
    return None


def uses_of(template: pst.Template) -> tuple[Use, ...]:
    """Every place a rule's conditions look at, in order; an attribute `has` of no path is none."""
    found: dict[Use, None] = {}
    for clause in template.clauses:
        for use in _uses(clause.expr):
            found[use] = None
    return tuple(found)


def hidden_has(template: pst.Template) -> Iterator[str]:
    """The attributes that `has` asks of something other than a path from a variable."""
    for clause in template.clauses:
        for node in nodes(clause.expr):
            if isinstance(node, pst.HasAttr) and path_of(node.base) is None:
                yield ".".join(node.attrs)


def nodes(node: object) -> Iterator[object]:
    """All nodes of a tree, from the root."""
    yield node
    for child in _children(node):
        yield from nodes(child)


def _uses(expression: object) -> Iterator[Use]:
    if isinstance(expression, pst.HasAttr):
        base = path_of(expression.base)
        if base is not None:
            yield Use(base[0], (*base[1], *expression.attrs), True)
            return
    if isinstance(expression, pst.GetAttr | pst.Var):
        path = path_of(expression)
        if path is not None:
            yield Use(path[0], path[1], False)
            return
    for child in _children(expression):
        yield from _uses(child)


def _children(node: object) -> Iterator[object]:
    if isinstance(node, Mapping):
        yield from node.values()
    elif isinstance(node, tuple):
        yield from node
    elif is_dataclass(node):
        yield from (getattr(node, field.name) for field in fields(node))


def _rule(file: str, line: int, source: str, template: pst.Template) -> tuple[Rule, list[Finding]]:
    findings: list[Finding] = []
    id = template.annotations.get("id", "")
    if not _ID.fullmatch(id):
        reason = f"the id `{id}` is not one" if id else "the rule has no id"
        id = f"line {line}"
        findings.append(
            Finding(
                file=file,
                line=line,
                rule=id,
                reason=reason,
                help='write @id("…") above the rule: letters, digits, dots, dashes, underscores',
            )
        )
    named = replace(template, id=id)
    queue = parse_queue(template.annotations.get("approval", ""))
    if queue is None and "approval" in template.annotations:
        findings.append(
            Finding(
                file=file,
                line=line,
                rule=id,
                reason=f"`{template.annotations['approval']}` names no queue and quorum",
                help='write @approval("finance:2") for two people of the queue `finance`',
            )
        )
    rule = Rule(
        id=id,
        effect=template.effect,
        file=file,
        line=line,
        text=source,
        text_hash=hashlib.sha256(rendered(named).encode()).hexdigest(),
        tree=named,
        uses=uses_of(template),
        queue=queue[0] if queue else "",
        quorum=queue[1] if queue else 0,
    )
    return rule, findings


def rendered(template: pst.Template) -> str:
    """The engine's own text of a rule: without comments, with every bracket."""
    return str(policy_set((template,)))


def policy_set(templates: tuple[pst.Template, ...]) -> PolicySet:
    """Rules as a set that Cedar evaluates; its diagnostics name them by their ids."""
    return PolicySet.from_pst(
        pst.PolicySet(
            templates={},
            static_policies={template.id: template for template in templates},
            template_links=(),
        )
    )


def _located(text: str, start: int, end: int) -> tuple[int, str]:
    source = text[start:end]
    blank = len(source) - len(source.lstrip())
    return text.count("\n", 0, start + blank) + 1, source.strip()


def _does_not_parse(file: str, line: int, reason: str) -> Finding:
    return Finding(
        file=file,
        line=line,
        rule=f"line {line}",
        reason=f"the rule does not parse: {reason}",
        help="compare it with the Cedar grammar; each rule ends with a semicolon",
    )
