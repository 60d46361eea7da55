"""A kopf operator that remembers what it has handled; to each line it is given it tells it."""

import asyncio
import json
import sys
import threading
from typing import Any

import kopf

NAMESPACE, GROUP = sys.argv[1:]
PLACE = (GROUP, "v1", "widgets")
HANDLED: dict[str, int] = {}


@kopf.on.login()
def login(**given: Any) -> Any:
    """As the kubeconfig says, and nothing else is tried."""
    return kopf.login_with_kubeconfig(**given)


@kopf.on.create(*PLACE)
@kopf.on.update(*PLACE)
def wanted(name: str, spec: Any, **_: Any) -> None:
    """What is wanted now."""
    HANDLED[name] = spec["size"]


@kopf.on.delete(*PLACE)
def deleted(name: str, **_: Any) -> None:
    """A delete handler makes kopf keep a finalizer: what it has not seen go cannot go."""
    HANDLED.pop(name, None)


def operate(ready: threading.Event, stop: threading.Event) -> None:
    """Run the operator in a loop of its own."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    asyncio.run(
        kopf.operator(
            settings=settings, namespaces=[NAMESPACE], ready_flag=ready, stop_flag=stop,
            standalone=True,
        )
    )  # fmt: skip


def main() -> None:
    """Answer until the end of input."""
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=operate, args=(ready, stop), daemon=True)
    thread.start()
    assert ready.wait(60)
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(HANDLED) + "\n")
        sys.stdout.flush()
    stop.set()
    thread.join(30)


main()
