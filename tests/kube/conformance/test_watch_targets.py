"""Conformance targets 45-52: pages, tables, and watches."""

import threading

import pytest

from tests.kube.conformance.here import Here

pytestmark = pytest.mark.e2e
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def make(here: Here, name: str, **labels: str) -> int:
    """Make a ConfigMap; return its version."""
    body = {"metadata": {"name": name, "labels": labels}, "data": {"n": "0"}}
    made = here.create(here.path("configmaps"), body)
    return int(made["metadata"]["resourceVersion"])


def change(here: Here, name: str, n: int) -> int:
    """Change it; return its version."""
    changed = here.patch(here.path("configmaps", name), {"data": {"n": str(n)}})
    return int(changed["metadata"]["resourceVersion"])


def test_45_a_list_comes_in_pages_of_one_version(here: Here) -> None:
    path = here.path("configmaps")
    for n in range(25):
        make(here, f"c{n:02}")
    here.move()
    first = here.get(path, limit="10")
    versions, names, left = {first["metadata"]["resourceVersion"]}, [], []
    page = first
    while True:
        names += [item["metadata"]["name"] for item in page["items"]]
        left.append(page["metadata"].get("remainingItemCount", 0))
        more = page["metadata"].get("continue")
        if not more:
            break
        page = here.get(path, limit="10", **{"continue": more})
        versions.add(page["metadata"]["resourceVersion"])

    assert names == [f"c{n:02}" for n in range(25)]
    assert left == [15, 5, 0]
    assert len(versions) == 1


def test_46_a_page_that_is_too_late_says_how_to_go_on(here: Here) -> None:
    """A peer goes on from any page it began; another peer did not begin it, and says 410."""
    path = here.path("configmaps")
    for n in range(5):
        make(here, f"c{n}")
    token = here.get(path, limit="2")["metadata"]["continue"]
    here.move()
    if here.moves:
        refused = here.ask("GET", path, status=410, limit="2", **{"continue": token}).body
        assert refused["reason"] == "Expired"
        token = refused["metadata"]["continue"]

    names = []
    while token:
        page = here.get(path, limit="2", **{"continue": token})
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
    assert names == ["c2", "c3", "c4"]


def test_47_what_has_no_table_says_so(here: Here) -> None:
    here.move()
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}  # fmt: skip

    assert here.ask("POST", path, body, accept=TABLE, status=406).body["reason"] == "NotAcceptable"
    assert here.ask("GET", here.path("configmaps"), accept=TABLE).body["kind"] == "Table"


def test_48_a_watch_goes_on_from_the_last_version_that_was_seen(here: Here) -> None:
    here.move()
    path = here.path("configmaps")
    since = here.get(path)["metadata"]["resourceVersion"]
    with here.watch(path, resourceVersion=since) as first:
        make(here, "c")
        change(here, "c", 1)
        first.wait(["ADDED", "MODIFIED"], "c")
        last = first.versions()[-1]
    change(here, "c", 2)
    here.ask("DELETE", here.path("configmaps", "c"))
    with here.watch(path, resourceVersion=str(last)) as second:
        second.wait(["MODIFIED", "DELETED"], "c")


def test_49_a_watch_starts_from_a_version(here: Here) -> None:
    here.move()
    made = make(here, "c")
    first, second = change(here, "c", 1), change(here, "c", 2)
    here.ask("DELETE", here.path("configmaps", "c"))

    assert made < first < second
    with here.watch(here.path("configmaps"), resourceVersion=str(first)) as watch:
        watch.wait(["MODIFIED", "DELETED"], "c")


def test_50_watchers_with_selectors_see_their_own(here: Here) -> None:
    here.move()
    path = here.path("configmaps")
    since = here.get(path)["metadata"]["resourceVersion"]
    with (
        here.watch(path, resourceVersion=since, labelSelector="w=a") as a,
        here.watch(path, resourceVersion=since, labelSelector="w=b") as b,
        here.watch(path, resourceVersion=since, labelSelector="w in (a,b)") as both,
    ):
        make(here, "x", w="a")
        change(here, "x", 1)
        make(here, "y", w="b")
        here.ask("DELETE", here.path("configmaps", "y"))
        a.wait(["ADDED", "MODIFIED"])
        b.wait(["ADDED", "DELETED"])
        both.wait(["ADDED", "MODIFIED", "ADDED", "DELETED"])


def test_51_leaving_the_selector_is_deleted_and_coming_back_added(here: Here) -> None:
    here.move()
    path = here.path("configmaps")
    make(here, "c", w="a")
    since = here.get(path)["metadata"]["resourceVersion"]
    with here.watch(path, resourceVersion=since, labelSelector="w=a") as watch:
        for value in ("b", "a"):
            here.patch(here.path("configmaps", "c"), {"metadata": {"labels": {"w": value}}})
        here.ask("DELETE", here.path("configmaps", "c"))
        watch.wait(["DELETED", "ADDED", "DELETED"], "c")


def test_52_concurrent_watches_see_one_order(here: Here) -> None:
    here.move()
    path = here.path("configmaps")
    since = here.get(path)["metadata"]["resourceVersion"]

    def write() -> None:
        for n in range(40):
            make(here, f"c{n % 5}-{n}")
            change(here, f"c{n % 5}-{n}", n + 1)

    writer = threading.Thread(target=write)
    writer.start()
    with here.watch(path, resourceVersion=since) as reference:
        here.until(lambda: len(reference.versions()) >= 10, "some were written")
        starts = reference.versions()[:10]
        watches = [here.watch(path, resourceVersion=str(version)) for version in starts]
        writer.join(60)
        here.until(lambda: len(reference.versions()) == 80, "all are seen")
        order = reference.versions()
        assert order == sorted(set(order))
        for start, watch in zip(starts, watches, strict=True):
            wanted = order[order.index(start) + 1 :]
            with watch:
                here.until(lambda w=watch, s=wanted: w.versions() == s, "the same order")
