"""Label and field selectors against the cases of the published grammar."""

from typing import Any

import pytest

from crdtstate.kube.resources import Resource
from crdtstate.kube.schema import ANY
from crdtstate.kube.selectors import parse_fields, parse_labels, selection, selector_text
from crdtstate.kube.statuses import StatusError

PODS = Resource(
    "", "v1", "Pod", "pods", "pod", True, ANY,
    selectable=("spec.nodeName", "spec.hostNetwork", "spec.schedulerName", "status.phase"),
)  # fmt: skip
EVENTS = Resource(
    "", "v1", "Event", "events", "event", True, ANY,
    selectable=(
        "involvedObject.kind", "involvedObject.name", "reportingComponent", "source", "type",
    ),
)  # fmt: skip
WIDGETS = Resource(
    "demo.example.com", "v1", "Widget", "widgets", "widget", True, ANY,
    selectable=(".spec.color", ".spec.size"), custom=True,
)  # fmt: skip
LABELS = {"app": "web", "tier": "front", "n": "7", "example.com/x": "", "in": "notin"}


def body(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "b", "labels": labels}}


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "app", "!absent", "! absent", "app=web", "app==web", "app = web", "app!=db",
        "absent!=x", "app in (web)", "app in (db,web)", "app in ( db , web )", "app notin (db)",
        "absent notin (db)", "app,tier=front", "n>6", "n<8", "example.com/x=", "example.com/x",
        "example.com/x in ()", "example.com/x in (,a)", "in in (notin)", "in=notin",
        "tier!=back,app", "app notin ()",
    ],
)  # fmt: skip
def test_the_selector_matches(text: str) -> None:
    assert selection(PODS, text).matches(body(**LABELS))


@pytest.mark.parametrize(
    "text",
    [
        "absent", "!app", "app=db", "app!=web", "app in (db)", "app in ()", "app notin (web)",
        "n>7", "n<7", "app>1", "absent>1", "app,absent", "app=", "example.com/x=a",
    ],
)  # fmt: skip
def test_the_selector_does_not_match(text: str) -> None:
    assert not selection(PODS, text).matches(body(**LABELS))


@pytest.mark.parametrize(
    "text",
    [
        "=", "a=b=c", "a,", ",a", "a,,b", "a in", "a in (", "a in b", "a in (b", "a in (b c)",
        "!", "!=x", "a!b", "!a=b", "a b", "a>b", "a>", "-a", "a/b/c", "/a", "A/b", "a=-b",
        "a=b c", "a in (b!c)", "()", "a" * 64, "a=" + "b" * 64, ("b" * 254) + "/a", "a==!b",
        "a\x00", ",".join(["a"] * 300), "a" * 20_000,
    ],
)  # fmt: skip
def test_what_is_no_label_selector_is_a_bad_request(text: str) -> None:
    with pytest.raises(StatusError) as refusal:
        selection(PODS, text)

    assert (refusal.value.status, refusal.value.reason) == (400, "BadRequest")


def test_fields_are_read_where_the_kind_keeps_them() -> None:
    pod = {
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"nodeName": "peer-1"},
        "status": {"phase": "Running"},
    }
    for text, expected in {
        "metadata.name=a": True, "metadata.name==a": True, "metadata.name!=a": False,
        "metadata.name=a,metadata.name=a": True, "metadata.name=a,metadata.namespace=c": False,
        "spec.nodeName=peer-1,status.phase!=Failed": True, "spec.hostNetwork=false": True,
        "spec.schedulerName=": True, "": True,
    }.items():  # fmt: skip
        assert selection(PODS, fields=text).matches(pod) is expected, text


def test_an_event_is_selected_alike_in_both_of_its_groups() -> None:
    core = {"involvedObject": {"kind": "Pod", "name": "a"}, "source": {"component": "kopf"}}
    newer = {"regarding": {"kind": "Pod", "name": "a"}, "reportingController": "kopf"}
    text = "involvedObject.kind=Pod,involvedObject.name=a,reportingComponent!=x,source=kopf"

    assert selection(EVENTS, fields=text.replace("reportingComponent!=x,", "")).matches(core)
    assert selection(EVENTS, fields=text.replace(",source=kopf", "")).matches(newer)


def test_a_custom_kind_is_selected_by_its_selectable_fields() -> None:
    red = {"metadata": {"name": "w"}, "spec": {"color": "red", "size": 3}}

    assert selection(WIDGETS, fields="spec.color=red,spec.size=3").matches(red)
    assert not selection(WIDGETS, fields="spec.color=blue").matches(red)
    assert selection(WIDGETS, fields="spec.color=").matches({"spec": {}})


@pytest.mark.parametrize("resource", [PODS, EVENTS, WIDGETS])
def test_an_unknown_field_is_a_bad_request_that_names_it(resource: Resource) -> None:
    with pytest.raises(StatusError, match=r"field label not supported: spec\.secret") as refusal:
        selection(resource, fields="spec.secret=x")

    assert refusal.value.status == 400


@pytest.mark.parametrize("text", ["a", "=", "metadata.name=a=b", "a=b," * 300, "x" * 20_000])
def test_what_is_no_field_selector_is_a_bad_request(text: str) -> None:
    with pytest.raises(StatusError) as refusal:
        selection(PODS, fields=text)

    assert refusal.value.status == 400


def test_escapes_of_a_field_selector_are_undone() -> None:
    (term,) = parse_fields(r"metadata.name=a\,b\=c\\d")

    assert term.values == (r"a,b=c\d",)


def test_a_pinned_name_is_known_without_looking_at_objects() -> None:
    chosen = selection(PODS, fields="metadata.name=a,metadata.namespace=b")

    assert (chosen.name, chosen.namespace) == ("a", "b")
    assert selection(PODS, fields="metadata.name!=a").name is None


def test_a_selector_is_shown_in_the_text_that_selects_the_same() -> None:
    selector = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "NotIn", "values": ["z"]},
            {"key": "e", "operator": "Exists"},
            {"key": "f", "operator": "DoesNotExist"},
        ],
    }

    text = selector_text(selector)

    assert text == "a=1,b=2,c in (x,y),d notin (z),e,!f"
    assert len(parse_labels(text)) == 6
    assert selector_text({"app": "web", "a": "b"}) == "a=b,app=web"
    assert selector_text(None) == selector_text({}) == ""
