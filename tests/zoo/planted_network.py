"""Planted bugs of gossip: links, handshakes, datagrams, membership."""

import asyncio
from dataclasses import replace
from typing import Any

from crdtstate.replica import membership
from crdtstate.replica.machine import Replica
from crdtstate.replica.membership import ReplicaSet
from gossip.core.beliefs import Beliefs
from gossip.core.detector import Detector
from gossip.core.ports import Liveness, Member
from gossip.net import links as links_module
from gossip.net.envelope import OVERHEAD_BYTES, Envelope
from gossip.net.keyring import Keyring
from gossip.net.links import Links
from gossip.net.mesh import Mesh
from gossip.net.seeds import Seeds
from gossip.net.stream import Stream
from tests.zoo.bugs import Patch, bug

_MESH = "tests.gossip.net.test_mesh"


@bug()
def a_lost_link_is_not_dialled_again(patch: Patch) -> None:
    """A member is dialled when it is new, and after that when it changes [LNK-3]."""
    wake = Links._wake

    def once(self: Links) -> None:
        wake(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    patch.setattr(Links, "_wake", once)


@bug()
def who_left_is_forgotten(patch: Patch) -> None:
    """A member that stopped in order is never linked with again [P-c2]."""
    update = Links.update

    def final(self: Links, member: Member) -> None:
        update(self, member)
        if member.liveness is Liveness.LEFT:
            self.forget(member.name)

    patch.setattr(Links, "update", final)


@bug(cut_every_s=40.0, seconds=180)
def the_dead_are_given_up(patch: Patch) -> None:
    """Both sides of a cut remove each other, and nobody tries again [P-c5]."""
    update, contact = Links.update, Seeds._try

    def gives_up(self: Links, member: Member) -> None:
        if member.liveness is Liveness.DEAD:
            self.remove(member.name, "member died")
        else:
            update(self, member)

    async def once(self: Any, seed: Any, reached: Any) -> None:
        if seed not in self._states or self._states[seed] == "asked":
            await contact(self, seed, reached)

    patch.setattr(Links, "update", gives_up)
    patch.setattr(Seeds, "_try", once)
    patch.setattr(Seeds, "_try_contacts", lambda *_: None)
    patch.setattr(Detector, "_contact_dead", lambda self, now, _: _never(self, now))


def _never(detector: Detector, now_ms: int) -> None:
    detector.next_dead_ms = now_ms + 1_000


@bug(join_every_s=5.0, forget_every_s=6.0, kill_every_s=8.0, peers=2, seconds=90)
def addresses_die_with_the_process(patch: Patch) -> None:
    """Who starts again knows its seeds only, and they may be gone for good [LIV-1; seed 10810]."""
    patch.setattr(Seeds, "_try_contacts", lambda *_: None)


@bug()
def a_rumour_of_oneself_is_not_refuted(patch: Patch) -> None:
    """Who is called dead keeps its incarnation, so that nobody believes that it lives [P-c4]."""
    patch.setattr(Beliefs, "_hear_of_self", lambda *_: None)


@bug()
def the_incarnation_starts_at_one(patch: Patch) -> None:
    """A restarted member comes back lower than it was [P-c2]; who refutes heals it in time."""
    init = Mesh.__init__

    def low(self: Mesh, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self._incarnation = 1

    patch.setattr(Mesh, "__init__", low)
    patch.setattr(Beliefs, "_hear_of_self", lambda *_: None)


@bug(test="tests.sim.test_races:test_two_that_dial_each_other_at_once_agree_on_one_link")
def two_streams_replace_each_other(patch: Patch) -> None:
    """Of two streams of a pair the newer one always wins [LNK-1]."""

    def always(self: Links, name: str, *, dialled: bool) -> bool:
        del dialled
        return not self._closed and name != self._identity.name and name not in self._forgotten

    patch.setattr(Links, "_may_install", always)


@bug()
def the_writer_of_a_lost_link_stays(patch: Patch) -> None:
    """A task waits for ever for each link that has ended [MSH-2]."""
    run = Stream.run_writer

    async def leaking(self: Stream) -> None:
        await run(self)
        await asyncio.Event().wait()

    patch.setattr(Stream, "run_writer", leaking)


@bug(stranger=True)
def a_refused_connection_stays_open(patch: Patch) -> None:
    """Who cannot prove itself is not answered, and its connection is never closed [LNK-2]."""
    accept = links_module.accept

    async def leaking(connection: Any, *args: Any, **kwargs: Any) -> Any:
        connection.abort = lambda: None
        return await accept(connection, *args, **kwargs)

    patch.setattr(links_module, "accept", leaking)


@bug(stranger=True)
def a_handshake_has_no_deadline(patch: Patch) -> None:
    """An accepted connection may take for ever to prove itself [LNK-2]."""
    init = Links.__init__

    def patient(self: Links, **kwargs: Any) -> None:
        config = replace(
            kwargs["config"], handshake_deadline_ms=10**9, handshakes_per_source_max=10**6
        )
        init(self, **{**kwargs, "config": config})

    patch.setattr(Links, "__init__", patient)


@bug(test=f"{_MESH}:test_the_buffer_of_a_link_is_bounded_and_wait_writable_waits")
def a_full_link_takes_more(patch: Patch) -> None:
    """The buffer of a slow link grows to four times its bound [SMX-3]."""
    init = Stream.__init__

    def generous(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        most = self._config.out_buffer_bytes_max
        self._config = replace(self._config, out_buffer_bytes_max=4 * most)

    patch.setattr(Stream, "__init__", generous)


@bug(poison_every_s=1.0)
def a_poison_datagram_ends_the_handler(patch: Patch) -> None:
    """A datagram that is too short is read to its end all the same [ENV-1]."""
    open_ = Envelope.open

    def trusting(self: Envelope, data: bytes) -> Any:
        assert len(data) >= OVERHEAD_BYTES, "too short"
        return open_(self, data)

    patch.setattr(Envelope, "open", trusting)


@bug(stranger=True)
def an_empty_key_opens_too(patch: Patch) -> None:
    """A key of zeros, left from the first set-up, is in every keyring [KEY]."""
    init = Keyring.__init__

    def generous(self: Keyring, keys: Any) -> None:
        init(self, [*keys, bytes(32)])

    patch.setattr(Keyring, "__init__", generous)


@bug(forget_every_s=30.0, peers=4)
def a_forgotten_origin_leaves_the_vector(patch: Patch) -> None:
    """What a retired member wrote is no longer known to be covered [P-e4; riak's pruning]."""
    reload = Replica._reload_members

    def pruning(self: Replica, effects: Any) -> None:
        reload(self, effects)
        for record in self.members.retired.values():
            self.store.vector.pop(int(record.origin, 16), None)

    patch.setattr(Replica, "_reload_members", pruning)


@bug(forget_every_s=30.0, peers=4)
def a_forgotten_member_counts(patch: Patch) -> None:
    """To forget removes a member's own record, and it stays a member where that was concurrent
    [MEM-1; P-c3]."""
    retire = membership.retire

    def only_retired(record: Any) -> Any:
        return retire(record)[1:]

    def load(self: ReplicaSet, reader: Any) -> None:
        self.retired = {r.name: r for r in membership._records(reader, b"\x01retired/")}
        self.members = {r.name: r for r in membership._records(reader, b"\x01member/")}

    patch.setattr("crdtstate.replica.machine.retire", only_retired)
    patch.setattr(ReplicaSet, "load", load)
