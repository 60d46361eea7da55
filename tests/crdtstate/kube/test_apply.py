"""Server-side apply: the table of cases, and what holds of every sequence of applies."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from crdtstate.kube.fieldset import FieldSet
from crdtstate.kube.managed import Writer, apply_config, update_managed
from crdtstate.kube.statuses import StatusError
from tests.crdtstate.kube.kinds_for_tests import sample

CASES = yaml.safe_load((Path(__file__).parent / "apply_cases.yaml").read_text())
NOW = "2026-01-01T00:00:00Z"


class World:
    """One object and its managedFields."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.managed: list[dict[str, Any]] = []

    def apply(self, manager: str, config: dict[str, Any], *, force: bool = False) -> None:
        self.body, self.managed = apply_config(
            sample(), self.body, config, self.managed, Writer(manager, "Apply"), NOW, force=force
        )

    def update(self, manager: str, body: dict[str, Any]) -> None:
        self.managed = update_managed(
            sample(), self.body, body, self.managed, Writer(manager, "Update"), NOW
        )
        self.body = body

    def owns(self) -> dict[str, list[str]]:
        return {
            entry["manager"] + ("!" if entry["operation"] == "Update" else ""): sorted(
                FieldSet.from_v1(entry["fieldsV1"]).paths()
            )
            for entry in self.managed
        }


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    case = CASES[name]
    world = World()
    for step in case["steps"]:
        verb = next(iter(step))
        manager, config = step[verb], step["is"]
        match verb:
            case "apply" | "force":
                world.apply(manager, config, force=verb == "force")
            case "update":
                world.update(manager, config)
            case _:
                before = (world.body, world.managed)
                with pytest.raises(StatusError) as refused:
                    world.apply(manager, config)
                if verb == "conflict":
                    assert refused.value.reason == "Conflict"
                    fields = sorted(cause["field"] for cause in refused.value.causes)
                    assert fields == sorted(step["over"])
                else:
                    assert step["text"] in refused.value.message
                assert (world.body, world.managed) == before
    assert world.body == case["object"]
    if case["owns"] is not False:
        assert world.owns() == {who: sorted(paths) for who, paths in case["owns"].items()}
