"""USG-1: what is kept of the costs is what one counts, whatever happened in between."""

from random import Random

import pytest

from crdtstate.kube import cache as caches
from crdtstate.kube.cache import ObjectCache
from crdtstate.kube.keys import ObjectKey
from crdtstate.kube.quota import costs_of, is_limited
from crdtstate.kube.reading import Shown
from crdtstate.kube.usage import Usage

NOW_MS = 1_790_000_000_000
KINDS = ("/configmaps", "/pods", "/services", "apps/deployments")
LIMITS = (
    "configmaps", "count/configmaps", "pods", "count/pods", "requests.cpu", "cpu", "limits.memory",
    "services.nodeports", "count/deployments.apps", "persistentvolumeclaims",
)  # fmt: skip
ORIGINS = [(1 << 63) + n for n in range(3)]


def shown(rng: Random, kind: str, uid: str) -> Shown:
    """Return an object of a kind whose cost is as chance has it."""
    resources = {"requests": {"cpu": f"{rng.randrange(3)}00m"}, "limits": {"memory": "1Mi"}}
    body = {
        "metadata": {"uid": uid},
        "spec": {
            "type": rng.choice(("ClusterIP", "NodePort")),
            "ports": [{"port": 80}] * rng.randrange(3),
            "containers": [{"name": "c", "resources": resources}] * rng.randrange(3),
        },
        "status": {"phase": rng.choice(("Running", "Succeeded", "Pending"))},
    }
    stamp = (1, (rng.choice(ORIGINS), 1))
    return Shown(b"r", {}, body, uid, False, stamp, f"{rng.random()}", 100)


def counted(cache: ObjectCache, namespace: str, limit: str) -> dict[int, int]:
    """Return what `used` must be, from the objects themselves."""
    used: dict[int, int] = {}
    for kind in cache.kinds():
        if is_limited(kind, limit):
            for found in cache.list(kind, namespace):
                cost = costs_of(kind, found.body).get(limit, 0)
                used[found.creator] = used.get(found.creator, 0) + cost
    return {origin: amount for origin, amount in used.items() if amount}


def happen(rng: Random, cache: ObjectCache) -> None:
    """Create, replace, change or remove one object."""
    key = ObjectKey(rng.choice(KINDS), rng.choice(("one", "two")), f"x{rng.randrange(4)}")
    lives = [] if rng.random() < 0.3 else [shown(rng, key.stored_as, f"u{rng.randrange(2)}")]
    cache.update(key, lives, NOW_MS)
    there = cache.get(*key)
    if there is not None and rng.random() < 0.1:
        cache.retell(key, {**there.body, "status": {"phase": "Unknown"}}, NOW_MS)


@pytest.mark.parametrize("remembered", [3, 2_000])
def test_what_is_kept_is_what_one_counts(remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "EVENTS_MAX", remembered)
    for seed in range(8):
        rng = Random(seed)
        cache = ObjectCache(ORIGINS[0], NOW_MS)
        usage = Usage(cache)
        for step in range(150):
            happen(rng, cache)
            if step == 20:
                cache.loading = False
            if rng.random() < 0.3:
                for limit in LIMITS:
                    for namespace in ("one", "two", "nowhere"):
                        found = usage.used(namespace, limit)
                        assert found == counted(cache, namespace, limit), (seed, step, limit)


def test_a_kind_is_counted_once_and_then_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, cache = Random(0), ObjectCache(ORIGINS[0], NOW_MS)
    for n in range(50):
        cache.update(ObjectKey("/pods", "one", f"p{n}"), [shown(rng, "/pods", "u")], NOW_MS)
    cache.loading = False
    usage = Usage(cache)
    assert sum(usage.used("one", "count/pods").values()) == 50

    monkeypatch.setattr(ObjectCache, "list", lambda *_: pytest.fail("counted anew"))
    cache.update(ObjectKey("/pods", "one", "p0"), [], NOW_MS)
    assert sum(usage.used("one", "count/pods").values()) == 49
