"""Strategic merge patch: by key, with its directives."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given

from crdtstate.kube.statuses import StatusError
from crdtstate.kube.strategic import strategic_merge
from crdtstate.kube.typed import merge
from tests.crdtstate.kube.bodies import bodies
from tests.crdtstate.kube.kinds_for_tests import kind, sample

Body = dict[str, Any]


def pod(containers: list[Any], **more: Any) -> Body:
    return {"spec": {"containers": containers, **more}}


def names(items: list[Any]) -> list[str]:
    return [item["name"] for item in items]


A, B, C = ({"name": name, "image": name} for name in "abc")

CASES: list[tuple[str, str, Body, Body, Body]] = [
    ("maps merge, null removes", "ConfigMap", {"data": {"x": "1", "y": "2"}},
     {"data": {"x": None, "z": "3"}}, {"data": {"y": "2", "z": "3"}}),
    ("items merge by their key", "Pod", pod([A, B]), pod([{"name": "b", "image": "n"}]),
     pod([A, {"name": "b", "image": "n"}])),
    ("a new item stands where the patch has it, the others where they were", "Pod", pod([A, B]),
     pod([C]), pod([C, A, B])),
    ("a field of an item is removed by null", "Pod", pod([{**A, "tty": True}]),
     pod([{"name": "a", "tty": None}]), pod([A])),
    ("an item is deleted by its key", "Pod", pod([A, B]),
     pod([{"name": "a", "$patch": "delete"}]), pod([B])),
    ("a list is replaced", "Pod", pod([A, B]), pod([{"$patch": "replace"}, C]), pod([C])),
    ("a list without a key is replaced", "Pod", pod([{**A, "command": ["x", "y"]}]),
     pod([{"name": "a", "command": ["z"]}]), pod([{**A, "command": ["z"]}])),
    ("a map is replaced", "Pod", {"metadata": {"labels": {"x": "1"}}},
     {"metadata": {"labels": {"$patch": "replace", "y": "2"}}},
     {"metadata": {"labels": {"y": "2"}}}),
    ("a map is emptied", "Pod", {"metadata": {"labels": {"x": "1"}}},
     {"metadata": {"labels": {"$patch": "delete"}}}, {"metadata": {"labels": {}}}),
    ("ports merge by number", "Service", {"spec": {"ports": [{"port": 80}, {"port": 81}]}},
     {"spec": {"ports": [{"port": 80, "name": "web"}]}},
     {"spec": {"ports": [{"port": 80, "name": "web"}, {"port": 81}]}}),
    ("finalizers are added", "Pod", {"metadata": {"finalizers": ["a", "b"]}},
     {"metadata": {"finalizers": ["b", "c"]}}, {"metadata": {"finalizers": ["a", "b", "c"]}}),
    ("finalizers are deleted from", "Pod", {"metadata": {"finalizers": ["a", "b"]}},
     {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
     {"metadata": {"finalizers": ["b"]}}),
    ("an order of scalars is set", "Pod", {"metadata": {"finalizers": ["a", "b", "c"]}},
     {"metadata": {"$setElementOrder/finalizers": ["c", "a", "d"], "finalizers": ["d"]}},
     {"metadata": {"finalizers": ["b", "c", "a", "d"]}}),
    ("an order of items is set", "Pod", pod([A, B]),
     pod([{"name": "c", "image": "c"}],
         **{"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}),
     pod([C, B, A])),
    ("an order alone reorders", "Pod", pod([A, B, C]),
     {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}},
     pod([B, C, A])),
    ("an order with a deletion", "Pod", pod([A, B, C]),
     pod([{"name": "b", "$patch": "delete"}],
         **{"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}),
     pod([C, A])),
    ("an order for a list that is not there yet", "Pod", {"spec": {}},
     pod([B, A], **{"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}]}),
     pod([A, B])),
    ("keys that are retained", "Deployment",
     {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
     {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
     {"spec": {"strategy": {"type": "Recreate"}}}),
    ("keys that are retained in an item", "Pod",
     {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
     {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"],
                            "hostPath": {"path": "/x"}}]}},
     {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}}),
    ("directives and nulls of what is new are not stored", "Pod", {"spec": {}},
     pod([{"name": "a", "$retainKeys": ["name"], "tty": None}, {"name": "z", "$patch": "delete"}]),
     pod([{"name": "a"}])),
    ("environment merges by name", "Pod", pod([{**A, "env": [{"name": "X", "value": "1"}]}]),
     pod([{"name": "a", "env": [{"name": "Y", "value": "2"}]}]),
     pod([{**A, "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}])),
    ("conditions merge by type", "Pod", {"status": {"conditions": [{"type": "Ready", "x": "1"}]}},
     {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
     {"status": {"conditions": [{"type": "Ready", "x": "1", "status": "True"}]}}),
    ("owner references merge by uid", "Pod",
     {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}]}},
     {"metadata": {"ownerReferences": [{"uid": "1", "$patch": "delete"}]}},
     {"metadata": {"ownerReferences": []}}),
    ("another type replaces", "ConfigMap", {"data": {"x": "1"}}, {"data": None}, {}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_case(case: tuple[str, str, Body, Body, Body]) -> None:
    _, name, live, patch, result = case
    before = deepcopy((live, patch))
    assert strategic_merge(kind(name).schema, live, patch) == result
    assert (live, patch) == before


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        ({"data": {"$patch": "sing"}}, "unknown patch type 'sing'"),
        ({"metadata": {"$retainKeys": "x"}}, "is no list"),
        ({"metadata": {"$retainKeys": ["x"], "labels": {}}}, "'labels' is patched"),
        ({"metadata": {"$setElementOrder/finalizers": "x"}}, "is no list"),
        ({"metadata": {"$setElementOrder/labels": []}}, "no list"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}, "is no list"),
        ({"metadata": {"$setElementOrder/finalizers": ["a"], "finalizers": ["b"]}}, "every item"),
        ({"metadata": {"finalizers": [{}]}}, "scalars"),
        ({"metadata": {"ownerReferences": [{"name": "x"}]}}, "lacks its merge key 'uid'"),
        ({"metadata": {"ownerReferences": ["x"]}}, "is no map"),
        ({"metadata": {"ownerReferences": [{"$patch": "delete"}]}}, "lacks its merge key"),
        ({"metadata": {"ownerReferences": [{"$patch": "zap", "uid": "1"}]}}, "unknown patch"),
    ],
)
def test_a_directive_that_does_not_fit_is_refused(patch: Body, text: str) -> None:
    live: Body = {
        "metadata": {"finalizers": ["a"], "labels": {"x": "y"}, "ownerReferences": [{"uid": "1"}]},
        "data": {"x": "1"},
    }
    with pytest.raises(StatusError, match=text) as refused:
        strategic_merge(kind("ConfigMap").schema, live, patch)
    assert refused.value.reason == "BadRequest"


@given(bodies(), bodies())
def test_without_merge_keys_it_is_a_merge_of_maps(live: Body, patch: Body) -> None:
    schema = sample().schema
    once = strategic_merge(schema, live, patch)
    assert strategic_merge(schema, once, patch) == once
    assert strategic_merge(schema, live, {}) == live
    for name in ("str", "map", "sub"):
        if name in patch:
            assert merge(schema, once, {name: patch[name]}) == once
