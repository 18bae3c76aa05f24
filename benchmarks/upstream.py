"""A process that answers like the service, with canned JSON and nothing else: it must not be what a benchmark measures.

python -m benchmarks.upstream DELAY_MS prints its port. It answers after the delay, keeps connections alive, checks
nothing, and tells at GET /_requests which requests came since it was last asked, and when each was there.
"""

import asyncio
import json
import sys
import time
from typing import Any

PLATFORMS = "/v1/aimlops-platform"
PAGE = 20  # what list_platforms asks for by default

_ID = "13f7a9d4c1964020f4afc730b714{:04x}"
_CLUSTER = {"cluster_id": "d7becb2dda9b4a868d940601d7bb4534", "cluster_name": "cluster-vision"}
_MADE = {"created_by": "072b9b9b33e066d1c8f8deb841361dba", "created_dt": "2026-11-25T20:07:57Z", "version": "v1.9.1"}


def release_id(number: int) -> str:
    return _ID.format(number)


def release_name(of: str) -> str:
    return f"team-{of[-4:]}"


def _listed(of: str) -> dict[str, Any]:
    named = {"release_id": of, "release_name": release_name(of)}
    return {**_CLUSTER, **_MADE, **named, "kubeflow_type": "Mini", "status": "DEPLOYED"}


def _detail(of: str, state: str) -> dict[str, Any]:
    return {
        **_CLUSTER,
        **_MADE,
        "release_id": of,
        "release_name": release_name(of),
        "release_state": state,
        "dashboard_state": "READY",
        "ai_ml_ops_platform_type": "Mini",
        "ai_ml_ops_platform_endpoint_type": "Private",
        "ai_ml_ops_platform_domain_service": "",
        "cluster_state": "RUNNING",
        "image_id": "IMAGE-Wd=m4Kq2vLw7ZtNc4YbXs1",
        "image_name": "AIMLOps Platform 1.9.1",
        "initial_user_email": "mlops@example.com",
        "project_id": "5f8cca73eed22b781d14cb56f81d5b82",
        "project_name": "AI플랫폼팀",
        "storage_class_name": "nfs-subdir-external-sc",
    }


def _http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _json(value: Any) -> bytes:
    return _http(json.dumps(value, ensure_ascii=False).encode())


_PAGE = _json({"contents": [_listed(release_id(n)) for n in range(PAGE)], "total_count": PAGE})
_NODES = _json({"count": 2, "nodes": [{"name": "node-1"}, {"name": "node-2"}]})


class Upstream(asyncio.Protocol):
    """One connection. Requests have no body: what is measured are reads and deletes."""

    deleted: set[str] = set()  # noqa: RUF012 reason: one state of the process, as the service has one
    log: list[tuple[str, float, float]] = []  # noqa: RUF012 reason: the same

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            line = self._buffer[: self._buffer.index(b"\r\n")].decode()
            self._buffer = self._buffer[end + 4 :]
            method, target, _ = line.split(" ")
            came_s = time.monotonic()
            if self._delay_s and target != "/_requests":
                asyncio.get_running_loop().call_later(self._delay_s, self._answer, method, target, came_s)
            else:
                self._answer(method, target, came_s)

    def _answer(self, method: str, target: str, came_s: float) -> None:
        assert isinstance(self._transport, asyncio.WriteTransport)  # noqa: S101 reason: tells the type
        if target == "/_requests":
            self._transport.write(_json(self.log))
            self.log.clear()
            return
        path = target.partition("?")[0]
        self._transport.write(self._body(method, path))
        if self._delay_s:  # the fast one would remember every call of the benchmark
            self.log.append((f"{method} {path}", came_s, time.monotonic()))

    def _body(self, method: str, path: str) -> bytes:
        if path == PLATFORMS:
            return _PAGE
        if path.endswith("/nodes"):
            return _NODES
        of = path.rpartition("/")[2]
        if method == "DELETE":
            self.deleted.add(of)
            return _http(b"")
        return _json(_detail(of, "DELETING" if of in self.deleted else "DEPLOYED"))


async def main() -> None:
    delay_s = float(sys.argv[1]) / 1000
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(delay_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 reason: its output
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
