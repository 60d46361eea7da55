"""Files as manifests, and everything that is wrong with them named."""

from pathlib import Path

import pytest

from crdtstate.cli.manifests import read_manifests
from crdtstate.errors import CrdtstateError, InvalidError

GOOD = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"


def test_files_directories_and_lists_give_their_documents_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(GOOD + "---\n" + GOOD.replace("web", "db"))
    (tmp_path / "a.json").write_text(
        '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", '
        '"metadata": {"name": "p"}, "on": true}]}'
    )
    (tmp_path / "notes.txt").write_text("not a manifest")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "c.yml").write_text(GOOD.replace("web", "c") + "made: 2026-11-23\n")
    found = list(read_manifests([str(tmp_path)], recursive=False))
    assert [m.name for m in found] == ["p", "web", "db"]
    found = list(read_manifests([str(tmp_path)], recursive=True))
    assert {m.name: m for m in found}["c"].document["made"] == "2026-11-23"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Pod\nmetadata: {name: p}\n", "document 1: apiVersion is None"),
        (GOOD + "---\n" + GOOD.replace("web", "7"), "document 2: metadata.name is 7"),
        ("apiVersion: v1\nkind: Pod\n", "document 1: metadata is None"),
        (GOOD.replace("}", ", namespace: ''}"), "metadata.namespace is ''"),
        ("a: [1\n", "line 2"),
        ("- 1\n", "document 1: a list, not an object"),
        (GOOD + "1: x\n", "the name of a field is 1"),
        (GOOD + "b: !!binary aGk=\n", "a value is a bytes"),
        (GOOD + "b: !!python/object:os.system {}\n", "could not determine a constructor"),
        ("\x00", "control characters are not allowed"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(InvalidError) as caught:
        list(read_manifests([str(path)], recursive=False))
    assert str(path) in caught.value.message
    assert words in caught.value.message


def test_files_that_are_not_there_or_not_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("none.yaml", "empty", "latin.yaml"):
        with pytest.raises(CrdtstateError, match=name):
            list(read_manifests([str(tmp_path / name)], recursive=False))
