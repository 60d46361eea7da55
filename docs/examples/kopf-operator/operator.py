"""An operator as kopf's users write it: nothing in it knows of crdtstate."""

import kopf
from kubernetes import client, config

config.load_kube_config()


@kopf.on.create("kopf.example.com", "v1", "notes")
@kopf.on.update("kopf.example.com", "v1", "notes")
def write(name, namespace, spec, logger, **_):
    """Keep the text of a note in a ConfigMap that it owns."""
    body = {"metadata": {"name": f"note-{name}"}, "data": {"text": spec.get("text", "")}}
    kopf.adopt(body)
    api = client.CoreV1Api()
    try:
        api.patch_namespaced_config_map(body["metadata"]["name"], namespace, body)
    except client.ApiException as error:
        if error.status != 404:
            raise
        api.create_namespaced_config_map(namespace, body)
    logger.info("written")
    return {"configMap": body["metadata"]["name"]}
