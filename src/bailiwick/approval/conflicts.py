"""What should make a person think twice before voting. It is shown; only asking disqualifies."""

from collections.abc import Mapping

from bailiwick.approval.quoting import leaves, pointer
from bailiwick.approval.request import RequestDocument
from bailiwick.approval.votes import is_requester
from bailiwick.nouns import Approval, Caller, Manifest, Person
from bailiwick.values import JSON, shown


def conflicts(
    document: RequestDocument,
    person: Person,
    caller: Caller,
    manifest: Manifest | None,
    people: Mapping[str, Person],
) -> list[str]:
    """Say what ties the person to the action, one sentence each, without a full stop.

    `manifest` is the asking agent's, for its owner.
    """
    name = f"`{shown(person.name)}`"
    found = []
    if is_requester(person, people, caller):
        found.append(f"{name} asks for this action and may not vote on it")
    if manifest is None:
        found.append(f"the owner of the agent `{shown(caller.agent)}` is not known")
    elif _is(manifest.owner, person):
        found.append(f"{name} owns the agent `{shown(manifest.name)}`")
    if _is(document["resource_id"], person):
        found.append(f"{name} is what the action touches")
    if _is(document["destination"], person):
        found.append(f"{name} is the destination")
    for member, values in (("arguments", document["arguments"]), ("before", document["before"])):
        paths = [pointer(path) for path, value in leaves(values) if _is(value, person)]
        if paths:
            which = f" (1 of {len(paths)} places)" if len(paths) > 1 else ""
            found.append(f"{name} is named in {member} at {paths[0]}{which}")
    return found


def all_conflicts(
    document: RequestDocument,
    approval: Approval,
    people: Mapping[str, Person],
    caller: Caller,
    *,
    manifest: Manifest | None,
    viewer: Person | None,
) -> list[str]:
    """Say what ties the viewer, then those who voted, to the action; each sentence once."""
    names = dict.fromkeys(vote.person for vote in approval.votes if vote.person in people)
    looked_at = [people[name] for name in names if viewer is None or name != viewer.name]
    found = [
        sentence
        for person in ([viewer] if viewer else []) + looked_at
        for sentence in conflicts(document, person, caller, manifest, people)
    ]
    return list(dict.fromkeys(found))


def _is(value: JSON, person: Person) -> bool:
    return isinstance(value, str) and value.casefold() == person.name.casefold()
