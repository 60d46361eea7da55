"""Every scenario over three real peers whose links are really cut, all in one cut."""

from collections.abc import Iterator

import pytest

from tests.e2e.fleet import fleet
from tests.kube.partition.real import Batch
from tests.kube.partition.scenarios import ALL_SCENARIOS

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """All scenarios, healed; at the end no peer may have alarmed."""
    with fleet(tmp_path_factory.mktemp("cuts")) as peers:
        running = Batch(peers)
        try:
            running.begin()
            yield running
        finally:
            running.close()


@pytest.mark.parametrize("name", ALL_SCENARIOS)
def test_outcome(batch: Batch, name: str) -> None:
    batch.finish(name)
