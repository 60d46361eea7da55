"""The native API over real sockets: every route, every status, both ways into the server."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from crdtstate.errors import StorageError
from crdtstate.tokens import decode_token, encode_token
from tests.crdtstate.api.peer_fixture import http, running_peer


async def test_keys_of_all_types(tmp_path: Path) -> None:
    """API-2: every answer says who, how far, and what it includes."""
    async with running_peer(tmp_path) as (_, url), http() as session:
        async with session.put(f"{url}/kv/a/b%20c", data=b"\xff\0") as answer:
            assert answer.status == 200
            first = await answer.json()
            assert answer.headers["Crdtstate-Peer"] == "a"
            assert answer.headers["Crdtstate-Replicas"] == "1"
            assert decode_token(answer.headers["Crdtstate-Token"])
            assert answer.headers["Crdtstate-Revision"] == first["revision"]
        async with session.get(f"{url}/kv/a/b%20c") as answer:
            assert await answer.read() == b"\xff\0"
            assert answer.headers["Crdtstate-Version"] == first["version"]
            assert answer.headers["Crdtstate-Type"] == "register"
        steps: list[tuple[str, str, Any]] = [
            ("PUT", "/map/m", {"a": {"b": 1}}), ("PATCH", "/map/m", {"a": {"c": 2}}),
            ("POST", "/apply/m?manager=x", {"z": 1}), ("POST", "/set/s", {"add": ["y", "x"]}),
            ("POST", "/counter/n", {"add": 5}), ("PUT", "/flag/f", True),
            ("POST", "/bounded/q", {"create": 3}), ("POST", "/bounded/q", {"take": 1}),
        ]  # fmt: skip
        for method, path, body in steps:
            async with session.request(method, url + path, json=body) as answer:
                assert answer.status == 200, await answer.text()
        wanted = {"m": {"a": {"b": 1, "c": 2}, "z": 1}, "s": ["x", "y"], "n": 5, "f": True, "q": 2}
        for key, value in wanted.items():
            async with session.get(f"{url}/kv/{key}") as answer:
                assert json.loads(await answer.read()) == value
        async with session.get(f"{url}/kv/?limit=2") as answer:
            page = await answer.json()
            assert [item["key"] for item in page["items"]] == ["a/b c", "f"]
            assert page["items"][0]["value_base64"] == "/wA="
        async with session.get(f"{url}/kv/?limit=9&continue={page['continue']}") as answer:
            assert [i["key"] for i in (await answer.json())["items"]] == ["m", "n", "q", "s"]
        async with session.delete(f"{url}/kv/m") as answer:
            assert answer.status == 200
        async with session.get(f"{url}/kv/m") as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/kv/none", None, 404, "key_not_found"),
        ("DELETE", "/kv/none", None, 404, "key_not_found"),
        ("GET", "/nothing", None, 404, "no_such_route"),
        ("POST", "/kv/k", b"", 405, "method_not_allowed"),
        ("PUT", "/kv/" + "k" * 1025, b"v", 413, "key_too_long"),
        ("PUT", "/kv/" + "k" * (1 << 20), b"v", 413, "key_too_long"),
        ("PUT", "/kv/%FF%FE", b"v", 400, "invalid_key"),
        ("PUT", "/kv/a%00b", b"v", 400, "invalid_key"),
        ("PUT", "/kv/big", b"v" * ((1 << 20) + 1), 413, "value_too_large"),
        ("PUT", "/kv/huge", b"v" * (9 << 20), 413, "transaction_too_large"),
        ("PUT", "/kv/k?w=many", b"v", 400, "invalid_parameter"),
        ("PUT", "/kv/k?w=5&timeout_ms=100", b"v", 504, "not_enough_replicas"),
        ("PUT", "/kv/k?timeout_ms=soon", b"v", 400, "invalid_parameter"),
        ("PUT", "/kv/k?ttl_ms=-1", b"v", 400, "invalid_parameter"),
        ("PUT", "/kv/k?if_version=x", b"v", 412, "precondition_failed"),
        ("PUT", "/map/m", b'{"a": ', 400, "invalid_json"),
        ("PUT", "/map/m", b"[1]", 400, "invalid_json"),
        ("PUT", "/map/m", b'{"a": "\xff"}', 400, "invalid_json"),
        ("PUT", "/map/m", b'{"a": 1e999}', 400, "invalid_json"),
        ("PUT", "/map/m", b'{"a":' * 70 + b"1" + b"}" * 70, 413, "path_too_deep"),
        ("PUT", "/map/there", b"{}", 409, "wrong_type"),
        ("POST", "/set/s", b'{"ad": ["x"]}', 400, "invalid_json"),
        ("POST", "/counter/n", b'{"add": "1"}', 400, "invalid_json"),
        ("POST", "/bounded/b", b'{"take": 1}', 404, "key_not_found"),
        ("POST", "/txn", b'{"operations": [{"op": "fly", "key": "k"}]}', 400, "invalid_json"),
        ("POST", "/txn", b"x" * (9 << 20), 413, "transaction_too_large"),
        (
            "POST", "/txn",
            b'{"operations": [' + b",".join([b'{"op": "delete", "key": "k"}'] * 1_001) + b"]}",
            413, "too_many_operations",
        ),
        ("GET", "/kv/?limit=0", None, 400, "invalid_parameter"),
        ("GET", "/kv/?continue=~", None, 400, "invalid_parameter"),
        ("GET", "/watch?since=nonsense", None, 400, "invalid_parameter"),
        ("GET", "/watch?since=8000000000000000-1", None, 410, "foreign_revision"),
        ("DELETE", "/members/nobody", None, 404, "no_such_member"),
        ("POST", "/dev/cut", b'{"peer": "b"}', 403, "not_dev"),
        ("POST", "/backup", b'{"path": "relative"}', 400, "invalid_parameter"),
        ("POST", "/keys", b'{"add": "short"}', 400, "invalid_parameter"),
        ("POST", "/wait?peers=3&timeout_ms=100", b"", 504, "not_enough_replicas"),
    ],
)  # fmt: skip
async def test_bad_input_is_answered_with_its_reason_and_disturbs_nobody(
    tmp_path: Path, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    async with running_peer(tmp_path) as (_, url), http() as session:
        async with session.put(f"{url}/kv/there", data=b"v") as answer:
            assert answer.status == 200
        data = None if body is None else io.BytesIO(body)
        async with session.request(method, url + path, data=data) as answer:
            found = await answer.json()
            assert (answer.status, found["error"]["code"]) == (status, code), found
            assert found["error"]["message"]
        async with session.get(f"{url}/kv/there") as answer:
            assert await answer.read() == b"v"


async def test_a_token_of_the_future_is_waited_for_then_refused(tmp_path: Path) -> None:
    """API-1"""
    async with running_peer(tmp_path) as (peer, url), http() as session:
        assert peer.driver is not None
        origin = peer.driver.origin
        async with session.put(f"{url}/kv/k", data=b"1") as answer:
            now = decode_token(answer.headers["Crdtstate-Token"])
        ahead = {"Crdtstate-Token": encode_token({**now, origin: now[origin] + 1})}
        async with session.get(f"{url}/kv/k?timeout_ms=100", headers=ahead) as answer:
            assert answer.status == 504
            found = (await answer.json())["error"]
            assert found["code"] == "behind"
            assert f"{origin:016x}" in found["message"]
        waiting = asyncio.create_task(
            session.get(f"{url}/kv/k?timeout_ms=5000", headers=ahead).__aenter__()
        )
        await asyncio.sleep(0.05)
        async with session.put(f"{url}/kv/k", data=b"2"):
            pass
        answer = await waiting
        assert await answer.read() == b"2"
        answer.release()
        bad = {"Crdtstate-Token": "1.nonsense"}
        async with session.get(f"{url}/kv/k", headers=bad) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "invalid_token")


async def test_a_watch_from_a_revision_tells_all_that_changed_after_it(tmp_path: Path) -> None:
    """WAT-3, WAT-4"""
    async with running_peer(tmp_path) as (_, url), http() as session:
        async with session.put(f"{url}/kv/w/1", data=b"1") as answer:
            since = (await answer.json())["revision"]
        for n in range(2, 500):
            async with session.put(f"{url}/kv/w/{n}", data=b"x"):
                pass
        async with session.delete(f"{url}/kv/w/1"):
            pass
        async with session.get(f"{url}/watch?prefix=w/&since={since}") as stream:
            seen: dict[str, str] = {}
            async for raw in stream.content:
                line = json.loads(raw)
                if line["type"] != "bookmark":
                    seen[line["key"]] = line["type"]
                if len(seen) == 499:
                    break
        assert seen == {f"w/{n}": "put" for n in range(2, 500)} | {"w/1": "delete"}
        async with session.get(f"{url}/watch?prefix=w/&initial=1&bookmark_ms=100") as stream:
            lines = [json.loads(await stream.content.readline()) for _ in range(500)]
            assert [line["type"] for line in lines] == ["put"] * 498 + ["bookmark"] * 2


async def test_the_number_of_watches_is_bounded(tmp_path: Path) -> None:
    """WAT-3"""
    async with running_peer(tmp_path, watches_max=2) as (_, url), http() as session:
        streams = [await session.get(f"{url}/watch").__aenter__() for _ in range(2)]
        for stream in streams:
            await stream.content.readline()
        async with session.get(f"{url}/watch") as answer:
            found = (await answer.json())["error"]
            assert (answer.status, found["code"]) == (503, "too_many_watches")
            assert "watches_max=2" in found["message"]
        for stream in streams:
            stream.close()


async def test_the_short_way_and_the_long_way_give_the_same_answers(tmp_path: Path) -> None:
    """FST-2: the first request that is not plain takes its connection to aiohttp for good."""
    async with running_peer(tmp_path) as (_, url):
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        bodies = []
        for more in ("", "X-Other: 1\r\n", ""):
            request = f"PUT /kv/k HTTP/1.1\r\nHost: x\r\n{more}Content-Length: 1\r\n\r\nv"
            writer.write(request.encode())
            status, headers, body = await read_answer(reader)
            bodies.append((status, sorted(headers), json.loads(body)))
        # aiohttp adds its name; nothing else differs, and a no-op put has one revision.
        assert bodies[0] == bodies[2] or "server" in bodies[1][1]
        assert [b[0] for b in bodies] == [200] * 3
        assert bodies[0][2] == bodies[1][2] == bodies[2][2]
        writer.close()


async def test_requests_of_one_connection_are_answered_in_order(tmp_path: Path) -> None:
    """FST-1: pipelined, in pieces, and a mixture of both ways."""
    async with running_peer(tmp_path) as (_, url):
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for n in range(20):
            request = f"PUT /kv/k{n} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{n:02}"
            for piece in (request[: n * 3 + 1], request[n * 3 + 1 :]):
                writer.write(piece.encode())
                await asyncio.sleep(0)
        writer.write(b"".join(b"GET /kv/k%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(20)))
        answers = [await read_answer(reader) for _ in range(40)]
        assert [body for _, _, body in answers[20:]] == [b"%02d" % n for n in range(20)]
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one HTTP answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {n.lower(): v.strip() for n, v in (line.split(":", 1) for line in lines)}
    return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def test_a_token_file_locks_all_but_probes(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("# people\ncorrect-horse-battery\n")
    async with (
        running_peer(tmp_path / "d", token_file=str(tokens)) as (_, url),
        http() as session,
    ):
        for path in ("/kv/k", "/status", "/members", "/watch"):
            async with session.get(url + path) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (
                    401, "unauthorized",
                )  # fmt: skip
        for path in ("/healthz", "/readyz", "/metrics"):
            async with session.get(url + path) as answer:
                assert answer.status == 200
        right = {"Authorization": "Bearer correct-horse-battery"}
        async with session.get(f"{url}/status", headers=right) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("step", ["latest", "stage", "sync"])
async def test_after_a_storage_failure_nothing_is_acknowledged(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DRV-1: a full disk is said, the peer stops serving, and what was acknowledged is there."""
    async with running_peer(tmp_path) as (peer, url), http() as session:
        async with session.put(f"{url}/kv/k", data=b"1"):
            pass
        assert peer.driver is not None

        def full(*_: object) -> None:
            raise StorageError(f"disk of {tmp_path} is full", code="storage_full")

        monkeypatch.setattr(type(peer.driver.storage), step, full)
        for number in range(2):
            async with session.put(f"{url}/kv/new{number}", data=b"2") as answer:
                found = (await answer.json())["error"]
                assert (answer.status, found["code"]) == (503, "storage_failed")
                assert "is full" in found["message"]
        assert peer.driver.failed.is_set()
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 503
        monkeypatch.undo()


async def test_metrics_are_what_prometheus_reads(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as (_, url), http() as session:
        async with session.put(f"{url}/kv/{quote('ключ')}", data=b"v"):
            pass
        async with session.get(f"{url}/metrics") as answer:
            text = await answer.text()
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "crdtstate_batches_total" in text
    assert "# TYPE crdtstate_conflicts gauge" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds 0 tokens"),
        ("short\n", "each of 16 characters"),
    ],
)
async def test_a_token_file_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    from crdtstate.errors import InvalidError

    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(InvalidError, match=words):
        async with running_peer(tmp_path / "d", token_file=str(path)):
            pass


async def test_a_status_check_reads_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of keys: /status, /metrics, /members and /readyz are O(1) in them."""
    async with running_peer(tmp_path) as (peer, url), http() as session:
        for n in range(20):
            async with session.put(f"{url}/kv/k{n}", data=b"v"):
                pass
        assert peer.driver is not None
        storage, reads = peer.driver.storage, []

        def count(name: str) -> None:
            real = getattr(storage, name)

            def counting(*given: Any, **how: Any) -> Any:
                reads.append(name)
                return real(*given, **how)

            owner: Any = storage if name == "get" else type(storage)
            monkeypatch.setattr(owner, name, counting)

        for name in ("get", "scan", "snapshot"):
            count(name)
        for path in ("/status", "/metrics", "/members", "/readyz", "/healthz"):
            async with session.get(url + path) as answer:
                assert answer.status == 200
        assert reads == []
        async with session.get(f"{url}/kv/k1"):
            assert set(reads) == {"get"}


async def test_the_token_of_each_write_covers_it(tmp_path: Path) -> None:
    """API-3, on the short way: an answer is made before the batch's revision is announced."""
    async with running_peer(tmp_path) as (peer, url), http() as session:
        assert peer.driver is not None
        origin, headers = peer.driver.origin, dict[str, str]()
        for n in range(20):
            async with session.put(f"{url}/kv/k", data=str(n), headers=headers) as answer:
                headers = {"Crdtstate-Token": answer.headers["Crdtstate-Token"]}
            told = decode_token(headers["Crdtstate-Token"])
            assert told[origin] == peer.driver.replica.store.vector[origin]
