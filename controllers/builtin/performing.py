"""Performing a plan so that `kubectl describe` of the owner tells what was done, or why not."""

from collections.abc import Sequence

from controllers.runtime.actions import Action, Create, Delete, Say
from controllers.runtime.objects import Object, name_of
from controllers.runtime.scope import Scope
from crdtstate.errors import CrdtstateError
from crdtstate.model import Kind

__all__ = ["perform_for"]

_SAID_MAX = 3  # Of one plan, one by one; more of them are one line.


async def perform_for(scope: Scope, kind: Kind, owner: Object, actions: Sequence[Action]) -> None:
    """Perform, and record Events about the owner. Raises: what `Scope.perform` raises."""
    try:
        await scope.perform(actions)
    except CrdtstateError as error:
        creates = any(isinstance(action, Create) for action in actions)
        reason = "FailedCreate" if creates else "FailedUpdate"
        message = f"Error: {error.message}"
        await scope.say(Say(kind=kind, about=owner, reason=reason, message=message, warning=True))
        raise
    made = [f"{a.kind.kind.lower()} {a.body['metadata']['name']}" for a in actions
            if isinstance(a, Create)]  # fmt: skip
    gone = [f"{a.kind.kind.lower()} {a.name}" for a in actions if isinstance(a, Delete)]
    for names, reason, verb in ((made, "SuccessfulCreate", "Created"),
                                (gone, "SuccessfulDelete", "Deleted")):  # fmt: skip
        for name in names[:_SAID_MAX]:
            await scope.say(Say(kind=kind, about=owner, reason=reason, message=f"{verb} {name}"))
        more = len(names) - _SAID_MAX
        if more > 0:
            message = f"{verb} {more} more after {name_of(owner)}'s first {_SAID_MAX}"
            await scope.say(Say(kind=kind, about=owner, reason=reason, message=message))
