"""What people give with each request: path, query and body, as one struct a command.

A member of a path stands in the struct too, under the same name. What is left out is not handed on,
so that the command's own default counts.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from bailiwick.nouns import Mode, Role, Scope, State, Vote
from bailiwick.nouns.mandates import BreakGlass, Delegation, StandingApproval

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Reason = Annotated[str, Meta(max_length=4000)]
Digest = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[0-9a-f]+$")]
Password = Annotated[str, Meta(max_length=1024)]
Few = Annotated[tuple[Name, ...], Meta(max_length=100)]
Files = Annotated[Mapping[Name, str], Meta(max_length=2000)]
Time = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Queue = Literal["open", "granted", "denied", "expired", "consumed", "withdrawn"]


class Given(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Nothing is given."""


class Paged(Given, frozen=True, kw_only=True):
    """Which page of a list: so many of it, from where the page before said."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Annotated[str, Meta(max_length=512)] = ""


class ListActions(Paged, frozen=True, kw_only=True):
    """Which actions, newest first."""

    states: Annotated[tuple[State, ...], Meta(max_length=7)] = ()
    agent: Name | None = None
    tool: Name | None = None
    run: Name | None = None
    subject: Name | None = None


class ListApprovals(Paged, frozen=True, kw_only=True):
    """Which requests to people, oldest first; the open ones if it is not said."""

    states: Annotated[tuple[Queue, ...], Meta(max_length=6)] = ()


class ListReviews(Paged, frozen=True, kw_only=True):
    """With `every` also those that are closed."""

    every: bool = False


class ListRuns(Paged, frozen=True, kw_only=True):
    """Which runs; with what was asked in clear, for those who may read payloads."""

    agent: Name | None = None
    run: Name | None = None
    payloads: bool = False


class LogInWith(Given, frozen=True, kw_only=True):
    """Who logs in."""

    name: Name
    password: Password

    def __repr__(self) -> str:
        return f"LogInWith({self.name!r})"


class OneAction(Given, frozen=True, kw_only=True):
    """Which action."""

    action: Name


class OneAgent(Given, frozen=True, kw_only=True):
    """Which agent."""

    agent: Name


class OneMandate(Given, frozen=True, kw_only=True):
    """Which of what people signed ahead."""

    id: Name


class OnePerson(Given, frozen=True, kw_only=True):
    """Whose account."""

    name: Name


class OneRelease(Given, frozen=True, kw_only=True):
    """Which release, by at least eight digits of its digest."""

    digest: Digest


class AgentKey(Given, frozen=True, kw_only=True):
    """A public key (Ed25519, RFC 8037) of an agent."""

    agent: Name
    jwk: Mapping[str, Any]


class NewAgentKey(AgentKey, frozen=True, kw_only=True):
    """And whom its holder may speak for at the token endpoint, beside the agent itself."""

    subjects: Few = ()


class AccessKeyOf(Given, frozen=True, kw_only=True):
    """For whom an agent gets an access key, and for how many days."""

    agent: Name
    subject: Name
    days: Annotated[int, Meta(ge=1, le=366)]


class KeyOf(Given, frozen=True, kw_only=True):
    """Which key of an agent."""

    agent: Name
    key: Name
    reason: Reason = ""


class AskedApproval(Given, frozen=True, kw_only=True):
    """Which request to people; with `whole`, nothing is shortened."""

    action: Name
    whole: bool = False


class Voted(Given, frozen=True, kw_only=True):
    """A vote: signed already, or to be signed with the key that the password opens.

    `digest` is the one of the request that was shown. An API key opens no signing key.
    """

    action: Name
    vote: Vote | None = None
    digest: Annotated[str, Meta(max_length=64)] = ""
    password: Password = ""
    reason: Reason = ""
    on_behalf_of: Annotated[str, Meta(max_length=256)] = ""

    def __repr__(self) -> str:
        return f"Voted({self.action!r})"


class DraftStanding(Given, frozen=True, kw_only=True):
    """What a standing approval is to allow."""

    agent: Name
    tool: Name
    rules: Few
    max_actions: Annotated[int, Meta(ge=1, le=2**31)]
    seconds: Annotated[int, Meta(ge=1, le=2**31)]
    reason: Reason
    resource: Name = "*"
    sum: Annotated[str, Meta(max_length=32)] | None = None
    currency: Annotated[str, Meta(max_length=3)] | None = None


class GrantStanding(Given, frozen=True, kw_only=True):
    """A standing approval, signed."""

    statement: StandingApproval


class DraftDelegation(Given, frozen=True, kw_only=True):
    """Whose vote is lent to whom, until when."""

    to: Name
    queue: Name
    until_us: Time
    reason: Reason
    from_us: Time | None = None


class GrantDelegation(Given, frozen=True, kw_only=True):
    """A delegation, signed."""

    statement: Delegation


class DraftBreakGlass(Given, frozen=True, kw_only=True):
    """Which agent's rules are to be passed in an emergency."""

    agent: Name
    tool: Name
    seconds: Annotated[int, Meta(ge=1, le=2**31)]
    reason: Reason
    rules: Few = ()


class GrantBreakGlass(Given, frozen=True, kw_only=True):
    """The emergency's grant, signed."""

    statement: BreakGlass


class Reviewed(Given, frozen=True, kw_only=True):
    """What a review found."""

    id: Name
    finding: Reason


class Resolved(Given, frozen=True, kw_only=True):
    """What became of an action in doubt, and how that is known."""

    action: Name
    status: Literal["done", "failed"]
    evidence: Annotated[str, Meta(min_length=1, max_length=4000)]


class Stopped(Given, frozen=True, kw_only=True):
    """What is stopped."""

    scope: Scope
    target: Annotated[str, Meta(max_length=256)] = ""
    reason: Reason = ""


class Resumed(Given, frozen=True, kw_only=True):
    """What goes on."""

    scope: Scope
    target: Annotated[str, Meta(max_length=256)] = ""


class Revoked(Given, frozen=True, kw_only=True):
    """The id of a key, token, session or delegation."""

    id: Name
    reason: Reason = ""


class SetMode(Given, frozen=True, kw_only=True):
    """How far an agent may go with a tool, `prefix.*` or `*`."""

    agent: Name
    tool: Name
    mode: Mode
    reason: Reason = ""


class AddPerson(Given, frozen=True, kw_only=True):
    """A new account."""

    name: Name
    roles: Annotated[tuple[Role, ...], Meta(min_length=1, max_length=6)]
    queues: Few = ()


class NewPassword(Given, frozen=True, kw_only=True):
    """The old password and the new one; with `new_key` a new signing key too."""

    password: Password
    new_password: Password
    new_key: bool = False

    def __repr__(self) -> str:
        return "NewPassword()"


class ApiKeyFor(Given, frozen=True, kw_only=True):
    """For how many days an API key is made."""

    days: Annotated[int, Meta(ge=1, le=366)]


class ShowPolicy(Given, frozen=True, kw_only=True):
    """One rule, or all."""

    rule: Name | None = None


class WhoCan(Given, frozen=True, kw_only=True):
    """Who can use a tool, or a tool of a group: on one resource, or where facts hold."""

    action: Name
    resource: Name | None = None
    on: Mapping[str, Any] | None = None
    automatic: bool = False


class ProposeRelease(Given, frozen=True, kw_only=True):
    """A release, as its files: paths to text."""

    files: Files
    note: Reason = ""


class RollBack(Given, frozen=True, kw_only=True):
    """The release to go back to; by default the one before."""

    digest: Digest | None = None


class DiffRelease(Given, frozen=True, kw_only=True):
    """A release, and what it is compared with; by default what decides now."""

    digest: Digest
    against: Digest | None = None


class BacktestRelease(Given, frozen=True, kw_only=True):
    """A release, and the page of past actions that it decides again."""

    digest: Digest
    limit: Annotated[int, Meta(ge=1, le=200)] = 100
    since_us: Time = 0
    before: Name | None = None
    agent: Name | None = None


class UndoPlan(Given, frozen=True, kw_only=True):
    """The run or action that would be undone."""

    target: Name
    agent: Name | None = None
    anyway: bool = False


class UndoAction(Given, frozen=True, kw_only=True):
    """The action that is undone."""

    action: Name
    agent: Name | None = None
    run: Name | None = None
    reason: Reason = ""
    anyway: bool = False


class Erased(Given, frozen=True, kw_only=True):
    """What is erased: one of the three."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    run: Name | None = None
    action: Name | None = None
    subject: Name | None = None


class Held(Given, frozen=True, kw_only=True):
    """What is held: one of the two."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    run: Name | None = None
    subject: Name | None = None


class HoldLifted(Given, frozen=True, kw_only=True):
    """What is held no more: one of the two."""

    run: Name | None = None
    subject: Name | None = None


class RewrapStep(Given, frozen=True, kw_only=True):
    """Where the step before ended."""

    after: Annotated[str, Meta(max_length=256)] = ""


class ProofOf(Given, frozen=True, kw_only=True):
    """An action's id, or the index of a leaf."""

    of: Name


class OneLeaf(Given, frozen=True, kw_only=True):
    """The index of a leaf."""

    index: Annotated[int, Meta(ge=0, le=2**53 - 1)]


class OneTile(Given, frozen=True, kw_only=True):
    """A tile's path below `tile/`, as C2SP tlog-tiles names it."""

    tile: Annotated[str, Meta(max_length=128)]


class ListRecords(Given, frozen=True, kw_only=True):
    """A page of the ledger's records, from a leaf on."""

    first: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    limit: Annotated[int, Meta(ge=1, le=256)] = 100


# --- an agent's own ------------------------------------------------------------------------------


class ProposeAction(Given, frozen=True, kw_only=True):
    """A call of a tool, by the catalogue's name; the rest is shown to people, as its own words."""

    tool: Name
    arguments: Mapping[str, Any]
    run: Name | None = None
    reason: Annotated[str, Meta(max_length=16384)] = ""
    sources: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    uncertainty: Annotated[str, Meta(max_length=16384)] = ""
