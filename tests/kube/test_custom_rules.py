"""A CRD with rules, met through kubectl: what is refused says why, in the words people know."""

from collections.abc import Callable, Iterator

import pytest

from tests.kube.clients import Client, binary

pytestmark = pytest.mark.e2e

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.rules.test}
spec:
  group: rules.test
  scope: Namespaced
  names: {plural: fleets, kind: Fleet}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [ships]
              x-kubernetes-validations:
                - {rule: "self.least <= self.most", message: least is over most}
                - {rule: "self.flag == oldSelf.flag", message: a fleet keeps its flag}
                - {rule: "self.ships.all(s, s.guns <= quantity(self.load).asInteger())"}
              properties:
                flag: {type: string, default: red, enum: [red, white]}
                least: {type: integer, default: 0, minimum: 0}
                most: {type: integer, default: 9}
                load: {x-kubernetes-int-or-string: true, default: 1k}
                ships:
                  type: array
                  maxItems: 3
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    required: [name]
                    properties:
                      name: {type: string, pattern: "^[a-z]+$"}
                      guns: {type: integer, default: 1}
"""

FLEET = """
apiVersion: rules.test/v1
kind: Fleet
metadata: {name: home}
spec: {ships: [{name: ann}, {name: bob, guns: 4}]}
"""


@pytest.fixture
def kubectl(client: Callable[[list[str]], Client]) -> Iterator[Client]:
    made = client([binary("kubectl")])
    made.run("create", "namespace", "rules", status=None)
    made.command += ["--namespace", "rules"]
    made.run("apply", "-f", "-", stdin=CRD)
    made.run("wait", "--for=condition=Established", "crd/fleets.rules.test")
    yield made
    made.run("delete", "fleets", "--all")


def test_a_definition_whose_rules_cannot_work_is_refused(kubectl: Client) -> None:
    broken = CRD.replace("self.least <=", "self.lest <=").replace("fleets", "floats")
    printed = kubectl.run("apply", "-f", "-", stdin=broken, status=1)
    assert "compilation failed: undefined field 'lest'" in printed
    broken = CRD.replace("list-map-keys: [name]", "list-map-keys: [nome]").replace("fleets", "f")
    printed = kubectl.run("apply", "-f", "-", stdin=broken, status=1)
    assert "entries must all be names of item properties" in printed


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("spec: {", "spec: {least: 10, ", 'spec: Invalid value: "object": least is over most'),
        ("spec: {", "spec: {flag: blue, ", 'spec.flag: Unsupported value: "blue"'),
        ("guns: 4", "guns: 2000", "failed rule: self.ships.all"),
        ("name: ann", "name: Ann", "spec.ships[0].name in body should match '^[a-z]+$'"),
        ("name: ann", "name: bob", 'spec.ships[1]: Duplicate value: {"name":"bob"}'),
        ("spec: {ships", "spec: {sheeps", 'unknown field "spec.sheeps"'),
        ("[{name: ann}, {name: bob, guns: 4}]", "[{}]", "spec.ships[0].name: Required value"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(
    kubectl: Client, before: str, after: str, text: str
) -> None:
    printed = kubectl.run("apply", "-f", "-", stdin=FLEET.replace(before, after), status=1)
    assert text in printed


def test_updates_are_held_against_what_they_change(kubectl: Client) -> None:
    kubectl.run("apply", "--server-side", "-f", "-", stdin=FLEET)
    shown = kubectl.json("get", "fleet", "home")["spec"]
    assert (shown["flag"], shown["load"], shown["ships"][0]["guns"]) == ("red", "1k", 1)
    patch = ("patch", "fleet", "home", "--type=merge", "-p")
    printed = kubectl.run(*patch, '{"spec": {"flag": "white"}}', status=1)
    assert "a fleet keeps its flag" in printed
    # The rules grow stricter than what is stored: what an update leaves alone is let pass.
    stricter = CRD.replace("maxItems: 3", "maxItems: 1").replace("^[a-z]+$", "^a[a-z]+$")
    kubectl.run("apply", "-f", "-", stdin=stricter)
    kubectl.run("label", "fleet", "home", "seen=yes")
    kubectl.run(*patch, '{"spec": {"most": 10}}')
    more = FLEET.replace("{name: ann}", "{name: ann}, {name: zoe}")
    printed = kubectl.run("apply", "--server-side", "-f", "-", stdin=more, status=1)
    assert "spec.ships: Too many: 3: must have at most 1 items" in printed
    assert "should match '^a[a-z]+$'" in printed


def test_two_managers_own_a_ship_each(kubectl: Client) -> None:
    kubectl.run("apply", "--server-side", "-f", "-", stdin=FLEET)
    third = FLEET.replace("[{name: ann}, {name: bob, guns: 4}]", "[{name: cat, guns: 2}]")
    kubectl.run("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=third)
    names = [ship["name"] for ship in kubectl.json("get", "fleet", "home")["spec"]["ships"]]
    assert sorted(names) == ["ann", "bob", "cat"]
    clash = third.replace("cat", "bob")
    arguments = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    printed = kubectl.run(*arguments, stdin=clash, status=1)
    assert 'conflict with "kubectl": .spec.ships[name="bob"].guns' in printed
    kubectl.run(*arguments, "--force-conflicts", stdin=clash)
    ships = kubectl.json("get", "fleet", "home")["spec"]["ships"]
    assert {ship["name"]: ship["guns"] for ship in ships} == {"ann": 1, "bob": 2}
