"""Mistakes that were planted in the controllers are found: the stories can fail."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controllers.builtin import replicasets
from controllers.builtin.pods import host_of
from controllers.runtime import membership
from controllers.runtime.actions import removal
from crdtstate.client.kinds import PODS
from tests.controllers.sim.test_controlled_worlds import (
    test_each_side_of_a_cut_keeps_its_own_count_and_the_heal_restarts_nothing_healthy as cut,
)
from tests.controllers.sim.test_controlled_worlds import (
    test_what_ran_on_a_dead_peer_runs_elsewhere_and_its_return_leaves_exactly_what_is_wanted as die,
)

Patch = pytest.MonkeyPatch


def names_of_no_function(patch: Patch) -> None:
    count = itertools.count()

    def names(owner: str) -> Iterator[str]:
        while True:
            yield f"{owner}-{next(count)}"

    patch.setattr(replicasets, "pod_names", names)


def the_best_go_first(patch: Patch) -> None:
    sort = replicasets.worst_first
    patch.setattr(replicasets, "worst_first", lambda *given: sort(*given)[::-1])


def silence_is_death_at_once(patch: Patch) -> None:
    patch.setattr("controllers.runtime.view.LOST_MS", 0)
    patch.setattr(membership, "LOST_MS", 0)
    patch.setattr("controllers.builtin.pods.LOST_MS", 0)


def what_is_not_heard_is_removed(patch: Patch) -> None:
    plan = replicasets.plan

    def planned(state: Any) -> Any:
        actions, again_ms = plan(state)
        gone = [removal(PODS, pod) for pod in state.pods if host_of(pod) in state.lost]
        return [*actions, *gone], again_ms

    patch.setattr(replicasets, "plan", planned)


@pytest.mark.parametrize(
    ("plant", "story"),
    [
        (names_of_no_function, cut),
        (the_best_go_first, cut),
        (silence_is_death_at_once, die),
        (what_is_not_heard_is_removed, cut),
    ],
)
def test_a_planted_mistake_is_found(
    monkeypatch: Patch, plant: Callable[[Patch], None], story: Callable[[], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        story()
