"""What people are told by each command, as one struct an answer.

Tests hold them to what the commands really give: a member more or less, or of another type, fails.
Times are microseconds since the epoch, UTC; money is integer micro-USD or minor units.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from msgspec import UNSET, Struct, UnsetType

from bailiwick.nouns import Role, State, Verdict
from bailiwick.nouns.mandates import BreakGlass, Delegation, StandingApproval

T = TypeVar("T")
Object = Mapping[str, Any]


class AnswerBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer."""


class Page(AnswerBody, Generic[T], frozen=True, kw_only=True):
    """A page of a list. `next` is the `cursor` of the page after it; null on the last."""

    items: Sequence[T]
    next: str | None


class ChangeWaits(AnswerBody, frozen=True, kw_only=True):
    """A change that waits for a second person, who asks for the same."""

    waiting: str
    change: str
    proposed_by: str
    expires_at_us: int
    message: str
    digest: str | UnsetType = UNSET
    id: str | UnsetType = UNSET


class SessionTold(AnswerBody, frozen=True, kw_only=True):
    """A session: its statement is the bearer's credential of a person."""

    statement: str
    person: str
    roles: Sequence[Role]
    queues: Sequence[str]
    expires_in: int


class Balanced(AnswerBody, frozen=True, kw_only=True):
    """What an agent has spent and holds."""

    unit: str
    bucket: str
    spent: int
    held: int


class AgentRow(AnswerBody, frozen=True, kw_only=True):
    """An agent: its account, its keys, its use."""

    agent: str
    owner: str | None
    registered: bool
    enabled: bool
    mode: str
    keys: Sequence[str]
    keys_since_us: Mapping[str, int | None]
    revoked_keys: Sequence[str]
    budget: Sequence[Balanced]
    open: int
    seen_us: int | None


class OpenAction(AnswerBody, frozen=True, kw_only=True):
    """What is open of an agent."""

    action: str
    state: State
    tool: str
    run: str


class AgentShown(AgentRow, frozen=True, kw_only=True):
    """An agent, its tools, and what is open of it."""

    tools: Sequence[str] | None
    retention_days: int | None
    open_actions: Sequence[OpenAction]


class KeyAdded(AnswerBody, frozen=True, kw_only=True):
    """The key that an agent has now."""

    epoch: int
    agent: str
    key: str


class KeysRotated(KeyAdded, frozen=True, kw_only=True):
    """The keys that it had before."""

    revoked: Sequence[str]


class KeyRevoked(AnswerBody, frozen=True, kw_only=True):
    """The key that an agent has no more."""

    epoch: int
    agent: str
    revoked: str
    keys_left: Sequence[str]


class AccessKeyMade(KeyAdded, frozen=True, kw_only=True):
    """An access key: it is told this once."""

    subject: str
    days: int
    access_key: str


class AgentSet(AnswerBody, frozen=True, kw_only=True):
    """Whether an agent may act."""

    epoch: int
    agent: str
    enabled: bool


class ActionLine(AnswerBody, frozen=True, kw_only=True):
    """An action, as a line of a list."""

    action: str
    state: State
    verdict: Verdict | None
    code: str
    message: str
    step: int
    agent: str
    subject: str
    run: str
    tool: str
    resource: str | None
    undoes: str | None
    cost_micro_usd: int
    created_at_us: int
    updated_at_us: int


class Doubt(ActionLine, frozen=True, kw_only=True):
    """An action in doubt, and why."""

    doubt: str


class StepTold(AnswerBody, frozen=True, kw_only=True):
    """What one of the twelve steps settled."""

    step: int
    name: str
    settled: str
    at_us: int | None
    took_us: int | None


class Story(ActionLine, frozen=True, kw_only=True):
    """The whole story of an action. `payloads` is null for who may not read them."""

    took_us: int | None
    capability: str
    actors: Sequence[str]
    keys: Sequence[str]
    name: str
    attempt: int
    undone_by: Object | None
    tool_digest: str
    release: str
    effect_key: str | None
    intent_hash: str | None
    deadline_at_us: int | None
    park_until_us: int | None
    lease_owner: str | None
    lease_until_us: int | None
    ahead: Sequence[Object]
    decision: Object | None
    approval: Object | None
    records: Sequence[Object]
    payloads: Object | None
    erased: Object | None
    steps: Sequence[StepTold]


class Payloads(AnswerBody, frozen=True, kw_only=True):
    """An action's payloads in clear; null for what is erased or was never there."""

    proposal: Object | None
    result: Any
    resolution: Object | None


class Redecided(AnswerBody, frozen=True, kw_only=True):
    """An action decided again under its own release. `same` is null if that cannot be done."""

    action: str
    release: str
    same: bool | None
    differs: Sequence[str] | UnsetType = UNSET
    recorded: Object | UnsetType = UNSET
    again: Object | UnsetType = UNSET
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Bisected(AnswerBody, frozen=True, kw_only=True):
    """How an action was decided by each release in turn."""

    action: str
    recorded: Object
    series: Sequence[Object]
    first: str | None
    before: str | None
    changes: Sequence[str]


class RunEnvelope(AnswerBody, frozen=True, kw_only=True):
    """A run as one document."""

    run_id: str
    agent: str
    model: Mapping[str, str] | None
    policy_version: str | None
    inputs: Object
    steps: Sequence[Object]
    outcome: Object
    cost_usd: str
    latency_ms: int


class RuleAsked(AnswerBody, frozen=True, kw_only=True):
    """A rule that asks people, who counts for it, and how many are missing."""

    rule: str
    queue: str
    quorum: int
    text_hash: str
    approved_by: Sequence[str]
    missing: int


class ApprovalLine(AnswerBody, frozen=True, kw_only=True):
    """A request to people, as a line of a list.

    `voices` are the votes that the caller could cast: the empty name is their own, the others are
    who lent theirs. `value`, in minor units of `currency`, is told to who may see payloads.
    """

    action: str
    state: str
    agent: str
    subject: str
    tool: str
    resource: str
    rules: Sequence[RuleAsked]
    mine: bool
    voices: Sequence[str]
    escalated: Sequence[tuple[str, str]]
    requested_at_us: int
    expires_at_us: int
    value: int | UnsetType | None = UNSET
    currency: str | UnsetType | None = UNSET


class ApprovalShown(AnswerBody, frozen=True, kw_only=True):
    """A request as it is asked: the document that votes sign by its digest, and its lines.

    `parts` are what the lines tell beside the document, unescaped, for who shows it otherwise.
    """

    action: str
    state: str
    digest: str
    document: Object
    rules: Sequence[RuleAsked]
    parts: Object
    now_us: int
    expires_at_us: int
    lines: Sequence[str]


class VoteCast(AnswerBody, frozen=True, kw_only=True):
    """How the request stands after a vote."""

    action: str
    state: str
    rules: Sequence[RuleAsked]


class StandingDrafted(AnswerBody, frozen=True, kw_only=True):
    """A standing approval to sign, with the rules' texts."""

    statement: StandingApproval
    texts: Mapping[str, str]


class StandingRow(AnswerBody, frozen=True, kw_only=True):
    """A standing approval, what it has left, and which actions drew on it."""

    type: str
    id: str
    tenant: str
    person: str
    agent: str
    tool: str
    resource: str
    rules: Sequence[Object]
    max_actions: int
    from_us: int
    until_us: int
    reason: str
    max_value: int | None
    currency: str | None
    signature: str
    state: str
    by: Sequence[str]
    ended_by: str | None
    used_actions: int
    used_value: int | None
    actions: Sequence[str]


class DelegationRow(AnswerBody, frozen=True, kw_only=True):
    """A delegation, and how it stands now."""

    type: str
    id: str
    tenant: str
    person: str
    to: str
    queue: str
    from_us: int
    until_us: int
    reason: str
    signature: str
    state: str
    ended_by: str | None


class ReviewRow(AnswerBody, frozen=True, kw_only=True):
    """What was done in an emergency, and what a second person found."""

    type: str
    id: str
    tenant: str
    person: str
    agent: str
    tool: str
    rules: Sequence[Object]
    from_us: int
    until_us: int
    reason: str
    signature: str
    state: str
    review_by_us: int
    reviewed_by: str | None
    finding: str | None
    actions: Sequence[str]


class DelegationDrafted(AnswerBody, frozen=True, kw_only=True):
    """A delegation to sign."""

    statement: Delegation


class BreakGlassDrafted(AnswerBody, frozen=True, kw_only=True):
    """A grant to sign."""

    statement: BreakGlass


class MandateGiven(AnswerBody, frozen=True, kw_only=True):
    """What is in force now."""

    epoch: int
    id: str
    until_us: int | UnsetType = UNSET
    review_by_us: int | UnsetType = UNSET


class MandateEnded(AnswerBody, frozen=True, kw_only=True):
    """What is over now."""

    epoch: int
    id: str
    ended_at_us: int


class ReviewClosed(AnswerBody, frozen=True, kw_only=True):
    """Who has reviewed what was done."""

    epoch: int
    id: str
    reviewed_by: str


class BudgetRow(AnswerBody, frozen=True, kw_only=True):
    """What is spent, held and left at one budget node in its current period."""

    node: str
    unit: str
    period: str
    spent: int
    held: int
    limit: int | None
    left: int | None


class ChangeRow(AnswerBody, frozen=True, kw_only=True):
    """A change that waits for a second person."""

    id: str
    kind: str
    body: Object
    proposed_by: str
    expires_at_us: int


class StopRow(AnswerBody, frozen=True, kw_only=True):
    """A switch that is pulled."""

    scope: str
    target: str
    by: str
    reason: str
    since_us: int


class InFlight(AnswerBody, frozen=True, kw_only=True):
    """What had begun before the stop."""

    action: str
    tool: str
    agent: str
    run: str


class Killed(AnswerBody, frozen=True, kw_only=True):
    """A stop. `quiet` says that no send begins any more; `known` whether anything has the name."""

    epoch: int
    scope: str
    target: str
    known: bool | None
    near: str
    quiet: bool
    in_flight: Sequence[InFlight]


class StopLifted(AnswerBody, frozen=True, kw_only=True):
    """What goes on."""

    epoch: int
    scope: str
    target: str


class IdRevoked(AnswerBody, frozen=True, kw_only=True):
    """What has no standing any more."""

    epoch: int
    revoked: str


class ModeRow(AnswerBody, frozen=True, kw_only=True):
    """How far an agent may go with a tool, by its manifest and by what was set since."""

    agent: str
    tool: str
    mode: str
    manifest: str
    set: str | None
    set_for: str | None
    by: str | None
    reason: str | None
    since_us: int | None


class ModeChanged(AnswerBody, frozen=True, kw_only=True):
    """The mode, and what it was."""

    epoch: int
    agent: str
    tool: str
    mode: str
    was: str
    quiet: bool


class PersonAdded(AnswerBody, frozen=True, kw_only=True):
    """A new account, with the password that is told this once."""

    epoch: int
    tenant: str
    name: str
    roles: Sequence[Role]
    queues: Sequence[str]
    public_key: str
    enabled: bool
    password: str


class PersonDisabled(AnswerBody, frozen=True, kw_only=True):
    """An account that is over."""

    epoch: int
    tenant: str
    name: str
    roles: Sequence[Role]
    queues: Sequence[str]
    public_key: str
    enabled: bool


class PasswordChanged(PersonDisabled, frozen=True, kw_only=True):
    """One's own account, with another password."""

    new_key: bool


class ApiKeyMade(AnswerBody, frozen=True, kw_only=True):
    """An API key, which is told this once, and the id by which it is revoked."""

    epoch: int
    person: str
    id: str
    days: int
    api_key: str


class PolicyShown(AnswerBody, frozen=True, kw_only=True):
    """The rules of the active release, its tools and agents."""

    release: str | None
    rules: Sequence[Object]
    tools: Sequence[Object]
    agents: Sequence[str]


class ToolTold(AnswerBody, frozen=True, kw_only=True):
    """A tool of the active release, as people classified it."""

    name: str
    wire_name: str
    title: str
    description: str
    effect: Literal["read", "write"]
    traits: Sequence[str]
    owner: str
    resource_type: str
    reader: str | None
    reverser: str | None
    upstream: str | None
    input_schema: Object
    output_schema: Object | None
    digest: str


class CanUse(AnswerBody, frozen=True, kw_only=True):
    """Whether an agent can use a tool, and by which request."""

    agent: str
    can: str
    tool: str
    tier: Sequence[Any]
    rules: Sequence[str]
    reason: str
    request: Object | None


class ReleaseRow(AnswerBody, frozen=True, kw_only=True):
    """A release."""

    digest: str
    active: bool
    files: int
    created_at_us: int
    created_by: str
    note: str


class ReleaseProposed(AnswerBody, frozen=True, kw_only=True):
    """A release that is stored. `checked` is false where that would run new code."""

    digest: str
    files: int
    checked: bool


class ReleaseActivated(AnswerBody, frozen=True, kw_only=True):
    """The release that decides now."""

    epoch: int
    digest: str
    previous: str | None
    without_account: Sequence[str]


class ReleaseDiffed(AnswerBody, frozen=True, kw_only=True):
    """What a release would change."""

    digest: str
    active: str | None
    changes: Sequence[str]
    loosens: bool
    because: Sequence[str]


class ReleaseChecked(AnswerBody, frozen=True, kw_only=True):
    """A release that holds."""

    digest: str
    files: int
    tools: int
    agents: int
    rules: int


class Backtested(AnswerBody, frozen=True, kw_only=True):
    """Which past actions a release would decide otherwise. `next` is `before` of the next page."""

    release: str
    decided: int
    changed: Sequence[Object]
    not_decided: Mapping[str, int]
    next: str | None


class UndoPlanned(AnswerBody, frozen=True, kw_only=True):
    """How a run or an action would be undone, newest first."""

    run: str
    steps: Sequence[Object]


# --- an agent's own ------------------------------------------------------------------------------


class OwnTool(AnswerBody, frozen=True, kw_only=True):
    """A tool that an agent could ever use, with the schema of its arguments."""

    name: str
    wire_name: str
    title: str
    description: str
    effect: Literal["read", "write"]
    input_schema: Object
    output_schema: Object | None
