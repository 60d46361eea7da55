"""The Python client: `Client` blocks, `AsyncClient` does not; otherwise they are the same."""

from crdtstate.client.aio import AsyncClient
from crdtstate.client.failures import AuthenticationError, UnknownOutcomeError
from crdtstate.client.sync import Client
from crdtstate.client.token import join_tokens
from crdtstate.client.txn import Transaction

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "Transaction",
    "UnknownOutcomeError",
    "join_tokens",
]
