"""After the load: what does each member show, and what does the system say was overridden?"""

import asyncio
from typing import Any

from bench.caplab.clients.etcd import EtcdSession
from bench.caplab.clients.interface import OK, Modes
from bench.caplab.clients.ours import OursSession
from bench.caplab.history import Final
from bench.caplab.panel import Panel, now_ms
from bench.caplab.roles import CONFLICT, PREFIXES
from bench.caplab.systems.names import OURS

_PAUSE_S = 0.1


async def look(panel: Panel, deadline_s: float) -> Final:
    """Read all members until they show the same, or until the deadline."""
    make = OursSession if panel.system == OURS else EtcdSession
    sessions = [make(*address, Modes(token=False), 2.0) for address in panel.addresses]
    began_ms = now_ms()
    while True:
        values = list(await asyncio.gather(*[_read_all(session) for session in sessions]))
        equal = all(found == values[0] for found in values) and bool(values[0])
        if equal or now_ms() - began_ms > deadline_s * 1000:
            break
        await asyncio.sleep(_PAUSE_S)
    took_ms = now_ms() - began_ms if equal else None
    conflicts: dict[str, list[str]] = {}
    told: list[str] = []
    ours = sessions[0]
    if isinstance(ours, OursSession):
        conflicts = await _list_conflicts(ours)
        told = [key for key in conflicts if (await ours.get(key)).told]
    for session in sessions:
        await session.close()
    return Final(
        values=values, conflicts=conflicts, told_keys=told, converged_after_ms=took_ms
    )  # fmt: skip


async def _read_all(session: OursSession | EtcdSession) -> dict[str, str]:
    found: dict[str, str] = {}
    for prefix in PREFIXES:
        answer = await session.scan(prefix)
        if answer.status != OK:
            return {}
        found.update({k.decode(): v.decode("utf-8", "replace") for k, v in answer.values.items()})
    return found


async def _list_conflicts(session: OursSession) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    after = ""
    while True:
        page: dict[str, Any] = await session.ask(
            f"/conflicts?prefix={CONFLICT}&limit=1000" + (f"&continue={after}" if after else "")
        )
        for conflict in page["conflicts"]:
            found.setdefault(conflict["key"], []).extend(
                str(value.get("value")) for value in conflict["values"]
            )
        after = page["continue"] or ""
        if not after:
            return found
