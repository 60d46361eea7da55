"""Where a Service is reached on every machine. No I/O.

The address of a Service, `spec.clusterIP`, is a loopback address that is a function of its uid: the
agent of each machine listens there, on the Service's own ports, so that `curl CLUSTER-IP:PORT`
works on every machine of the cluster, and means the same on each. A Service of type NodePort (or
LoadBalancer) is also at its node port on the address of every machine; a node port that nobody has
chosen is a function of the uid and the port's name.

    127.64.0.0/10   addresses of Services          30000-32767   node ports
"""

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

__all__ = ["Listener", "listeners_of", "missing_fields"]

NETWORK = ipaddress.ip_network("127.64.0.0/10")
NODE_PORT_FIRST, NODE_PORTS = 30_000, 2_768


@final
@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """One address on which one port of a Service is served."""

    host: str
    port: int
    name: str
    """Of the Service's port."""


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _is_served(service: Mapping[str, Any]) -> bool:
    """Whether it has an address of its own: no alias, and not headless."""
    spec = service.get("spec") or {}
    return spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None"


def _has_node_ports(service: Mapping[str, Any]) -> bool:
    return (service.get("spec") or {}).get("type") in ("NodePort", "LoadBalancer")


def missing_fields(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the spec that is yet to be chosen, as a merge patch; empty: nothing is.

    The same on every machine, so that it does not matter which one writes it.
    """
    if not _is_served(service):
        return {}
    spec, uid = service.get("spec") or {}, service["metadata"]["uid"]
    found: dict[str, Any] = {}
    if not spec.get("clusterIP"):
        address = str(NETWORK[1 + _number(uid) % (NETWORK.num_addresses - 2)])
        found = {"clusterIP": address, "clusterIPs": [address]}
    ports = spec.get("ports") or ()
    if _has_node_ports(service) and not all(port.get("nodePort") for port in ports):
        found["ports"] = [
            {**port, "nodePort": port.get("nodePort") or _node_port(uid, port)} for port in ports
        ]
    return found


def _node_port(uid: str, port: Mapping[str, Any]) -> int:
    return NODE_PORT_FIRST + _number(f"{uid} {port.get('name', '')}") % NODE_PORTS


def listeners_of(service: Mapping[str, Any], machine: str) -> list[Listener]:
    """Return where the agent of a machine listens for a Service; TCP only.

    Args:
        machine: Its address.
    """
    spec = service.get("spec") or {}
    address = spec.get("clusterIP")
    if not _is_served(service) or not address:
        return []
    found = []
    for port in spec.get("ports") or ():
        if (port.get("protocol") or "TCP") != "TCP":
            continue
        name = port.get("name") or ""
        if ipaddress.ip_address(address).is_loopback:
            found.append(Listener(address, int(port["port"]), name))
        if _has_node_ports(service) and port.get("nodePort"):
            found.append(Listener(machine, int(port["nodePort"]), name))
    return found
