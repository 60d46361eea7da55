"""The asyncio client: create, watch, delete."""

import asyncio
import sys

from kubernetes_asyncio import client, config, watch

NAMESPACE = sys.argv[1]


async def main() -> None:
    """Raise when anything is not as it should be."""
    await config.load_kube_config()
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        await core.create_namespace(
            client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE))
        )
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="pa"), data={"a": "b"})
        await core.create_namespaced_config_map(NAMESPACE, body)
        async with watch.Watch() as stream:
            async for event in stream.stream(
                core.list_namespaced_config_map, NAMESPACE, timeout_seconds=20
            ):
                assert (event["type"], event["object"].metadata.name) == ("ADDED", "pa")
                break
        await core.delete_namespaced_config_map("pa", NAMESPACE)
        assert not (await core.list_namespaced_config_map(NAMESPACE)).items


asyncio.run(main())
