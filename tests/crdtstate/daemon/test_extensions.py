"""What runs inside a peer: where it keeps its files, and that its failure is its own."""

from pathlib import Path

import pytest

from crdtstate.daemon import main as daemon
from crdtstate.extension import PeerHandle
from tests.crdtstate.api.peer_fixture import running_peer


class Inside:
    """An extension that remembers its peer."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.stopped = fails, False
        self.handle: PeerHandle | None = None

    async def start(self, peer: PeerHandle) -> None:
        """Begin."""
        self.handle = peer
        if self.fails:
            raise RuntimeError("a mistake in an extension")

    async def stop(self) -> None:
        """End."""
        self.stopped = True


async def test_a_relative_data_directory_is_told_as_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod's supervisor has another working directory, and must find its files all the same."""
    inside = Inside()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(daemon, "load_extensions", lambda _without: [("own", inside)])

    async with running_peer(Path("data")):
        assert inside.handle is not None
        assert inside.handle.data == tmp_path / "data" / "own"
    assert inside.stopped


async def test_an_extension_that_cannot_start_leaves_its_peer_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, inside = Inside(fails=True), Inside()
    extensions = [("broken", broken), ("own", inside)]
    monkeypatch.setattr(daemon, "load_extensions", lambda _without: extensions)

    async with running_peer(tmp_path):
        assert inside.handle is not None
    assert broken.stopped
    assert inside.stopped
