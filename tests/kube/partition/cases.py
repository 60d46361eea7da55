"""What a scenario says: two pauses, and requests to a side by verb."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal
from urllib.parse import quote

from tests.kube.partition.sides import ALL, JSON, MERGE, Answer, Sides, settle, until

Pause = Literal["cut", "heal"]
CUT: Pause = "cut"
HEAL: Pause = "heal"
Scenario = Callable[["Case"], AsyncIterator[Pause]]
Object = dict[str, Any]
SCENARIOS: dict[str, Scenario] = {}
GROUPS = {
    "deployments": "apps/v1", "leases": "coordination.k8s.io/v1", "conflicts": "crdtstate.io/v1",
    "customresourcedefinitions": "apiextensions.k8s.io/v1",
}  # fmt: skip
GLOBAL = ("namespaces", "customresourcedefinitions")


def scenario(function: Scenario) -> Scenario:
    """Register a scenario: an asynchronous generator that yields CUT, then HEAL.

    It is run as it is in the simulator; with real peers the parts before the cut of all scenarios
    run first, then all parts during the one cut, then each rest.
    """
    SCENARIOS[function.__name__] = function
    return function


async def finish(story: AsyncIterator[Pause]) -> None:
    """Run the rest of a scenario."""
    async for pause in story:
        raise AssertionError(f"a third pause: {pause}")


class Case:
    """One scenario's requests, in a namespace of its own.

    Args:
        name: Of the scenario.
    """

    def __init__(self, sides: Sides, name: str) -> None:
        self.sides = sides
        self.namespace = name.replace("_", "-")[:40].strip("-")
        self.group = f"{self.namespace}.example.com"
        self.warning = ""  # Of the last answer.

    async def begin(self) -> None:
        """Make the namespace, everywhere."""
        await self.create("a", "namespaces", {"metadata": {"name": self.namespace}})

    # -- requests ------------------------------------------------------------------------------

    def path(self, plural: str, name: str = "", query: str = "") -> str:
        """Return the path of a kind or an object; `name` may end in a sub-resource."""
        version = GROUPS.get(plural, f"{self.group}/v1" if plural in ("widgets", "gears") else "v1")
        place = "" if plural in GLOBAL else f"/namespaces/{self.namespace}"
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        tail = f"/{quote(name)}" if name else ""
        return f"{root}{place}/{plural}{tail}" + (f"?{query}" if query else "")

    async def ask(
        self, side: str, method: str, path: str, body: Any = None, media: str = JSON
    ) -> Answer:
        """Ask, whatever the answer."""
        data = None if body is None else json.dumps(body).encode()
        answer = await self.sides.ask(side, method, path, data, media)
        self.warning = answer.warning
        return answer

    async def _done(
        self, side: str, method: str, path: str, body: Any = None, media: str = JSON
    ) -> Object:
        answer = await self.ask(side, method, path, body, media)
        assert answer.status in (200, 201), f"{method} {path} on {side}: {answer}"
        return dict(answer.body)

    async def create(self, side: str, plural: str, body: Object, query: str = "") -> Object:
        """POST; it must succeed."""
        return await self._done(side, "POST", self.path(plural, query=query), body)

    async def get(self, side: str, plural: str, name: str) -> Object:
        """GET; it must be there."""
        return await self._done(side, "GET", self.path(plural, name))

    async def is_there(self, side: str, plural: str, name: str) -> bool:
        """Whether a peer shows an object."""
        return (await self.ask(side, "GET", self.path(plural, name))).status == 200

    async def put(self, side: str, plural: str, body: Object, sub: str = "") -> Object:
        """PUT; it must succeed."""
        name = body["metadata"]["name"] + sub
        return await self._done(side, "PUT", self.path(plural, name), body)

    async def patch(
        self, side: str, plural: str, name: str, patch: Any, media: str = MERGE
    ) -> Object:
        """PATCH; it must succeed."""
        return await self._done(side, "PATCH", self.path(plural, name), patch, media)

    async def apply(
        self, side: str, plural: str, body: Object, manager: str, *, force: bool = False
    ) -> Answer:
        """Apply on the server, whatever the answer."""
        query = f"fieldManager={manager}&force={str(force).lower()}"
        version = GROUPS.get(plural, "v1")
        kind = {"configmaps": "ConfigMap", "deployments": "Deployment"}[plural]
        whole = {"apiVersion": version, "kind": kind, **body}
        path = self.path(plural, body["metadata"]["name"], query)
        return await self.ask(side, "PATCH", path, whole, "application/apply-patch+yaml")

    async def delete(self, side: str, plural: str, name: str) -> Object:
        """DELETE; it must succeed."""
        return await self._done(side, "DELETE", self.path(plural, name))

    async def refused(
        self, side: str, method: str, path: str, body: Any = None, *, reason: str,
        media: str = JSON,
    ) -> str:  # fmt: skip
        """Ask for what is refused for a reason; return the message."""
        answer = await self.ask(side, method, path, body, media)
        assert answer.body.get("reason") == reason, f"{method} {path} on {side}: {answer}"
        assert answer.body["code"] == answer.status
        return str(answer.body["message"])

    # -- what all must agree on ----------------------------------------------------------------

    async def agreed(self, plural: str, name: str) -> Object:
        """Return an object once everybody has everything: the same bytes on every peer.

        A resourceVersion is the peer's own, and left out.
        """
        await settle(self.sides)
        shown = [_bytes(await self.get(side, plural, name)) for side in ALL]
        assert len(set(shown)) == 1, shown
        return dict(json.loads(shown[0]))

    async def all_agreed(self, plural: str) -> list[Object]:
        """Return all objects of a kind, the same bytes on every peer."""
        await settle(self.sides)
        shown = []
        for side in ALL:
            listed = await self._done(side, "GET", self.path(plural))
            shown.append([_bytes(item) for item in listed["items"]])
        assert shown[0] == shown[1] == shown[2], shown
        return [json.loads(item) for item in shown[0]]

    async def gone(self, plural: str, name: str) -> None:
        """Check that nobody shows an object."""
        await settle(self.sides)
        assert [await self.is_there(side, plural, name) for side in ALL] == [False] * 3

    async def becomes_gone(self, plural: str, name: str, side: str = "") -> None:
        """Wait until nobody shows an object, or one peer does not: controllers take their time."""
        sides = (side,) if side else ALL

        async def nowhere() -> bool:
            return not any([await self.is_there(each, plural, name) for each in sides])

        await until(nowhere, f"{plural} {name} is gone")

    async def conflicts(self, plural: str, name: str) -> dict[str, Object]:
        """Return the conflicts of an object by path, the same on every peer."""
        found = [
            conflict
            for conflict in await self.all_agreed("conflicts")
            if conflict["object"]["name"] == name
            and conflict["object"]["resource"].partition(".")[0] == plural
        ]
        assert len(found) < 2
        return {field["path"]: field for conflict in found for field in conflict["fields"]}


def _bytes(body: Object) -> bytes:
    metadata = {k: v for k, v in body["metadata"].items() if k != "resourceVersion"}
    return json.dumps({**body, "metadata": metadata}).encode()


def config_map(name: str, **data: str) -> Object:
    """Return a ConfigMap."""
    return {"metadata": {"name": name}, "data": data}


def shown_value(field: Object) -> Any:
    """Return the value that a conflict says is shown."""
    (value,) = [each["value"] for each in field["values"] if each["shown"]]
    return value
