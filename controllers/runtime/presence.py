"""On which members controllers run: each process says so once, in a Lease that it never renews.

Whether a member is there is gossip's business; the Lease only tells that what owns a key will act
on it. It is removed at an orderly end; after a crash it stays, for gossip says the rest.
"""

from collections.abc import Iterable
from typing import Any

from controllers.runtime.objects import Object, labels_of

__all__ = ["NAMESPACE", "PRESENCE_LABEL", "actors_among", "presence_of"]

NAMESPACE = "kube-system"
PRESENCE_LABEL = "crdtstate.io/controllers-of"


def presence_of(member: str) -> dict[str, Any]:
    """Return the Lease that says that controllers run on `member`."""
    return {
        "metadata": {
            "name": f"controllers-{member}",
            "namespace": NAMESPACE,
            "labels": {PRESENCE_LABEL: member},
        },
        "spec": {"holderIdentity": member},
    }


def actors_among(leases: Iterable[Object]) -> set[str]:
    """Return the members of which a Lease says so."""
    found = (labels_of(lease).get(PRESENCE_LABEL) for lease in leases)
    return {name for name in found if name}
