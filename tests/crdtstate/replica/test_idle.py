"""Converged replicas cost nothing that grows with the state (law 23)."""

from crdtstate.store import operations as ops
from tests.models.mesh import Mesh


def test_converged_peers_that_tick_touch_no_record() -> None:
    """EXP-1"""
    mesh = Mesh("a", "b", "c")
    mesh.link_all()
    mesh.run(500)
    for n in range(50):
        mesh["a"].submit(ops.Put(f"k{n}", value="v"))
    mesh.run(3_000)
    reads: list[bytes] = []
    for host in mesh.hosts.values():
        get, scan = host.storage.get, host.storage.scan

        def counting_get(key: bytes, get=get) -> bytes | None:  # type: ignore[no-untyped-def]
            reads.append(key)
            return get(key)  # type: ignore[no-any-return]

        def counting_scan(start: bytes, stop: bytes, scan=scan, **how: bool):  # type: ignore[no-untyped-def]
            reads.append(start)
            return scan(start, stop, **how)

        host.storage.get, host.storage.scan = counting_get, counting_scan  # type: ignore[method-assign, assignment]
    sent = mesh.bytes_sent

    mesh.run(10_000)

    assert not [key for key in reads if key[:1] in b"rbc"], "a tick read records"
    assert mesh.bytes_sent == sent
