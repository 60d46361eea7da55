"""Custom kinds over a real peer: they come with their definition and go with it."""

from pathlib import Path
from typing import Any

import yaml

from tests.crdtstate.api.kube.kube_peer import MERGE, STRATEGIC, Api, kube_peer
from tests.kube.manifests import CRD

GROUP = "demo.example.com"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = f"widgets.{GROUP}"
WIDGETS = f"/apis/{GROUP}/v1/namespaces/default/widgets"


def definition(**names: Any) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load(CRD % {"group": GROUP})
    body["spec"]["names"] |= names
    body["metadata"]["name"] = f"{body['spec']['names']['plural']}.{GROUP}"
    return body


def widget(name: str = "w", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "spec": {"size": 3}}


def conditions(crd: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in crd["status"]["conditions"]}


async def define(api: Api, **names: Any) -> dict[str, Any]:
    return await api.ask("POST", CRDS, definition(**names), status=201)


async def test_a_kind_is_served_as_soon_as_its_definition_is_there(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.refused("GET", WIDGETS, reason="NotFound")
        made = await define(api)
        assert conditions(made) == {"NamesAccepted": "True", "Established": "True"}
        assert made["status"]["acceptedNames"]["kind"] == "Widget"

        created = await api.ask("POST", WIDGETS, widget(), status=201)

        assert created["spec"] == {"size": 3, "color": "red", "replicas": 1}
        assert created["metadata"]["generation"] == 1
        resources = await api.ask("GET", f"/apis/{GROUP}/v1")
        assert "widgets/scale" in [r["name"] for r in resources["resources"]]
        assert f"apis/{GROUP}/v1" in (await api.ask("GET", "/openapi/v3"))["paths"]


async def test_what_its_schema_refuses_is_refused(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await define(api)
        large = widget() | {"spec": {"size": 70}}
        refused = await api.refused("POST", WIDGETS, large, reason="Invalid")
        assert refused["details"]["causes"][0]["field"] == "spec.size"
        await api.ask("POST", WIDGETS, widget(), status=201)
        patch: dict[str, Any] = {"spec": {"size": 4}}
        await api.refused(
            "PATCH", f"{WIDGETS}/w", patch, media=STRATEGIC, reason="UnsupportedMediaType"
        )
        await api.refused("PUT", f"{WIDGETS}/w", widget(), reason="Invalid")  # Names no version.


async def test_a_default_that_is_added_later_is_shown_of_what_was_stored_before(
    tmp_path: Path,
) -> None:
    async with kube_peer(tmp_path) as api:
        await define(api)
        await api.ask("POST", WIDGETS, widget(), status=201)
        body = definition()
        spec = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"]["shape"] = {"type": "string", "default": "round"}

        await api.ask("PATCH", f"{CRDS}/{NAME}", {"spec": body["spec"]}, media=MERGE)

        assert (await api.ask("GET", f"{WIDGETS}/w"))["spec"]["shape"] == "round"


async def test_objects_go_before_their_definition(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await define(api)
        await api.ask("POST", WIDGETS, widget("held", finalizers=["a/b"]), status=201)
        await api.ask("POST", WIDGETS, widget("free"), status=201)

        ending = await api.ask("DELETE", f"{CRDS}/{NAME}")

        assert conditions(ending)["Terminating"] == "True"
        await api.refused("GET", f"{WIDGETS}/free", reason="NotFound")
        await api.refused("POST", WIDGETS, widget("new"), reason="MethodNotAllowed")
        free = {"metadata": {"finalizers": None}}
        await api.ask("PATCH", f"{WIDGETS}/held", free, media=MERGE)
        await api.refused("GET", f"{CRDS}/{NAME}", reason="NotFound")
        await api.refused("GET", WIDGETS, reason="NotFound")
        await define(api)
        assert not (await api.ask("GET", WIDGETS))["items"]


async def test_of_two_definitions_with_one_name_the_older_has_it(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        first = await define(api)
        second = await define(api, plural="zadgets", singular="zadget", shortNames=["zd"])

        assert conditions(first)["Established"] == "True"
        assert conditions(second) == {"NamesAccepted": "False", "Established": "False"}
        zadgets = WIDGETS.replace("widgets", "zadgets")
        await api.refused("GET", zadgets, reason="NotFound")
        await api.ask("DELETE", f"{CRDS}/{NAME}")
        freed = await api.ask("GET", f"{CRDS}/zadgets.{GROUP}")
        assert conditions(freed)["Established"] == "True"
        await api.ask("GET", zadgets)


async def test_a_status_that_others_write_stays_beside_what_is_computed(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        made = await define(api)
        condition = {
            "type": "Checked", "status": "True", "reason": "R", "message": "m",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        made["status"]["conditions"].append(condition)

        put = await api.ask("PUT", f"{CRDS}/{NAME}/status", made)

        assert conditions(put) == {
            "NamesAccepted": "True", "Established": "True", "Checked": "True",
        }  # fmt: skip
