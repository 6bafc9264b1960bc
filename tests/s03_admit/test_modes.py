"""Which mode holds: of all entries that name the tool, for an agent or a giver, the tightest."""

import pytest

from bailiwick.nouns import Manifest, Mode, ModeSetting, mode_of


def setting(agent: str, tool: str, mode: Mode) -> ModeSetting:
    return ModeSetting(agent=agent, tool=tool, mode=mode, by="ada", reason="", since_us=0)


MANIFESTS = {
    "desk": Manifest(name="desk", owner="o", tools=(), modes={"pay.*": "draft", "*": "live"}),
    "helper": Manifest(name="helper", owner="o", tools=()),
}


@pytest.mark.claim("limits.tighter-mode-holds")
@pytest.mark.parametrize(
    ("tool", "agents", "settings", "mode"),
    [
        ("mail.send", ("desk",), [], "live"),
        ("pay.out", ("desk",), [], "draft"),
        ("payroll.run", ("desk",), [], "live"),
        ("pay.out", ("nobody",), [], "live"),
        ("pay.out", ("desk",), [("desk", "pay.out", "read-only")], "read-only"),
        ("pay.out", ("desk",), [("desk", "*", "shadow")], "shadow"),
        ("pay.out", ("desk",), [("desk", "pay.out", "live")], "draft"),
        ("pay.out", ("desk",), [("helper", "*", "shadow")], "draft"),
        # What an agent hands on, it hands on in its own mode at most.
        ("pay.out", ("helper", "desk"), [], "draft"),
        ("mail.send", ("helper", "desk"), [("desk", "mail.*", "read-only")], "read-only"),
        ("mail.send", ("desk",), [("helper", "mail.*", "read-only")], "live"),
    ],
)
def test_the_tightest_entry_holds(
    tool: str, agents: tuple[str, ...], settings: list[tuple[str, str, Mode]], mode: Mode
) -> None:
    found = mode_of(
        tool, agents, manifests=MANIFESTS, settings=[setting(*each) for each in settings]
    )
    assert found == mode
