"""The action, step by step: from what is proposed to what became of it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from bailiwick.nouns.approvals import Ask
from bailiwick.nouns.callers import Caller, Credential
from bailiwick.nouns.tools import Resource, ToolContent
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
State = Literal["parked", "intended", "done", "failed", "unknown", "refused", "denied"]
Listed = State | Literal["contradicted"]
Status = Literal["done", "failed", "unknown", "refused", "denied", "parked", "running"]
Verdict = Literal["verified", "contradicted", "unverifiable"]


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
    """Step 9: what is known of the effect. `failed` means certainly not done.

    `content` is what an MCP server's tool said, whole.
    """

    status: Literal["done", "failed", "unknown"]
    result: JSON = None
    code: str = ""
    message: str = ""
    sends: int = 0
    evidence: Mapping[str, JSON] = {}
    content: ToolContent | None = None


class Verification(Struct, frozen=True, kw_only=True):
    """Step 10: what reading the world back showed, with the reason."""

    verdict: Verdict
    reason: str = ""
    after: JSON = None


class Outcome(Struct, frozen=True, kw_only=True):
    """The answer to a proposal. `status` parked or running is a wait: ask again with the same key.

    `earlier` is true when the answer is that of an earlier, equal proposal; `message` says so in
    words. `step` is the step that refused. `content` is what an MCP server's tool said, whole, an
    error of it too.
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
    content: ToolContent | None = None
