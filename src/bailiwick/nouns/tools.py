"""What is done: tools, how they are reached, what they touch, and how they answer."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from bailiwick.values import JSON

Effect = Literal["read", "write"]
McpMethod = Literal["tools/call", "resources/read", "prompts/get", "completion/complete"]
Listing = Literal["resources/list", "resources/templates/list", "prompts/list"]
Asking = Literal["elicitation", "sampling", "roots"]
Trait = Literal["money", "destructive", "outbound", "permission", "code"]


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
    at most `calls_at_once` calls at the same time; 0 is no bound of its own. `may_ask` is what it
    may ask its client for while it carries out a call. With `keeps_names` our own clients know what
    it offers by its own names.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    credential_env: str | None = None
    protocol: Literal["auto", "2025-11-25", "2026-07-28"] = "auto"
    calls_at_once: int = 0
    may_ask: tuple[Asking, ...] = ()
    keeps_names: bool = False


class McpBinding(Struct, frozen=True, kw_only=True):
    """A tool of an MCP server, under the definition that people accepted; or what it offers beside.

    `pin` is the SHA-256 of that definition's canonical JSON. `beside` are the tools, as
    `upstream/tool`, that have the same or an easily confused name and were accepted beside it.
    `arguments` maps names to expressions; None sends the arguments as they are. `on_error` is what
    an answer with `isError` says of a write. What is no tool has a `method` of its own, no name and
    no pin: its arguments are the method's parameters.
    """

    upstream: McpUpstream
    tool: str
    pin: str
    beside: tuple[str, ...] = ()
    arguments: Mapping[str, str] | None = None
    on_error: Literal["unknown", "not_done"] = "unknown"
    method: McpMethod = "tools/call"


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
    and under the empty name of all of them, drawn from the schema's `x-data-class`. `title` and
    `output_schema` are those of an MCP server's accepted definition.
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
    title: str = ""
    output_schema: Mapping[str, JSON] | None = None
    own_wire_name: str = ""

    @property
    def wire_name(self) -> str:
        """The name under which clients and models know it; many of them take no dot in a name."""
        return self.own_wire_name or self.name.replace(".", "_")


class OfferedTool(Struct, frozen=True, kw_only=True):
    """A tool as a model is told of it; `schema` is the JSON Schema of its arguments.

    `name` is the catalogue's, `wire_name` the one that models' providers take.
    """

    name: str
    wire_name: str
    description: str
    effect: Effect
    schema: Mapping[str, JSON]


class Target(Struct, frozen=True, kw_only=True):
    """Where a request would go: `authority` is the host with its port, `path` has the query."""

    scheme: str
    authority: str
    path: str


class ToolCall(Struct, frozen=True, kw_only=True):
    """A call of an MCP server that may leave by the egress door, with the secret in it.

    `pin` and `beside` are those of the tool's binding; `meta` goes out as the request's `_meta`.
    `credential` names the secret: calls under different ones never share a session. `method` is
    what is called, or listed, or what is asked for updates of the resources in `arguments`.
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
    method: McpMethod | Listing | Literal["resources/subscribe"] = "tools/call"

    def __repr__(self) -> str:
        return f"ToolCall({self.upstream.name}/{self.tool} …)"


class ToolContent(Struct, frozen=True, kw_only=True):
    """What the tool of an MCP server said, whole: the members of its `CallToolResult`.

    `blocks` are its content blocks as they came. `structured` counts where `is_structured`; of an
    answer that is no error it is then the outcome's result.
    """

    blocks: tuple[Mapping[str, JSON], ...] = ()
    structured: JSON = None
    is_structured: bool = False
    is_error: bool = False
    meta: Mapping[str, JSON] = {}

    @property
    def text(self) -> str:
        """Its text blocks, a line each."""
        return "\n".join(str(each["text"]) for each in self.blocks if each["type"] == "text")

    @property
    def result(self) -> JSON:
        """What rules, readers and expressions see: the structured content, else the text.

        `left_out` are then the kinds of the other blocks.
        """
        if self.is_structured:
            return self.structured
        others = [each["type"] for each in self.blocks if each["type"] != "text"]
        return {"text": self.text, **({"left_out": others} if others else {})}

    def beside(self, result: JSON) -> dict[str, JSON]:
        """What must be kept beside an outcome's result to tell it all again."""
        plain = _plain(result)
        return {
            **({"blocks": list(self.blocks)} if self.blocks != plain else {}),
            **({"is_error": True, "structured": self.structured} if self.is_error else {}),
            **({"is_structured": True} if self.is_structured else {}),
            **({"meta": self.meta} if self.meta else {}),
        }


def content_beside(kept: Mapping[str, Any], result: JSON) -> ToolContent:
    """The whole again, of what was kept beside an outcome's result."""
    is_error, is_structured = bool(kept.get("is_error")), bool(kept.get("is_structured"))
    return ToolContent(
        blocks=tuple(kept["blocks"]) if "blocks" in kept else _plain(result),
        structured=kept.get("structured") if is_error else result if is_structured else None,
        is_structured=is_structured,
        is_error=is_error,
        meta=kept.get("meta", {}),
    )


def _plain(result: JSON) -> tuple[Mapping[str, JSON], ...]:
    """The one block of a plain text, which is kept as the result alone."""
    text = result.get("text") if isinstance(result, Mapping) else None
    return ({"type": "text", "text": text},) if isinstance(text, str) else ()


class ToolAnswer(Struct, frozen=True, kw_only=True):
    """What an MCP server answered to a call: what its tool said, or a JSON-RPC error.

    `value` is the result of what is no tool. `error_code` and `text` are those of the error.
    `status` is the HTTP status, if it came over HTTP. `heard` is how much was said and asked
    meanwhile, in numbers.
    """

    content: ToolContent | None = None
    value: JSON = None
    text: str = ""
    error_code: int | None = None
    status: int | None = None
    heard: Mapping[str, JSON] = {}
