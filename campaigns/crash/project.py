"""The project that each lane runs: one tool that refunds and one that reads, for each provider."""

import json
from collections.abc import Iterable, Mapping

from bailiwick.operations import Newcomer
from campaigns.crash.kinds import Kind

AGENT = "client"
PASSWORD = "a password for a campaign only"
PEOPLE = (
    Newcomer("ada", ("admin", "operator", "auditor"), (), PASSWORD),
    Newcomer("bo", ("approver",), ("finance",), PASSWORD),
)
READ_SECRET, WRITE_SECRET = "campaign-read", "campaign-write"

# No breaker opens: it would keep the calls of a kind from being made at all.
SETTINGS = """\
tick_seconds: 0.1
lease_seconds: 1
free_space_watermark_mb: 16
breaker_threshold: 1000000000
credentials:
  read: {file: secrets/read, hosts: ["127.0.0.1"], tools: TOOLS, access: read}
  write: {file: secrets/write, hosts: ["127.0.0.1"], tools: TOOLS, access: write}
"""

LIMITS = """\
budgets:
  - {unit: "value:USD", period: day, limit: 1000000000}
"""

MANIFEST = """\
name: client
owner: nobody
tools_allowlist: TOOLS
max_tool_calls: 1000000
budgets:
  - {unit: "value:USD", period: day, limit: 1000000000}
tiers:
  - on: money
    unit: USD
    auto_up_to: "50.00"
    then:
      - {approval: "finance:1"}
"""

# The finder lists every refund of the charge, so that a person's stands beside ours.
TOOLS = """\
upstream:
  name: NAME
  base_url: http://127.0.0.1:PORT
  credentials: {read: read, write: write}
  owner: nobody
  timeout_s: TIMEOUT
  settles_within_s: SETTLES
tools:
  - name: NAME.refunds
    description: Lists the refunds of a charge.
    effect: read
    method: GET
    path: /v1/refunds
    parameters: {type: object, properties: {charge: {type: string}}, required: [charge]}
    resource: {type: Charge, id: args.charge}

  - name: NAME.refund
    description: Pays money of a charge back.
    effect: write
    traits: [money]
    method: POST
    path: /v1/refunds
    idempotency_header: Idempotency-Key
    key_retention_s: RETENTION
    parameters:
      type: object
      properties: {charge: {type: string}, amount_minor: {type: integer}, currency: {type: string}}
      required: [charge, amount_minor, currency]
    body:
      charge: args.charge
      amount_minor: args.amount_minor
      currency: args.currency
      metadata.action_id: action.id
    resource: {type: Charge, id: args.charge}
    facts: {value: args.amount_minor, currency: args.currency}
    effect_key: args.charge
    reader: {tool: NAME.refunds, arguments: {charge: args.charge}}
    expect: >-
      after.data.exists(r, has(r.metadata.action_id) && r.metadata.action_id == action.id
      && r.amount_minor == args.amount_minor)
"""
FINDER = """\
    find: {tool: NAME.refunds, arguments: {charge: args.charge}}
    found: after.data.exists(r, has(r.metadata.action_id) && r.metadata.action_id == action.id)
"""


def project_files(ports: Iterable[tuple[Kind, int]]) -> Mapping[str, str]:
    """The files of a project whose providers listen on these ports of the loopback interface."""
    files = {"limits.yaml": LIMITS}
    allowed = []
    for kind, port in ports:
        retention = "none" if kind.key_retention_s is None else f"{kind.key_retention_s}"
        text = TOOLS + FINDER if kind.finds else TOOLS
        text = (
            text.replace("NAME", kind.name)
            .replace("PORT", str(port))
            .replace("TIMEOUT", str(kind.timeout_s))
            .replace("SETTLES", str(kind.settles_within_s))
            .replace("RETENTION", retention)
        )
        files[f"tools/{kind.name}.yaml"] = text
        allowed.append(f"{kind.name}.*")
    files["agents/client.yaml"] = MANIFEST.replace("TOOLS", json.dumps(allowed))
    files["bailiwick.yaml"] = SETTINGS.replace("TOOLS", json.dumps(allowed))
    return files
