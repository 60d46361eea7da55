"""The handshake: who gets a link, and under which name the others are refused."""

import asyncio
import random

import pytest

from gossip.net.frames import StreamRefused
from gossip.net.handshake import Identity, Session, accept, dial
from gossip.net.keyring import Keyring
from gossip.net.ports import Connection
from tests.gossip.net.memory_pipe import memory_pipe

CLUSTER = b"0123456789abcdef"
KEY, OTHER_KEY = bytes(32), bytes(range(32))


def identity(name: str, *, cluster: bytes = CLUSTER, keys: tuple[bytes, ...] = (KEY,)) -> Identity:
    return Identity(name, cluster, Keyring(keys), random.Random(name).randbytes)


def admit(name: str, connection: Connection) -> Connection:
    return connection


async def attempt(
    dialler: Identity, acceptor: Identity, *, expected: str
) -> tuple[Session | str, Session | str]:
    """Run both sides and return each one's session or reason of refusal."""
    left, right = memory_pipe()

    async def dialling() -> Session | str:
        try:
            session = await dial(left, dialler, expected=expected)
            left.write(session.sealer.seal([]))
            return session
        except StreamRefused as refused:
            left.close()
            return refused.reason

    async def accepting() -> Session | str:
        try:
            return await accept(right, acceptor, admit=admit)
        except StreamRefused as refused:
            right.close()
            return refused.reason

    async with asyncio.timeout(5):
        return await asyncio.gather(dialling(), accepting())


def test_two_members_learn_each_others_names_and_share_keys() -> None:
    left, right = asyncio.run(attempt(identity("a"), identity("b"), expected="b"))

    assert isinstance(left, Session)
    assert isinstance(right, Session)
    assert (left.name, right.name) == ("b", "a")
    assert right.opener.feed(left.sealer.seal([b"to b"])) == [b"to b"]
    assert left.opener.feed(right.sealer.seal([b"to a"])) == [b"to a"]


@pytest.mark.parametrize(
    ("dialler", "expected", "reason"),
    [
        (identity("a", keys=(OTHER_KEY,)), "b", "unknown_key"),
        (identity("a", cluster=b"another"), "b", "wrong_cluster"),
        (identity("a"), "c", "wrong_name"),
    ],
)
def test_a_stranger_is_refused_by_name_of_the_reason(
    dialler: Identity, expected: str, reason: str
) -> None:
    left, right = asyncio.run(attempt(dialler, identity("b"), expected=expected))

    assert right == reason
    assert left == "truncated"


def test_the_diallers_key_is_used_when_the_acceptors_primary_differs() -> None:
    left, right = asyncio.run(
        attempt(
            identity("a", keys=(OTHER_KEY,)),
            identity("b", keys=(KEY, OTHER_KEY)),
            expected="b",
        )
    )

    assert isinstance(left, Session)
    assert isinstance(right, Session)


def test_a_replayed_dialler_gets_an_answer_but_no_link() -> None:
    async def scenario() -> None:
        left, right = memory_pipe()
        acceptor = identity("b")
        dialling = asyncio.create_task(dial(left, identity("a"), expected="b"))
        accepting = asyncio.create_task(accept(right, acceptor, admit=admit))
        session = await dialling
        left.write(session.sealer.seal([]))
        await accepting

        thief, victim = memory_pipe()
        for recorded in left.written:
            thief.write(recorded)

        with pytest.raises(StreamRefused, match="bad_seal"):
            await accept(victim, acceptor, admit=admit)

    asyncio.run(scenario())


def test_data_that_comes_with_the_last_message_is_not_lost() -> None:
    async def scenario() -> None:
        left, right = memory_pipe()
        accepting = asyncio.create_task(accept(right, identity("b"), admit=admit))
        session = await dial(left, identity("a"), expected="b")
        left.write(session.sealer.seal([]) + session.sealer.seal([b"early"]))

        assert (await accepting).opened == [b"early"]

    asyncio.run(scenario())
