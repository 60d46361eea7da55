"""The agent's pure parts: quantities, addresses, Services, balancing, admission, environment."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.agent.addresses import machine_address, pod_address
from controllers.agent.admission import Capacity, refuse
from controllers.agent.balancing import PENALTY_MS, Balancer, Endpoint, endpoints_of
from controllers.agent.environment import command_of, environment_of, expand, service_links
from controllers.agent.launching import Machine, StartRefused, plan_launch
from controllers.agent.podspec import PodSpec, parse_pod
from controllers.agent.references import ConfigError, Lookup, names_of
from controllers.agent.services import Listener, listeners_of, missing_fields
from controllers.agent.volumes import Content, Facts, content_of, write_volume
from controllers.runtime.quantity import to_millicores, to_units
from tests.controllers.agent.virtual import pod_body


@pytest.mark.parametrize(
    ("text", "millicores"),
    [("250m", 250), ("1", 1000), ("0.5", 500), (2, 2000), ("1e1", 10_000), ("100u", 1), ("0", 0)],
)
def test_processor_quantities(text: Any, millicores: int) -> None:
    assert to_millicores(text) == millicores


@pytest.mark.parametrize(
    ("text", "units"),
    [("64Mi", 64 << 20), ("1G", 10**9), ("1.5Ki", 1536), ("100m", 1), ("2E", 2 * 10**18)],
)
def test_memory_quantities(text: str, units: int) -> None:
    assert to_units(text) == units


@pytest.mark.parametrize("text", ["", "1 Mi", "Mi", "1Mb", "0x10", "1e", "--1", "1٣"])
def test_what_is_no_quantity_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        to_units(text)


# -- addresses -------------------------------------------------------------------------------------


def test_peers_of_one_machine_get_addresses_of_their_own_and_others_keep_theirs() -> None:
    body = pod_body({"name": "c"})
    hosted = pod_body({"name": "c"}, hostNetwork=True)

    a, b = machine_address("a", "127.0.0.1"), machine_address("b", "127.0.0.1")

    assert a != b
    assert machine_address("a", "10.0.0.7") == "10.0.0.7"
    assert pod_address(body, "10.0.0.7") == "10.0.0.7"
    assert len({a, b, pod_address(body, a), pod_address(body, b)}) == 4
    assert pod_address(hosted, a) == a


def service(**spec: Any) -> dict[str, Any]:
    ports = spec.pop("ports", [{"port": 80, "name": "http"}])
    return {"metadata": {"uid": "u", "name": "s"}, "spec": {"ports": ports, **spec}}


def test_what_a_service_lacks_is_chosen_alike_everywhere_and_then_nothing_is_lacking() -> None:
    plain = service(type="NodePort")

    change = missing_fields(plain)

    assert change == missing_fields(plain)
    assert change["clusterIP"].startswith("127.")
    assert 30_000 <= change["ports"][0]["nodePort"] <= 32_767
    assert missing_fields({**plain, "spec": {**plain["spec"], **change}}) == {}
    assert missing_fields(service(clusterIP="None")) == {}
    assert missing_fields(service(type="ExternalName")) == {}


def test_a_service_is_listened_for_on_its_address_and_on_its_node_port() -> None:
    ports = [{"port": 80, "name": "h", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    full = service(type="NodePort", clusterIP="127.70.0.1", ports=ports)

    assert listeners_of(full, "10.0.0.7") == [
        Listener("127.70.0.1", 80, "h"), Listener("10.0.0.7", 30080, "h"),
    ]  # fmt: skip
    assert listeners_of(service(clusterIP="10.96.0.1"), "10.0.0.7") == []


# -- balancing -------------------------------------------------------------------------------------


def balancer() -> Balancer:
    made = Balancer("a")
    made.set([Endpoint("1", 1, "a"), Endpoint("2", 1, "a"), Endpoint("3", 1, "b")])
    return made


def test_endpoints_of_this_machine_come_first_each_in_turn() -> None:
    """BAL-1."""
    made = balancer()
    orders = [[e.host for e in made.order(0)] for _ in range(2)]
    assert sorted(orders) == [["1", "2", "3"], ["2", "1", "3"]]


def test_one_that_has_failed_comes_last_until_its_penalty_is_over() -> None:
    """BAL-2."""
    made = balancer()
    made.failed(Endpoint("1", 1, "a"), 0)

    assert [e.host for e in made.order(1)] == ["2", "3", "1"]
    assert {e.host for e in made.order(PENALTY_MS)[:2]} == {"1", "2"}
    made.failed(Endpoint("1", 1, "a"), 0)
    made.succeeded(Endpoint("1", 1, "a"))
    assert made.order(1)[-1].host == "3"


def test_one_client_keeps_its_endpoint_while_it_is_there() -> None:
    made = balancer()
    first = made.order(0, "10.0.0.9")[0]

    assert all(made.order(0, "10.0.0.9")[0] == first for _ in range(5))


def test_ending_endpoints_serve_only_where_none_is_ready() -> None:
    def row(address: str, **conditions: bool) -> dict[str, Any]:
        return {"addresses": [address], "conditions": conditions, "nodeName": "a"}

    ending = row("2", ready=False, serving=True, terminating=True)
    body = {"ports": [{"name": "http", "port": 8080}], "endpoints": [row("1", ready=True), ending]}
    only = {**body, "endpoints": [ending, row("3", ready=False, serving=False)]}

    assert endpoints_of([body], "http") == (Endpoint("1", 8080, "a"),)
    assert endpoints_of([only], "http") == (Endpoint("2", 8080, "a"),)
    assert endpoints_of([body], "other") == ()


# -- admission -------------------------------------------------------------------------------------


def asking(name: str, cpu: str = "0", memory: str = "0", **more: Any) -> PodSpec:
    body = pod_body(
        {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}
    )
    body["metadata"]["uid"] = body["metadata"]["name"] = name
    return parse_pod(body)


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=20),
)
def test_what_is_admitted_never_exceeds_what_there_is(wanted: list[tuple[int, int]]) -> None:
    """ADM-1."""
    capacity = Capacity(2_000, 2_000, 10)
    admitted: list[PodSpec] = []
    for n, (cpu, memory) in enumerate(wanted):
        pod = asking(f"p{n}", f"{cpu}m", str(memory))
        if refuse(pod, admitted, capacity) is None:
            admitted.append(pod)
    assert sum(pod.millicores for pod in admitted) <= 2_000
    assert sum(pod.memory_bytes for pod in admitted) <= 2_000
    assert len(admitted) <= 10


def test_refusals_have_the_reasons_of_kubernetes() -> None:
    there = asking("there", "1500m", "1Gi", ports=[{"containerPort": 80, "hostPort": 80}])
    capacity = Capacity(2_000, 2 << 30, 10)

    def reason(pod: PodSpec) -> str:
        return (refuse(pod, [there], capacity) or ("", ""))[0]

    assert reason(asking("p", "501m")) == "OutOfcpu"
    assert reason(asking("p", "0", "1025Mi")) == "OutOfmemory"
    assert reason(asking("p", ports=[{"containerPort": 80, "hostPort": 80}])) == "NodePorts"
    assert reason(asking("p", "500m", "1Gi")) == ""
    assert refuse(asking("p"), [there], Capacity(0, 0, 1)) == (
        "OutOfpods",
        "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 1, "
        "capacity: 1",
    )


# -- configuration ---------------------------------------------------------------------------------

LOOKUP = Lookup(
    {
        ("ConfigMap", "c"): {"data": {"k": "v", "n": "1"}, "binaryData": {"b": "YmI="}},
        ("Secret", "s"): {"data": {"p": "cGFzcw=="}},
        ("ConfigMap", "gone"): None,
    }
)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"), ("x$(A)y$(A)", "x1y1"), ("$(NO)", "$(NO)"), ("$$(A)", "$(A)"), ("$A", "$A"),
        ("$", "$"), ("$(A", "$(A"),
    ],
)  # fmt: skip
def test_references_in_text_are_expanded(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def environment(*env: dict[str, Any], **more: Any) -> dict[str, str]:
    container = {"name": "c", "env": list(env), **more}
    body = pod_body(container)
    body["metadata"]["labels"] = {"app": "web"}
    return environment_of(
        body, container, LOOKUP, base={"PATH": "/bin"}, facts={"status.podIP": "127.9.9.9"},
        allocatable={"cpu": "2", "memory": "1Gi"},
    )  # fmt: skip


def test_the_environment_has_all_its_sources() -> None:
    found = environment(
        {"name": "PLAIN", "value": "x"},
        {"name": "AFTER", "value": "$(PLAIN)y"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
        {
            "name": "NONE",
            "valueFrom": {"secretKeyRef": {"name": "x", "key": "p", "optional": True}},
        },
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        envFrom=[{"configMapRef": {"name": "c"}, "prefix": "C_"}],
    )

    assert found == {
        "PATH": "/bin", "C_k": "v", "C_n": "1", "C_b": "bb", "PLAIN": "x", "AFTER": "xy",
        "IP": "127.9.9.9", "APP": "web", "K": "v", "P": "pass", "CPUS": "2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "gone", "key": "k"}}, 'configmap "gone" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "no"}}, "couldn't find key no in ConfigMap c"),
        ({"secretKeyRef": {"name": "gone", "key": "k"}}, 'secret "gone" not found'),
        ({"fieldRef": {"fieldPath": "spec.color"}}, "'spec.color' is not a field"),
        ({"somethingNew": {}}, "is not known"),
    ],
)
def test_what_is_missing_is_named(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        environment({"name": "A", "valueFrom": source})


def test_a_command_without_arguments_and_arguments_without_a_command() -> None:
    assert command_of({"command": ["a"], "args": ["$(X)"]}, {"X": "1"}) == ["a", "1"]
    assert command_of({"args": ["b"]}, {}) == []


def test_services_are_named_in_the_environment() -> None:
    web = {"metadata": {"name": "my-web"}, "spec": {"clusterIP": "127.70.0.1",
           "ports": [{"port": 80, "name": "http"}]}}  # fmt: skip
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}

    links = service_links([web, headless])

    assert links["MY_WEB_SERVICE_HOST"] == "127.70.0.1"
    assert links["MY_WEB_SERVICE_PORT_HTTP"] == "80"
    assert links["MY_WEB_PORT_80_TCP"] == "tcp://127.70.0.1:80"
    assert not any(name.startswith("H_") for name in links)


def test_everything_that_a_pod_refers_to_is_found() -> None:
    body = pod_body(
        {
            "name": "c", "envFrom": [{"secretRef": {"name": "e"}}],
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}],
        },
        volumes=[
            {"name": "v", "secret": {"secretName": "s"}},
            {"name": "w", "projected": {"sources": [{"configMap": {"name": "p"}}]}},
        ],
    )  # fmt: skip
    assert names_of(body) == [
        ("ConfigMap", "c"), ("ConfigMap", "p"), ("Secret", "e"), ("Secret", "s"),
    ]  # fmt: skip


# -- volumes ---------------------------------------------------------------------------------------

FACTS = Facts({"status.podIP": "127.9.9.9"}, {})


def content(volume: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    found = content_of({"name": "v", **volume}, pod_body({"name": "c"}), LOOKUP, FACTS)
    assert found is not None
    return found.files


def test_volumes_hold_what_they_name() -> None:
    assert content({"configMap": {"name": "c"}})["b"] == (b"bb", 0o644)
    items = [{"key": "p", "path": "deep/er", "mode": 0o400}]
    assert content({"secret": {"secretName": "s", "items": items}}) == {"deep/er": (b"pass", 0o400)}
    downward = {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}
    sources = [{"configMap": {"name": "c", "items": [{"key": "k", "path": "k"}]}},
               {"downwardAPI": downward}]  # fmt: skip
    assert content({"projected": {"sources": sources, "defaultMode": 0o600}}) == {
        "k": (b"v", 0o600), "name": (b"p", 0o600),
    }  # fmt: skip


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x"])
def test_a_path_out_of_a_volume_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="is not a path inside"):
        content({"configMap": {"name": "c", "items": [{"key": "k", "path": path}]}})


def test_a_volume_changes_in_one_step(tmp_path: Path) -> None:
    place = tmp_path / "v"
    first = Content({"a": (b"1", 0o644), "d/b": (b"1", 0o600)})

    assert write_volume(place, first)
    assert not write_volume(place, first)
    held = (place / "..data").resolve()
    assert write_volume(place, Content({"a": (b"2", 0o644)}))

    assert (place / "a").read_bytes() == b"2"
    assert not (place / "d").is_symlink()
    assert not held.exists()
    assert sorted(p.name for p in place.iterdir() if not p.name.startswith("..")) == ["a"]


# -- launching -------------------------------------------------------------------------------------


def launch(container: dict[str, Any], **machine: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": "a", "address": "10.0.0.7", "uid": 1000, "mounts": False, "podman": None,
        "environment": {"PATH": "/bin"}, "allocatable": {},
    }  # fmt: skip
    pod = parse_pod({**pod_body(), "spec": {"containers": [{"name": "c", **container}]}})
    return plan_launch(
        pod, pod.main[0], Machine(**{**values, **machine}), LOOKUP, pod_ip="10.0.0.7",
        directory=Path("/pods/u"), volumes={"v": Path("/pods/u/volumes/v")}, links={},
    )  # fmt: skip


def test_an_image_without_a_command_runs_with_podman_where_there_is_one() -> None:
    image: dict[str, Any] = {
        "image": "nginx:1", "args": ["-g"], "env": [{"name": "A", "value": "1"}],
        "volumeMounts": [{"name": "v", "mountPath": "/etc/x", "readOnly": True}],
        "resources": {"limits": {"memory": "64Mi"}},
    }  # fmt: skip

    argv = launch(image, podman="/usr/bin/podman")["argv"]

    assert argv[:3] == ["/usr/bin/podman", "run", "--rm"]
    assert argv[-2:] == ["nginx:1", "-g"]
    assert argv[argv.index("--env") : argv.index("--env") + 2] == ["--env", "A=1"]
    assert "/pods/u/volumes/v:/etc/x:ro" in argv
    assert argv[argv.index("--memory") + 1] == str(64 << 20)
    assert not any("CRDTSTATE" in word for word in argv)
    with pytest.raises(StartRefused, match="install podman"):
        launch(image)


def test_another_user_needs_root() -> None:
    container = {"command": ["id"], "securityContext": {"runAsUser": 5, "runAsGroup": 6}}

    assert launch(container, uid=0)["uid"] == 5
    assert launch(container, uid=0)["gid"] == 6
    with pytest.raises(StartRefused, match="runAsUser 5 needs an agent that runs as root"):
        launch(container)
    root = {"command": ["id"], "securityContext": {"runAsNonRoot": True}}
    with pytest.raises(StartRefused, match="would run as root"):
        launch(root, uid=0)


def test_every_process_knows_where_its_pod_is() -> None:
    made = launch({"command": ["cat", "$(CRDTSTATE_POD_DIR)/volumes/v/x"], "workingDir": "sub"})

    assert made["argv"] == ["cat", "/pods/u/volumes/v/x"]
    assert made["cwd"] == "/pods/u/containers/c/work/sub"
    assert launch({"command": ["ls"], "workingDir": "/srv"})["cwd"] == "/srv"
