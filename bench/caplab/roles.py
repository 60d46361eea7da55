"""The clients of a panel: each role is one kind of work, done at its pace until the run ends."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

from bench.caplab.clients.interface import FAILED, OK, REFUSED
from bench.caplab.history import ADD, EDIT, GET, INCREMENT, LEAD, MODIFY, PUT, SEEN
from bench.caplab.panel import Client, now_ms

PUTS, MARKS, REGISTERS, MODIFIED = "put/", "mark/", "reg/", "rmw/"
COUNTER, SETS, OBJECT, LOCK, CONFLICT = "cnt/", "set/", "obj/", "lock/", "conflict/"
PREFIXES = (PUTS, MARKS, REGISTERS, MODIFIED, COUNTER, SETS, OBJECT, CONFLICT)
"""Everything that is looked at after the run; locks come and go by themselves."""

KEYS_EACH, REGISTER_KEYS, CONFLICT_KEYS = 10, 3, 10
LEASE_S = 2
_EDGE_MS = 300
"""How far conflict writers stay away from the ends of the fault."""


async def put(client: Client) -> None:
    """Write keys of one's own, each value new: what is accepted, how fast, and is it kept?"""
    count = 0
    while await client.tick():
        count += 1
        key = f"{PUTS}{client.number}/{count % KEYS_EACH}"
        value, start = client.fresh(), now_ms()
        answer = await client.session.put(key, value.encode())
        client.note(PUT, key, value, start, answer.status, reason=answer.reason)


async def failover(client: Client) -> None:
    """Write as `put` does, and after a failure go on beside the next member."""
    count, members = 0, len(client.panel.addresses)
    member = client.part.member
    while await client.tick():
        count += 1
        key = f"{PUTS}{client.number}/{count % KEYS_EACH}"
        value, start = client.fresh(), now_ms()
        answer = await client.session.put(key, value.encode())
        client.note(
            PUT, key, value, start, answer.status, reason=answer.reason, member=member
        )  # fmt: skip
        if answer.status != OK:
            member = (member + 1) % members
            client.session = client.session_at(member)
            client.opened.append(client.session)


async def mark(client: Client) -> None:
    """Count up in a key of this member: how far do the others see it?"""
    count, key = 0, f"{MARKS}{client.part.member}"
    while await client.tick():
        count += 1
        start = now_ms()
        answer = await client.session.put(key, str(count).encode())
        client.note(PUT, key, str(count), start, answer.status, reason=answer.reason)


async def probe(client: Client) -> None:
    """Read all marks from this member's own state."""
    while await client.tick():
        start = now_ms()
        answer = await client.session.scan(MARKS)
        marks = {key.decode(): value.decode() for key, value in answer.values.items()}
        shown = json.dumps(marks) if answer.status == OK else None
        client.note(GET, MARKS, shown, start, answer.status, reason=answer.reason)


async def _read(client: Client, *, strong: bool) -> None:
    rng = random.Random(client.number)
    while await client.tick():
        key = f"{REGISTERS}{rng.randrange(REGISTER_KEYS)}"
        await _get(client, key, client.part.member, strong=strong)


async def _get(client: Client, key: str, member: int, *, strong: bool) -> None:
    session, start = client.session, now_ms()
    answer = await session.get(key, strong=strong)
    value = None if answer.value is None or answer.status != OK else answer.value.decode()
    client.note(
        GET, key, value, start, answer.status, told=answer.told, reason=answer.reason,
        member=member,
    )  # fmt: skip


async def read_strong(client: Client) -> None:
    """Read registers, linearizable where the system can."""
    await _read(client, strong=True)


async def read_local(client: Client) -> None:
    """Read registers from this member alone."""
    await _read(client, strong=False)


async def register(client: Client) -> None:
    """Write and strongly read a few registers that everybody writes."""
    rng = random.Random(client.number)
    while await client.tick():
        key = f"{REGISTERS}{rng.randrange(REGISTER_KEYS)}"
        if rng.random() < 0.5:
            await _get(client, key, client.part.member, strong=True)
            continue
        value, start = client.fresh(), now_ms()
        answer = await client.session.put(key, value.encode())
        client.note(PUT, key, value, start, answer.status, reason=answer.reason)


async def roam(client: Client) -> None:
    """One session that moves from member to member, as clients do that fail over.

    With `token`, ours carries the causal token along, and etcd reads linearizably; without, both
    read what the member at hand has.
    """
    rng = random.Random(client.number)
    strong = client.part.token
    sessions = [client.session_at(n) for n in range(len(client.panel.addresses))]
    client.opened += sessions
    token = ""
    while await client.tick():
        member = rng.randrange(len(sessions))
        client.session = sessions[member]
        if strong:
            client.session.carry(token)
        key = f"{REGISTERS}{rng.randrange(REGISTER_KEYS)}"
        if rng.random() < 0.6:
            await _get(client, key, member, strong=strong)
        else:
            value, start = client.fresh(), now_ms()
            answer = await client.session.put(key, value.encode())
            client.note(
                PUT, key, value, start, answer.status, reason=answer.reason, member=member
            )  # fmt: skip
        if strong:
            token = client.session.carry("")


async def modify(client: Client) -> None:
    """Read a number that everybody raises, write it plus one if nobody wrote in between."""
    key = f"{MODIFIED}0"
    while await client.tick():
        start = now_ms()
        seen = await client.session.get(key, strong=True)
        if seen.status != OK:
            client.note(MODIFY, key, None, start, FAILED, reason=seen.reason)
            continue
        value = str(int(seen.value or 0) + 1)
        answer = await client.session.compare_and_put(key, seen.version, value.encode())
        client.note(MODIFY, key, value, start, answer.status, reason=answer.reason)


async def count(client: Client) -> None:
    """Raise a shared counter."""
    key = f"{COUNTER}0"
    while await client.tick():
        start = now_ms()
        answer = await client.session.increment(key)
        client.note(INCREMENT, key, None, start, answer.status, reason=answer.reason)


async def gather(client: Client) -> None:
    """Add new elements to a shared set."""
    key = f"{SETS}0"
    while await client.tick():
        element, start = client.fresh(), now_ms()
        answer = await client.session.add_element(key, element)
        client.note(ADD, key, element, start, answer.status, reason=answer.reason)


async def edit(client: Client) -> None:
    """Set one's own field of a desired state that others edit too."""
    key, name = f"{OBJECT}0", f"field{client.part.member}"
    while await client.tick():
        value, start = client.fresh(), now_ms()
        answer = await client.session.edit_field(key, name, value)
        client.note(EDIT, f"{key}#{name}", value, start, answer.status, reason=answer.reason)


async def lead(client: Client) -> None:
    """Stand for election; while elected, extend the lease and believe in it for its duration.

    The belief counts from before the request that got or extended it: the careful way.
    """
    key, me = f"{LOCK}0", f"m{client.part.member}"
    while await client.tick():
        start = now_ms()
        answer = await client.session.acquire(key, me, LEASE_S)
        if answer.status != OK:
            continue
        until, version = start + LEASE_S * 1000, answer.version
        while now_ms() < min(until, client.panel.end_ms):
            await asyncio.sleep(LEASE_S / 5)
            asked = now_ms()
            if asked >= until:
                break
            answer = await client.session.keep(key, me, LEASE_S, version)
            if answer.status == OK:
                until, version = asked + LEASE_S * 1000, answer.version
            elif answer.status == REFUSED:
                until = min(until, now_ms())  # It hears that somebody else leads, and stops.
        ended = min(until, client.panel.end_ms)
        client.note(LEAD, key, me, start, OK, end_ms=ended)


async def watch(client: Client) -> None:
    """Watch everybody's puts from this member."""
    loop = asyncio.get_running_loop()

    def seen(key: str, value: bytes) -> None:
        moment = now_ms()
        client.note(SEEN, key, value.decode(), moment, OK, end_ms=moment)

    while now_ms() < client.panel.end_ms:
        left_s = max(0.0, (client.panel.end_ms - now_ms()) / 1000)
        try:
            async with asyncio.timeout_at(loop.time() + left_s):
                await client.session.watch(PUTS, seen)
        except TimeoutError:
            return
        except OSError:
            await asyncio.sleep(0.05)


async def conflict(client: Client) -> None:
    """During a cut, write the keys that the other side writes too."""
    panel, turn = client.panel, 0
    while await client.tick():
        if not panel.fault_ms + _EDGE_MS < now_ms() < panel.heal_ms - _EDGE_MS:
            continue
        turn += 1
        key = f"{CONFLICT}{turn % CONFLICT_KEYS}"
        value, start = client.fresh(), now_ms()
        answer = await client.session.put(key, value.encode())
        client.note(PUT, key, value, start, answer.status, reason=answer.reason)


Role = Callable[[Client], Awaitable[None]]
ROLES: dict[str, Role] = {
    role.__name__: role
    for role in (
        put, failover, mark, probe, read_strong, read_local, register, roam, modify, count,
        gather, edit, lead, watch, conflict,
    )
}  # fmt: skip
