"""The writing verbs over a real peer: what is stored, what is refused, what is told."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.crdtstate.api.kube.kube_peer import (
    APPLY,
    CORE,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    config_map,
    kube_peer,
    version_of,
)

MAPS = f"{CORE}/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def deployment(name: str = "web") -> dict[str, Any]:
    containers = [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}]}]
    return {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}},
        },
    }


async def test_a_created_object_is_what_every_later_read_gives(tmp_path: Path) -> None:
    """KVB-2."""
    async with kube_peer(tmp_path) as api:
        made = await api.create("configmaps", config_map("x"), User_Agent="tester/1 (x)")

        assert made == await api.ask("GET", f"{MAPS}/x")
        assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"k": "v"})
        metadata = made["metadata"]
        assert metadata["namespace"] == "default"
        assert len(metadata["uid"]) == 36
        assert metadata["creationTimestamp"].endswith("Z")
        assert [(m["manager"], m["operation"]) for m in metadata["managedFields"]] == [
            ("tester", "Update")
        ]
        assert await api.refused("POST", MAPS, config_map("x"), reason="AlreadyExists")


async def test_names_are_generated(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        bodies = [{"metadata": {"generateName": "job-"}}] * 5
        made = [(await api.create("configmaps", b))["metadata"]["name"] for b in bodies]

        assert len(set(made)) == 5
        assert all(name.startswith("job-") and len(name) == 9 for name in made)
        await api.refused("POST", MAPS, {"metadata": {}}, reason="Invalid")


async def test_a_write_that_changes_nothing_makes_no_version(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        made = await api.create("configmaps", config_map("x"))

        patched = await api.ask("PATCH", f"{MAPS}/x", {"data": {"k": "v"}}, media=MERGE)
        put = await api.ask("PUT", f"{MAPS}/x", made)

        assert patched == put == made


async def test_a_stale_version_is_a_conflict(tmp_path: Path) -> None:
    """KVB-1, on one peer: of ten writers of one version, one wins."""
    async with kube_peer(tmp_path) as api:
        made = await api.create("configmaps", config_map("x"))

        async def put(n: int) -> int:
            body = made | {"data": {"k": str(n)}}
            async with api.session.put(api.url + f"{MAPS}/x", json=body) as answer:
                return answer.status

        statuses = await asyncio.gather(*(put(n) for n in range(10)))

        assert sorted(statuses) == [200] + [409] * 9
        await api.refused("PUT", f"{MAPS}/x", made, reason="Conflict")
        free = {**made, "metadata": {"name": "x"}}
        assert version_of(await api.ask("PUT", f"{MAPS}/x", free)) > version_of(made)


async def test_the_four_patches(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.ask("POST", DEPLOYMENTS, deployment(), status=201)
        path = f"{DEPLOYMENTS}/web"

        merged = await api.ask("PATCH", path, {"spec": {"replicas": 3}}, media=MERGE)
        assert merged["spec"]["replicas"] == 3
        operations = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
        patched = await api.ask("PATCH", path, operations, media=JSON_PATCH)
        assert patched["spec"]["replicas"] == 4
        container = {"name": "c", "image": "i:2"}
        body = {"spec": {"template": {"spec": {"containers": [container]}}}}
        strategic = await api.ask("PATCH", path, body, media=STRATEGIC)
        found = strategic["spec"]["template"]["spec"]["containers"][0]
        assert (found["image"], found["ports"][0]["containerPort"]) == ("i:2", 80)
        config = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"paused": True}}
        query = "?fieldManager=bob"
        applied = await api.ask("PATCH", path + query, config, media=APPLY)
        assert applied["spec"]["paused"] is True
        assert applied["metadata"]["generation"] == 5


async def test_defaults_are_shown_and_not_owned_by_who_puts_them_back(tmp_path: Path) -> None:
    """KWR-1."""
    async with kube_peer(tmp_path) as api:
        made = await api.ask("POST", DEPLOYMENTS, deployment(), status=201)
        assert made["spec"]["replicas"] == 1

        put = await api.ask("PUT", f"{DEPLOYMENTS}/web", made | {"metadata": {"name": "web"}})

        assert put == made


async def test_a_failed_test_of_a_json_patch_is_422(tmp_path: Path) -> None:
    """kopf takes that, and only that, as "try again"."""
    async with kube_peer(tmp_path) as api:
        made = await api.create("configmaps", config_map("x"))
        right = [
            {"op": "test", "path": "/metadata/resourceVersion",
             "value": made["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]},
        ]  # fmt: skip
        await api.ask("PATCH", f"{MAPS}/x", right, media=JSON_PATCH)

        await api.refused("PATCH", f"{MAPS}/x", right, media=JSON_PATCH, reason="Invalid")


async def test_an_apply_conflict_names_the_manager_and_the_field(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        config = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "1"}}
        one, two = f"{MAPS}/x?fieldManager=one", f"{MAPS}/x?fieldManager=two"
        first = await api.ask("PATCH", one, config, media=APPLY, status=201)
        assert await api.ask("PATCH", one, config, media=APPLY) == first

        other = config | {"data": {"k": "2"}}
        refused = await api.refused("PATCH", two, other, media=APPLY, reason="Conflict")

        (cause,) = refused["details"]["causes"]
        assert cause["reason"] == "FieldManagerConflict"
        assert cause["field"] == ".data.k"
        assert "one" in cause["message"]
        forced = await api.ask("PATCH", two + "&force=true", other, media=APPLY)
        assert forced["data"] == {"k": "2"}
        await api.refused("PATCH", f"{MAPS}/x", config, media=APPLY, reason="Invalid")


async def test_a_dry_run_answers_like_the_write_and_stores_nothing(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.ask("POST", f"{MAPS}?dryRun=All", config_map("x"), status=201)
        await api.refused("GET", f"{MAPS}/x", reason="NotFound")
        made = await api.create("configmaps", config_map("x"))

        patch = {"data": {"k": "w"}, "metadata": {"resourceVersion": str(version_of(made))}}
        tried = await api.ask("PATCH", f"{MAPS}/x?dryRun=All", patch, media=MERGE)

        assert tried["data"] == {"k": "w"}
        assert tried["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert await api.ask("GET", f"{MAPS}/x") == made
        await api.ask("DELETE", f"{MAPS}/x?dryRun=All")
        assert await api.ask("GET", f"{MAPS}/x") == made
        await api.refused("POST", f"{MAPS}?dryRun=All", config_map("X!"), reason="Invalid")


async def test_unknown_and_duplicate_fields_are_told_or_refused(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        text = b'{"metadata":{"name":"x"},"data":{"k":"1","k":"2"},"nonsense":1}'

        refused = await api.refused(
            "POST", f"{MAPS}?fieldValidation=Strict", text, reason="BadRequest"
        )
        assert 'unknown field "nonsense"' in refused["message"]
        assert 'duplicate field "data.k"' in refused["message"]
        made = await api.ask("POST", MAPS, text, status=201)
        assert "nonsense" not in made
        told = ", ".join(api.warnings)
        assert r"299 - \"unknown field" in told.replace('"unknown', r"\"unknown") or told
        assert "nonsense" in told
        assert "data.k" in told
        await api.ask("DELETE", f"{MAPS}/x")
        await api.ask("POST", f"{MAPS}?fieldValidation=Ignore", text, status=201)
        assert not api.warnings


async def test_what_only_the_server_sets_cannot_be_written(tmp_path: Path) -> None:
    """KWR-2."""
    async with kube_peer(tmp_path) as api:
        body = deployment() | {"status": {"replicas": 9}}
        body["metadata"] |= {"uid": "u", "generation": 7, "creationTimestamp": None}
        made = await api.ask("POST", DEPLOYMENTS, body, status=201)
        assert made["metadata"]["uid"] != "u"
        assert made["metadata"]["generation"] == 1
        assert made.get("status", {}).get("replicas") is None
        path = f"{DEPLOYMENTS}/web"

        status = {"status": {"replicas": 2}, "spec": {"paused": True}}
        after = await api.ask("PATCH", f"{path}/status", status, media=MERGE)
        assert after["status"]["replicas"] == 2
        assert "paused" not in after["spec"]
        assert after["metadata"]["generation"] == 1
        main = await api.ask("PATCH", path, {"status": {"replicas": 5}}, media=MERGE)
        assert main["status"]["replicas"] == 2
        managers = {(m["manager"], m.get("subresource")) for m in main["metadata"]["managedFields"]}
        assert len(managers) == 2
        await api.refused("POST", DEPLOYMENTS, made, reason="BadRequest")


async def test_scale_is_a_number_of_replicas(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.ask("POST", DEPLOYMENTS, deployment(), status=201)
        path = f"{DEPLOYMENTS}/web/scale"

        scale = await api.ask("GET", path)
        assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == (
            "Scale", {"replicas": 1}, "a=b",
        )  # fmt: skip
        patched = await api.ask("PATCH", path, {"spec": {"replicas": 3}}, media=MERGE)
        assert patched["spec"] == {"replicas": 3}
        stale = {**scale, "spec": {"replicas": 4}}
        await api.refused("PUT", path, stale, reason="Conflict")
        put = await api.ask("PUT", path, {**patched, "spec": {"replicas": 4}})
        assert put["spec"] == {"replicas": 4}
        assert (await api.ask("GET", f"{DEPLOYMENTS}/web"))["spec"]["replicas"] == 4
        await api.refused("PATCH", path, {"spec": {"replicas": -1}}, media=MERGE, reason="Invalid")
        await api.refused("GET", f"{MAPS}/x/scale", reason="NotFound")


async def test_a_scale_can_be_applied_and_its_manager_owns_the_number(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        await api.ask("POST", DEPLOYMENTS, deployment(), status=201)
        scale, path = f"{DEPLOYMENTS}/web/scale", f"{DEPLOYMENTS}/web"
        config: dict[str, Any] = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "web"},
        }
        config["spec"] = {"replicas": 3}

        done = await api.ask("PATCH", f"{scale}?fieldManager=one", config, media=APPLY)
        assert (done["kind"], done["spec"]) == ("Scale", {"replicas": 3})
        whole = await api.ask("GET", path)
        assert whole["spec"]["replicas"] == 3
        owned = {
            (m["manager"], m["operation"], m.get("subresource")): m["fieldsV1"]
            for m in whole["metadata"]["managedFields"]
        }
        assert owned["one", "Apply", "scale"] == {"f:spec": {"f:replicas": {}}}
        config["spec"] = {"replicas": 5}
        told = await api.refused(
            "PATCH", f"{scale}?fieldManager=two", config, media=APPLY, reason="Conflict"
        )
        assert ".spec.replicas" in told["message"]
        await api.ask("PATCH", f"{scale}?fieldManager=two&force=true", config, media=APPLY)
        assert (await api.ask("GET", path))["spec"]["replicas"] == 5
        missing = f"{DEPLOYMENTS}/none/scale?fieldManager=one"
        config["metadata"] = {"name": "none"}
        await api.refused("PATCH", missing, config, media=APPLY, reason="NotFound")


async def test_a_namespace_has_to_be_there(tmp_path: Path) -> None:
    """KST-1."""
    async with kube_peer(tmp_path) as api:
        path = "/api/v1/namespaces"
        await api.refused("POST", f"{path}/n/configmaps", config_map("x"), reason="NotFound")
        made = await api.ask("POST", path, {"metadata": {"name": "n"}}, status=201)
        assert made["status"] == {"phase": "Active"}
        assert made["spec"] == {"finalizers": ["kubernetes"]}
        await api.ask("POST", f"{path}/n/configmaps", config_map("x"), status=201)
        default = await api.ask("GET", f"{path}/default")
        labelled = await api.ask(
            "PATCH", f"{path}/default", {"metadata": {"labels": {"a": "b"}}}, media=MERGE
        )
        assert labelled["metadata"]["uid"] == default["metadata"]["uid"]
        assert labelled["metadata"]["labels"]["a"] == "b"
        names = [item["metadata"]["name"] for item in (await api.ask("GET", path))["items"]]
        assert names == ["default", "kube-node-lease", "kube-public", "kube-system", "n"]

        terminating = await api.ask("DELETE", f"{path}/n")

        assert terminating["status"] == {"phase": "Terminating"}
        await api.refused("POST", f"{path}/n/configmaps", config_map("y"), reason="Forbidden")
        await api.refused("DELETE", f"{path}/default", reason="Forbidden")
        body = terminating | {"spec": {"finalizers": []}}
        unchanged = await api.ask("PUT", f"{path}/n", body)
        assert unchanged["spec"] == {"finalizers": ["kubernetes"]}
        await api.ask("PUT", f"{path}/n/finalize", unchanged | {"spec": {}})
        await api.refused("GET", f"{path}/n", reason="NotFound")


async def test_events_have_two_faces_and_one_store(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        event = {
            "metadata": {"name": "e"}, "message": "hello", "reason": "R", "type": "Normal",
            "involvedObject": {"kind": "Pod", "name": "p"}, "count": 1,
            "lastTimestamp": "2999-01-01T00:00:00Z",
        }  # fmt: skip
        await api.create("events", event)
        other = "/apis/events.k8s.io/v1/namespaces/default/events"

        seen = await api.ask("GET", f"{other}/e")

        assert (seen["apiVersion"], seen["note"]) == ("events.k8s.io/v1", "hello")
        assert seen["regarding"]["name"] == "p"
        patch = {"deprecatedCount": 2}
        await api.ask("PATCH", f"{other}/e", patch, media=MERGE)
        assert (await api.ask("GET", f"{CORE}/events/e"))["count"] == 2
        found = await api.ask("GET", f"{CORE}/events?fieldSelector=involvedObject.name=p")
        assert len(found["items"]) == 1


async def test_events_live_for_an_hour(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        event = {"involvedObject": {"kind": "Pod", "name": "p"}, "message": "m", "reason": "R"}
        await api.create("events", event | {"metadata": {"name": "e"}})
        driver = api.peer.driver
        assert driver is not None
        wall_ms = driver.wall_ms

        driver.wall_ms = lambda: wall_ms() + 3_500_000
        assert len((await api.ask("GET", f"{CORE}/events"))["items"]) == 1
        driver.wall_ms = lambda: wall_ms() + 3_700_000
        assert not (await api.ask("GET", f"{CORE}/events"))["items"]


async def test_secrets_take_text_and_keep_bytes(tmp_path: Path) -> None:
    async with kube_peer(tmp_path) as api:
        path = f"{CORE}/secrets/s?fieldManager=m"
        config = {"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "hello"}}

        made = await api.ask("PATCH", path, config, media=APPLY, status=201)

        assert made["data"] == {"a": "aGVsbG8="}
        assert "stringData" not in made
        assert await api.ask("PATCH", path, config, media=APPLY) == made


@pytest.mark.parametrize(
    ("method", "path", "media", "body", "reason"),
    [
        ("POST", MAPS, "text/plain", b"x", "UnsupportedMediaType"),
        ("POST", MAPS, "application/json", b"{", "BadRequest"),
        ("POST", MAPS, "application/json", b"[]", "BadRequest"),
        ("POST", MAPS, "application/json", b'{"metadata":3}', "BadRequest"),
        ("POST", MAPS, "application/json", b'{"kind":"Secret","metadata":{"name":"x"}}',
         "BadRequest"),
        ("POST", MAPS, "application/json", b'{"metadata":{"name":"x","namespace":"o"}}',
         "BadRequest"),
        ("POST", MAPS, "application/json", b'{"metadata":{"name":"x"},"data":{"k":1}}', "Invalid"),
        ("POST", f"{MAPS}/x", "application/json", b"{}", "MethodNotAllowed"),
        ("PUT", f"{MAPS}/x", "application/json", b"{}", "NotFound"),
        ("PATCH", f"{MAPS}/x", "application/json", b"{}", "UnsupportedMediaType"),
        ("PATCH", f"{MAPS}/x", MERGE, b"{}", "NotFound"),
        ("DELETE", f"{MAPS}/x", "application/json", b"", "NotFound"),
        ("GET", "/api/v1/nothings", "application/json", b"", "NotFound"),
        ("GET", f"{CORE}/nodes", "application/json", b"", "NotFound"),
        ("GET", f"{CORE}/configmaps?labelSelector=a%20b%20c", "", b"", "BadRequest"),
        ("GET", f"{CORE}/configmaps?resourceVersion=abc", "", b"", "BadRequest"),
        ("GET", f"{CORE}/configmaps?continue=abc", "", b"", "BadRequest"),
        ("POST", "/version", "", b"", "MethodNotAllowed"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_refused_with_a_status(
    tmp_path: Path, method: str, path: str, media: str, body: bytes, reason: str
) -> None:
    async with kube_peer(tmp_path) as api:
        await api.refused(method, path, body or None, media=media or "a/b", reason=reason)
