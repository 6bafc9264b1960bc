"""The rules that can match for one agent and one tool, found by what they demand.

Most rules of a large release name a value: a subject, a resource, an hour. They are looked up by it
here, so that what a decision costs does not grow with the number of those that name another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from bailiwick.policy.conditions import Condition, Context, Demand, Look

_Found = tuple[tuple[int, Look], ...]
# The rules that a request meets the demands of, by its context and its resource's id.
_Seek = Callable[[Context, str], Iterable[tuple[int, Look]]]


class Bucket:
    """Rules by index, each with its condition."""

    def __init__(self, rules: Sequence[tuple[int, Condition]]) -> None:
        """Sort them by what they demand."""
        self.indices = tuple(index for index, _ in rules)
        self.conditions: _Found = tuple((index, condition.look) for index, condition in rules)
        self._always: _Found = tuple(
            (index, condition.look) for index, condition in rules if not condition.demands
        )
        tables: dict[Demand, dict[object, _Found]] = {}
        for index, condition in rules:
            for demand in condition.demands:
                table = tables.setdefault(_seat(demand), {})
                table[demand.value] = (*table.get(demand.value, ()), (index, condition.look))
        self._seeks = tuple(_seek(seat, table) for seat, table in tables.items())

    def that_may_matter(self, context: Context, agent: str, resource: str) -> tuple[int, ...]:
        """Those that Cedar has to be asked about, in order."""
        found = list(self._always)
        for seek in self._seeks:
            found += seek(context, resource)
        return tuple(sorted({index for index, look in found if look(context, agent, resource)}))


def _seat(demand: Demand) -> Demand:
    """What demands have in common that are looked up at once: beginnings, only of one length."""
    length = len(str(demand.value)) if demand.how == "starts" else 0
    return Demand(demand.group, demand.name, demand.how, length)


def _seek(seat: Demand, table: Mapping[object, _Found]) -> _Seek:
    group, name, length = seat.group, seat.name, seat.value
    match seat.how:
        case "is" if not group:
            return lambda context, resource: table.get(resource, ())
        case "is":
            return lambda context, resource: table.get(context[group][name], ())
        case "starts":
            return lambda context, resource: table.get(context[group][name][:length], ())
        case "holds":
            return lambda context, resource: [
                each for value in context[group][name] for each in table.get(value, ())
            ]
