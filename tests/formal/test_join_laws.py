"""Each law is proved, and each mistake refuted."""

import pytest

from tests.formal.laws import Law, all_laws, is_proved

LAWS = all_laws()


def test_there_are_enough() -> None:
    assert len(LAWS) >= 15


@pytest.mark.parametrize("law", LAWS, ids=[law.name for law in LAWS])
def test_a_law_is_proved(law: Law) -> None:
    assert is_proved(law.given, law.claim)


@pytest.mark.parametrize("law", LAWS, ids=[law.name for law in LAWS])
def test_its_mistake_is_refuted(law: Law) -> None:
    given = law.given if law.mistaken_given is None else law.mistaken_given

    assert not is_proved(given, law.mistake)
