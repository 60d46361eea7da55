"""kr8s: discovery on nearly every call, patches, waiting for a deletion."""

import sys

import kr8s
from kr8s.objects import ConfigMap, Namespace

NAMESPACE = sys.argv[1]


def main() -> None:
    """Raise when anything is not as it should be."""
    api = kr8s.api()
    Namespace({"metadata": {"name": NAMESPACE}}, api=api).create()
    made = ConfigMap({"metadata": {"name": "kr", "namespace": NAMESPACE}}, api=api)
    made.create()
    made.patch({"data": {"a": "b"}})
    assert made.data == {"a": "b"}
    made.label({"x": "y"})
    assert len(list(api.get("configmaps", namespace=NAMESPACE, label_selector="x=y"))) == 1
    made.delete()
    made.wait("delete", timeout=20)


main()
