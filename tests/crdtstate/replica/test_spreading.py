"""Pushing in a large cluster: a few at a time, on and on, and never what is not durable."""

from math import ceil, log

from crdtstate.replica.messages import Kind
from crdtstate.replica.spreading import PUSH_ALL_MAX, choose_targets
from crdtstate.store import operations as ops
from tests.models.mesh import Mesh

MANY = 24
FANOUT = ceil(log(MANY)) + 1


def large() -> Mesh:
    mesh = Mesh(*(f"p{n:02}" for n in range(MANY)))
    mesh.link_all()
    mesh.run(8_000)
    mesh.assert_converged()
    return mesh


def test_a_write_spreads_by_a_few_pushes_a_peer_and_pulls_bring_it_to_the_rest() -> None:
    """SPR-1"""
    mesh = large()
    pushes: dict[str, int] = dict.fromkeys(mesh.hosts, 0)
    send = mesh.send

    def counting(source: str, target: str | None, payload: bytes) -> None:
        if payload[0] == Kind.PUSH:
            assert target is not None, "to everybody at once"
            pushes[source] += 1
            assert mesh[source].value("k") == b"v", "pushed on before it was durable"
        send(source, target, payload)

    mesh.send = counting  # type: ignore[method-assign]
    mesh["p00"].submit(ops.Put("k", value="v"))
    mesh.settle()
    have = [name for name in mesh.hosts if mesh[name].value("k") == b"v"]
    assert len(have) > MANY * 0.8
    assert max(pushes.values()) <= FANOUT
    assert sum(n > 0 for n in pushes.values()) > MANY / 2
    mesh.run(3_000)
    mesh.assert_converged()
    assert all(host.value("k") == b"v" for host in mesh.hosts.values())


def test_a_write_that_all_must_have_waits_for_all_of_a_large_cluster() -> None:
    mesh = large()
    request = mesh["p03"].submit(ops.Put("k", value="v"), replicas="all", deadline_ms=1 << 40)
    mesh.run(5_000)
    assert len(request.outcome.have) == MANY  # type: ignore[union-attr]
    assert all(host.value("k") == b"v" for host in mesh.hosts.values())


def test_targets_are_few_spread_evenly_and_never_the_sender() -> None:
    names = [f"p{n}" for n in range(100)]
    counts = dict.fromkeys(names, 0)
    for n in range(2_000):
        chosen = choose_targets(names, 100, b"%d" % n, but="p7")
        assert len(set(chosen)) == ceil(log(100)) + 1
        for name in chosen:
            counts[name] += 1
    assert counts["p7"] == 0
    rest = [count for name, count in counts.items() if name != "p7"]
    assert max(rest) < 2 * min(rest)
    assert PUSH_ALL_MAX == 16
