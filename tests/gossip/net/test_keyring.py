"""Keys: who seals, who opens, and what may not be taken away."""

import pytest

from gossip.errors import GossipError
from gossip.net.keyring import Keyring, key_id_of

FIRST, SECOND = bytes(32), bytes(range(32))


def test_the_first_key_is_primary_until_another_is_used() -> None:
    keyring = Keyring([FIRST, SECOND])
    assert keyring.ids() == [key_id_of(FIRST), key_id_of(SECOND)]

    keyring.use(key_id_of(SECOND))

    assert keyring.primary == key_id_of(SECOND)
    assert keyring.ids() == [key_id_of(SECOND), key_id_of(FIRST)]


def test_the_primary_and_the_last_key_cannot_be_removed() -> None:
    """KEY-1"""
    keyring = Keyring([FIRST, SECOND])

    with pytest.raises(GossipError, match="is the primary"):
        keyring.remove(key_id_of(FIRST))
    keyring.remove(key_id_of(SECOND))
    with pytest.raises(GossipError, match="is the last one"):
        keyring.remove(key_id_of(FIRST))

    assert keyring.ids() == [key_id_of(FIRST)]


def test_unknown_keys_and_bad_sizes_are_named() -> None:
    keyring = Keyring([FIRST])

    with pytest.raises(GossipError, match="31 bytes: exactly 32"):
        keyring.add(bytes(31))
    with pytest.raises(GossipError, match="add it first"):
        keyring.use(key_id_of(SECOND))
    with pytest.raises(GossipError, match="not in the keyring"):
        keyring.remove(key_id_of(SECOND))
    with pytest.raises(GossipError, match="0 keys"):
        Keyring([])


def test_the_keyring_is_bounded_and_adding_twice_is_harmless() -> None:
    keyring = Keyring([bytes([number]) * 32 for number in range(Keyring.KEYS_MAX)])

    keyring.add(bytes(32))
    with pytest.raises(GossipError, match=f"{Keyring.KEYS_MAX} keys of {Keyring.KEYS_MAX}"):
        keyring.add(b"x" * 32)


def test_no_key_is_in_a_repr() -> None:
    """KEY-2"""
    text = repr(Keyring([SECOND]))

    assert repr(SECOND) not in text
    assert SECOND.hex() not in text
