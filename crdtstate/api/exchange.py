"""One HTTP exchange as values, and the parsing of what every request may carry.

The server at the edge turns its library's objects into a `Request` and a `Response` back; all
handlers are between the two, so that they run in tests and in the simulator without a socket.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, final
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from crdtstate.errors import CrdtstateError, InvalidError

__all__ = ["Request", "Response", "decode_json", "error_response", "json_response"]

TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX = 5_000, 60_000
_encode_json = msgspec.json.Encoder().encode


@final
class Request:
    """A request. `path` is percent-decoded bytes; `target` is the raw request target."""

    __slots__ = ("_query", "_query_text", "headers", "method", "path", "read_body", "target")

    def __init__(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        read_body: Callable[[], Awaitable[bytes]],
    ) -> None:
        path, _, query = target.partition("?")
        self.method, self.target = method, target
        self.headers, self.read_body = headers, read_body
        self.path = unquote_to_bytes(path) if "%" in path else path.encode("utf-8", "replace")
        self._query_text = query
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """The query parameters. Raises: InvalidError when they are not UTF-8."""
        if self._query is None:
            if not self._query_text:
                self._query = {}
            else:
                try:
                    pairs = parse_qsl(
                        self._query_text, keep_blank_values=True, errors="strict",
                        max_num_fields=32,
                    )  # fmt: skip
                except (UnicodeDecodeError, ValueError) as error:
                    raise InvalidError(
                        f"query is not valid: {error}", code="invalid_parameter"
                    ) from error
                self._query = dict(pairs)
        return self._query

    def key(self, prefix: str) -> str:
        """Return the key behind the route's prefix. Raises: InvalidError unless UTF-8."""
        try:
            return self.path[len(prefix) :].decode()
        except UnicodeDecodeError as error:
            raise InvalidError(f"key is not valid UTF-8: {error}", code="invalid_key") from error

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """Return an integer parameter. Raises: InvalidError outside least to most."""
        text = self.query.get(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise InvalidError(
                f"{name} is {text[:32]!r}, not an integer within {least} to {most}",
                code="invalid_parameter",
                limit=most,
                value=text[:32],
            )
        return value

    def flag(self, name: str) -> bool:
        """Return a yes-or-no parameter. Raises: InvalidError for other words."""
        text = self.query.get(name)
        if text in (None, "0", "false"):
            return False
        if text in ("1", "true", ""):
            return True
        raise InvalidError(f"{name} is {text!r}, not 1 or 0", code="invalid_parameter")

    def timeout_ms(self) -> int:
        """Return the deadline that the client gave."""
        return self.integer("timeout_ms", TIMEOUT_MS_DEFAULT, 1, TIMEOUT_MS_MAX)

    def replicas(self, name: str, default: str = "1") -> int | str:
        """Return how many replicas must have it: a number, "majority" or "all"."""
        text = self.query.get(name, default)
        if text in ("majority", "all"):
            return text
        if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 10_000:
            return int(text)
        raise InvalidError(
            f"{name} is {text[:32]!r}, not a number from 1, majority or all",
            code="invalid_parameter",
        )

    async def json(self, kind: Any) -> Any:
        """Return the body as the type. Raises: InvalidError (code invalid_json)."""
        return decode_json(await self.read_body(), kind)


@final
class Response:
    """A response: a body, or a stream of chunks."""

    __slots__ = ("body", "content_type", "headers", "status", "stream")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        stream: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.status, self.body, self.content_type = status, body, content_type
        self.headers: dict[str, str] = {} if headers is None else headers
        self.stream = stream


def decode_json(body: bytes, kind: Any) -> Any:
    """Return the body as the type. Raises: InvalidError (code invalid_json)."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidError(
            f"body is not what is asked for: {error}", code="invalid_json"
        ) from error


def json_response(value: Any, status: int = 200) -> Response:
    """Return `value` as JSON."""
    return Response(status, _encode_json(value))


def error_response(error: CrdtstateError) -> Response:
    """Return the error body of the API."""
    body = {"error": {**error.data, "code": error.code, "message": error.message}}
    response = json_response(body, error.status)
    if error.status == 503:
        response.headers["Retry-After"] = "1"
    return response
