"""Controllers: programs that bring what is there nearer to what is wanted, and clients of the API.

A controller of your own needs only what is here; docs/controllers.md shows one in forty lines.
"""

from controllers.errors import StaleError, TerminalError
from controllers.runtime.actions import Action, Create, Delete, Patch, Say
from controllers.runtime.manager import Manager
from controllers.runtime.registry import Watch, controller, load_controllers, spec_of_class
from controllers.runtime.request import DONE, Reconciler, Request, Result
from controllers.runtime.scope import Scope
from controllers.runtime.view import ACT, HOLD, MAJORITY, Policy, View

__all__ = [
    "ACT",
    "DONE",
    "HOLD",
    "MAJORITY",
    "Action",
    "Create",
    "Delete",
    "Manager",
    "Patch",
    "Policy",
    "Reconciler",
    "Request",
    "Result",
    "Say",
    "Scope",
    "StaleError",
    "TerminalError",
    "View",
    "Watch",
    "controller",
    "load_controllers",
    "spec_of_class",
]
