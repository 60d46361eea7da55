"""Client libraries of others, unmodified, each in a process of its own."""

import shutil
from collections.abc import Callable

import pytest

from tests.kube.clients import FOLDER, PROGRAMS, Client, binary, library, program
from tests.kube.manifests import CRD

pytestmark = pytest.mark.e2e
Make = Callable[[list[str]], Client]


@pytest.mark.parametrize("name", ["kubernetes", "kubernetes_asyncio", "kr8s", "lightkube"])
def test_a_python_library_works_unmodified(client: Make, name: str) -> None:
    library(name)

    client(program(f"use_{name}.py")).run(name.replace("_", "-"))


def test_a_kopf_operator_runs_through_a_whole_life(client: Make) -> None:
    library("kopf")
    kubectl = client([binary("kubectl")])
    crd = kubectl.write("crd.yaml", CRD % {"group": "kopf.example.com"})
    kubectl.run("create", "-f", crd)
    kubectl.run("create", "namespace", "kopf")

    client(program("use_kopf.py")).run("kopf", "kopf.example.com")


def test_the_javascript_client_works_unmodified(client: Make) -> None:
    node, folder = shutil.which("node"), FOLDER / "js"
    if node is None or not (folder / "node_modules").exists():
        pytest.skip("node or the JavaScript client is missing: make clients fetches it")

    client([node, str(PROGRAMS / "use_javascript.mjs"), str(folder)]).run("js")
