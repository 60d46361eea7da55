"""CNV-3: what a peer without a link shows is told along the links."""

from crdtstate.replica import events as ev
from crdtstate.store import operations as ops
from tests.models.mesh import Mesh


def chain() -> Mesh:
    """Return a - b - c, where a and c have no link, and a's last push was dropped."""
    mesh = Mesh("a", "b", "c")
    mesh.link("a", "b")
    mesh.link("b", "c")
    mesh.run(3_000)
    mesh.lose = True
    mesh["a"].submit(ops.Put("k", value="v"))
    mesh.run(1_000, digests=False)
    mesh.lose = False
    assert mesh["b"].value("k") is None
    return mesh


def sees(mesh: Mesh, me: str, other: str) -> None:
    """Let a probe of `other` reach `me`; no link is needed for that."""
    digest = mesh[other].replica.shown.digest(1_700_000_000_000 + mesh.now_ms)
    mesh[me].step(ev.DigestSeen(other, digest))


def test_who_is_ahead_tells_a_neighbour() -> None:
    mesh = chain()

    sees(mesh, "a", "c")
    mesh.run(1_000, digests=False)

    assert mesh["b"].value("k") == b"v"


def test_who_is_behind_is_answered_by_a_neighbour_that_is_ahead() -> None:
    mesh = chain()
    sees(mesh, "a", "c")
    mesh.run(1_000, digests=False)
    assert mesh["c"].value("k") is None

    sees(mesh, "c", "a")
    mesh.run(1_000, digests=False)

    assert mesh["c"].value("k") == b"v"


def test_nothing_is_said_when_nobody_differs() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.link("a", "b")
    mesh.link("b", "c")
    mesh.run(5_000)
    before = mesh.bytes_sent

    for _ in range(10):
        sees(mesh, "a", "c")
        mesh.run(1_000)

    assert mesh.bytes_sent == before
