"""What is refused before anything looks into a body."""

from typing import Any

import pytest

from crdtstate.kube.builtin import builtin_resources
from crdtstate.kube.shapes import check_shapes
from crdtstate.kube.statuses import StatusError

SCHEMA = next(r.schema for r in builtin_resources() if r.kind == "Deployment")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"metadata": []}, "metadata is a list, not an object"),
        ({"spec": "x"}, "spec is a text, not an object"),
        ({"metadata": {"finalizers": 3}}, "metadata.finalizers is a number, not a list"),
        ({"spec": {"selector": True}}, "spec.selector is a boolean, not an object"),
        ({"spec": {"template": {"spec": []}}}, "spec.template.spec is a list, not an object"),
    ],
)
def test_what_is_no_object_or_list_is_named(body: dict[str, Any], told: str) -> None:
    with pytest.raises(StatusError, match=told) as refusal:
        check_shapes(SCHEMA, body)

    assert refusal.value.status == 400


def test_what_has_its_shape_or_is_unknown_or_null_is_let_through() -> None:
    check_shapes(SCHEMA, {"spec": None, "metadata": {"labels": {"a": 1}, "x": 1}, "nope": [1]})
