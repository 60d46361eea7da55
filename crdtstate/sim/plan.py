"""Everything about a run that is drawn from its seed, as one value that can be printed and changed.

Each kind of fault is off in a good part of the runs (swarm testing), so that rare mixes occur and
one fault does not hide another.

Source: Groce et al., "Swarm testing", ISSTA 2012.
"""

import dataclasses
from collections.abc import Collection
from random import Random
from typing import Any, final

from crdtstate.errors import InvalidError

__all__ = ["FAULTS", "Plan", "draw_plan"]


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One run. Probabilities without a unit; `*_every_s` are mean times between two, 0 for never.

    All fields but the first seven are faults, and 0 or False means that there are none.
    """

    peers: int = 3
    seconds: int = 120  # of faults; then all is healed, and the peers must converge
    clients: int = 3
    keys: int = 6
    rate: float = 0.5  # operations a second of each client
    watchers: int = 2
    event_entries_max: int = 200_000
    shuffle: bool = False
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    tail: float = 0.0
    fragment: float = 0.0
    slow_bytes_s: float = 0.0
    cut_every_s: float = 0.0
    clog_every_s: float = 0.0
    kill_every_s: float = 0.0
    power_every_s: float = 0.0
    site_every_s: float = 0.0  # the power of all at once
    stop_every_s: float = 0.0
    pause_every_s: float = 0.0
    wipe_every_s: float = 0.0
    restore_every_s: float = 0.0
    clone_every_s: float = 0.0
    forget_every_s: float = 0.0
    join_every_s: float = 0.0
    poison_every_s: float = 0.0
    stranger: bool = False  # a peer with another key, which dials everybody
    jump_every_s: float = 0.0
    cut_at_write: float = 0.0
    disk_error: float = 0.0
    disk_full_every_s: float = 0.0
    disk_stall: float = 0.0
    disk_lag_s: float = 0.0  # up to so long after a batch is on the disk the loop is told
    offset_ms: int = 0
    drift: float = 0.0
    quantum_ms: int = 0
    tight: bool = False  # Catch-ups pause after every record; little is held, links buffer little.
    reset: float = 0.0  # share of what a watch sends at which its connection is reset
    value_bytes: int = 0  # Some values are up to so much longer.

    def text(self) -> str:
        """Return what differs from a quiet run."""
        quiet = Plan()
        shown = [
            f"{f.name}={getattr(self, f.name):g}"
            for f in dataclasses.fields(self)
            if f.name in _SHAPE or getattr(self, f.name) != getattr(quiet, f.name)
        ]
        return " ".join(shown)

    def replace(self, **changes: Any) -> "Plan":
        """Return another plan."""
        return dataclasses.replace(self, **changes)

    def faults(self) -> list[str]:
        """Return the names of the faults that are on."""
        return [name for name in FAULTS if getattr(self, name)]


_SHAPE = ("peers", "seconds", "clients", "keys", "rate", "watchers", "event_entries_max")
FAULTS = tuple(f.name for f in dataclasses.fields(Plan) if f.name not in _SHAPE)


def draw_plan(seed: int, *, seconds: int | None = None, faults: Collection[str] = ()) -> Plan:
    """Return the plan of a seed; `faults` names those that may be on, all when empty.

    Raises: InvalidError for a fault that there is not.
    """
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown:
        raise InvalidError(
            f"there is no fault {', '.join(unknown)}; there are {', '.join(FAULTS)}",
            code="invalid_parameter",
        )
    rng = Random(f"plan {seed}")

    def sometimes(share: float, value: float) -> float:
        return value if rng.random() < share else 0.0

    plan = Plan(
        peers=rng.choice((2, 3, 3, 3, 4, 5)),
        seconds=rng.choice((60, 90, 120, 180)),
        clients=rng.choice((2, 3, 4)),
        keys=rng.choice((2, 4, 8, 16)),
        rate=rng.choice((0.2, 1.0, 3.0)),
        watchers=rng.choice((0, 1, 2)),
        event_entries_max=rng.choice((4, 40, 200_000, 200_000)),
        shuffle=rng.random() < 0.5,
        loss=sometimes(0.5, rng.uniform(0.01, 0.4)),
        duplicate=sometimes(0.4, 0.2),
        corrupt=sometimes(0.3, 0.02),
        tail=sometimes(0.3, 0.1),
        fragment=sometimes(0.3, 0.3),
        slow_bytes_s=sometimes(0.15, rng.choice((1.0, 1_000.0, 20_000.0))),
        cut_every_s=sometimes(0.7, rng.uniform(5, 40)),
        clog_every_s=sometimes(0.3, rng.uniform(5, 40)),
        kill_every_s=sometimes(0.5, rng.uniform(8, 60)),
        power_every_s=sometimes(0.4, rng.uniform(8, 60)),
        site_every_s=sometimes(0.2, rng.uniform(20, 60)),
        stop_every_s=sometimes(0.3, rng.uniform(10, 60)),
        pause_every_s=sometimes(0.3, rng.uniform(10, 60)),
        wipe_every_s=sometimes(0.2, rng.uniform(20, 90)),
        restore_every_s=sometimes(0.2, rng.uniform(20, 90)),
        clone_every_s=sometimes(0.15, rng.uniform(30, 90)),
        forget_every_s=sometimes(0.1, rng.uniform(30, 90)),
        join_every_s=sometimes(0.15, rng.uniform(30, 90)),
        poison_every_s=sometimes(0.2, rng.uniform(2, 20)),
        stranger=rng.random() < 0.15,
        jump_every_s=sometimes(0.3, rng.uniform(10, 60)),
        cut_at_write=sometimes(0.4, rng.choice((0.002, 0.02, 0.1))),
        disk_error=sometimes(0.25, rng.choice((0.001, 0.02))),
        disk_full_every_s=sometimes(0.15, rng.uniform(20, 60)),
        disk_stall=sometimes(0.2, 0.02),
        disk_lag_s=sometimes(0.5, rng.choice((0.005, 0.2))),
        offset_ms=int(sometimes(0.5, rng.choice((500, 30_000, 86_400_000)))),
        drift=sometimes(0.3, 1e-3),
        quantum_ms=int(sometimes(0.3, rng.choice((1_000, 60_000)))),
        tight=rng.random() < 0.25,
        value_bytes=int(sometimes(0.2, rng.choice((1_000, 30_000)))),
        reset=sometimes(0.3, 0.02),
    )
    if seconds is not None:
        plan = plan.replace(seconds=seconds)
    off = {name: type(getattr(plan, name))() for name in FAULTS if faults and name not in faults}
    return plan.replace(**off)
