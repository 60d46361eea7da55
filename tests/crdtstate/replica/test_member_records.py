"""What a replica set remembers of its members."""

import pytest

from crdtstate.replica import events as ev
from crdtstate.replica.membership import MemberRecord
from tests.models.mesh import Request, three

GOOD = {
    "10.0.0.1:7481": ("10.0.0.1", 7481),
    "fe80::1:65535": ("fe80::1", 65535),
    "127.0.0.1:1": ("127.0.0.1", 1),
}
BAD = [
    "", ":", "10.0.0.1", "10.0.0.1:", ":7481", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:-1",
    "10.0.0.1:x", "a.name:7481", "10.0.0.256:7481",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_read_back(text: str) -> None:
    assert MemberRecord("a", "00", gossip=text).contact() == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_an_address_that_is_none_is_not_believed(text: str) -> None:
    """MEM-2"""
    assert MemberRecord("a", "00", gossip=text).contact() is None


def test_contacts_are_those_of_members_that_say_where_they_are() -> None:
    mesh = three()
    for name, address in {"a": "10.0.0.1:1", "b": "nonsense", "c": "10.0.0.3:3"}.items():
        mesh[name].replica.gossip = address
    mesh.run(3_000)
    assert mesh["b"].replica.members.contacts() == [("10.0.0.1", 1), ("10.0.0.3", 3)]

    request = Request()
    mesh["a"].step(ev.Forget(request, "c"))
    mesh.run(3_000)
    assert mesh["b"].replica.members.contacts() == [("10.0.0.1", 1)]


def test_a_new_address_is_told_to_all_and_outlives_the_process() -> None:
    mesh = three()
    mesh["b"].replica.gossip = "10.0.0.2:7481"
    mesh.run(3_000)
    mesh["a"].restart()

    assert mesh["a"].replica.members.contacts() == [("10.0.0.2", 7481)]
    assert mesh["c"].replica.members.members["b"].gossip == "10.0.0.2:7481"
