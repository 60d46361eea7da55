"""The choice of neighbours: determined by names, bounded, and a connected graph."""

from collections import deque
from collections.abc import Callable, Iterable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gossip.core.neighbours import choose_neighbours

LINKS_MAX = 16
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@given(
    members=st.lists(NAMES, unique=True, max_size=40),
    rng=st.randoms(use_true_random=False),
    links_max=st.integers(2, 20),
)
def test_the_choice_is_of_names_alone_and_of_known_size(
    members: list[str], rng: Random, links_max: int
) -> None:
    """NBR-1, NBR-2"""
    shuffled = list(members)
    rng.shuffle(shuffled)

    chosen = choose_neighbours("us", members, links_max)

    assert chosen == choose_neighbours("us", shuffled, links_max)
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(members)
    everybody = len(members) <= links_max
    assert len(chosen) == (len(members) if everybody else links_max // 2)


@given(members=st.lists(NAMES, unique=True, min_size=18, max_size=40), gone=st.integers(0, 17))
def test_one_that_leaves_is_replaced_and_moves_nobody_else(members: list[str], gone: int) -> None:
    before = choose_neighbours("us", members, LINKS_MAX)
    left = [name for n, name in enumerate(members) if n != gone]

    after = choose_neighbours("us", left, LINKS_MAX)

    assert set(before) - set(after) <= {members[gone]}


def test_a_thousand_members_are_one_graph(figure: Callable[[str], None]) -> None:
    names = [f"peer-{n}" for n in range(1_000)]
    graph: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        for other in choose_neighbours(name, (n for n in names if n != name), LINKS_MAX):
            graph[name].add(other)
            graph[other].add(name)

    degrees = [len(others) for others in graph.values()]
    hops = max(depth(graph, name) for name in names[:20])

    assert 15 < sum(degrees) / len(degrees) <= LINKS_MAX
    assert max(degrees) <= 2 * LINKS_MAX
    assert hops <= 5
    figure(f"links of 1,000 members: {min(degrees)} to {max(degrees)} each, {hops} hops at most")


def depth(graph: dict[str, set[str]], start: str) -> int:
    """Return how many hops the farthest member is away; fails when one is out of reach."""
    hops = {start: 0}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        others: Iterable[str] = graph[name] - hops.keys()
        for other in others:
            hops[other] = hops[name] + 1
            queue.append(other)
    assert len(hops) == len(graph)
    return max(hops.values())
