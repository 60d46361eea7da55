"""Decisions about retries, without a network: which peer, how long, again or not."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.client import calls, cluster_calls
from crdtstate.client.answer import Answer
from crdtstate.client.attempt import SLACK_MS, Session, jitter_ms
from crdtstate.client.calls import Call
from crdtstate.client.endpoints import Endpoints
from crdtstate.client.failures import LinkError, UnknownOutcomeError
from crdtstate.errors import CrdtstateError, UnavailableError

PUT, GET = calls.put("k", "v", None, {}), calls.get("k")
ADD = calls.add_to_counter("n", 1, {})


def session(endpoints: str = "a:1,b:1,c:1", *, w: int | str = 1) -> Session:
    return Session(
        Endpoints(endpoints), timeout_ms=4000, causal=True, w=w, auth_token=None, rng=Random(1)
    )


def answer(status: int, code: str = "x") -> Answer:
    return Answer(status, {}, b'{"error":{"code":"%s","message":"m"}}' % code.encode())


def test_a_peer_that_hangs_leaves_half_of_the_time_for_the_next() -> None:
    attempt = session().begin(GET, 0)
    first = attempt.plan(0)

    attempt.failed(LinkError("timed out", sent=True), 2000)
    second = attempt.plan(2000)

    assert (first.endpoint, first.total_ms) == ("http://a:1", 2000 + SLACK_MS)
    assert first.target == "/kv/k?timeout_ms=2000"
    assert second.endpoint == "http://b:1"
    assert second.total_ms == (2000 - second.pause_ms) // 2 + SLACK_MS


@pytest.mark.parametrize(
    "call", [calls.put("k", "v", None, {"w": "all"}), cluster_calls.wait("t", 2)]
)
def test_a_peer_that_waits_for_others_is_given_all_of_the_time(call: Call[Any]) -> None:
    assert session().begin(call, 0).plan(0).total_ms == 4000 + SLACK_MS


def test_the_clients_own_w_counts_as_waiting() -> None:
    assert session(w="majority").begin(PUT, 0).plan(0).total_ms == 4000 + SLACK_MS
    assert session(w="majority").begin(GET, 0).plan(0).total_ms == 2000 + SLACK_MS


@pytest.mark.parametrize("sent", [True, False])
def test_a_repeatable_write_goes_on_to_the_next_peer(sent: bool) -> None:
    shared = session()
    attempt = shared.begin(PUT, 0)
    attempt.plan(0)

    attempt.failed(LinkError("reset", sent=sent), 10)

    assert attempt.plan(10).endpoint == "http://b:1"
    assert attempt.is_settled_by(Answer(200, {}, b""), 20)
    assert shared.endpoints.current == "http://b:1"


def test_a_write_that_is_not_repeatable_is_never_sent_twice() -> None:
    """CAL-1: ATT-1."""
    attempt = session().begin(ADD, 0)
    attempt.plan(0)

    with pytest.raises(UnknownOutcomeError) as caught:
        attempt.failed(LinkError("reset", sent=True), 10)

    assert caught.value.data == {"repeatable": False, "cause": "unreachable"}


def test_a_write_that_is_not_repeatable_goes_on_when_it_was_not_sent() -> None:
    attempt = session().begin(ADD, 0)
    attempt.plan(0)

    attempt.failed(LinkError("refused", sent=False), 10)

    assert attempt.plan(10).endpoint == "http://b:1"


@pytest.mark.parametrize("code", ["overloaded", "clock_skew", "catching_up"])
def test_a_refusal_before_the_work_lets_any_write_go_on(code: str) -> None:
    attempt = session().begin(ADD, 0)
    attempt.plan(0)

    assert not attempt.is_settled_by(answer(503, code), 10)


@pytest.mark.parametrize("code", ["storage_failed", "stopping", "a_proxy_says_no"])
def test_a_refusal_during_the_work_leaves_the_outcome_open(code: str) -> None:
    attempt = session().begin(ADD, 0)
    attempt.plan(0)

    with pytest.raises(UnknownOutcomeError):
        attempt.is_settled_by(answer(503, code), 10)


def test_a_precondition_that_fails_after_a_lost_try_may_be_our_own_doing() -> None:
    """ATT-2."""
    attempt = session().begin(calls.put("k", "v", None, {"if_absent": True}), 0)
    attempt.plan(0)
    attempt.failed(LinkError("reset", sent=True), 10)
    attempt.plan(10)

    with pytest.raises(UnknownOutcomeError) as caught:
        attempt.is_settled_by(answer(412, "precondition_failed"), 20)

    assert caught.value.data["repeatable"] is True


def test_a_write_that_was_lost_and_never_answered_has_an_unknown_outcome() -> None:
    attempt = session("a:1").begin(PUT, 0)
    attempt.plan(0)

    with pytest.raises(UnknownOutcomeError):
        attempt.failed(LinkError("timed out", sent=True), 4000)


def test_a_read_without_an_answer_is_unavailable() -> None:
    attempt = session("a:1").begin(GET, 0)
    attempt.plan(0)

    with pytest.raises(UnavailableError) as caught:
        attempt.failed(LinkError("timed out", sent=True), 4000)

    assert caught.value.code == "unreachable"
    assert caught.value.data == {"endpoint": "http://a:1"}


def test_a_peer_that_is_behind_is_left_for_another() -> None:
    attempt = session().begin(GET, 0)
    attempt.plan(0)

    assert not attempt.is_settled_by(answer(504, "behind"), 2000)
    assert attempt.plan(2000).endpoint == "http://b:1"


def test_a_write_with_too_few_replicas_is_not_repeated() -> None:
    attempt = session().begin(PUT, 0)
    attempt.plan(0)

    assert attempt.is_settled_by(answer(504, "not_enough_replicas"), 2000)


@pytest.mark.parametrize("failure", [LinkError("refused", sent=False), answer(503, "overloaded")])
def test_a_call_that_means_one_peer_goes_to_no_other(failure: LinkError | Answer) -> None:
    shared = session()
    attempt = shared.begin(cluster_calls.backup("/b"), 0)
    attempt.plan(0)

    end = attempt.failed if isinstance(failure, LinkError) else attempt.is_settled_by
    with pytest.raises(UnavailableError):
        end(failure, 10)  # type: ignore[operator]

    assert shared.endpoints.current == "http://a:1"


def test_a_storm_of_failing_calls_is_not_fed() -> None:
    shared, tries = session("a:1,b:1"), 0

    for _ in range(200):
        attempt = shared.begin(GET, 0)
        try:
            while True:
                attempt.plan(0)
                tries += 1
                attempt.failed(LinkError("refused", sent=False), 0)
        except UnavailableError:
            pass

    assert 200 < tries <= 200 + 200 // 10 + 10


@given(st.randoms(use_true_random=False), st.integers(0, 100))
def test_a_pause_is_within_its_bounds(rng: Random, failures: int) -> None:
    assert 0 <= jitter_ms(rng, failures, 50, 1000) <= min(1000, 50 * 2**failures)


OUTCOMES = st.sampled_from(
    ["lost", "unsent", "200", "412", "503:overloaded", "503:stopping", "504:behind"]
)


@given(st.lists(OUTCOMES, min_size=8, max_size=8), st.sampled_from([GET, PUT, ADD]))
def test_a_call_ends_and_hides_no_write(outcomes: list[str], call: Call[Any]) -> None:
    """ATT-1, ATT-2: whatever the tries met, the end says so, in time and in few tries."""
    attempt, now_ms, maybe_done, tries = session().begin(call, 0), 0, False, 0
    outcome, error = "", None

    for outcome in outcomes:
        planned = attempt.plan(now_ms)
        tries += 1
        assert call.repeatable or not maybe_done
        now_ms += planned.pause_ms + 50
        maybe_done = maybe_done or (call.write and outcome in ("lost", "503:stopping"))
        try:
            if outcome in ("lost", "unsent"):
                attempt.failed(LinkError(outcome, sent=outcome == "lost"), now_ms)
            else:
                status, _, code = outcome.partition(":")
                if attempt.is_settled_by(answer(int(status), code), now_ms):
                    break
        except CrdtstateError as raised:
            error = raised
            break

    assert tries <= 6
    assert (error is not None) == (
        outcome not in ("200", "412") or (outcome == "412" and maybe_done)
    )
    if error is not None:
        assert isinstance(error, UnknownOutcomeError) == maybe_done
