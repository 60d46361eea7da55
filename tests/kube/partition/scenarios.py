"""All scenarios, and which of them need controllers beside the peers."""

from collections.abc import Mapping

from controllers.builtin.collector import Collector
from controllers.builtin.namespaces import Namespaces
from tests.kube.partition import applying, deleting, fields, kinds
from tests.kube.partition.cases import SCENARIOS, Scenario

__all__ = ["ALL_SCENARIOS", "CONTROLLERS", "with_controllers"]

ALL_SCENARIOS: Mapping[str, Scenario] = SCENARIOS
"""By name, filled by importing the modules."""
CONTROLLERS: tuple[type, ...] = (Namespaces, Collector)
_NEED = {
    deleting.a_namespace_deleted_here_takes_what_was_created_there.__name__,
    deleting.a_dependent_goes_when_the_deletion_of_its_owner_is_known.__name__,
}
assert all(module.__doc__ for module in (applying, deleting, fields, kinds))


def with_controllers(name: str) -> bool:
    """Whether a scenario waits for what controllers do."""
    return name in _NEED
