"""Who may vote: the accounts of a tenant by name, and the votes that they lent to each other."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from bailiwick.approval.statements import is_signed_by
from bailiwick.nouns import Person, Vote
from bailiwick.nouns.mandates import Delegation, Mandate
from bailiwick.ports import ControlState, World

People = Mapping[str, Person]
# Who signed ahead, each with the rules for which that counts.
Ahead = Mapping[str, Collection[str]]
NOBODY: Ahead = MappingProxyType({})


class Electorate(Mapping[str, Person]):
    """The accounts by name, with the delegations that are in force or were not ended."""

    def __init__(self, people: Iterable[Person], mandates: Iterable[Mandate] = ()) -> None:
        self._people = {person.name: person for person in people}
        self.delegations = tuple(
            each.statement
            for each in mandates
            if isinstance(each.statement, Delegation) and each.ended_at_us is None
        )

    def __getitem__(self, name: str) -> Person:
        return self._people[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._people)

    def __len__(self) -> int:
        return len(self._people)


async def electorate(world: World, control: ControlState) -> Electorate:
    """Who may vote in a tenant, as things stand now."""
    return Electorate(await world.register.people(control.tenant), control.mandates)


def lenders(person: Person, people: People, at_us: int) -> list[str]:
    """Name those who say that they lent the person a vote for a moment; `queues_of` checks it."""
    lent = people.delegations if isinstance(people, Electorate) else ()
    found = {
        each.person
        for each in lent
        if each.to == person.name and each.from_us <= at_us < each.until_us
    }
    return sorted(found)


def queues_of(vote: Vote, people: People, at_us: int) -> frozenset[str]:
    """Give the queues that a vote serves: the voter's own, or those lent for that moment."""
    if not vote.on_behalf_of:
        return frozenset(people[vote.person].queues)
    lender = people.get(vote.on_behalf_of)
    if lender is None or not lender.enabled or "approver" not in lender.roles:
        return frozenset()
    lent = people.delegations if isinstance(people, Electorate) else ()
    return frozenset(
        each.queue
        for each in lent
        if (each.tenant, each.person, each.to) == (lender.tenant, lender.name, vote.person)
        and each.from_us <= at_us < each.until_us
        and each.queue in lender.queues
        and is_signed_by(each, lender)
    )
