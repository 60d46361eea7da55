"""KWR-1: a default that was only read is not written."""

from copy import deepcopy
from typing import Any

from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.defaulting import apply_defaults
from crdtstate.kube.schema import Schema
from crdtstate.kube.undefault import without_defaults

DEPLOYMENT = next(r.schema for r in builtin_resources() if r.kind == "Deployment")


def stored() -> dict[str, Any]:
    container = {"name": "c", "image": "i:1", "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


def read() -> dict[str, Any]:
    return deepcopy(apply_defaults(DEPLOYMENT, stored()))


def written(new: dict[str, Any]) -> dict[str, Any]:
    return without_defaults(DEPLOYMENT, new, stored(), read())


def test_an_object_that_is_put_back_as_it_was_read_is_what_is_stored() -> None:
    assert read() != stored()
    assert written(read()) == stored()


def test_only_what_was_changed_is_written() -> None:
    new = read()
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"

    expected = stored()
    expected["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"
    assert written(new) == expected


def test_a_default_that_is_changed_is_written() -> None:
    new = read()
    new["spec"]["replicas"] = 5

    assert written(new)["spec"]["replicas"] == 5


def test_an_item_that_is_new_keeps_what_its_writer_says() -> None:
    new = read()
    more = {"name": "d", "image": "j", "terminationMessagePolicy": "File"}
    new["spec"]["template"]["spec"]["containers"].append(more)

    assert written(new)["spec"]["template"]["spec"]["containers"][1] == more


def test_an_item_that_moved_is_found_by_its_key() -> None:
    new = read()
    containers = new["spec"]["template"]["spec"]["containers"]
    containers.insert(0, {"name": "first", "image": "j"})

    assert (
        written(new)["spec"]["template"]["spec"]["containers"][1]
        == (stored()["spec"]["template"]["spec"]["containers"][0])
    )


def test_an_atomic_list_is_what_it_was_unless_it_changed() -> None:
    item = Schema("object", properties={"a": Schema("scalar", has_default=True, default=1)})
    schema = Schema("object", properties={"list": Schema("array", items=item)})
    before: dict[str, Any] = {"list": [{}, {}]}
    shown = apply_defaults(schema, before)

    assert without_defaults(schema, deepcopy(shown), before, shown) == before
    changed = without_defaults(schema, {"list": [{"a": 2}]}, before, shown)
    assert changed == {"list": [{"a": 2}]}
