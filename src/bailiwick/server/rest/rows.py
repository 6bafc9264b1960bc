"""The table of people's routes: method, path, command, what is given, what is told.

Everything else follows from it: the routes, what they take and refuse, the OpenAPI document, and
the tests that try each of them. Who may do what is not said here: `operations.perform` says it.
"""

from typing import Any, Literal

from msgspec import Struct

from bailiwick.nouns import Outcome, Person
from bailiwick.server.rest import given as g
from bailiwick.server.rest import told as t
from bailiwick.server.rest import told_of_vault as v

Method = Literal["GET", "POST", "PUT", "DELETE"]
Form = Literal["json", "text", "bytes"]

Who = Literal["person", "agent", "nobody"]

_SMALL = 64 * 1024
_RELEASE = 4 * 1024 * 1024


class RestRow(Struct, frozen=True, kw_only=True):
    """One route. `given` is what it takes, `told` what it answers with `status`.

    `waits`: it may be answered with 202 and `ChangeWaits`. `form`: how the answer is written;
    `bytes` stand as base64 in the command's answer. `paged`: the command gives a list, which goes
    out in pages. `who` bears the credential: a person, an agent or nobody. `more` are statuses of
    its own.
    """

    method: Method
    path: str
    command: str
    told: Any
    given: type[g.Given] = g.Given
    status: int = 200
    waits: bool = False
    paged: bool = False
    form: Form = "json"
    body_bytes: int = _SMALL
    who: Who = "person"
    more: tuple[int, ...] = ()

    @property
    def in_path(self) -> tuple[str, ...]:
        """The names that stand in the path."""
        parts = self.path.split("{")[1:]
        return tuple(part.partition("}")[0].partition(":")[0] for part in parts)

    @property
    def has_body(self) -> bool:
        """Whether what is not in the path comes as a body, rather than in the query."""
        names = set(self.given.__struct_fields__) - set(self.in_path)
        return self.method in ("POST", "PUT") and bool(names)


def _page(path: str, command: str, told: Any, given: type[g.Given] = g.Paged) -> RestRow:
    return RestRow(
        method="GET", path=path, command=command, told=t.Page[told], given=given, paged=True
    )


def _read(path: str, command: str, told: Any, given: type[g.Given] = g.Given) -> RestRow:
    return RestRow(method="GET", path=path, command=command, told=told, given=given)


def _change(
    method: Method, path: str, command: str, told: Any, given: type[g.Given], **more: Any
) -> RestRow:
    return RestRow(method=method, path=path, command=command, told=told, given=given, **more)


LOGIN = RestRow(
    method="POST",
    path="/v1/session",
    command="login",
    told=t.SessionTold,
    given=g.LogInWith,
    who="nobody",
)
VOTES = tuple(
    _change("POST", f"/v1/approvals/{{action}}/{word}", f"approvals {word}", t.VoteCast, g.Voted)
    for word in ("approve", "deny")
)

PEOPLE: tuple[RestRow, ...] = (
    LOGIN,
    _read("/v1/me", "whoami", Person),
    _change("PUT", "/v1/me/password", "people password", t.PasswordChanged, g.NewPassword),
    _change("POST", "/v1/me/api-keys", "people api-key", t.ApiKeyMade, g.ApiKeyFor),
    _page("/v1/people", "people list", Person),
    _change("POST", "/v1/people", "people add", t.PersonAdded, g.AddPerson, waits=True),
    _change(
        "POST",
        "/v1/people/{name}/disable",
        "people disable",
        t.PersonDisabled,
        g.OnePerson,
        waits=True,
    ),
    # agents
    _page("/v1/agents", "agents list", t.AgentRow),
    _read("/v1/agents/{agent}", "agents show", t.AgentShown, g.OneAgent),
    _change("POST", "/v1/agents/{agent}/disable", "agents disable", t.AgentSet, g.OneAgent),
    _change(
        "POST", "/v1/agents/{agent}/enable", "agents enable", t.AgentSet, g.OneAgent, waits=True
    ),
    _change(
        "POST", "/v1/agents/{agent}/keys", "agents register", t.KeyAdded, g.NewAgentKey, waits=True
    ),
    _change(
        "PUT", "/v1/agents/{agent}/keys", "agents rotate", t.KeysRotated, g.AgentKey, waits=True
    ),
    _change("DELETE", "/v1/agents/{agent}/keys/{key}", "agents revoke-key", t.KeyRevoked, g.KeyOf),
    _change(
        "POST",
        "/v1/agents/{agent}/access-keys",
        "agents access-key",
        t.AccessKeyMade,
        g.AccessKeyOf,
        waits=True,
    ),
    # actions and runs
    _page("/v1/actions", "actions list", t.ActionLine, g.ListActions),
    _read("/v1/actions/{action}", "actions show", t.Story, g.OneAction),
    _read("/v1/actions/{action}/payloads", "actions payload", t.Payloads, g.OneAction),
    _read("/v1/actions/{action}/redecision", "actions redecide", t.Redecided, g.OneAction),
    _read("/v1/actions/{action}/bisection", "policy bisect", t.Bisected, g.OneAction),
    _change("POST", "/v1/actions/{action}/undo", "undo", t.Object, g.UndoAction),
    _read("/v1/undo-plan", "undo plan", t.UndoPlanned, g.UndoPlan),
    _page("/v1/runs", "actions export", t.RunEnvelope, g.ListRuns),
    _page("/v1/in-doubt", "in-doubt list", t.Doubt),
    _change("POST", "/v1/in-doubt/{action}", "in-doubt resolve", t.ActionLine, g.Resolved),
    # approvals, and what people sign ahead
    _page("/v1/approvals", "approvals list", t.ApprovalLine, g.ListApprovals),
    _read("/v1/approvals/{action}", "approvals show", t.ApprovalShown, g.AskedApproval),
    *VOTES,
    _page("/v1/standing", "standing list", t.StandingRow),
    _change("POST", "/v1/standing/draft", "standing draft", t.StandingDrafted, g.DraftStanding),
    _change("POST", "/v1/standing", "standing grant", t.MandateGiven, g.GrantStanding, waits=True),
    _change(
        "POST",
        "/v1/standing/{id}/confirm",
        "standing confirm",
        t.MandateGiven,
        g.OneMandate,
        waits=True,
    ),
    _change("DELETE", "/v1/standing/{id}", "standing withdraw", t.MandateEnded, g.OneMandate),
    _page("/v1/delegations", "delegation list", t.DelegationRow),
    _change(
        "POST",
        "/v1/delegations/draft",
        "delegation draft",
        t.DelegationDrafted,
        g.DraftDelegation,
    ),
    _change("POST", "/v1/delegations", "delegation grant", t.MandateGiven, g.GrantDelegation),
    _change("DELETE", "/v1/delegations/{id}", "delegation end", t.MandateEnded, g.OneMandate),
    _change(
        "POST", "/v1/break-glass/draft", "break-glass draft", t.BreakGlassDrafted, g.DraftBreakGlass
    ),
    _change("POST", "/v1/break-glass", "break-glass", t.MandateGiven, g.GrantBreakGlass),
    _change("DELETE", "/v1/break-glass/{id}", "break-glass end", t.MandateEnded, g.OneMandate),
    _page("/v1/reviews", "reviews list", t.ReviewRow, g.ListReviews),
    _change("POST", "/v1/reviews/{id}", "reviews close", t.ReviewClosed, g.Reviewed),
    # control
    _page("/v1/changes", "changes list", t.ChangeRow),
    _page("/v1/budgets", "budget", t.BudgetRow),
    _page("/v1/modes", "mode list", t.ModeRow),
    _change("PUT", "/v1/modes/{agent}/{tool}", "mode set", t.ModeChanged, g.SetMode, waits=True),
    _page("/v1/stops", "stops list", t.StopRow),
    _change("POST", "/v1/kill", "kill", t.Killed, g.Stopped),
    _change("POST", "/v1/resume", "resume", t.StopLifted, g.Resumed, waits=True),
    _change("POST", "/v1/revocations", "revoke", t.IdRevoked, g.Revoked),
    # releases and rules
    _page("/v1/releases", "release list", t.ReleaseRow),
    _change(
        "POST",
        "/v1/releases",
        "release propose",
        t.ReleaseProposed,
        g.ProposeRelease,
        body_bytes=_RELEASE,
    ),
    _change(
        "POST",
        "/v1/releases/{digest}/activate",
        "release activate",
        t.ReleaseActivated,
        g.OneRelease,
        waits=True,
    ),
    _change(
        "POST",
        "/v1/releases/rollback",
        "release rollback",
        t.ReleaseActivated,
        g.RollBack,
        waits=True,
    ),
    _read("/v1/releases/{digest}/check", "release check", t.ReleaseChecked, g.OneRelease),
    _read("/v1/releases/{digest}/diff", "release diff", t.ReleaseDiffed, g.DiffRelease),
    _read("/v1/releases/{digest}/backtest", "release backtest", t.Backtested, g.BacktestRelease),
    _page("/v1/catalogue", "policy tools", t.ToolTold),
    _read("/v1/policy", "policy show", t.PolicyShown, g.ShowPolicy),
    _change("POST", "/v1/who-can", "who-can", list[t.CanUse], g.WhoCan),
    # the vault and its keys
    _change("POST", "/v1/vault/erasures", "vault erase", v.VaultErased, g.Erased, waits=True),
    _page("/v1/vault/holds", "vault holds", v.HoldRow),
    _change("POST", "/v1/vault/holds", "vault hold", v.HoldPlaced, g.Held),
    _change(
        "POST",
        "/v1/vault/holds/release",
        "vault release-hold",
        v.HoldReleased,
        g.HoldLifted,
        waits=True,
    ),
    _page("/v1/vault/overdue", "vault overdue", v.OverdueRow),
    _change("POST", "/v1/keys/rewrap", "keys rewrap", v.KeysRewrapped, g.RewrapStep),
    # the ledger
    RestRow(
        method="GET",
        path="/v1/ledger/checkpoint",
        command="ledger checkpoint",
        told=str,
        form="text",
    ),
    RestRow(
        method="GET",
        path="/v1/ledger/tile/{tile:path}",
        command="ledger tile",
        told=bytes,
        given=g.OneTile,
        form="bytes",
    ),
    _read("/v1/ledger/records", "ledger records", v.RecordsTold, g.ListRecords),
    _read("/v1/ledger/receipts/{of}", "ledger prove", v.Proofs, g.ProofOf),
    _change(
        "POST",
        "/v1/ledger/accept-restore",
        "ledger accept-restore",
        v.RestoreAccepted,
        g.Given,
        waits=True,
    ),
)

AGENTS: tuple[RestRow, ...] = (
    RestRow(
        method="POST",
        path="/v1/actions",
        command="act",
        told=Outcome,
        given=g.ProposeAction,
        who="agent",
        body_bytes=1024 * 1024,
        more=(202, 403, 404, 409, 429, 502, 504),
    ),
    RestRow(
        method="GET",
        path="/v1/outcomes/{action}",
        command="outcome",
        told=Outcome,
        given=g.OneAction,
        who="agent",
        more=(404,),
    ),
    RestRow(
        method="POST",
        path="/v1/outcomes/{action}/cancel",
        command="actions cancel",
        told=Outcome,
        given=g.OneAction,
        who="agent",
        more=(403, 404, 409),
    ),
    RestRow(
        method="GET",
        path="/v1/tools",
        command="tools",
        told=t.Page[t.OwnTool],
        given=g.Paged,
        who="agent",
        paged=True,
    ),
)
