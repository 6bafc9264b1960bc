"""Ledger records: schema version 1, as canonical JSON (RFC 8785) of at most 65,535 bytes.

A record says what was decided and what became of it, and holds no payload and no personal data
in clear. Three forms keep it so:

- a *commitment*, SHA-256(32 random bytes ‖ JCS), stands for arguments, results, amounts and free
  text; it is opened by showing salt and payload, and says nothing once both are erased;
- a *pseudonym*, an HMAC under a tenant's key, stands for people, resource ids, destinations,
  effect keys and request digests, all of which could be guessed from a plain hash;
- everything else is a name, a code, a hash or a number; a name has no spaces and no `@`.

Amounts are never in a record: the arguments' commitment covers `{arguments, value, holds}` and
the result's covers `{result, settled}`, so that a total can be neither read nor guessed here.

Every member of a kind is present, null where there is nothing to say; `step` (1 to 12, the step
of the spine that wrote the record) stands only where a step did; `undoes`, the action that is
taken back, only where one is; and `on_behalf_of`, whose vote it is, only where one was lent.
`at_us` is the store's clock in microseconds since the epoch, UTC.
"""

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Literal, NamedTuple, NoReturn, TypedDict, Unpack, get_args

from bailiwick.errors import LedgerError
from bailiwick.nouns import Effect, Scope, Verdict
from bailiwick.values import parse, plain

VERSION = 1
# A C2SP entry bundle prefixes each entry with its length in 16 bits.
MAX_RECORD_BYTES = 2**16 - 1
SALT_BYTES = 32

Fields = dict[str, object]


class ApprovalEntry(TypedDict):
    """The evidence given for one rule: who voted, and on which request (all pseudonyms)."""

    rule: str
    voters: Sequence[str]
    request: str


class HoldEntry(TypedDict):
    """A budget node that was drawn on and the unit. The amount is in the commitment only.

    A node that names a person (a customer, say) is given as a pseudonym.
    """

    node: str
    unit: str


class Envelope(TypedDict):
    """What every record has beside its version and kind."""

    tenant: str
    at_us: int


class Asked(Envelope):
    """Which action: by which agent, for whom, with which tool, on what.

    `subject`, `resource` and `destination` are pseudonyms; `tool_version` is the tool's digest.
    """

    action: str
    agent: str
    subject: str
    run: str
    tool: str
    tool_version: str
    effect: Effect
    args_commitment: str
    resource_type: str
    resource: str | None
    destination: str | None


class Judged(Asked):
    """The same, and how it was decided: under which release and control epoch.

    `rules` are the ids of those that took part; the release pins their texts.
    """

    decision: Literal["allow", "ask"]
    rules: Sequence[str]
    release: str
    epoch: int
    credential: str | None


class Became(TypedDict):
    """What became of an action. `reason` is a code, `latency_us` is microseconds."""

    status: Literal["done", "failed", "unknown", "refused"]
    verdict: Verdict | None
    reason: str | None
    result_commitment: str | None
    settled: Sequence[HoldEntry]
    latency_us: int


class KnownAtRefusal(TypedDict, total=False):
    """What may be known by the step that refused; what is left out becomes null."""

    agent: str | None
    subject: str | None
    run: str | None
    tool: str | None
    tool_version: str | None
    effect: Effect | None
    args_commitment: str | None
    resource_type: str | None
    resource: str | None
    destination: str | None
    decision: Literal["allow", "deny", "ask"] | None
    rules: Sequence[str]
    release: str | None
    epoch: int | None


class Undoing(TypedDict, total=False):
    """Which action this one takes back; left out by all that take none back."""

    undoes: str


class RefusedMembers(KnownAtRefusal, Envelope, Undoing):
    """A no before the commit point; `reason` is the refusal's code."""

    action: str
    step: int
    reason: str


class ParkedMembers(Judged, Undoing):
    """An action that waits for people; `request` is the pseudonym of the request's digest."""

    request: str
    park_until_us: int


class IntendedMembers(Judged, Undoing):
    """An action that will now be done. `effect_key` is a pseudonym, unique while it stands."""

    attempt: int
    approvals: Sequence[ApprovalEntry]
    holds: Sequence[HoldEntry]
    effect_key: str | None
    provider_key_hash: str | None
    deadline_at_us: int


class ConcludedMembers(Envelope, Became):
    """The outcome of an intent, named by the leaf hash of the intent's record, in hex."""

    action: str
    intent_hash: str


class ConcludedReadMembers(Judged, Became):
    """A read, which commits once: what was asked and what became of it."""


class ResolvedMembers(Envelope):
    """What people found out about an unknown or contradicted outcome."""

    action: str
    intent_hash: str
    status: Literal["done", "failed"]
    by: Sequence[str]
    evidence_commitment: str | None
    settled: Sequence[HoldEntry]


class Lent(TypedDict, total=False):
    """Beside what a vote's record has, if the vote was lent: the pseudonym of whose it is."""

    on_behalf_of: str


class VoteMembers(Envelope, Lent):
    """One person's vote for some rules over one request.

    `signature_hash` is the SHA-256 of the signature over the signed statement, in hex.
    """

    action: str
    voter: str
    choice: Literal["approve", "deny"]
    rules: Sequence[str]
    request: str
    signature_hash: str
    reason_commitment: str | None


class ControlMembers(Envelope):
    """A change of control (kill, mode, cap, pin, revocation …) and the epoch that it began.

    `target` is a name or a pseudonym; `by` is empty where no person did it (a breaker, say).
    """

    epoch: int
    change: str
    scope: Scope | None
    target: str | None
    by: Sequence[str]
    reason_commitment: str | None


class ReleaseMembers(Envelope):
    """A release that was activated, the one it replaced, and the epoch that it began."""

    epoch: int
    digest: str
    previous: str | None
    by: Sequence[str]


class PersonMembers(Envelope):
    """A change of a human account: what changed, and the roles held after it.

    `account_hash` is the SHA-256 of the account's vote key and queues (see `account_hash`), in hex.
    """

    person: str
    change: str
    account_hash: str
    roles: Sequence[str]
    by: Sequence[str]


class RunMembers(Envelope):
    """A change of a run as a whole: opened, closed, put under legal hold, erased …"""

    run: str
    agent: str | None
    change: str
    by: Sequence[str]


class CheckpointKeyMembers(Envelope):
    """A key of the log itself that begins or ceases to sign checkpoints, as a C2SP vkey."""

    vkey: str
    change: Literal["added", "retired"]
    by: Sequence[str]


def refused(**members: Unpack[RefusedMembers]) -> Fields:
    """Say no before the commit point: at which step, and what was known by then.

    `decision` is null where the policy was not asked; `allow` stands beside a refusal by
    something else (a budget, or a mode that executes nothing).
    """
    return {**_record("refused"), **dict.fromkeys(_ASKED | _DECIDED), "rules": [], **members}


def parked(**members: Unpack[ParkedMembers]) -> Fields:
    """Record at step 7 that an action waits for people."""
    return {**_record("parked", 7), **members}


def intended(**members: Unpack[IntendedMembers]) -> Fields:
    """Record the commit point, step 8: from here on the outcome must be found out."""
    return {**_record("intended", 8), **members}


def concluded(**members: Unpack[ConcludedMembers]) -> Fields:
    """Record at step 11 the outcome of an intended action."""
    return {**_record("concluded", 11), **members}


def concluded_read(**members: Unpack[ConcludedReadMembers]) -> Fields:
    """Record at step 11 a read, whole: it has no intent, so its `intent_hash` is null."""
    return {**_record("concluded", 11), "intent_hash": None, **members}


def resolved(**members: Unpack[ResolvedMembers]) -> Fields:
    """Record what people found out about an unknown or contradicted outcome."""
    return {**_record("resolved"), **members}


def vote(**members: Unpack[VoteMembers]) -> Fields:
    """Record one person's vote."""
    return {**_record("vote"), **members}


def control(**members: Unpack[ControlMembers]) -> Fields:
    """Record a change of control."""
    return {**_record("control"), **members}


def release(**members: Unpack[ReleaseMembers]) -> Fields:
    """Record the activation of a release."""
    return {**_record("release"), **members}


def person(**members: Unpack[PersonMembers]) -> Fields:
    """Record a change of a human account."""
    return {**_record("person"), **members}


def run(**members: Unpack[RunMembers]) -> Fields:
    """Record a change of a run as a whole."""
    return {**_record("run"), **members}


def checkpoint_key(**members: Unpack[CheckpointKeyMembers]) -> Fields:
    """Record that a key of the log begins or ceases to sign checkpoints."""
    return {**_record("checkpoint_key"), **members}


def encode(fields: Mapping[str, object]) -> bytes:
    """Give a record's canonical bytes, after checking every member against its kind's schema.

    Raises `LedgerError`: `record_invalid` names the member, never its value; `record_too_large`.
    """
    form = _form(fields)
    data = plain(fields)
    if form is None or _pattern(form).fullmatch(data.decode()) is None:
        wrong = wrong_member(fields)
        if wrong is not None:
            _invalid(wrong)
    if len(data) > MAX_RECORD_BYTES:
        raise LedgerError(
            f"the record has {len(data)} bytes, more than {MAX_RECORD_BYTES}",
            code="record_too_large",
            help="keep payloads in the vault and only their commitments in the record",
        )
    return data


def wrong_member(fields: Mapping[str, object]) -> str | None:
    """Name a member that is missing, unknown or not of the form its kind demands; None if all fit.

    This is what the pattern of a kind says in one look, member by member.
    """
    form = _form(fields)
    if form is None:
        return "kind"
    schema = _SCHEMAS[form]
    if schema.keys() != fields.keys():
        return min(schema.keys() ^ fields.keys(), key=str)
    return next((name for name, form in schema.items() if not form.test(fields[name])), None)


def decode(data: bytes) -> Fields:
    """Read a record's members; only the exact bytes that `encode` gives are accepted.

    Raises `LedgerError` (`record_not_canonical`, `record_invalid`), or `BadInput` for what is
    not strict JSON.
    """
    fields: Fields = dict(parse(data, max_bytes=MAX_RECORD_BYTES))
    if encode(fields) != data:
        raise LedgerError(
            "the record is not in canonical form",
            code="record_not_canonical",
            help="the record's bytes were changed, or written by something else",
        )
    return fields


def commitment(salt: bytes, payload: bytes) -> str:
    """Commit to a payload: SHA-256(salt ‖ payload) in hex.

    `salt` is 32 random bytes, `payload` is canonical JSON. They are kept and erased together:
    whoever has neither cannot test a guess of the payload against the commitment.
    """
    if len(salt) != SALT_BYTES:
        raise LedgerError("a salt has 32 bytes", code="salt_length")
    return sha256(salt + payload).hexdigest()


def account_hash(public_key: str, queues: Sequence[str]) -> str:
    """What a record keeps of an account beside its roles: whose votes count, and where."""
    return sha256(plain([public_key, list(queues)])).hexdigest()


def pseudonym(key: bytes, tenant: str, kind: str, text: str) -> str:
    """Give the token that stands for `text` in a tenant's records: `p_` and 32 hex digits.

    `kind` (`subject`, `resource`, `voter` …) separates the uses: equal texts of two kinds cannot
    be linked. It is the first half of an HMAC-SHA256 under a key of at least 32 bytes.
    """
    if len(key) < 32:
        raise LedgerError("a pseudonym key has at least 32 bytes", code="pseudonym_key_length")
    parts = [part.encode() for part in (tenant, kind, text)]
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return "p_" + hmac.digest(key, framed, "sha256")[:16].hex()


# --- the schema, as data -------------------------------------------------------------------------


class _Form(NamedTuple):
    """What a member may be: the test of a value, and the pattern of its canonical JSON.

    Whatever the pattern takes the test takes too. A record is written if its bytes are of its
    kind's pattern, one look for all members; if they are not, the tests say which member it is.
    """

    test: Callable[[object], bool]
    json: str


def _record(kind: str, step: int | None = None) -> Fields:
    record: Fields = {"v": VERSION, "kind": kind}
    return record if step is None else {**record, "step": step}


def _matches(pattern: str, json: str | None = None) -> _Form:
    """A text of a pattern; `json` is its form between quotes if that is another one."""
    match = re.compile(pattern).fullmatch
    return _Form(
        lambda value: isinstance(value, str) and match(value) is not None,
        f'"{json or pattern}"',
    )


def _one_of(*choices: str) -> _Form:
    return _Form(lambda value: value in choices, f'"(?:{"|".join(choices)})"')


def _or_null(form: _Form) -> _Form:
    return _Form(lambda value: value is None or form.test(value), f"(?:{form.json}|null)")


def _list_of(form: _Form) -> _Form:
    return _Form(
        lambda value: isinstance(value, (list, tuple)) and all(map(form.test, value)),
        rf"\[(?:{form.json}(?:,{form.json})*)?\]",
    )


def _members(forms: "_Schema") -> _Form:
    def test(value: object) -> bool:
        return (
            isinstance(value, dict)
            and value.keys() == forms.keys()
            and all(forms[name].test(member) for name, member in value.items())
        )

    members = ",".join(f'"{name}":{forms[name].json}' for name in sorted(forms))
    return _Form(test, rf"\{{{members}\}}")


_Schema = dict[str, _Form]
_count = _Form(
    lambda value: type(value) is int and 0 <= value < 2**53,
    r"(?:0|[1-9][0-9]{0,14}|[1-8][0-9]{15})",
)
_step = _Form(lambda value: type(value) is int and 1 <= value <= 12, r"(?:[1-9]|1[0-2])")
_null = _Form(lambda value: value is None, "null")
_name = _matches(r"\w[\w.:/+*#-]{0,255}")
_text = _matches(r"[^\x00-\x1f\x7f]{1,512}", r'(?:[^\x00-\x1f\x7f"\\]|\\["\\]){1,512}')
_hash = _matches(r"[0-9a-f]{64}")
_token = _matches(r"p_[0-9a-f]{32}")
_tokens = _list_of(_token)
_entries = _list_of(_members({"node": _name, "unit": _name}))

_ASKED: _Schema = {
    "agent": _name,
    "subject": _token,
    "run": _name,
    "tool": _name,
    "tool_version": _name,
    "effect": _one_of("read", "write"),
    "args_commitment": _hash,
    "resource_type": _name,
    "resource": _or_null(_token),
    "destination": _or_null(_token),
}
_DECIDED: _Schema = {
    "decision": _one_of("allow", "ask"),
    "rules": _list_of(_text),
    "release": _name,
    "epoch": _count,
}
_JUDGED: _Schema = {
    "step": _step,
    "action": _name,
    **_ASKED,
    **_DECIDED,
    "credential": _or_null(_name),
}
_BECAME: _Schema = {
    "step": _step,
    "action": _name,
    "intent_hash": _hash,
    "status": _one_of("done", "failed", "unknown", "refused"),
    "verdict": _or_null(_one_of("verified", "contradicted", "unverifiable")),
    "reason": _or_null(_name),
    "result_commitment": _or_null(_hash),
    "settled": _entries,
    "latency_us": _count,
}
_READ: _Schema = {
    **_JUDGED,
    **_BECAME,
    "effect": _one_of("read"),
    "intent_hash": _null,
}
_KINDS: dict[str, _Schema] = {
    "refused": {
        **{member: _or_null(check) for member, check in (_ASKED | _DECIDED).items()},
        "step": _step,
        "action": _name,
        "reason": _name,
        "decision": _or_null(_one_of("allow", "deny", "ask")),
        "rules": _DECIDED["rules"],
    },
    "parked": {**_JUDGED, "request": _token, "park_until_us": _count},
    "intended": {
        **_JUDGED,
        "attempt": _count,
        "approvals": _list_of(_members({"rule": _text, "voters": _tokens, "request": _token})),
        "holds": _entries,
        "effect_key": _or_null(_token),
        "provider_key_hash": _or_null(_hash),
        "deadline_at_us": _count,
    },
    "concluded": _BECAME,
    "resolved": {
        "action": _name,
        "intent_hash": _hash,
        "status": _one_of("done", "failed"),
        "by": _tokens,
        "evidence_commitment": _or_null(_hash),
        "settled": _entries,
    },
    "vote": {
        "action": _name,
        "voter": _token,
        "choice": _one_of("approve", "deny"),
        "rules": _list_of(_text),
        "request": _token,
        "signature_hash": _hash,
        "reason_commitment": _or_null(_hash),
    },
    "control": {
        "epoch": _count,
        "change": _name,
        "scope": _or_null(_one_of(*get_args(Scope))),
        "target": _or_null(_name),
        "by": _tokens,
        "reason_commitment": _or_null(_hash),
    },
    "release": {"epoch": _count, "digest": _name, "previous": _or_null(_name), "by": _tokens},
    "person": {
        "person": _token,
        "change": _name,
        "account_hash": _hash,
        "roles": _list_of(_name),
        "by": _tokens,
    },
    "run": {"run": _name, "agent": _or_null(_name), "change": _name, "by": _tokens},
    "checkpoint_key": {"vkey": _text, "change": _one_of("added", "retired"), "by": _tokens},
}
_ENVELOPE: _Schema = {
    "v": _Form(lambda value: type(value) is int and value == VERSION, str(VERSION)),
    "kind": _name,
    "tenant": _name,
    "at_us": _count,
}
KINDS = tuple(_KINDS)
# A read that concludes is of a form of its own here, and so are a vote that was lent and what takes
# an action back.
_UNDOING = "{} that undoes"
_FORMS = {
    **_KINDS,
    "read": _READ,
    "vote that was lent": {**_KINDS["vote"], "on_behalf_of": _token},
    **{
        _UNDOING.format(kind): {**_KINDS[kind], "undoes": _name}
        for kind in ("refused", "parked", "intended")
    },
}
_SCHEMAS: dict[str, _Schema] = {form: {**_ENVELOPE, **members} for form, members in _FORMS.items()}


@cache
def _pattern(form: str) -> re.Pattern[str]:
    """What a record of the form looks like; compiled when the first of it is made."""
    return re.compile(_members(_SCHEMAS[form]).json)


def _form(fields: Mapping[str, object]) -> str | None:
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        return None
    if kind == "concluded" and fields.get("intent_hash") is None:
        return "read"
    if kind == "vote" and "on_behalf_of" in fields:
        return "vote that was lent"
    undoing = _UNDOING.format(kind)
    return undoing if "undoes" in fields and undoing in _SCHEMAS else kind


def _invalid(name: str) -> NoReturn:
    raise LedgerError(
        f"the record's member `{name}` is missing, unknown or not of the form its kind demands",
        code="record_invalid",
        help="personal data goes in as a pseudonym, payloads as a commitment",
    )
