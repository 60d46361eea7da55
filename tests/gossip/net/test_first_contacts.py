"""First contacts: how often who is asked."""

import asyncio
from collections import Counter
from random import Random

import pytest

from gossip.net.ports import Address
from gossip.net.seeds import CONTACTS_PER_LOOK, RETRY_S, Seeds
from tests.gossip.net.mesh_harness import start_mesh, until


class Names:
    """A network in which every name but one has an address."""

    async def resolve(self, host: str, port: int) -> Address:
        if host == "nowhere":
            raise OSError("no such name")
        return "10.9.9.9" if host == "seed" else host, port


def looks(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    *,
    seeds: tuple[Address, ...] = (),
    contacts: list[Address],
    reached: set[Address],
) -> tuple[Counter[Address], list[float]]:
    """Look so often; return who was asked, and the waits."""
    asked: Counter[Address] = Counter()
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == count:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", wait)
    parts = Seeds(
        seeds, contacts=lambda: contacts, rng=Random(1), network=Names(),  # type: ignore[arg-type]
        reached=lambda: reached, join=lambda address: asked.update([address]),
    )  # fmt: skip
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(parts.run())
    return asked, waits


def test_every_lost_contact_is_asked_in_the_end_and_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contacts = [(f"10.0.0.{n}", 7481) for n in range(10)]

    asked, waits = looks(monkeypatch, 100, contacts=contacts, reached=set(contacts[:3]))

    assert set(asked) == set(contacts[3:])
    assert asked.total() == 100 * CONTACTS_PER_LOOK
    assert max(asked.values()) < 4 * min(asked.values())
    assert waits == [RETRY_S] * 100


def test_one_lost_contact_is_asked_once_in_each_look_and_nobody_when_all_are_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = ("10.0.0.1", 1), ("10.0.0.2", 1)

    assert looks(monkeypatch, 3, contacts=[one, other], reached={other})[0] == {one: 3}
    assert looks(monkeypatch, 3, contacts=[one, other], reached={one, other})[0] == {}


def test_a_contact_is_no_seed_and_a_seed_is_asked_by_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, _ = looks(
        monkeypatch, 2, seeds=(("seed", 5), ("nowhere", 6)), contacts=[("10.0.0.1", 1)],
        reached=set(),
    )  # fmt: skip

    assert asked == {("10.9.9.9", 5): 2, ("10.0.0.1", 1): 2}


def test_a_mesh_without_seeds_finds_whom_its_application_remembers() -> None:
    async def scenario() -> None:
        a = await start_mesh("a")
        b = await start_mesh("b", contacts=lambda: [("127.0.0.1", a.mesh.port)])
        try:
            await until(lambda: a.mesh.linked() == ["b"], "a link by memory")
            assert a.mesh.address == ("127.0.0.1", a.mesh.port)
            assert b.count("seeds_missing") == 0
        finally:
            await a.mesh.stop()
            await b.mesh.stop()

    asyncio.run(scenario())
