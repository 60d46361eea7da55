"""Three real peers for all tests of this folder, and clients for them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, fleet
from tests.kube.clients import Client


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three linked peers that run until the last test is over; nobody may have alarmed."""
    with fleet(tmp_path_factory.mktemp("peers")) as running:
        yield running


@pytest.fixture(scope="session")
def kubeconfig(peers: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig as the command line writes it: a context for each peer, by its name."""
    path = tmp_path_factory.mktemp("config") / "kubeconfig"
    path.write_text(peers.cli("a", "kubeconfig"))
    return path


@pytest.fixture
def client(kubeconfig: Path, tmp_path: Path) -> Callable[[list[str]], Client]:
    """Make a client of a command, with a home folder of its own."""
    return lambda command: Client(command, tmp_path, kubeconfig)
