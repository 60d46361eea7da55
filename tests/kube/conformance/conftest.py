"""Three real peers with their controllers; every target runs on one peer, and with a fail-over."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.fleet import Fleet
from tests.kube.conformance.here import Here

_numbers = itertools.count()


@pytest.fixture(scope="session")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three linked peers that run the built-in controllers, and no node agent."""
    with Fleet(tmp_path_factory.mktemp("controlled"), without=("agent",)) as running:
        yield running


@pytest.fixture(params=["one peer", "fail-over"])
def here(request: pytest.FixtureRequest, controlled: Fleet) -> Here:
    """A client with a namespace of its own."""
    made = Here(controlled, f"target-{next(_numbers)}", moves=request.param == "fail-over")
    body = {"metadata": {"name": made.namespace}}
    made.create("/api/v1/namespaces", body)
    return made


@pytest.fixture
def crd(here: Here) -> Iterator[Callable[..., str]]:
    """Make CustomResourceDefinitions, each in a group of its own, and wait until established."""
    made: list[str] = []

    def make(
        schema: dict[str, object] | None = None,
        *,
        group: str = "",
        kind: str = "Widget",
        versions: tuple[str, ...] = ("v1",),
        labels: dict[str, str] | None = None,
        **more: object,
    ) -> str:
        group = group or f"{here.namespace}.example.com"
        plural = kind.lower() + "s"
        openapi = {"type": "object", **(schema or {"x-kubernetes-preserve-unknown-fields": True})}
        name = f"{plural}.{group}"
        body = {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.lower(), "kind": kind,
                          "listKind": f"{kind}List"},
                "versions": [
                    {"name": v, "served": True, "storage": v == versions[0],
                     "schema": {"openAPIV3Schema": openapi}, **more}
                    for v in versions
                ],
            },
        }  # fmt: skip
        here.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
        made.append(name)
        here.until(lambda: is_established(here, name), f"{name} is established")
        return group

    yield make
    for name in made:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        if here.exists(path):
            here.ask("DELETE", path)


def is_established(here: Here, name: str) -> bool:
    """Whether the CRD says so."""
    found = here.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    conditions = found.get("status", {}).get("conditions", [])
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
