"""Where pods and machines are. No I/O.

On a LAN a pod has the address of its machine. When all peers share one machine, as with
`crdtstate up`, their address is a loopback one, and every machine and every pod gets a loopback
address of its own instead (Linux answers on all of 127.0.0.0/8): so ten pods can listen on port
8080, each where its status says, exactly as they would on ten machines.

    127.1.0.0/16     machines         127.128.0.0/9    pods
"""

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import Any

__all__ = ["machine_address", "pod_address"]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _within(network: str, name: str) -> str:
    """Return an address of a network that is a function of the name; never the first or last."""
    net = ipaddress.ip_network(network)
    digest = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return str(net[1 + digest % (net.num_addresses - 2)])


def machine_address(name: str, advertised: str) -> str:
    """Return the address of a peer's machine.

    Args:
        advertised: The host under which others reach the peer.
    """
    return _within("127.1.0.0/16", name) if _is_loopback(advertised) else advertised


def pod_address(body: Mapping[str, Any], machine: str) -> str:
    """Return the address of a pod: the machine's, where it is not a loopback one, or where the pod
    wants to be on the machine's own ports."""
    spec = body.get("spec") or {}
    ports = [p for c in spec.get("containers") or () for p in c.get("ports") or ()]
    if spec.get("hostNetwork") or any(p.get("hostPort") for p in ports):
        return machine
    if not _is_loopback(machine):
        return machine
    # Of the machine, too: two sides of a cut can run one pod, with one uid, on two machines.
    return _within("127.128.0.0/9", f"{machine} {body['metadata']['uid']}")
