"""The end of a CustomResourceDefinition: its objects go first, and it waits for the last of them.

No controller runs for it: whoever deletes a definition deletes its objects, and the next request
to any peer that sees none left lets the definition go. A peer that did not know of the deletion
when it took the last object away finds out so, too.

Source: apiextensions-apiserver `controller/finalizer`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, final

from crdtstate.api.kube.state import CLEANUP, KubeState
from crdtstate.kube.cache import CachedObject
from crdtstate.kube.objects import Context, Live, Target
from crdtstate.kube.resources import Resource

__all__ = ["Definitions"]

DeleteAll = Callable[[Resource, list[CachedObject]], Awaitable[None]]


@final
class Definitions:
    """Ends definitions.

    Args:
        delete_all: Deletes objects of one kind.
    """

    def __init__(self, state: KubeState, delete_all: DeleteAll) -> None:
        self._state, self._delete_all = state, delete_all

    async def empty(self, name: str) -> None:
        """Delete the objects of a definition that is being deleted. Cost: O(objects)."""
        self._state.refresh()
        stored_as = self._state.ending.get(name)
        if stored_as is None:
            return
        resources = self._state.registry.all()
        custom = next((r for r in resources if r.stored_as == stored_as), None)
        if custom is not None:
            await self._delete_all(custom, self._state.feed.cache.list(stored_as))

    async def finish(self) -> None:
        """Let go what ends and has no objects left. Cost: O(definitions that end)."""
        state = self._state
        state.refresh()
        if not state.ending:
            return
        definitions = state.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        assert definitions is not None, "a built-in kind"
        for name, stored_as in list(state.ending.items()):
            if not stored_as or not state.feed.cache.count(stored_as):
                await state.feed.edit(Target(definitions, "", name), _let_go)
        state.refresh()


def _let_go(live: Live | None, _context: Context) -> dict[str, Any] | None:
    if live is None or "deletionTimestamp" not in live.body["metadata"]:
        return None
    metadata = dict(live.body["metadata"])
    metadata["finalizers"] = [f for f in metadata.get("finalizers") or [] if f != CLEANUP]
    return {**live.body, "metadata": metadata}
