"""What is printed: one line a figure, and the bars that the figures are held to."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

P50, RATE = "act.write.c1.p50_ms", "act.write.c64.per_s"
PG_BARE_P50, PG_BARE_RATE = "bare.pg.c1.p50_ms", "bare.pg.c64.per_s"
PG_P50, PG_RATE = "act.write.pg.c1.p50_ms", "act.write.pg.c64.per_s"
FULL_RATIO, PG_FULL_RATIO = "act.write.c1.full_ratio", "act.write.pg.c1.full_ratio"
DECIDE, DECIDE_BARE = "policy.decide.1000.us", "bare.decide.100.us"
TELEMETRY = ".telemetry"
GATEWAY = (
    "gateway.read.added.p50_ms",
    "gateway.write.added.p50_ms",
    "gateway.c16.per_s",
    "gateway.start.s",
    "gateway.memory.mb",
)
# Peers of the gateway, by what their module and environment are called.
GATEWAY_PEERS = {"fastmcp": "FastMCP's proxy", "contextforge": "ContextForge"}


@dataclass(frozen=True)
class Line:
    """One figure. `peer` is null for ours; what `ratio` is, `--help` says."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None

    def json(self) -> str:
        """The line as it is printed."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Bar:
    """What one of our lines is held to: its value, or its ratio, is at most or at least so much."""

    name: str
    of: Literal["value", "ratio"]
    sense: Literal["<=", ">="]
    limit: float

    def __str__(self) -> str:
        return f"{self.sense} {self.limit:g}{' x bare' if self.of == 'ratio' else ''}"

    def met(self, line: Line) -> bool:
        """Whether the line clears the bar; a ratio that is not known does not."""
        found = line.value if self.of == "value" else line.ratio
        if found is None:
            return False
        return found <= self.limit if self.sense == "<=" else found >= self.limit


BARS = (
    Bar(P50, "ratio", "<=", 1.5),
    Bar(RATE, "ratio", ">=", 0.4),
    Bar(P50 + TELEMETRY, "ratio", "<=", 1.7),
    Bar(RATE + TELEMETRY, "ratio", ">=", 0.3),
    Bar(PG_RATE, "value", ">=", 3000),
    Bar(FULL_RATIO, "value", "<=", 1.2),
    Bar(PG_FULL_RATIO, "value", "<=", 1.2),
    Bar(DECIDE, "value", "<=", 120),
    Bar("policy.backtest.100k.s", "value", "<=", 60),
    Bar("ledger.verify.100k.s", "value", "<=", 5),
    Bar("import.s", "value", "<=", 0.35),
    Bar("memory.100k.mb", "value", "<=", 150),
    Bar("gateway.read.added.p50_ms", "value", "<=", 2),
    Bar("gateway.write.added.p50_ms", "value", "<=", 3),
    Bar("gateway.c16.per_s", "value", ">=", 1000),
    Bar("gateway.start.s", "value", "<=", 2.5),
    Bar("gateway.memory.mb", "value", "<=", 200),
)


def line(name: str, value: float, unit: str, beside: float | None = None) -> Line:
    """A figure of ours; `beside` is that of the bare thing that it is compared with, if any."""
    return Line(name, _rounded(value), unit, ratio=_ratio(value, beside))


def write_lines(
    medians: Mapping[str, Mapping[str, float]], peers: Mapping[str, str]
) -> Iterator[Line]:
    """The figures of the writes, by subject: the bare pipeline's, ours beside it, the peers'.

    `peers` names the subjects that are peers. A subject that is not there has no line, and a line
    whose counterpart is not there has no ratio.
    """
    for key, ours, unit in (("c1.p50_ms", P50, "ms"), ("c64.per_s", RATE, "1/s")):
        values = {subject: _rounded(found[key]) for subject, found in medians.items()}
        if "bare" in values:
            yield Line(f"bare.{key}", values["bare"], unit)
        for subject, suffix in (("act", ""), ("telemetry", TELEMETRY)):
            if subject in values:
                ratio = _ratio(values[subject], values.get("bare"))
                yield Line(ours + suffix, values[subject], unit, ratio=ratio)
        for subject, peer in peers.items():
            if subject in values:
                ratio = _ratio(values[subject], values.get("act"))
                yield Line(ours, values[subject], unit, peer, ratio)


def shared_lines(bare: Mapping[str, float], ours: Mapping[str, float]) -> Iterator[Line]:
    """The figures on PostgreSQL: the bare pipeline's, and ours beside them."""
    for key, floor, name, unit in (
        ("c1.p50_ms", PG_BARE_P50, PG_P50, "ms"),
        ("c64.per_s", PG_BARE_RATE, PG_RATE, "1/s"),
    ):
        yield (under := line(floor, bare[key], unit))
        own = line(name, ours[key], unit)
        yield replace(own, ratio=_ratio(own.value, under.value))


def gateway_lines(found: Mapping[str, float]) -> Iterator[Line]:
    """The figures of the gateway, beside those of asking the same server directly."""
    for what in ("read", "write"):
        straight = found[f"{what}.direct_ms"]
        yield Line(f"gateway.{what}.direct.p50_ms", _rounded(straight), "ms")
        added = found[f"{what}.ms"] - straight
        yield line(f"gateway.{what}.added.p50_ms", added, "ms", beside=straight)
    straight = found["direct.c16.per_s"]
    yield Line("gateway.direct.c16.per_s", _rounded(straight), "1/s")
    yield line("gateway.c16.per_s", found["c16.per_s"], "1/s", beside=straight)
    for name, peer in GATEWAY_PEERS.items():
        if f"{name}.c16.per_s" not in found:
            continue
        for what in ("read", "write"):
            added = found[f"{name}.{what}.ms"] - found[f"{name}.{what}.direct_ms"]
            ours = found[f"{what}.ms"] - found[f"{what}.direct_ms"]
            named = f"gateway.{what}.added.p50_ms"
            yield Line(named, _rounded(added), "ms", peer, _ratio(added, ours))
        theirs = found[f"{name}.c16.per_s"]
        ratio = _ratio(theirs, found["c16.per_s"])
        yield Line("gateway.c16.per_s", _rounded(theirs), "1/s", peer, ratio)
    yield line("gateway.start.s", found["start.s"], "s")
    yield line("gateway.memory.mb", found["memory.mb"], "MiB")


def table(lines: Sequence[Line]) -> Iterator[str]:
    """The figures for people, each with its bar and whether it is met."""
    for each in lines:
        ratio = "" if each.ratio is None else f"{each.ratio:.3g} x"
        row = f"{each.name:34}{each.value:>10g} {each.unit:4}{ratio:>9}  "
        yield (row + (each.peer or "; ".join(_verdicts(each, lines)))).rstrip()


def _verdicts(own: Line, lines: Iterable[Line]) -> Iterator[str]:
    for bar in BARS:
        if bar.name == own.name:
            yield f"{bar}: {'met' if bar.met(own) else 'MISSED'}"
    if own.name == RATE:
        theirs = [each.value for each in lines if each.peer and each.name == RATE]
        if theirs:
            yield f"above every peer: {'met' if own.value > max(theirs) else 'MISSED'}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _ratio(value: float, of: float | None) -> float | None:
    return None if of is None else float(f"{value / of:.4g}")
