"""The Python client: `Client` blocks, `AsyncClient` does not; otherwise they are the same.

`AsyncClient` is loaded when first used, so that a blocking program does not pay for aiohttp.
"""

from typing import TYPE_CHECKING, Any

from crdtstate.client.failures import AuthenticationError, UnknownOutcomeError
from crdtstate.client.sync import Client
from crdtstate.client.txn import Transaction
from crdtstate.tokens import join_tokens

if TYPE_CHECKING:
    from crdtstate.client.aio import AsyncClient as AsyncClient

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "Transaction",
    "UnknownOutcomeError",
    "join_tokens",
]


def __getattr__(name: str) -> Any:
    if name != "AsyncClient":
        raise AttributeError(f"module 'crdtstate.client' has no attribute {name!r}")
    from crdtstate.client.aio import AsyncClient

    return AsyncClient
