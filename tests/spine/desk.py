"""A project whose one tool writes to a payments provider that is a process of its own."""

from pathlib import Path

from bailiwick.testing import Newcomer, founded
from tests.examples.outside_system import OutsideSystem
from tests.spine.house import AGENT, PASSWORD

PAYMENTS = """\
upstream:
  name: pay
  base_url: http://127.0.0.1:PORT
  credentials: {read: pay-read, write: pay-write}
  owner: payments-team
  timeout_s: 5
  settles_within_s: 0
tools:
  - name: pay.refunds
    description: Lists the refunds that an action made.
    effect: read
    method: GET
    path: /v1/refunds
    parameters:
      type: object
      additionalProperties: false
      properties: {action_id: {type: string, minLength: 1, maxLength: 64}}
      required: [action_id]
    resource: {type: Refunds, id: args.action_id}
  - name: pay.refund
    description: Pays money back.
    effect: write
    traits: [money]
    method: POST
    path: /v1/refunds
    idempotency_header: Idempotency-Key
    key_retention_s: 86400
    parameters:
      type: object
      additionalProperties: false
      properties:
        charge: {type: string, minLength: 1, maxLength: 64}
        amount_minor: {type: integer, minimum: 1, maximum: 100000000}
        purpose: {type: string, minLength: 1, maxLength: 64}
      required: [charge, amount_minor, purpose]
    body:
      charge: args.charge
      amount_minor: args.amount_minor
      currency: '"USD"'
      metadata.action_id: action.id
      metadata.purpose: args.purpose
    resource: {type: Charge, id: args.charge}
    facts: {value: args.amount_minor, currency: '"USD"'}
    effect_key: args.charge + "/" + args.purpose
    reader: {tool: pay.refunds, arguments: {action_id: action.id}}
    expect: after.data.size() == 1
    find: {tool: pay.refunds, arguments: {action_id: action.id}}
    found: after.data.size() == 1
"""

SETTINGS = """\
tick_seconds: 0.1
free_space_watermark_mb: 1
credentials:
  pay-read: {file: secrets/read, hosts: [127.0.0.1], tools: ["pay.*"], access: read}
  pay-write: {file: secrets/write, hosts: [127.0.0.1], tools: ["pay.*"], access: write}
"""


async def desk_of(payments: OutsideSystem, folder: Path) -> Path:
    """Found a project in a folder whose clerk refunds at this provider; ada may stop it."""
    secrets = folder / "secrets"
    secrets.mkdir(parents=True)
    for access in ("read", "write"):
        (secrets / access).write_text(f"example-{access}")
        (secrets / access).chmod(0o600)
    files = {
        "bailiwick.yaml": SETTINGS,
        "agents/clerk.yaml": AGENT.replace("NAME", "clerk").replace("desk.*", "pay.*"),
        "tools/pay.yaml": PAYMENTS.replace("PORT", str(payments.port)),
    }
    await founded(folder, files, [Newcomer("ada", ("admin", "operator"), (), PASSWORD)])
    return folder
