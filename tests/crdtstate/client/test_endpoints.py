"""Addresses and the retry budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate.client.endpoints import RETRY_BURST, Endpoints, RetryBudget
from crdtstate.errors import InvalidError


@pytest.mark.parametrize(
    ("given_as", "found"),
    [
        ("a:1", ("http://a:1",)),
        (" http://a:1/ , b:2,a:1", ("http://a:1", "http://b:2")),
        (["[::1]:5", "127.0.0.1:6"], ("http://[::1]:5", "http://127.0.0.1:6")),
    ],
)
def test_addresses_are_read_in_every_form(given_as: str, found: tuple[str, ...]) -> None:
    assert Endpoints(given_as).all == found


@pytest.mark.parametrize("text", ["", "a", "a:b", "https://a:1", "http://a:1/x", "a:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Endpoints(text)

    assert caught.value.code == "invalid_parameter"


def test_no_address_is_refused() -> None:
    with pytest.raises(InvalidError):
        Endpoints([])


def test_the_last_good_endpoint_stays_first() -> None:
    endpoints = Endpoints("a:1,b:1,c:1")
    a, b, c = endpoints.all

    endpoints.failed(a)
    endpoints.failed(a)

    assert endpoints.current == b
    assert endpoints.next_of({b}) == c
    assert endpoints.next_of({b, c}) == a
    assert endpoints.next_of({a, b, c}) == b
    endpoints.answered(c)
    assert endpoints.current == c


@given(st.lists(st.booleans(), max_size=400))
def test_retries_are_at_most_a_tenth_of_first_tries_and_a_burst(wants: list[bool]) -> None:
    """END-1"""
    budget, first, retries = RetryBudget(), 0, 0

    for want in wants:
        if want:
            retries += budget.withdraw()
        else:
            budget.deposit()
            first += 1

        assert retries <= RETRY_BURST + first / 10
    assert retries >= min(sum(wants), RETRY_BURST)
