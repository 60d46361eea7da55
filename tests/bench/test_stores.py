"""The benchmark of the stores alone runs, and says what it measures."""

from pathlib import Path

import pytest

from bench import stores


def test_it_prints_what_a_put_and_a_join_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "ROUNDS", 1)
    monkeypatch.setattr(stores, "BATCHES", {1: 3, 128: 2})
    monkeypatch.setattr(stores, "JOINED", 100)
    said: list[str] = []

    rows = stores.stores(tmp_path, said.append)

    assert [row.name for row in rows] == [
        "a put of 1 a request", "a put of 128 a request", "1 of 128 puts concurrent",
        "32 of 128 puts concurrent", "128 of 128 puts concurrent", "a join of 100 records",
    ]  # fmt: skip
    assert rows[0].value.count(" us ") == 1
    assert said == [
        "stores, 1 puts a request, round 1 of 1", "stores, 128 puts a request, round 1 of 1",
        "stores, 1 of 128 puts concurrent", "stores, 32 of 128 puts concurrent",
        "stores, 128 of 128 puts concurrent", "stores, catching up",
    ]  # fmt: skip
