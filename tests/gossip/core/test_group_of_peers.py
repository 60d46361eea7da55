"""Several machines against crashes, loss, cuts and restarts, in virtual time."""

import pytest

from gossip.core import messages as msg
from gossip.core.ports import Liveness
from tests.gossip.core.swim_harness import DIGEST, Net

TEN = "abcdefghij"
SEEDS = range(1, 6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("names", ["ab", "abc", TEN])
def test_a_crashed_member_is_dead_to_all_within_thirteen_seconds(names: str, seed: int) -> None:
    net = Net(names, seed=seed)

    net.crash("b")
    took_ms = net.run_until(lambda: net.all_see("b", Liveness.DEAD), 30_000)

    # Two rounds of probes, the least suspicion, and one to confirm it.
    assert took_ms < 13_000
    assert set(net.believed(Liveness.DEAD)) == {"b"}


@pytest.mark.parametrize("seed", SEEDS)
def test_one_loss_in_five_kills_nobody(seed: int) -> None:
    """BEL-2, PROBE-1, PROBE-2"""
    net = Net("abcde", seed=seed, streams=False)

    net.loss = 0.2
    net.run(120_000)

    assert net.believed(Liveness.DEAD) == []


def test_indirect_probes_keep_two_members_that_cannot_talk_from_suspecting_each_other() -> None:
    """DET-1"""
    net = Net("abcd", streams=False)

    net.block("a", "b")
    net.run(60_000)

    assert net.believed(Liveness.SUSPECT) == []


def test_the_stream_alone_keeps_a_member_from_suspicion() -> None:
    net = Net("ab")

    net.loss = 1.0
    net.run(30_000)

    assert net.believed(Liveness.SUSPECT) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_member_that_is_cut_off_alone_knows_of_the_others_within_thirteen_seconds(
    seed: int,
) -> None:
    """SUS-3: it took 26 while the first suspect waited for the word of the second."""
    net = Net("abc", seed=seed)
    net.run(5_000)
    net.cut("a")

    took_ms = net.run_until(
        lambda: all(net.sees("a", other) is Liveness.DEAD for other in "bc"), 60_000
    )

    assert took_ms <= 13_000


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("names", "side"), [("ab", "a"), ("abc", "a"), (TEN, "abcde")])
def test_both_halves_are_whole_again_three_seconds_after_a_cut(
    names: str, side: str, seed: int
) -> None:
    """GRP-1"""
    net = Net(names, seed=seed)
    net.cut(*side)
    net.run(60_000)
    assert all(net.sees(side[0], other) is Liveness.DEAD for other in names if other not in side)

    net.heal()
    healed_ms = net.now_ms
    took_ms = net.run_until(net.agreed, 10_000)

    assert took_ms <= 3_000
    assert net.believed(Liveness.DEAD, since_ms=healed_ms) == []


def test_a_heal_costs_nobody_a_death_on_his_own_side() -> None:
    net = Net(TEN, seed=3)
    net.cut(*"abcde")
    net.run(120_000)
    deaths = [(who, m.name) for _, who, m in net.changes if m.liveness is Liveness.DEAD]

    net.heal()
    net.run(30_000)

    assert all((who in "abcde") != (name in "abcde") for who, name in deaths)
    assert [m for _, _, m in net.changes if m.liveness is Liveness.DEAD][len(deaths) :] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cut_shorter_than_the_suspicion_kills_nobody(seed: int) -> None:
    net = Net("abc", seed=seed)

    net.cut("c")
    net.run(3_000)
    net.heal()
    took_ms = net.run_until(net.agreed, 10_000)

    assert net.believed(Liveness.DEAD) == []
    assert took_ms <= 3_000


def test_idle_members_stay_under_nine_hundred_bytes_a_second() -> None:
    net = Net(["peer-a", "peer-b", "peer-c"])
    net.run(10_000)
    net.packets = net.bytes = 0
    net.sizes.clear()

    net.run(60_000)

    assert net.bytes / 60 < 900
    assert 58 * 6 <= net.packets <= 62 * 6
    assert max(net.sizes) <= 56


def test_short_names_and_a_digest_of_24_bytes_make_packets_of_at_most_45_bytes() -> None:
    """GRP-2"""
    net = Net("abc")
    net.run(10_000)
    net.sizes.clear()

    net.run(60_000)

    assert max(net.sizes) <= 45


def test_the_same_seed_gives_the_same_story() -> None:
    """PEER-G3"""
    stories = []
    for _ in range(2):
        net = Net("abcde", seed=11, loss=0.1)
        net.crash("c")
        net.run(20_000)
        net.restart("c", incarnation=50, seed="a")
        net.run(10_000)
        stories.append(net.story)

    assert stories[0] == stories[1]
    assert stories[0] != Net("abcde", seed=12, loss=0.1).story


@pytest.mark.parametrize("pause_ms", [200, 5_000, 60_000])
def test_a_restarted_process_with_a_higher_incarnation_is_alive_to_all_at_once(
    pause_ms: int,
) -> None:
    net = Net("abc")
    net.crash("b")
    net.run(pause_ms)

    net.restart("b", incarnation=77, seed="a")
    took_ms = net.run_until(net.agreed, 10_000)

    assert took_ms <= 1_000
    assert net.peer("c").members()[1].incarnation == 77


def test_a_restarted_process_with_a_lower_incarnation_raises_it_and_lives() -> None:
    """BEL-1"""
    net = Net("abc")
    net.give("b", msg.MetadataChanged(b"life one"))
    net.run(1_000)
    net.crash("b")
    net.run(30_000)
    assert net.all_see("b", Liveness.DEAD)

    net.restart("b", incarnation=1, seed="a")
    took_ms = net.run_until(net.agreed, 10_000)

    assert took_ms <= 2_000
    assert net.peer("a").members()[1].metadata == b""


def test_whoever_leaves_is_left_and_not_dead() -> None:
    """PEER-G1"""
    net = Net("abc")

    net.give("c", msg.Leave())
    net.run_until(lambda: net.all_see("c", Liveness.LEFT), 1_000)
    net.run(60_000)

    assert net.believed(Liveness.DEAD) == net.believed(Liveness.SUSPECT) == []


def test_changed_metadata_reaches_all_within_a_second() -> None:
    net = Net(TEN)

    net.give("d", msg.MetadataChanged(b"new"))

    assert net.run_until(net.agreed, 5_000) <= 1_000
    assert net.peer("j").members()[3].metadata == b"new"


def test_pings_and_acks_carry_the_digest_both_ways() -> None:
    net = Net("ab")

    net.run(3_000)

    assert {("a", "b", DIGEST), ("b", "a", DIGEST)} <= set(net.digests)


@pytest.mark.parametrize("freeze_ms", [3_000, 20_000, 60_000])
def test_a_member_whose_loop_stood_still_blames_nobody(freeze_ms: int) -> None:
    """GDR-2"""
    net = Net("abcd", seed=5)

    net.freeze("a", freeze_ms)
    net.run(freeze_ms)
    thawed_ms = net.now_ms
    net.run(20_000)

    blamed = [m.name for at, who, m in net.changes if who == "a" and at >= thawed_ms
              and m.liveness in (Liveness.SUSPECT, Liveness.DEAD)]  # fmt: skip
    assert blamed == []
    assert net.agreed()


def test_a_joiner_asks_again_until_the_seed_answers_and_then_no_more() -> None:
    """JOIN-1"""
    net = Net("ab", joined=False)
    net.loss = 1.0
    net.give("b", msg.Join(*net.hosts["a"].address))
    net.run(10_000)
    # At once, after 0.5, 1.5, 3.5, 5.5, 7.5 and 9.5 seconds.
    assert net.packets == 7

    net.loss = 0.0
    took_ms = net.run_until(net.agreed, 5_000)

    assert took_ms <= 2_100


def test_two_processes_of_one_name_are_reported_and_the_group_goes_on() -> None:
    net = Net("abc")
    net.add("c", label="c2", incarnation=5)

    net.give("c2", msg.Join(*net.hosts["a"].address))
    net.run(60_000)

    conflicts = [reason for _, reason in net.rejected if reason.startswith("name conflict")]
    # Each of the two contends for the name once in ten seconds at most.
    assert 1 <= len(conflicts) <= 14
    assert net.sees("a", "b") is net.sees("b", "a") is Liveness.ALIVE


def test_a_forgotten_member_stays_unknown_while_it_runs_on() -> None:
    net = Net("abc")

    net.give("a", msg.Forget("c"))
    net.give("b", msg.Forget("c"))
    net.run(60_000)

    assert [m.name for m in net.peer("a").members()] == ["a", "b"]
    assert [m.name for m in net.peer("b").members()] == ["a", "b"]


def test_two_groups_that_never_met_become_one_through_one_join() -> None:
    net = Net(TEN, joined=False)
    for name in "bcde":
        net.give(name, msg.Join(*net.hosts["a"].address))
    for name in "ghij":
        net.give(name, msg.Join(*net.hosts["f"].address))
    net.run(10_000)
    assert len(net.peer("a").members()) == len(net.peer("j").members()) == 5

    net.give("e", msg.Join(*net.hosts["j"].address))

    assert net.run_until(net.agreed, 5_000) <= 2_000
