"""Shares of a limit: in 1,000 random partitions nobody admits too much, and nobody starves.

The model: replicas that hold a bounded counter (grants by origin, transfers by giver and receiver)
and objects by creator; a write is a transaction, and states are joined whole, so every state is a
causal one, as the store's are. The decisions are those of the shipping code; that the API of a peer
makes them so, on the real store, is shown by tests/controllers/sim/test_quotas_in_worlds.py.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.kube.quota import costs_of, limits_of, missing_requests
from crdtstate.kube.shares import Ledger, granter_of

NAMES = "abcde"


@dataclass
class Replica:
    """One peer's state of one limit."""

    me: int
    limit: tuple[int, int] = (0, 0)  # stamp, value: a register
    granted: dict[int, int] = field(default_factory=dict)
    given_up: dict[int, int] = field(default_factory=dict)
    sent: dict[tuple[int, int], int] = field(default_factory=dict)
    objects: dict[tuple[int, int], tuple[int, bool]] = field(default_factory=dict)  # cost, gone
    made: int = 0

    def is_granter(self, count: int) -> bool:
        """Whether it grants rights where so many replicas are."""
        return granter_of("limit", NAMES[:count]) == NAMES[self.me]

    def join(self, other: "Replica") -> None:
        self.limit = max(self.limit, other.limit)
        for ours, theirs in (
            (self.granted, other.granted), (self.given_up, other.given_up), (self.sent, other.sent)
        ):  # fmt: skip
            for key, amount in theirs.items():  # type: ignore[attr-defined]
                ours[key] = max(ours.get(key, 0), amount)  # type: ignore[index]
        for key, (cost, gone) in other.objects.items():
            self.objects[key] = (cost, gone or self.objects.get(key, (0, False))[1])

    def ledger(self, wants: dict[int, int] | None = None) -> Ledger:
        shares: dict[int, int] = {}
        for origin, amount in self.granted.items():
            shares[origin] = shares.get(origin, 0) + amount
        for origin, amount in self.given_up.items():
            shares[origin] = shares.get(origin, 0) - amount
        for (giver, taker), amount in self.sent.items():
            shares[giver] = shares.get(giver, 0) - amount
            shares[taker] = shares.get(taker, 0) + amount
        used: dict[int, int] = {}
        for (creator, _), (cost, gone) in self.objects.items():
            if not gone:
                used[creator] = used.get(creator, 0) + cost
        return Ledger(self.me, self.limit[1], shares, used, wants=wants or {})

    def admit(self, cost: int) -> bool:
        if cost > self.ledger().spare:
            return False
        self.made += 1
        self.objects[self.me, self.made] = (cost, False)
        return True

    def balance(self, heard: set[int], wants: dict[int, int], *, count: int = 5) -> None:
        ledger = self.ledger(wants)
        if self.is_granter(count) and ledger.to_grant():
            self.granted[self.me] = self.granted.get(self.me, 0) + ledger.to_grant()
        elif ledger.to_give_up():
            self.given_up[self.me] = self.given_up.get(self.me, 0) + ledger.to_give_up()
        else:
            for origin, amount in ledger.to_send(heard):
                assert amount > 0
                self.sent[self.me, origin] = self.sent.get((self.me, origin), 0) + amount


def used_of_all(replicas: list[Replica]) -> int:
    everything = Replica(-1)
    for replica in replicas:
        everything.join(replica)
    return sum(cost for cost, gone in everything.objects.values() if not gone)


def story(seed: int) -> tuple[int, int, int]:
    """Run one history with partitions.

    Returns:
        How many objects were admitted, how many of those during a cut, and how many were refused.
    """
    rng = Random(seed)
    count = rng.randint(2, 5)
    replicas = [Replica(n) for n in range(count)]
    limit = rng.randint(0, 30)
    replicas[0].limit = (1, limit)
    highest = limit
    sides = [rng.randint(0, 1) for _ in replicas]
    admitted = meanwhile = refused = 0
    for stamp in range(2, 60):
        if rng.random() < 0.1:
            sides = [rng.randint(0, 1) for _ in replicas]
        if rng.random() < 0.05:
            # Somebody changes the limit, on any side, as long as it is not lowered: what was
            # admitted under a higher one is not undone.
            replica = rng.choice(replicas)
            replica.limit = (stamp, max(highest, rng.randint(0, 40)))
            highest = max(highest, replica.limit[1])
        one, other = rng.choice(replicas), rng.choice(replicas)
        if sides[one.me] == sides[other.me]:
            one.join(other)
        for replica in replicas:
            heard = {r.me for r in replicas if sides[r.me] == sides[replica.me]}
            match rng.choice(["admit", "admit", "admit", "balance", "balance", "delete", ""]):
                case "admit":
                    if replica.admit(rng.randint(1, 3)):
                        admitted += 1
                        meanwhile += len(set(sides)) > 1
                    else:
                        refused += 1
                case "balance":
                    replica.balance(heard, {}, count=count)
                case "delete":
                    there = [k for k, (_, gone) in replica.objects.items() if not gone]
                    if there:
                        key = rng.choice(there)
                        replica.objects[key] = (replica.objects[key][0], True)
        used = used_of_all(replicas)
        assert used <= highest, f"seed {seed}: {used} of {highest} is exceeded"
    return admitted, meanwhile, refused


def stories() -> list[tuple[int, int, int]]:
    return [story(seed) for seed in range(1_000)]


def test_a_limit_is_never_exceeded_in_a_thousand_partitions() -> None:
    """SHR-1, SHR-2. A history in which a cut admits nothing shows nothing; most must not be so."""
    told = stories()
    assert sum(meanwhile > 0 for _, meanwhile, _ in told) > 900
    assert sum(admitted for admitted, _, _ in told) > 15_000
    assert sum(refused for _, _, refused in told) > 5_000


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("spare", property(lambda one: max(0, one.limit - sum(one.used.values())))),
        ("left_of", lambda one, origin: one.shares.get(origin, 0)),
        ("to_grant", lambda one: max(0, one.limit - one.granted + 1)),
    ],
    ids=["the_whole_limit_is_for_each", "what_is_used_does_not_count", "one_right_too_many"],
)
def test_planted_mistakes_of_shares_exceed_the_limit(
    name: str, mistake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, name, mistake)
    with pytest.raises(AssertionError, match="is exceeded"):
        stories()


@given(st.integers(2, 5), st.integers(0, 40), st.integers(0, 2**32))
def test_whoever_hears_everyone_can_admit_everything_sooner_or_later(
    count: int, limit: int, seed: int
) -> None:
    rng = Random(seed)
    replicas = [Replica(n, limit=(1, limit)) for n in range(count)]
    admitted = 0
    for _ in range(400):
        for one in replicas:
            for other in replicas:
                one.join(other)
        replica = rng.choice(replicas)
        if replica.admit(1):
            admitted += 1
        for each in replicas:
            each.balance(set(range(count)), {}, count=count)
    assert admitted == limit


def test_a_share_that_is_too_small_for_one_large_object_is_asked_for() -> None:
    replicas = [Replica(n, limit=(1, 9)) for n in range(5)]
    wants = dict[int, int]()
    for turn in range(30):
        for one in replicas:
            for other in replicas:
                one.join(other)
            one.balance(set(range(5)), wants)
        if turn > 10 and not replicas[3].objects:
            wants = {} if replicas[3].admit(8) else {3: 8}
    assert replicas[3].objects


def test_shares_come_to_rest() -> None:
    replicas = [Replica(n, limit=(1, 17)) for n in range(5)]
    states = []
    for _ in range(20):
        for one in replicas:
            for other in replicas:
                one.join(other)
            one.balance(set(range(5)), {})
        states.append([dict(replica.sent) for replica in replicas])
    assert states[-1] == states[-8]
    assert min(replica.ledger().spare for replica in replicas) >= 1


def test_what_was_there_before_the_limit_counts() -> None:
    replicas = [Replica(n) for n in range(5)]
    replicas[1].objects = {(1, n): (1, False) for n in range(1, 5)}
    for replica in replicas:
        replica.limit = (1, 6)
    for _ in range(20):
        for one in replicas:
            for other in replicas:
                one.join(other)
            one.balance(set(range(5)), {})
        for replica in replicas:
            replica.admit(1)
    assert used_of_all(replicas) == 6


def test_a_lowered_limit_binds_as_shares_come_back() -> None:
    replicas = [Replica(n, limit=(1, 20)) for n in range(5)]

    def turn(count: int) -> None:
        for _ in range(count):
            for one in replicas:
                for other in replicas:
                    one.join(other)
                one.balance(set(range(5)), {})

    turn(10)
    assert replicas[0].admit(2)
    for replica in replicas:
        replica.limit = (2, 3)
    turn(10)
    assert sum(replica.ledger().spare for replica in replicas) == 1


# -- what things cost ------------------------------------------------------------------------------


def pod(*requests: dict[str, str], phase: str = "Pending") -> dict[str, object]:
    containers = [{"resources": {"requests": given}} for given in requests]
    return {"spec": {"containers": containers}, "status": {"phase": phase}}


def test_a_pod_costs_what_its_containers_request() -> None:
    costs = costs_of("/pods", pod({"cpu": "250m", "memory": "1Gi"}, {"cpu": "1"}))
    assert costs["requests.cpu"] == costs["cpu"] == 1_250
    assert costs["memory"] == 1 << 30
    assert (costs["pods"], costs["count/pods"]) == (1, 1)
    assert "pods" not in costs_of("/pods", pod({"cpu": "1"}, phase="Succeeded"))
    assert costs_of("apps/deployments", {}) == {"count/deployments.apps": 1}


def test_limits_are_integers_and_scopes_limit_nothing() -> None:
    quota = {"spec": {"hard": {"cpu": "1500m", "memory": "1Gi", "pods": "10", "requests.cpu": "2"}}}
    assert limits_of(quota) == {
        "cpu": 1_500, "memory": 1 << 30, "pods": 10, "requests.cpu": 2_000,
    }  # fmt: skip
    assert not limits_of({"spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}})


def test_a_pod_must_say_what_a_limit_of_compute_is_about() -> None:
    assert missing_requests(pod({"cpu": "1"}, {}), {"cpu": 5, "pods": 3}) == ["requests.cpu"]
    assert not missing_requests(pod({"cpu": "1"}), {"requests.cpu": 5})
