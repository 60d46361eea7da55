"""A kopf operator through creation, update, timer, finalizer and deletion of one object."""

import asyncio
import sys
import threading
import time
from typing import Any

import kopf
from kubernetes import client, config

NAMESPACE, GROUP = sys.argv[1:]
SEEN: dict[str, int] = {}
PLACE = (GROUP, "v1", "widgets")


@kopf.on.login()
def login(**given: Any) -> Any:
    """As the kubeconfig says, and nothing else is tried."""
    return kopf.login_with_kubeconfig(**given)


@kopf.on.create(*PLACE)
def created(spec: Any, **_: Any) -> dict[str, int]:
    """What a handler returns is written into the status."""
    SEEN["created"] = SEEN.get("created", 0) + 1
    return {"size": spec["size"]}


@kopf.on.update(*PLACE)
def updated(spec: Any, patch: Any, **_: Any) -> None:
    """Writes into the object's status and its spec."""
    SEEN["updated"] = SEEN.get("updated", 0) + 1
    patch.status["seen"] = spec["size"]


@kopf.timer(*PLACE, interval=0.2)
def ticked(**_: Any) -> None:
    """Runs while the object is there."""
    SEEN["ticked"] = SEEN.get("ticked", 0) + 1


@kopf.on.delete(*PLACE)
def deleted(**_: Any) -> None:
    """A delete handler makes kopf add a finalizer."""
    SEEN["deleted"] = SEEN.get("deleted", 0) + 1


def until(what: str, condition: Any) -> None:
    """Wait for a condition."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within 60 s: {what}; seen {SEEN}")


def operate(ready: threading.Event, stop: threading.Event) -> None:
    """Run the operator in a loop of its own."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = True
    asyncio.run(
        kopf.operator(
            settings=settings, namespaces=[NAMESPACE], ready_flag=ready,
            stop_flag=stop, standalone=True,
        )
    )  # fmt: skip


def main() -> None:
    """Raise when anything is not as it should be."""
    config.load_kube_config()
    custom = client.CustomObjectsApi()
    where = (GROUP, "v1", NAMESPACE, "widgets")
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=operate, args=(ready, stop), daemon=True)
    thread.start()
    assert ready.wait(60)
    body = {
        "apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "k"},
        "spec": {"size": 1},
    }  # fmt: skip
    custom.create_namespaced_custom_object(*where, body)
    until("created", lambda: SEEN.get("created"))
    until("the result is in the status", lambda: _status(custom, where).get("created"))
    custom.patch_namespaced_custom_object(*where, "k", {"spec": {"size": 2}})
    until("updated", lambda: SEEN.get("updated"))
    until("the status is written", lambda: _status(custom, where).get("seen") == 2)
    until("ticked", lambda: SEEN.get("ticked", 0) > 1)
    assert custom.get_namespaced_custom_object(*where, "k")["metadata"]["finalizers"]
    custom.delete_namespaced_custom_object(*where, "k")
    until("deleted", lambda: SEEN.get("deleted"))
    until("gone", lambda: not custom.list_namespaced_custom_object(*where)["items"])
    stop.set()
    thread.join(30)
    assert (SEEN["created"], SEEN["deleted"]) == (1, 1), SEEN


def _status(custom: client.CustomObjectsApi, where: Any) -> Any:
    return custom.get_namespaced_custom_object(*where, "k").get("status") or {}


main()
