"""lightkube: typed objects, apply, strategic patch, watch."""

import sys

import pytest
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace

NAMESPACE = sys.argv[1]


def main() -> None:
    """Raise when anything is not as it should be."""
    client = Client(field_manager="lk", namespace=NAMESPACE)
    client.create(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
    metadata = ObjectMeta(name="lk", namespace=NAMESPACE)
    client.create(ConfigMap(metadata=metadata))
    whole = ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=metadata, data={"a": "b"})
    assert client.apply(whole).data == {"a": "b"}
    assert client.patch(ConfigMap, "lk", {"data": {"c": "d"}}).data == {"a": "b", "c": "d"}
    for kind, found in client.watch(ConfigMap):
        assert (kind, found.metadata.name) == ("ADDED", "lk")
        break
    client.delete(ConfigMap, "lk")
    with pytest.raises(ApiError, match="not found"):
        client.get(ConfigMap, "lk")


main()
