"""Causal tokens of the client: a join, and the same one as the peers'."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtstate import tokens
from crdtstate.client.token import KeptToken
from crdtstate.errors import InvalidError
from crdtstate.tokens import join_tokens

integers = st.integers(min_value=0, max_value=(1 << 64) - 1)
vectors = st.dictionaries(integers, integers, max_size=5)
minted = st.one_of(st.none(), vectors.map(tokens.encode_token))


@given(minted, minted)
def test_join_is_commutative(a: str | None, b: str | None) -> None:
    assert join_tokens(a, b) == join_tokens(b, a)


@given(minted, minted, minted)
def test_join_is_associative(a: str | None, b: str | None, c: str | None) -> None:
    assert join_tokens(join_tokens(a, b), c) == join_tokens(a, join_tokens(b, c))


@given(minted)
def test_join_is_idempotent(a: str | None) -> None:
    assert join_tokens(a, a) == a


@given(vectors, vectors)
def test_join_of_tokens_is_the_join_of_their_vectors(a: dict[int, int], b: dict[int, int]) -> None:
    joined = join_tokens(tokens.encode_token(a), tokens.encode_token(b))

    assert joined is not None
    assert tokens.decode_token(joined) == {
        origin: max(a.get(origin, 0), b.get(origin, 0)) for origin in a.keys() | b.keys()
    }


@given(st.lists(vectors.map(tokens.encode_token), max_size=6))
def test_what_is_kept_includes_everything_observed(observed: list[str]) -> None:
    """CTK-1"""
    kept = KeptToken()
    for token in observed:
        kept.observe(token)

    for token in observed:
        vector = tokens.decode_token(kept.text) if kept.text else {}
        assert all(vector.get(o, 0) >= s for o, s in tokens.decode_token(token).items())


def test_a_newer_token_of_the_same_peer_is_kept_as_it_came() -> None:
    kept = KeptToken()
    older, newer = tokens.encode_token({1: 5}), tokens.encode_token({1: 6, 2: 1})

    for token in (older, newer, older):
        kept.observe(token)

    assert kept.text == newer


@pytest.mark.parametrize(
    "token",
    [
        "", "2.gA", "1.", "1.gA==", "1.g", "1.gQE", "1.ggIg", "1.+A", "1.\u00e9", "1.oA",
        "1.ggEbAQ", "1.hAIBAQE", "1.hAEBAQE", "1." + "g" * 70_000, "1.gfY",
    ],
)  # fmt: skip
def test_what_no_peer_gave_is_refused(token: str) -> None:
    with pytest.raises(InvalidError) as caught:
        KeptToken().observe(token)

    assert caught.value.code == "invalid_token"


@given(st.text(max_size=40))
def test_any_text_is_a_token_or_refused_as_one(text: str) -> None:
    with suppress(InvalidError):
        KeptToken().observe("1." + text)
