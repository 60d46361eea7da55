"""What the commands share: which peers, which token, how long."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final
from urllib.parse import urlsplit

from crdtstate.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from crdtstate.client import Client
    from crdtstate.model import MemberInfo

__all__ = ["DEFAULT_SERVER", "Session"]

DEFAULT_SERVER = "http://127.0.0.1:7480"


@final
@dataclass(frozen=True)
class Session:
    """The options before the command."""

    server: str = DEFAULT_SERVER
    token_file: str | None = None
    timeout_s: float = 5.0

    def client(self, server: str | None = None) -> "Client":
        """Return a client of all the peers, or of one."""
        from crdtstate.client import Client

        return Client(server or self.server, token_file=self.token_file, timeout=self.timeout_s)

    def client_of(self, name: str) -> "Client":
        """Return a client of the member `name`. Raises: NotFoundError, UnavailableError."""
        with self.client() as client:
            rows = {member.name: member for member in client.members()}
        if name not in rows:
            raise NotFoundError(
                f"there is no member {name!r}; there are {', '.join(sorted(rows))}",
                code="no_such_member",
            )
        return self.client(api_address(rows[name]))


def api_address(member: "MemberInfo") -> str:
    """Return where a member's API is, seen from elsewhere. Raises: UnavailableError."""
    if member.api is None:
        raise UnavailableError(f"the API address of member {member.name!r} is not known here yet")
    parts = urlsplit("//" + member.api)
    host = parts.hostname or ""
    if host in ("0.0.0.0", "::") and member.address is not None:
        host = member.address.rpartition(":")[0]
    return f"http://[{host}]:{parts.port}" if ":" in host else f"http://{host}:{parts.port}"
