"""The house style as tests: sizes, words, invariants, references, paths."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("crdtstate", "gossip", "controllers")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Words with another meaning in this house (docs/glossary.md), as parts of names.
BANNED = {
    r"^Node[A-Z]?|^.*Node$": "replica, peer or member; Node is a Kubernetes kind",
    r"(?i)timestamp": "stamp",
    r"(?i)vclock": "vector",
    r"(?i)^sync_(with|peer|state)": "anti-entropy, pull or repair",
    r"(?i)tombstone": "grave; removals leave no tombstone",
}


def modules() -> list[Path]:
    return sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout
    found = [ROOT / name for name in listed.decode().split("\0") if name]
    return found or [p for p in ROOT.rglob("*") if p.is_file() and ".venv" not in p.parts]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    if not text.strip():
        return
    tree = ast.parse(text)
    assert text.count("\n") <= FILE_LINES_MAX
    assert ast.get_docstring(tree), "a module opens with what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
                assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_names_are_the_glossary_s_words(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for pattern, instead in BANNED.items():
                assert not re.search(pattern, node.name), f"{node.name}: say {instead}"


def declared_invariants() -> Iterator[tuple[str, Path]]:
    for path in modules():
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        _, found, section = doc.partition("Invariants:")
        if found:
            for match in re.finditer(r"^\s+([A-Z]+-[A-Z]?\d+)  ", section, re.MULTILINE):
                yield match.group(1), path


def test_an_invariant_is_declared_once() -> None:
    counts = Counter(name for name, _ in declared_invariants())
    assert not [name for name, count in counts.items() if count > 1]


def test_every_invariant_is_named_by_a_test() -> None:
    tests = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("*.py"))
    missing = [
        f"{name} ({name_of(path)})"
        for name, path in declared_invariants()
        if not re.search(rf"\b{name}\b", tests)
    ]
    assert not missing


def test_every_source_is_listed_in_the_references() -> None:
    listed = (ROOT / "docs" / "references.md").read_text()
    cited = {
        (key, name_of(path))
        for path in modules()
        for key in re.findall(r"\[([A-Z]{2,5}\d{2})\]", path.read_text())
    }
    assert not [(key, where) for key, where in sorted(cited) if f"[{key}]" not in listed]


def test_links_of_the_documents_resolve() -> None:
    broken = []
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
        broken += [
            f"{name_of(path)}: {target}"
            for target in targets
            if "://" not in target and not (path.parent / target).exists()
        ]
    assert not broken


def test_nothing_names_a_path_of_somebody_s_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(work|root|home)/\w|/tmp/x/")
    found = []
    for path in tracked():
        if path == Path(__file__) or not path.is_file() or path.suffix in (".png", ".svg"):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        if pattern.search(text):
            found.append(name_of(path))
    assert not found


def test_test_files_have_names_of_their_own() -> None:
    counts = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name, count in counts.items() if count > 1]
