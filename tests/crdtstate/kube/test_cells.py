"""A body is cells and comes back: under every schema, and whatever a peer has put into a record."""

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.crdt.codec import encode_record
from crdtstate.crdt.record import LIFE, Path, Record
from crdtstate.errors import InvalidError, TooLargeError
from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.cache import ObjectCache
from crdtstate.kube.cells import encode_leaf, flatten, path_text, value_of
from crdtstate.kube.conflicts import list_object_conflicts
from crdtstate.kube.reading import read_lives
from crdtstate.kube.rendering import render_content
from crdtstate.kube.schema import ANY, Schema
from crdtstate.storage.memory import MemoryDisk, MemoryStorage
from crdtstate.store.conflicts import holds_conflict
from tests.models.objects import SCHEMA, X

DOT = (1 << 63, 1)
NAMES = st.sampled_from(["a", "b", "name", "x/y.z"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=30)
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def schemas(depth: int = 3) -> st.SearchStrategy[Schema]:
    """Any schema, whether or not a body fits it."""
    scalar = st.just(Schema("scalar")) | st.just(Schema("scalar", int_or_string=True))
    if not depth:
        return scalar | st.just(ANY)
    inner = schemas(depth - 1)
    named = st.dictionaries(NAMES, inner, max_size=3)
    return st.one_of(
        scalar,
        st.just(ANY),
        st.builds(
            lambda p, m: Schema("object", properties=p, map_type=m),
            named,
            st.sampled_from(("granular", "atomic")),
        ),
        st.builds(lambda i: Schema("object", additional=i), inner),
        st.builds(
            lambda i, t, k: Schema("array", items=i, list_type=t, list_keys=k),
            inner,
            st.sampled_from(("atomic", "set", "map")),
            st.sampled_from((("name",), ("a", "b"))),
        ),
    )


def cells_of(schema: Schema, body: dict[str, Any]) -> Record:
    """The record that writing `body` to an empty one gives."""
    flat = flatten(schema, body, 64)
    record: Record = {p: {DOT: (1, encode_leaf(v))} for p, v in flat.leaves.items()}
    for path, steps in flat.orders.items():
        record[*path, "@order"] = {DOT: (1, encode_leaf(steps))}
    return record


@given(schemas(), st.dictionaries(NAMES, JSON, min_size=1, max_size=4))
def test_a_body_comes_back_from_its_cells(schema: Schema, body: dict[str, Any]) -> None:
    """OBC-1. Sets have each element once, as validation requires."""
    once = render_content(cells_of(schema, body))
    again = render_content(cells_of(schema, once))

    assert repr(sorted_json(again)) == repr(sorted_json(once))
    if not _has_sets(schema):
        assert repr(sorted_json(once)) == repr(sorted_json(body))


def _has_sets(schema: Schema) -> bool:
    below = [*schema.properties.values(), schema.additional, schema.items]
    return schema.list_type == "set" or any(_has_sets(s) for s in below if s is not None)


def sorted_json(value: Any) -> Any:
    """The value with the fields of its objects in order."""
    if isinstance(value, dict):
        return {k: sorted_json(value[k]) for k in sorted(value)}
    return [sorted_json(v) for v in value] if isinstance(value, list) else value


def test_built_in_kinds_come_back() -> None:
    container = {
        "name": "web", "image": "w", "ports": [{"containerPort": 80}, {"containerPort": 81}],
        "env": [{"name": "B", "value": ""}, {"name": "A"}], "args": ["-v", "-v"],
    }  # fmt: skip
    body = {
        "metadata": {"labels": {"app.kubernetes.io/name": "x"}, "annotations": {"k": ""}},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {"containers": [container], "volumes": [
                {"name": "v", "emptyDir": {}},
            ]}},
        },
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    }  # fmt: skip
    (deployments,) = [r for r in builtin_resources() if r.kind == "Deployment"]
    record = cells_of(deployments.schema, body)

    assert render_content(record) == body
    ports = (".spec", ".template", ".spec", ".containers", '#{"name":"web"}', ".ports")
    assert (*ports, '#{"containerPort":80,"protocol":"TCP"}') in record
    assert (*ports, '#{"containerPort":80,"protocol":"TCP"}', ".protocol") not in record  # OBC-2
    assert (".status", ".conditions", '#{"type":"Available"}', ".status") not in record


STEPS = st.sampled_from([".a", "#a", '#{"name":"x"}', "~1", "~x", "@order", "@empty", "*", "", "?"])
PATHS = st.lists(STEPS, min_size=1, max_size=4).map(tuple)
VALUES = st.binary(max_size=8) | JSON.map(encode_leaf) | st.just(b"\xf5") | st.just(b"\xf4")


DERIVED = st.sampled_from([
    ("@deleted",), ("@generation", "x"), ("@generation", "y"), ("@managed",), ("@managed", "x"),
    ("@managed", '["m","Apply","v1",""]'), ("@managed", '["n","Update","v1","status"]'),
])  # fmt: skip
ENTRIES = st.dictionaries(st.sampled_from(["fieldsV1", "time", "operation", "f:a", "k:1"]), JSON)
CELLS = st.dictionaries(st.integers(1, 3), VALUES | ENTRIES.map(encode_leaf), min_size=1)
LIVES = st.binary(min_size=24, max_size=24).map(lambda raw: b"\x07" + raw) | st.binary()


@given(st.dictionaries(PATHS | DERIVED, CELLS, max_size=8), LIVES)
def test_whatever_a_peer_has_written_is_rendered(
    cells: dict[Path, dict[int, bytes]], life: bytes
) -> None:
    record: Record = {
        path: {(DOT[0] + n, n): (1, value) for n, value in cell.items()}
        for path, cell in cells.items()
    }
    record[LIFE] = {DOT: (1, life)}
    storage = MemoryStorage(MemoryDisk())
    batch = storage.batch()
    batch.put(b"r" + X.key.encode() + b"\0", encode_record(record))
    batch.put(b"c" + X.key.encode() + b"\0", b"")
    storage.write(batch)

    (*_, shown) = (None, *read_lives(storage, X.key))
    cache = ObjectCache(DOT[0], 0)
    cache.update(X.key, [shown] if shown else [], 0)
    conflicts, _ = list_object_conflicts(storage)

    assert msgspec.json.encode([c.body for c in cache.list(X.key.stored_as)])
    assert msgspec.json.encode(conflicts)
    assert holds_conflict(record) in (True, False)
    assert all(path_text(path) for path in cells)


@given(JSON)
def test_a_leaf_is_read_as_it_was_written(value: Any) -> None:
    assert repr(sorted_json(value_of(encode_leaf(value)))) == repr(sorted_json(value))


@pytest.mark.parametrize(
    "data", [b"", b"\xc2\x41\x01", b"\x5f", b"\x41", b"\x41{", b"\x62\xff\xff", b"\x7a\x00", b"["]
)
def test_a_leaf_that_nobody_writes_is_null(data: bytes) -> None:
    assert value_of(data) is None


def test_a_deep_path_of_a_peer_does_not_stop_the_rest() -> None:
    deep: Path = (".a",) * 5_000
    record: Record = {deep: {DOT: (1, b"\xf5")}, (".b",): {DOT: (1, b"\x01")}}

    assert render_content(record) == {"b": 1}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"spec": {"anything": 1 << 64}}, InvalidError),
        ({"spec": {"containers": [{"name": "w", "args": [1 << 70]}]}}, InvalidError),
        ({"spec": {"limits": float("inf")}}, InvalidError),
    ],
)
def test_what_json_cannot_hold_is_refused(body: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"\.spec"):
        flatten(SCHEMA, body, 64)


@pytest.mark.parametrize("inner", [{}, [], {"a": 1}])
def test_excess_depth_is_refused(inner: Any) -> None:
    rng = Random(0)
    value = inner
    for _ in range(70):
        value = {"a": value} if rng.random() < 0.5 else [value]
    with pytest.raises(TooLargeError, match="nested"):
        flatten(SCHEMA, {"spec": {"anything": value}}, 64)


def test_paths_are_shown_as_people_write_them() -> None:
    path = (".spec", ".containers", '#{"name":"web"}', ".ports", '#{"containerPort":80}', ".name")
    assert path_text(path) == '.spec.containers[name="web"].ports[containerPort=80].name'
