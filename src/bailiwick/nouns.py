"""The nouns, frozen: one noun, one class, one home.

Money is integer micro-USD (`*_micro_usd`) or minor units beside a currency; times are integer
microseconds since the Unix epoch, UTC (`*_at_us`, `*_until_us`). Nothing here reads a clock.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from msgspec import Struct

from bailiwick.values import JSON

STEPS = (
    "propose",
    "authenticate",
    "admit",
    "validate",
    "price",
    "decide",
    "approve",
    "intend",
    "execute",
    "verify",
    "conclude",
    "report",
)

Effect = Literal["read", "write"]
Trait = Literal["money", "destructive", "outbound", "permission", "code"]
Period = Literal["all", "day", "hour", "minute"]
# How long a period is, in microseconds. It begins at a full minute, hour or day, UTC.
PERIOD_US: Mapping[Period, int] = {
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
}
State = Literal["parked", "intended", "done", "failed", "unknown", "refused", "denied"]
Listed = State | Literal["contradicted"]
Status = Literal["done", "failed", "unknown", "refused", "denied", "parked", "running"]
Verdict = Literal["verified", "contradicted", "unverifiable"]
# `ledger` is set by the runtime alone: the tree is not the one that it was, and nothing is written.
Scope = Literal["everything", "tenant", "agent", "tool", "upstream", "run", "ledger"]
Role = Literal["viewer", "operator", "approver", "auditor", "admin", "responder"]
# The tightest first: decided and never executed; only reads; every write asks; the rules decide.
Mode = Literal["shadow", "read-only", "draft", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)
# How long payloads are kept after an action ended, where its agent's manifest says nothing.
RETENTION_DAYS = 30


# --- who -----------------------------------------------------------------------------------------


class Cap(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ceiling on one unit at one budget node, drawn on by everything below that node.

    `unit` is `micro_usd`, `calls`, `tokens` or `value:<ISO 4217>` (minor units).
    """

    node: str
    unit: str
    limit: int
    period: Period = "all"


class Grant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of `authorization_details` (RFC 9396): which tools, on which resources.

    `tools` are exact names or `prefix.*`; `resources` are `Type:id`, `Type:*` or `*`. `caps` are
    this grant's own and all its ancestors', so a child can never multiply its parent.
    """

    tools: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    caps: tuple[Cap, ...] = ()


class Capability(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A short-lived right to act, bound to its holder's key; it may only be narrowed."""

    id: str
    run: str
    grants: tuple[Grant, ...]
    issued_at_us: int
    expires_at_us: int
    key_thumbprint: str
    parents: tuple[str, ...] = ()


class Caller(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who proposes: the tenant, the agent, on whose behalf, and by what right.

    `actors` is the delegation chain, nearest first (RFC 8693 `act`). `key_ids` are the keys and
    token ids whose revocation ends this caller's standing.
    """

    tenant: str
    agent: str
    subject: str
    capability: Capability
    actors: tuple[str, ...] = ()
    key_ids: tuple[str, ...] = ()


class Manifest(Struct, frozen=True, kw_only=True):
    """What an agent's file says: its owner, its tools, its bounds. `source` is the parsed YAML.

    `modes` are by tool, `prefix.*` or `*`. `max_error_ppm` is how many of a million writes with a
    tool may go wrong before the agent is put back to reading there; None leaves it alone.
    `retention_days` is how long an action's payloads are kept after it ended.
    `models` are by the agent's roles: the program asks for them, nothing here calls a model.
    """

    name: str
    owner: str
    tools: tuple[str, ...]
    require_approval: tuple[str, ...] = ()
    caps: tuple[Cap, ...] = ()
    rates: tuple[Cap, ...] = ()
    max_runtime_seconds: int | None = None
    max_attempts_per_step: int = 5
    modes: Mapping[str, Mode] = {}
    max_error_ppm: int | None = None
    asks_over_budget: bool = False
    models: Mapping[str, str] = {}
    retention_days: int = RETENTION_DAYS
    source: Mapping[str, JSON] = {}


class Person(Struct, frozen=True, kw_only=True):
    """A human account. `queues` are the approval queues the person answers for."""

    tenant: str
    name: str
    roles: tuple[Role, ...]
    queues: tuple[str, ...]
    public_key: str
    enabled: bool = True


# --- what ----------------------------------------------------------------------------------------


class Resource(Struct, frozen=True, kw_only=True):
    """What an action touches, drawn from its arguments (AuthZEN `resource`)."""

    type: str
    id: str


class HttpBinding(Struct, frozen=True, kw_only=True):
    """How an HTTP tool is sent. `path` has `{name}` parameters, each one segment.

    `query`, `body` and `headers` map names to expressions over `args` and `action`; a `body` of
    None sends the arguments that no path or query parameter took. `found` is the expression by
    which an answer is told to be present (see `Reader`).
    """

    method: str
    base_url: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: Mapping[str, str] | None = None
    idempotency_header: str | None = None
    action_id_header: str | None = "Bailiwick-Action"


class PythonBinding(Struct, frozen=True, kw_only=True):
    """A Python function as a tool: where it is defined and the SHA-256 of its source file."""

    reference: str
    source_digest: str
    takes_context: bool = False


class McpUpstream(Struct, frozen=True, kw_only=True):
    """An MCP server: a command that is started and spoken to over its pipes, or a URL.

    `env` are variables with literal values; the secret, if any, goes into `credential_env` (or the
    `Authorization` header of a URL). `protocol` is a revision, or `auto` to find out. It is asked
    at most `calls_at_once` calls at the same time; 0 is no bound of its own.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    credential_env: str | None = None
    protocol: Literal["auto", "2025-11-25", "2026-07-28"] = "auto"
    calls_at_once: int = 0


class McpBinding(Struct, frozen=True, kw_only=True):
    """A tool of an MCP server, under the definition that people accepted.

    `pin` is the SHA-256 of that definition's canonical JSON. `beside` are the tools, as
    `upstream/tool`, that have the same or an easily confused name and were accepted beside it.
    `arguments` maps names to expressions; None sends the arguments as they are. `on_error` is what
    an answer with `isError` says of a write.
    """

    upstream: McpUpstream
    tool: str
    pin: str
    beside: tuple[str, ...] = ()
    arguments: Mapping[str, str] | None = None
    on_error: Literal["unknown", "not_done"] = "unknown"


class Reader(Struct, frozen=True, kw_only=True):
    """A read that looks at the world for another tool: which tool, with which arguments.

    `arguments` maps the reading tool's parameters to expressions over `args`, `action`, `before`
    and `result`. `authoritative` says that what the reader does not show is not there once the
    write has settled.
    """

    tool: str
    arguments: Mapping[str, str]
    authoritative: bool = False


class ToolContext(Struct, frozen=True, kw_only=True):
    """What a Python tool is told of the action it serves, if it has a `context` parameter."""

    action: str
    run: str
    agent: str
    provider_key: str


class Tool(Struct, frozen=True, kw_only=True):
    """One narrow typed operation, with everything needed to decide, bound, check and undo it.

    Times are seconds. `facts`, `effect_key`, `destination`, `expect` and `found` are expressions
    (CEL; a dotted path is the plainest one) over `args`, `action`, `before`, `after`, `result`.
    `before` names reads made in step 4. `find` is the read that looks for the provider's object
    after a crash and `found` the expression that recognises our action id on it. `key_retention_s`
    is None when the provider does not honour an idempotency key. `fact_types` (`Long`, `String`,
    `Bool`, `Set<String>`) and `input_type` (Cedar JSON schema attributes) are computed at load.
    `destination_kind` is what its `destinations` are (None: domains, of which no more is said).
    `data_classes` are those of what it shows; `argument_classes` those of its arguments by name,
    and under the empty name of all of them, drawn from the schema's `x-data-class`.
    """

    name: str
    description: str
    effect: Effect
    traits: tuple[Trait, ...]
    owner: str
    schema: Mapping[str, JSON]
    binding: HttpBinding | PythonBinding | McpBinding
    digest: str
    resource_type: str
    resource_id: str | None = None
    facts: Mapping[str, str] = {}
    fact_types: Mapping[str, str] = {}
    input_type: Mapping[str, JSON] = {}
    before: Mapping[str, Reader] = {}
    reader: Reader | None = None
    expect: str | None = None
    find: Reader | None = None
    found: str | None = None
    reverser: str | None = None
    reverser_arguments: Mapping[str, str] = {}
    gated: bool = False
    cost_micro_usd: int = 0
    timeout_s: float = 10.0
    settles_within_s: float = 0.0
    key_retention_s: float | None = None
    retries: int = 2
    effect_key: str | None = None
    destination: str | None = None
    credential: str | None = None
    read_credential: str | None = None
    upstream: str | None = None
    destination_kind: str | None = None
    data_classes: tuple[str, ...] = ()
    argument_classes: Mapping[str, tuple[str, ...]] = {}


class Target(Struct, frozen=True, kw_only=True):
    """Where a request would go: `authority` is the host with its port, `path` has the query."""

    scheme: str
    authority: str
    path: str


class ToolCall(Struct, frozen=True, kw_only=True):
    """A call of an MCP server's tool that may leave by the egress door, with the secret in it.

    `pin` and `beside` are those of the tool's binding; `meta` goes out as the request's `_meta`.
    `credential` names the secret: calls under different ones never share a session.
    """

    upstream: McpUpstream
    tool: str
    arguments: Mapping[str, JSON]
    meta: Mapping[str, str]
    pin: str
    beside: tuple[str, ...]
    credential: str
    secret: str
    timeout_s: float
    max_bytes: int

    def __repr__(self) -> str:
        return f"ToolCall({self.upstream.name}/{self.tool} …)"


class ToolAnswer(Struct, frozen=True, kw_only=True):
    """What an MCP server answered to a call.

    `error_code` is that of a JSON-RPC error; `is_error` that the tool ran and reported an error.
    `text` is its text blocks or the error's message, `left_out` the kinds of other blocks.
    `status` is the HTTP status, if it came over HTTP.
    """

    text: str = ""
    structured: JSON = None
    is_structured: bool = False
    left_out: tuple[str, ...] = ()
    is_error: bool = False
    error_code: int | None = None
    status: int | None = None


# --- the action, step by step --------------------------------------------------------------------


class Credential(Struct, frozen=True, kw_only=True):
    """What a caller shows: a capability token and the proof that its key is held."""

    token: str
    proof: str

    def __repr__(self) -> str:
        return "Credential(…)"


class Proposal(Struct, frozen=True, kw_only=True):
    """A request to act, parsed, bounded and named (step 1); nothing about it is trusted yet.

    `tenant` is the one at whose door it was made; the credential must be that tenant's. `undoes` is
    the action that this one is to take back, through its tool's reverser.
    """

    tenant: str
    tool: str
    arguments: Mapping[str, JSON]
    canonical: bytes
    credential: Credential
    run: str | None = None
    key: str | None = None
    reason: str = ""
    sources: tuple[str, ...] = ()
    uncertainty: str = ""
    undoes: str | None = None


class Wake(Struct, frozen=True, kw_only=True):
    """A call to carry a stored action on: after people decided, after a crash, after its time."""

    tenant: str
    action: str


class Refusal(Struct, frozen=True, kw_only=True):
    """A no, as data: at which step, a stable code, why, and what to do next."""

    step: int
    code: str
    message: str
    help: str = ""
    retry_after_s: float | None = None
    details: Mapping[str, JSON] = {}


class Situation(Struct, frozen=True, kw_only=True):
    """Step 4: the one value, what it touches, and the typed facts a rule may read.

    `input` holds the arguments that have a Cedar type; `before` what the reads showed;
    `data_classes` are those of the arguments given and, for a read, of what it shows.
    """

    arguments: Mapping[str, JSON]
    canonical: bytes
    resource: Resource
    facts: Mapping[str, JSON]
    input: Mapping[str, JSON]
    before: Mapping[str, JSON]
    effect_key: str | None = None
    destination: str | None = None
    data_classes: tuple[str, ...] = ()


class Hold(Struct, frozen=True, kw_only=True):
    """A reservation of `amount` against a cap, taken with the intent, settled with the outcome."""

    cap: Cap
    amount: int


class Balance(Struct, frozen=True, kw_only=True):
    """What a budget node has spent and holds in the current period, in the node's unit."""

    node: str
    unit: str
    bucket: str
    spent: int
    held: int


class Price(Struct, frozen=True, kw_only=True):
    """Step 5: what the action will hold, and the nodes it does not fit."""

    holds: tuple[Hold, ...]
    over: tuple[Cap, ...] = ()


class Ask(Struct, frozen=True, kw_only=True):
    """A rule that people may satisfy: how many of which queue, over which text of the rule."""

    rule: str
    queue: str
    quorum: int
    text_hash: str


class MatchedRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that took part in a decision, with the hash of its text.

    A stored action names its rules without the hash: its release pins their texts.
    """

    id: str
    effect: Literal["permit", "forbid"]
    text_hash: str = ""


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Allow, deny or ask, with the rules that decided and the errors met. Any error denies."""

    effect: Literal["allow", "deny", "ask"]
    rules: tuple[MatchedRule, ...] = ()
    asks: tuple[Ask, ...] = ()
    errors: tuple[str, ...] = ()
    release: str = ""


class Vote(Struct, frozen=True, kw_only=True):
    """One person's signed statement over a request digest. An unsigned row does not count.

    `on_behalf_of` is whose vote it is, if another person lent it to the one who signs.
    """

    action: str
    person: str
    choice: Literal["approve", "deny"]
    request_digest: str
    reason: str
    cast_at_us: int
    signature: str
    on_behalf_of: str = ""


class Approval(Struct, frozen=True, kw_only=True):
    """A request to people about one action, and their votes; evidence for the policy.

    `escalated` are pairs of queues: people of the second may vote for the first as well.
    """

    action: str
    tenant: str
    request_digest: str
    asks: tuple[Ask, ...]
    state: Literal["open", "granted", "denied", "expired", "consumed", "withdrawn"]
    requested_at_us: int
    expires_at_us: int
    votes: tuple[Vote, ...] = ()
    escalated: tuple[tuple[str, str], ...] = ()

    def serving(self, ask: Ask) -> frozenset[str]:
        """Give the queues whose people may vote for an asking rule."""
        return frozenset((ask.queue, *(to for queue, to in self.escalated if queue == ask.queue)))


class Erasure(Struct, frozen=True, kw_only=True):
    """When, by whom and why payloads were erased, and the epoch that this began.

    `by` is empty where their time was over.
    """

    at_us: int
    by: str
    reason: str
    epoch: int


class Action(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A proposal's stored state: how far it got, from which every restart goes on.

    `name` is the key under which the owner finds it again (a caller's key or a derived one),
    `attempt` its number under that name, `version` the compare-and-swap counter. `timings_us` are
    the steps' times in the attempt that wrote the row last, 0 for what it did not measure: a row
    cannot tell how long its own commit takes. `ahead` are the standing approvals it drew on,
    `undoes` the action that it takes back.
    """

    id: str
    tenant: str
    agent: str
    subject: str
    run: str
    tool: str
    tool_digest: str
    name: str
    attempt: int
    state: State
    version: int
    arguments_mac: str
    caller: Caller
    created_at_us: int
    updated_at_us: int
    resource: Resource | None = None
    decision: Decision | None = None
    release: str = ""
    effect_key: str | None = None
    park_until_us: int | None = None
    intent_hash: str | None = None
    lease_owner: str | None = None
    lease_until_us: int | None = None
    intended_at_us: int | None = None
    deadline_at_us: int | None = None
    verdict: Verdict | None = None
    code: str = ""
    message: str = ""
    step: int = 0
    cost_micro_usd: int = 0
    timings_us: tuple[int, ...] = ()
    ahead: tuple[str, ...] = ()
    undoes: str | None = None
    erased: Erasure | None = None


class EffectReport(Struct, frozen=True, kw_only=True):
    """Step 9: what is known of the effect. `failed` means certainly not done."""

    status: Literal["done", "failed", "unknown"]
    result: JSON = None
    code: str = ""
    message: str = ""
    sends: int = 0
    evidence: Mapping[str, JSON] = {}


class Verification(Struct, frozen=True, kw_only=True):
    """Step 10: what reading the world back showed, with the reason."""

    verdict: Verdict
    reason: str = ""
    after: JSON = None


class Outcome(Struct, frozen=True, kw_only=True):
    """The answer to a proposal. `status` parked or running is a wait: ask again with the same key.

    `earlier` is true when the answer is that of an earlier, equal proposal; `message` says so in
    words. `step` is the step that refused.
    """

    action: str
    status: Status
    code: str = ""
    message: str = ""
    help: str = ""
    verdict: Verdict | None = None
    result: JSON = None
    step: int | None = None
    earlier: bool = False
    retry_after_s: float | None = None
    cost_micro_usd: int = 0
    details: Mapping[str, JSON] = {}


# --- control and evidence ------------------------------------------------------------------------


class Stop(Struct, frozen=True, kw_only=True):
    """A pulled kill switch: its scope, who pulled it and why."""

    scope: Scope
    target: str
    by: str
    reason: str
    since_us: int


class ModeSetting(Struct, frozen=True, kw_only=True):
    """How far one agent may go with a tool, `prefix.*` or `*`; `by` is empty for the runtime."""

    agent: str
    tool: str
    mode: Mode
    by: str
    reason: str
    since_us: int


class LegalHold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nothing of a run, or of a subject, is erased until two people lift it.

    One that was lifted says by whom, and binds nobody.
    """

    kind: Literal["run", "subject"]
    target: str
    by: str
    reason: str
    since_us: int
    lifted_by: tuple[str, ...] = ()


class Standing(Struct, frozen=True, kw_only=True):
    """What an agent's account says now: whether it may act and with which keys (JWK, by kid).

    `since_us` says when each key was registered, where that is known.
    """

    agent: str
    enabled: bool
    keys: Mapping[str, Mapping[str, JSON]]
    since_us: Mapping[str, int] = {}


class Breaker(Struct, frozen=True, kw_only=True):
    """The recent failures of a target: how many in a row; open until `open_until_us`.

    `recent` are the newest outcomes if they are counted, newest last: `x` went wrong, `.` did not.
    """

    target: str
    failures: int
    open_until_us: int
    recent: str = ""


class Release(Struct, frozen=True, kw_only=True):
    """A content-addressed bundle of what shapes decisions: path to text of every file."""

    digest: str
    files: Mapping[str, str]
    created_at_us: int
    created_by: str
    note: str = ""


class Record(Struct, frozen=True, kw_only=True):
    """A ledger entry as stored: its canonical bytes, and its place in the tree once sequenced."""

    seq: int
    body: bytes
    leaf_index: int | None = None


def mode_of(
    tool: str,
    agents: Iterable[str],
    *,
    manifests: Mapping[str, Manifest] = {},
    settings: Iterable[ModeSetting] = (),
) -> Mode:
    """Give the tightest mode that a manifest or a setting has for any of the agents with a tool."""
    acting = tuple(agents)
    modes = [each.mode for each in settings if each.agent in acting and names_tool(each.tool, tool)]
    for agent in acting:
        if agent in manifests:
            entries = manifests[agent].modes.items()
            modes += [mode for entry, mode in entries if names_tool(entry, tool)]
    return min(modes, key=MODES.index, default="live")


def names_tool(entry: str, tool: str) -> bool:
    """Say whether an entry (a name, `prefix.*` or `*`) names a tool."""
    return entry in (tool, "*") or (entry.endswith(".*") and tool.startswith(entry[:-1]))
