"""The file that kubectl and its like read."""

import stat
from pathlib import Path

import yaml

from crdtstate.cli.kubeconfig import kubeconfig_of, write_kubeconfig

URLS = {"b": "http://127.0.0.1:7490", "a": "http://127.0.0.1:7480"}


def test_each_peer_has_a_context_and_the_first_is_the_default() -> None:
    config = kubeconfig_of(URLS, "secret")

    servers = {c["name"]: c["cluster"]["server"] for c in config["clusters"]}
    assert servers == {"crdtstate": URLS["b"], **URLS}
    assert config["current-context"] == "crdtstate"
    users = {user["name"]: user["user"] for user in config["users"]}
    for context in config["contexts"]:
        assert context["context"]["cluster"] == context["name"]
        assert users[context["context"]["user"]] == {"token": "secret"}


def test_the_file_is_for_its_owner_alone_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kubeconfig"
    write_kubeconfig(path, URLS, "old")
    write_kubeconfig(path, URLS)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text()) == kubeconfig_of(URLS)
    assert list(path.parent.iterdir()) == [path]
