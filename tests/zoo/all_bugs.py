"""The whole zoo: importing this module registers every planted bug."""

from tests.zoo import (
    planted,
    planted_disks,
    planted_exchange,
    planted_network,
    planted_objects,
    planted_services,
)
from tests.zoo.bugs import ZOO

__all__ = [
    "ZOO",
    "planted",
    "planted_disks",
    "planted_exchange",
    "planted_network",
    "planted_objects",
    "planted_services",
]
