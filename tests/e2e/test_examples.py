"""Every example in a docstring and in the README runs, against a real peer."""

import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import crdtstate
from crdtstate.client import Client
from tests.e2e.fleet import Fleet

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__")
    for package in ("crdtstate", "gossip", "controllers")
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), 1) as running:
        yield running


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(peers: Fleet, name: str) -> None:
    module = importlib.import_module(name)
    with Client(peers.url("a")) as client:
        for item in list(client.list()):
            client.delete(item.key)
        known: dict[str, Any] = {"client": client, "crdtstate": crdtstate}
        known |= {"url": peers.url("a")}
        failed, tried = doctest.testmod(module, extraglobs=known)
    assert tried > 0
    assert failed == 0


def test_the_readme_s_python(peers: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert block.count('"127.0.0.1:7480,127.0.0.1:7490"') == 1
    exec(block.replace('"127.0.0.1:7480,127.0.0.1:7490"', repr(peers.url("a"))), {})
    assert capsys.readouterr().out == "b'green'\n"
