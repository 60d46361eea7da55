"""helm installs, upgrades, rolls back and removes a chart with a CRD."""

from collections.abc import Callable

import pytest

from tests.kube.clients import Client, binary
from tests.kube.manifests import CRD, WIDGET

pytestmark = pytest.mark.e2e
GROUP = "helm.example.com"
WAIT = ("--wait", "--timeout", "40s")


def test_a_release_through_its_life(client: Callable[[list[str]], Client]) -> None:
    helm = client([binary("helm")])
    helm.command += ["--namespace", "helm", "--kube-context", "a"]
    helm.write("chart/Chart.yaml", "apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    helm.write("chart/values.yaml", "msg: hello\n")
    helm.write("chart/crds/crd.yaml", CRD % {"group": GROUP})
    helm.write(
        "chart/templates/cm.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-cm'}\n"
        "data: {msg: '{{ .Values.msg }}'}\n",
    )
    name = "'{{ .Release.Name }}-w'"
    helm.write("chart/templates/cr.yaml", WIDGET % {"group": GROUP, "name": name, "size": 2})

    helm.run("install", "r1", "chart", "--create-namespace", *WAIT)
    helm.run("upgrade", "r1", "chart", "--set", "msg=bye", *WAIT)
    assert "r1" in helm.run("list")
    assert "deployed" in helm.run("status", "r1")
    assert helm.run("history", "r1").count("tiny-0.1.0") == 2
    helm.run("rollback", "r1", "1")
    assert helm.json("history", "r1")[-1]["revision"] == 3
    helm.run("uninstall", "r1", *WAIT)
    assert "r1" not in helm.run("list", "-q")
