"""What `kubectl create` and its like make: they send protobuf, and only that."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.kube.clients import Client, binary

pytestmark = pytest.mark.e2e
Make = Callable[[list[str]], Client]

COMMANDS = (
    "create deployment web --image=nginx --replicas=0 --port=80",
    "create secret generic s --from-literal=a=b",
    "create configmap c --from-literal=a=b",
    "create job j --image=busybox -- date",
    "create cronjob cj --image=busybox --schedule=@hourly -- date",
    "create service clusterip svc --tcp=80:8080",
    "create service externalname ext --external-name=example.com",
    "create ingress ing --rule=foo.com/bar=svc:80,tls=x",
    "create role r --verb=get --resource=pods",
    "create rolebinding rb --role=r --user=u --serviceaccount=a:b",
    "create clusterrole generated-r --verb=get --non-resource-url=/logs/*",
    "create clusterrolebinding generated-rb --clusterrole=generated-r --group=g",
    "create quota q --hard=cpu=500m,memory=1G,pods=2",
    "create priorityclass generated-pc --value=0 --description=x",
    "create pdb pdb --selector=app=x --min-available=50%",
    "create serviceaccount sa",
    "autoscale deployment web --min=1 --max=5 --cpu=80%",
)
NAMESPACED = (
    "deployment,secret,configmap,job,cronjob,service,ingress,role,rolebinding,quota,pdb,"
    "serviceaccount,hpa"
)
CLUSTER = "clusterrole/generated-r,clusterrolebinding/generated-rb,priorityclass/generated-pc"


@pytest.fixture
def kubectl(client: Make) -> Client:
    return client([binary("kubectl")])


def test_what_generators_make_is_stored_as_it_was_meant(kubectl: Client) -> None:
    kubectl.run("create", "namespace", "generated")
    kubectl.command += ["--namespace", "generated"]
    for command in COMMANDS:
        kubectl.run(*command.split(" "))
    found = {**objects(kubectl, NAMESPACED), **objects(kubectl, *CLUSTER.split(","))}

    web = found["Deployment", "web"]["spec"]
    assert web["replicas"] == 0
    assert web["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] == 80
    assert found["Secret", "s"]["data"] == {"a": "Yg=="}
    assert found["ConfigMap", "c"]["data"] == {"a": "b"}
    job = found["Job", "j"]["spec"]["template"]["spec"]
    assert (job["containers"][0]["command"], job["restartPolicy"]) == (["date"], "Never")
    assert found["CronJob", "cj"]["spec"]["schedule"] == "@hourly"
    port = found["Service", "svc"]["spec"]["ports"][0]
    assert (port["port"], port["targetPort"]) == (80, 8080)
    assert found["Service", "ext"]["spec"]["externalName"] == "example.com"
    path = found["Ingress", "ing"]["spec"]["rules"][0]["http"]["paths"][0]
    assert path["backend"]["service"] == {"name": "svc", "port": {"number": 80}}
    assert found["Role", "r"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    ]
    kinds = [subject["kind"] for subject in found["RoleBinding", "rb"]["subjects"]]
    assert kinds == ["User", "ServiceAccount"]
    assert found["ClusterRole", "generated-r"]["rules"][0]["nonResourceURLs"] == ["/logs/*"]
    assert found["ClusterRoleBinding", "generated-rb"]["subjects"][0]["name"] == "g"
    assert found["ResourceQuota", "q"]["spec"]["hard"] == {
        "cpu": "500m", "memory": "1G", "pods": "2",
    }  # fmt: skip
    assert found["PriorityClass", "generated-pc"]["value"] == 0
    assert found["PodDisruptionBudget", "pdb"]["spec"]["minAvailable"] == "50%"
    scaler = found["HorizontalPodAutoscaler", "web"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 5)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 80


def objects(kubectl: Client, *what: str) -> dict[tuple[str, str], dict[str, Any]]:
    items = kubectl.json("get", *what)["items"]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def test_reviews_are_asked_in_protobuf(kubectl: Client) -> None:
    assert "yes" in kubectl.run("auth", "can-i", "get", "pods")
    assert "*.*" in kubectl.run("auth", "can-i", "--list")
    assert "Username" in kubectl.run("auth", "whoami")
