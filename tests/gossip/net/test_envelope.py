"""The sealed datagram: every way to be wrong has its own name, and none raises."""

from hypothesis import given
from hypothesis import strategies as st

from gossip.net.envelope import HEADER_BYTES, OVERHEAD_BYTES, Envelope, Rejection
from gossip.net.keyring import Keyring, key_id_of

CLUSTER = b"0123456789abcdef"
KEY, NEXT_KEY = bytes(32), bytes(range(32))


def envelope(
    *, cluster: bytes = CLUSTER, keys: tuple[bytes, ...] = (KEY,), salt: bytes = b"salt-1"
) -> Envelope:
    return Envelope(cluster, Keyring(keys), salt=salt)


@given(st.binary(max_size=1400))
def test_what_one_member_seals_another_opens(plaintext: bytes) -> None:
    sealed = envelope(salt=b"salt-1").seal(plaintext)

    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert envelope(salt=b"salt-2").open(sealed) == plaintext


def test_the_overhead_fits_the_idle_budget() -> None:
    assert OVERHEAD_BYTES <= 45


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_rejected_without_an_exception(data: bytes) -> None:
    """ENV-1"""
    assert isinstance(envelope().open(data), Rejection)


@given(st.integers(min_value=0, max_value=OVERHEAD_BYTES + 4), st.integers(1, 255))
def test_a_changed_byte_never_opens(position: int, change: int) -> None:
    sealed = bytearray(envelope().seal(b"hello"))
    sealed[position] ^= change

    assert isinstance(envelope().open(bytes(sealed)), Rejection)


def test_each_reason_has_its_name() -> None:
    sealed = envelope().seal(b"hello")

    assert envelope().open(sealed[: OVERHEAD_BYTES - 1]) is Rejection.TOO_SHORT
    assert envelope().open(b"\xd2" + sealed[1:]) is Rejection.WRONG_VERSION
    assert envelope(cluster=b"another").open(sealed) is Rejection.WRONG_CLUSTER
    assert envelope(keys=(NEXT_KEY,)).open(sealed) is Rejection.UNKNOWN_KEY
    assert envelope().open(sealed[:-1] + b"?") is Rejection.BAD_SEAL


def test_a_rotation_is_readable_at_every_step() -> None:
    first, second = Keyring([KEY]), Keyring([KEY])
    left = Envelope(CLUSTER, first, salt=b"left  ")
    right = Envelope(CLUSTER, second, salt=b"right ")

    for keyring in (first, second):
        keyring.add(NEXT_KEY)
        assert right.open(left.seal(b"x")) == left.open(right.seal(b"x")) == b"x"
    for keyring in (first, second):
        keyring.use(key_id_of(NEXT_KEY))
        assert right.open(left.seal(b"x")) == left.open(right.seal(b"x")) == b"x"
    for keyring in (first, second):
        keyring.remove(key_id_of(KEY))
        assert right.open(left.seal(b"x")) == left.open(right.seal(b"x")) == b"x"


def test_no_two_packets_share_a_nonce() -> None:
    sender = envelope()

    nonces = {sender.seal(b"same")[HEADER_BYTES : HEADER_BYTES + 12] for _ in range(1000)}

    assert len(nonces) == 1000
