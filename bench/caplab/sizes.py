"""EDGE: many keys in a cluster: memory of a member, and how long it takes to start again."""

import base64
import time
from urllib.request import Request, urlopen

from bench.caplab.clients.ours import API_TOKEN
from bench.caplab.flood import Flood, key_of
from bench.caplab.laboratory import Laboratory, addresses
from bench.caplab.matrix import Matrix
from bench.caplab.results import Results, SizeRun
from bench.caplab.systems.names import ETCD
from bench.caplab.systems.system import System

MEMBER = 2
_EACH, _CLIENTS = 100, 8


def run_sizes(laboratory: Laboratory, matrix: Matrix, results: Results, name: str) -> None:
    """Fill a fresh cluster with `matrix.keys` keys, restart one member, keep what was seen."""
    for number in range(matrix.keys_rounds):
        laboratory.say(f"{matrix.keys:,} keys: {name}, round {number + 1}")
        with laboratory.cluster(name, 3) as system:
            member = system.members[MEMBER]
            before = member.rss_bytes()
            began = time.monotonic()
            laboratory.flood(
                Flood(
                    system=name, addresses=addresses(system), kind="many", clients=_CLIENTS,
                    seconds=0, keys=matrix.keys, count=-(-matrix.keys // _EACH),
                    operations=_EACH,
                )
            )  # fmt: skip
            fill_s = time.monotonic() - began
            last = key_of(matrix.keys - 1)
            _wait_read(system, last)
            full = member.rss_bytes()
            member.stop()
            began = time.monotonic()
            system.start_member(MEMBER)
            _wait_read(system, last)
            results.sizes.append(
                SizeRun(
                    system=name, round=number, keys=matrix.keys, rss_before_bytes=before,
                    rss_bytes=full, fill_s=fill_s, restart_s=time.monotonic() - began,
                    rss_after_restart_bytes=member.rss_bytes(),
                )
            )  # fmt: skip


def _wait_read(system: System, key: str, deadline_s: float = 120.0) -> None:
    """Return once the member's own state shows the key."""
    host, port = system.place.client_address(MEMBER)
    if system.name == ETCD:
        body = b'{"key": "%s", "serializable": true}' % base64.b64encode(key.encode())
        request = Request(f"http://{host}:{port}/v3/kv/range", data=body)
    else:
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        request = Request(f"http://{host}:{port}/kv/{key}", headers=headers)
    began = time.monotonic()
    while time.monotonic() - began < deadline_s:
        try:
            with urlopen(request, timeout=5.0) as answer:
                if system.name != ETCD or b'"kvs"' in answer.read():
                    return
        except OSError:
            pass  # Not yet there, or not yet the key.
        time.sleep(0.01)
    raise TimeoutError(f"member {MEMBER} of {system.name} does not show {key}")
