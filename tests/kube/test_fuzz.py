"""The resource API under fuzzing: what its own OpenAPI document allows, and what nothing allows.

The short tests run with all others, the long ones in `make deep`: CRDTSTATE_FUZZ_S (300) s each.
"""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.e2e.fleet import Fleet
from tests.kube.fuzzing import Prey
from tests.kube.requests_at_random import WIDGETS, request

pytestmark = pytest.mark.e2e

SHORT_S = 8.0
LONG_S = float(os.environ.get("CRDTSTATE_FUZZ_S", "300"))


@pytest.fixture(scope="module")
def prey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    with Fleet(tmp_path_factory.mktemp("fuzz"), 1) as peers:
        found = Prey(peers.url("a"))
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        headers = {"Content-Type": "application/json"}
        answer = found.ask("POST", path, headers, json.dumps(WIDGETS).encode())
        assert answer.status == 201, answer
        yield found
        assert json.loads(found.ask("GET", "/version", {}, None).body)["major"] == "1"
        found.close()
        assert "request_failed" not in peers.log("a")


def draw_some(
    number: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None], end: float
) -> None:
    """Draw a few, the same for the same number, and check them until the time is over."""

    @seed(number)
    @settings(
        max_examples=10, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def once(drawn: Any) -> None:
        if time.monotonic() < end:
            check(drawn)

    once()


# -- what nothing allows -----------------------------------------------------------------------


def send(prey: Prey, first: int, seconds: float) -> None:
    """Send the requests of one number after another until the time is over."""
    end, number = time.monotonic() + seconds, first
    while time.monotonic() < end:
        sent = request(number)
        try:
            prey.try_one(*sent)
        except Exception as error:
            error.add_note(f"request({number})")
            raise
        number += 1


def test_nothing_that_is_sent_breaks_a_peer(prey: Prey) -> None:
    send(prey, 0, SHORT_S)

    assert 0 < prey.refused < prey.asked, "some requests are right, some are not"


@pytest.mark.deep
def test_nothing_that_is_sent_breaks_a_peer_for_long(prey: Prey) -> None:
    send(prey, random.SystemRandom().randrange(2**40), LONG_S)


# -- what the document allows ------------------------------------------------------------------

GROUPS = (
    "api/v1", "apis/apps/v1", "apis/coordination.k8s.io/v1", "apis/demo.example.com/v1",
    "apis/rbac.authorization.k8s.io/v1", "apis/authorization.k8s.io/v1", "apis/events.k8s.io/v1",
    "apis/batch/v1", "apis/autoscaling/v2", "apis/apiextensions.k8s.io/v1",
)  # fmt: skip


def operations(prey: Prey, groups: tuple[str, ...]) -> list[Any]:
    """Return the operations of the served documents, those of a group together."""
    found = []
    for group in groups:
        answer = prey.ask("GET", f"/openapi/v3/{group}", {"Accept": "application/json"}, None)
        schema = schemathesis.openapi.from_dict(json.loads(answer.body))
        found += [result.ok() for result in schema.get_all_operations()]
    return found


def cases(operation: Any, mode: GenerationMode) -> st.SearchStrategy[Any]:
    """Draw requests for an operation, half of them where there are objects."""
    pinned = {
        p.name: {"namespace": "default"}.get(p.name, "a") for p in operation.path_parameters
    }  # fmt: skip
    free = operation.as_strategy(generation_mode=mode)
    return free | operation.as_strategy(generation_mode=mode, path_parameters=pinned)


def try_case(prey: Prey, case: Any) -> None:
    if isinstance(case.query, dict) and str(case.query.get("watch")).lower() in ("true", "1"):
        case.query["timeoutSeconds"] = 1
    given = case.as_transport_kwargs(base_url="http://peer")
    sent = requests.Request(**{k: v for k, v in given.items() if k in KEPT}).prepare()
    target = str(sent.url).removeprefix("http://peer")
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    headers = {k: str(v) for k, v in sent.headers.items() if k != "Content-Length"}
    assert body is None or isinstance(body, bytes)
    prey.try_one(str(sent.method), target, headers, body)


KEPT = ("method", "url", "headers", "params", "data", "json")


def through(prey: Prey, groups: tuple[str, ...], seconds: float) -> None:
    """Go through the operations until the time is over."""
    every = operations(prey, groups)
    random.Random(7).shuffle(every)
    end, turns = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        operation = every[turns % len(every)]
        mode = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)[turns // len(every) % 2]
        with suppress(Unsatisfiable):  # There may be no wrong request of an operation.
            draw_some(turns, cases(operation, mode), partial(try_case, prey), end)
        turns += 1


def test_what_the_document_allows_is_answered_in_order(prey: Prey) -> None:
    through(prey, ("apis/demo.example.com/v1", "apis/coordination.k8s.io/v1"), SHORT_S)

    assert prey.asked > 0


@pytest.mark.deep
def test_what_the_document_allows_is_answered_in_order_for_long(prey: Prey) -> None:
    through(prey, GROUPS, LONG_S)
