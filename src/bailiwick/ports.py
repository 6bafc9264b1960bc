"""Every door to the outside, as promises: what must be true when a call returns.

`World` is what the spine is given. Adapters share no base class.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from bailiwick.config import Settings
from bailiwick.nouns import (
    Action,
    Approval,
    Balance,
    Breaker,
    Caller,
    Cap,
    Credential,
    Decision,
    LegalHold,
    Listed,
    Manifest,
    Mode,
    ModeSetting,
    Person,
    Price,
    Proposal,
    Record,
    Refusal,
    Release,
    Resource,
    Situation,
    Standing,
    Status,
    Stop,
    Target,
    Tool,
    ToolAnswer,
    ToolCall,
    Verdict,
)
from bailiwick.nouns.mandates import BreakGlass, Mandate, StandingApproval
from bailiwick.nouns.notices import Notice, ServiceLevel
from bailiwick.transactions import Blocked, Commit, Committed, Op, PutChange
from bailiwick.values import JSON, Canonical

# --- the store -----------------------------------------------------------------------------------


class ControlState(Struct, frozen=True, kw_only=True):
    """Everything fenced by the epoch, read in one go: judged under, and checked again at commit."""

    tenant: str
    epoch: int
    release: str | None
    stops: tuple[Stop, ...]
    standings: Mapping[str, Standing]
    revoked: frozenset[str]
    modes: tuple[ModeSetting, ...] = ()
    mandates: tuple[Mandate, ...] = ()
    holds: tuple[LegalHold, ...] = ()


class RunRow(Struct, frozen=True, kw_only=True):
    """What the store keeps of a run: its wrapped vault key (None once it is dropped), its times.

    `parked_until_us` is the end of the waits that `parked_us` has counted so far; `classes` are
    those of the data that it has been shown.
    """

    wrapped_key: bytes | None
    started_at_us: int
    parked_us: int
    parked_until_us: int
    classes: frozenset[str] = frozenset()


class Ledger(Protocol):
    """The stored side of the transparency log; all of it can be rebuilt from the records."""

    async def unsequenced(self, limit: int) -> Sequence[Record]:
        """Records without a leaf index, in commit order."""

    async def extend(
        self, old_size: int, records: Sequence[int], nodes: Sequence[tuple[int, int, bytes]]
    ) -> bool:
        """Give the records the next leaf indices and keep the tree's new nodes, in one transaction.

        False, and nothing written, when the tree's size is no longer `old_size`.
        """

    async def keep_checkpoint(self, size: int, note: str, cosignature: str | None = None) -> None:
        """The signed checkpoint for a size is durable. Signing comes only after `extend`.

        With `cosignature` the witness's line for it is, too; the note that was kept first stands.
        """

    async def checkpoint(self, *, cosigned: bool = False) -> tuple[int, str] | None:
        """The newest signed checkpoint, or the newest one that the witness cosigned.

        Its size, and its note with the cosignature.
        """

    async def tree_size(self) -> int:
        """How many records have a leaf index."""

    async def nodes(self, wanted: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
        """The hashes of complete subtrees, by (level, index)."""

    async def records(
        self, first: int, limit: int, of: tuple[str, str] | Literal["control"] | None = None
    ) -> Sequence[Record]:
        """Records in leaf order from leaf `first`; or all of one (tenant, action).

        `control`: all of control changes and of the log's keys, of every tenant, by number.
        """


class Store(Protocol):
    """The commit point, and what the spine reads. Reads see every commit that has returned."""

    async def now_us(self) -> int:
        """The store's clock, by which expiry, buckets and leases go."""

    async def epoch(self, tenant: str) -> int:
        """The control epoch as committed now, by any process."""

    async def control(self, tenant: str) -> ControlState:
        """The fenced state, as of one epoch."""

    async def find(self, tenant: str, agent: str, subject: str, name: str) -> Action | None:
        """The owner's newest attempt under a name. Nobody else's action is ever returned."""

    async def action(self, tenant: str, id: str) -> Action | None:
        """An action by its id."""

    async def commit(self, commit: Commit) -> Committed | Blocked:
        """Carry out the transaction. Raises `StoreUnavailable` if nothing was written."""

    async def changed(self, action: str, timeout_s: float) -> None:
        """Return soon after the action may have changed, at the latest after the timeout."""


class Shelf(Protocol):
    """What belongs to an action and a tenant beside its state."""

    async def approval(self, tenant: str, action: str) -> Approval | None:
        """The action's approval request with its votes."""

    async def payload(self, tenant: str, action: str, kind: str) -> tuple[str, bytes] | None:
        """The run and the sealed bytes; None once erased."""

    async def run(self, tenant: str, run: str) -> RunRow | None:
        """The run as it stands; None before its first action was committed."""

    async def balances(self, tenant: str, caps: Sequence[Cap]) -> Sequence[Balance]:
        """What the caps' nodes have spent and hold in their current bucket, in the same order."""

    async def breaker(self, tenant: str, target: str) -> Breaker | None:
        """The target's recent failures."""

    async def touched_since(self, tenant: str, resource: Resource, since_us: int) -> Sequence[str]:
        """Writes on the resource that were in flight or concluded after the time: action ids."""

    async def holder(self, tenant: str, key: str) -> str | None:
        """The action that holds an effect key."""


class Register(Protocol):
    """What people ask of the store: lists, accounts, releases, changes that wait."""

    async def actions(
        self, tenant: str, states: Sequence[Listed], limit: int, before: str | None = None
    ) -> Sequence[Action]:
        """The newest actions in these states (all if empty), older than the id `before`.

        `contradicted` are those of the done ones that the world contradicts, unresolved. How long
        it takes to list them, or what is open, does not grow with the history.
        """

    async def approvals(self, tenant: str, states: Sequence[str]) -> Sequence[Approval]:
        """Approval requests in these states, oldest first."""

    async def people(self, tenant: str) -> Sequence[Person]:
        """All accounts."""

    async def secret(self, tenant: str, person: str) -> Mapping[str, JSON] | None:
        """The person's password hash and sealed signing key."""

    async def releases(self, tenant: str) -> Sequence[Release]:
        """All releases, newest first."""

    async def changes(self, tenant: str) -> Sequence[PutChange]:
        """Control changes that wait for a second person."""

    async def spending(self, tenant: str) -> Sequence[Balance]:
        """Every budget node's balance in its current bucket."""


class Mandates(Protocol):
    """What people signed ahead of an action."""

    async def signed(self, tenant: str) -> Sequence[Mandate]:
        """All of it, newest first, whether it still runs or not; at most 1000."""

    async def uses(self, tenant: str, mandate: str) -> Sequence[str]:
        """The actions that drew on a mandate, in order."""


class Proposed(NamedTuple):
    """An action, and the sealed proposal that it was decided by; None once erased."""

    action: Action
    sealed: bytes | None


class Archive(Protocol):
    """What was decided, and by which release; what deciding again goes by."""

    async def proposals(
        self, tenant: str, limit: int, *, before: str, since: str = "", agent: str | None = None
    ) -> Sequence[Proposed]:
        """The newest actions, of one agent if named, from the id `since` to before `before`."""

    async def activations(self, tenant: str) -> Sequence[Record]:
        """The records of releases that were activated, oldest first; their places are not told."""


class Outbox(Protocol):
    """Notices to people, written in the commit of what they tell of."""

    async def due(self, tenant: str, owner: str) -> Sequence[Notice]:
        """Waiting notices that are due: claimed with a lease, so that two ticks never get one."""

    async def undelivered(self, tenant: str) -> Sequence[Notice]:
        """Notices that failed or wait after a failed attempt, newest first; at most 100."""


class Due(Protocol):
    """What the house is kept by. A tick claims with a lease, and two never get one row.

    Nobody gets what is `busy`: this process is carrying it on.
    """

    async def tenants(self) -> Sequence[str]:
        """Every tenant with a control row."""

    async def stale_intents(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        """Actions in flight whose lease has run out: claimed for `owner`, with a new lease."""

    async def decided_parks(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        """Parked actions whose approval is granted or denied."""

    async def expired_parks(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        """Parked actions past their time."""

    async def in_doubt(self, tenant: str) -> int:
        """How many outcomes wait for a person: nobody knows them, or the world contradicts them."""

    async def run_keys(self, tenant: str, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """The runs with a key that come after an id, in order, with their wrapped vault keys."""

    async def rewrap(self, tenant: str, keys: Sequence[tuple[str, bytes, bytes]]) -> int:
        """Each run whose wrapped key is still the second member has the third; how many have."""


class Keeping(Protocol):
    """What has payloads that may be erased."""

    async def kept(self, tenant: str, run: str, after: str, limit: int) -> Sequence[Action]:
        """The run's actions that are not erased, oldest first, from beyond the id `after` on."""

    async def round(self, tenant: str, name: str, lease_us: int) -> str | None:
        """How far a round got, if it is due: nobody else gets it until the lease is over."""


# --- what shapes decisions -----------------------------------------------------------------------


# A compiled expression. Evaluation is pure; an error is a `CatalogError`, never a value.
Expression = Callable[[Mapping[str, JSON]], JSON]


class Catalogue(Protocol):
    """The tools of one release, compiled. Pure: it reads no clock and does no I/O."""

    @property
    def tools(self) -> Mapping[str, Tool]: ...

    def arguments(self, tool: Tool, arguments: Mapping[str, JSON]) -> Mapping[str, JSON] | Refusal:
        """The arguments with defaults filled, if they meet the tool's schema."""

    def resource(self, tool: Tool, arguments: Mapping[str, JSON]) -> Resource | Refusal:
        """What the action touches."""

    def situation(
        self,
        tool: Tool,
        arguments: Mapping[str, JSON],
        resource: Resource,
        before: Mapping[str, JSON],
    ) -> Situation | Refusal:
        """Facts, typed input, effect key and destination, computed from arguments and reads."""

    def evaluate(self, tool: Tool, text: str, names: Mapping[str, JSON]) -> JSON:
        """Evaluate one of the tool's own expressions. Raises `CatalogError`."""

    def function(self, tool: Tool) -> Callable[..., object]:
        """The Python function of a Python tool."""


class Question(Struct, frozen=True, kw_only=True):
    """What the policy is asked. `evidence` names the rules that people have satisfied.

    `data_classes` are those of the arguments, of what a read shows, and of what its run was shown.
    """

    caller: Caller
    tool: str
    situation: Situation
    over: tuple[Cap, ...] = ()
    evidence: tuple[str, ...] = ()
    now_us: int = 0
    sources: tuple[str, ...] = ()
    mode: Mode = "live"
    data_classes: tuple[str, ...] = ()


class Policies(Protocol):
    """The rules of one release, compiled. Pure: it reads no clock and does no I/O."""

    def decide(self, question: Question) -> Decision:
        """Allow, deny or ask. Any error, or no permit, denies."""

    @property
    def reads_data_classes(self) -> bool:
        """Whether any rule looks at the classes of data."""

    def rule_text(self, rule: str) -> str:
        """The text of a rule, for people."""


class Bundle(Struct, frozen=True, kw_only=True):
    """An activated release, compiled and ready to judge by."""

    release: Release
    catalogue: Catalogue
    policies: Policies
    manifests: Mapping[str, Manifest]
    caps: tuple[Cap, ...]
    rates: tuple[Cap, ...]
    queues: Mapping[str, ServiceLevel] = {}


class Case(Struct, kw_only=True):
    """What the spine knows of one action while it carries it; only the spine fills it in.

    `stored` says that the store holds the action already. `approval` is the request to people, and
    `evidence` the rules that they have satisfied, each with who did; `ahead` are the standing
    approvals and emergencies that it rests on. `steps_us` are the times of the steps so far.
    `carried` are the classes of the data that its run has been shown.
    """

    control: ControlState
    bundle: Bundle
    now_us: int
    proposal: Proposal
    caller: Caller
    manifest: Manifest
    tool: Tool
    action: Action
    mode: Mode
    stored: bool = False
    no: Refusal | None = None
    situation: Situation | None = None
    price: Price = Price(holds=())
    decision: Decision | None = None
    approval: Approval | None = None
    evidence: Mapping[str, tuple[str, ...]] = {}
    ahead: tuple[StandingApproval | BreakGlass, ...] = ()
    steps_us: Sequence[int] = ()
    carried: frozenset[str] = frozenset()


# --- the world outside ---------------------------------------------------------------------------


class Request(Struct, frozen=True, kw_only=True):
    """An HTTP request that may leave by the egress door, with the secret already in it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float
    max_bytes: int

    def __repr__(self) -> str:
        return f"Request({self.method} …)"


class Response(Struct, frozen=True, kw_only=True):
    """What came back: the status, the headers in lower case, the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotSent(Exception):
    """The request certainly never reached the other side (refused, unresolved, fenced)."""


class Lost(Exception):
    """The request may have reached the other side; no whole answer came back."""


class Listener(Protocol):
    """Who hears what an MCP server says, and answers what it asks, while a call runs.

    Texts are bounded and safe to show. What it raises is its own: the call goes on.
    """

    @property
    def level(self) -> str:
        """The least severe level of log messages that it wants (RFC 5424's words); empty: none."""

    @property
    def able(self) -> Mapping[str, JSON]:
        """What it can be asked, as MCP's client capabilities: `elicitation` and so on."""

    def lacks(self, required: Mapping[str, JSON]) -> None:
        """What the server refused the call for want of, and it is not able to; as `able`."""

    async def progress(self, progress: float, total: float | None, message: str) -> None:
        """How far it got."""

    async def log(self, level: str, logger: str, data: JSON) -> None:
        """What it says of its work."""

    async def polls(self) -> None:
        """The server broke off, and has its client come back for the answer; ours may too."""

    async def asked(
        self, method: str, params: Mapping[str, JSON], name: str
    ) -> Mapping[str, JSON] | None:
        """The result of what it asks for: `elicitation/create`, `sampling/createMessage` or
        `roots/list`. None declines. It is waited for as long as the call may take. `name` is the
        server's own for the question (2026-07-28), else empty."""


# Set around `act` by who listens to the calls that it makes.
LISTENER: ContextVar[Listener | None] = ContextVar("bailiwick_listener", default=None)


class Egress(Protocol):
    """The one door by which effects leave."""

    def target(self, url: str) -> Target:
        """Where a request for this URL would go, as the parser reads it that sends.

        Raises `BadInput` for what is not a plain http or https address.
        """

    async def send(self, request: Request, fence: Callable[[], Awaitable[bool]]) -> Response:
        """Send once, if `fence` says so just before the first byte. Raises `NotSent` or `Lost`."""

    async def call(
        self,
        function: Callable[..., object],
        arguments: Mapping[str, JSON],
        timeout_s: float,
        fence: Callable[[], Awaitable[bool]],
    ) -> object:
        """Call a Python tool once, likewise. A `NotDone` that it raises is certainly not done."""

    async def ask(self, call: ToolCall, fence: Callable[[], Awaitable[bool]]) -> ToolAnswer:
        """Call a tool of an MCP server once, likewise; its upstream's faults are never raised."""

    async def quiet(self, timeout_s: float) -> bool:
        """Every send whose fence was passed has begun by now. False if not within the timeout."""

    async def close(self) -> None:
        """Connections are closed."""


class Broker(Protocol):
    """Gives secrets to the egress door, and to nothing else."""

    def secret(self, name: str, tool: str, host: str, write: bool) -> str:
        """The secret, if it may serve this tool and host for this use. Raises `ExecutionError`."""


class Keys(Protocol):
    """The keys outside the data folder, by use. Each is a file of its own, 0600."""

    def verify_token(self, kid: str) -> Mapping[str, JSON] | None:
        """The token issuer's public JWK, or None if the key id is not ours."""

    def sign_token(self) -> tuple[str, object]:
        """The current token signing key: its id and its private key."""

    def sign_checkpoint(self, body: bytes) -> Sequence[bytes]:
        """The Ed25519 signatures of all of the log's keys over a checkpoint body, newest first."""

    def log_keys(self) -> tuple[str, Sequence[bytes]]:
        """The log's name (origin) and its Ed25519 public keys, 32 bytes each, newest first."""

    def ids(self) -> Mapping[str, Sequence[str]]:
        """The key ids of those that can be rotated, by use (token, log, vault), newest first."""

    def vault_keys(self) -> Sequence[tuple[str, bytes]]:
        """The vault's key encryption keys, newest first: ids and 32 bytes. The first one wraps."""

    def secret_key(self, use: str) -> bytes:
        """A 32-byte key for one use: `pseudonym`, `equality`."""


class Cosigner(Protocol):
    """Whoever cosigns the ledger's heads: a process with a key and a memory of its own."""

    @property
    def name(self) -> str:
        """Its key's name."""

    @property
    def vkey(self) -> str:
        """Its public key as text (C2SP vkey)."""

    @property
    def required(self) -> bool:
        """Whether receipts wait for it."""

    def begin(self) -> bool:
        """Whether it may be asked now, by one caller: not soon after it did not answer."""

    def end(self) -> None:
        """The caller who began has done with it."""

    async def add(self, old: int, proof: Sequence[bytes], checkpoint: bytes) -> tuple[int, bytes]:
        """Ask it to cosign a head that extends its own of size `old`: the status and the body.

        Raises `LedgerError` (`witness_silent`) when no whole answer came in time.
        """

    async def held(self, origin: str) -> bytes | None:
        """The head of a log that it cosigned last. Raises as `add` does."""


class Vault(Protocol):
    """Payloads sealed under their run's key, which only the vault key can unwrap."""

    async def seal(
        self, action: Action, kind: str, value: Mapping[str, JSON | Canonical], epoch: int
    ) -> tuple[tuple[Op, ...], str]:
        """The writes that keep the payload, and its commitment for the record (hex).

        They hold for a commit under this control epoch, or of an action that is open.
        """

    async def open(self, tenant: str, action: str, kind: str) -> Mapping[str, JSON] | None:
        """A payload in clear; None once erased. Raises `LedgerError` if it was changed."""

    async def unseal(
        self, tenant: str, action: str, kind: str, run: str, sealed: bytes
    ) -> Mapping[str, JSON] | None:
        """The same of a payload that was read already, with its run."""

    def forget(self, tenant: str, run: str) -> None:
        """Another process began the run: its key is looked up again."""


class TokenCache(Protocol):
    """Tokens whose signature and proof have been checked by this process; bounded."""

    def get(self, credential: Credential) -> tuple[Caller, int] | None:
        """The caller and the epoch under which the token was checked."""

    def put(self, credential: Credential, caller: Caller, epoch: int) -> None:
        """Remember a checked token; the oldest goes when there are too many."""

    @property
    def nonce(self) -> str:
        """This process's challenge, which a proof must hold."""


class Told(Struct, frozen=True, kw_only=True, gc=False):
    """What telemetry is told of one action: names, codes, times and amounts.

    `binding` is `python`, `http` or `mcp`. `woken`: nobody's call, the housekeeper's. `steps_us`
    are the times of the twelve steps. What is not known at the step that refused is empty.
    `waited_us` is how long people took, told once, when they have answered or their time is over.
    `arguments` and `result` are redacted JSON, if the project asks for content.
    """

    tenant: str
    agent: str
    tool: str
    binding: str
    effect: str
    run: str
    release: str
    action: str
    status: Status
    code: str
    verdict: Verdict | None
    earlier: bool
    woken: bool
    cost_micro_usd: int
    steps_us: tuple[int, ...]
    waited_us: int | None = None
    arguments: str = ""
    result: str = ""


class Telemetry(Protocol):
    """Spans, metrics and events. Nothing it does or fails to do can change an answer."""

    def report(self, told: Told) -> None:
        """Tell of one action. Returns at once: what cannot be kept is dropped and counted."""

    def change(self, record: bytes) -> None:
        """Tell of a control change by its ledger record, which names nobody in clear."""

    def wants_standing(self) -> bool:
        """Whether it is time to measure how the tenants stand."""

    def stands(self, tenant: str, *, in_doubt: int, unsequenced_us: int) -> None:
        """Tell how many actions are in doubt, and how long the oldest record waits for its leaf."""

    def close(self) -> None:
        """What was told is flushed, or given up after a bounded time."""


class World(Struct, frozen=True, kw_only=True):
    """Everything the spine can reach."""

    settings: Settings
    store: Store
    shelf: Shelf
    register: Register
    mandates: Mandates
    archive: Archive
    outbox: Outbox
    ledger: Ledger
    due: Due
    keeping: Keeping
    keys: Keys
    tokens: TokenCache
    vault: Vault
    broker: Broker
    egress: Egress
    telemetry: Telemetry
    bundle: Callable[[str, str | None], Awaitable[Bundle]]
    now_us: Callable[[], int]
    monotonic_us: Callable[[], int]
    random: Callable[[int], bytes]
    owner: str
    close: Callable[[], Awaitable[None]]
    witness: Cosigner | None = None
