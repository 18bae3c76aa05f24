"""The sandbox as an httpx2 transport: no network, and yet a caller meets what a network would make of a fault."""

from email.utils import formatdate
from typing import cast

import anyio
import httpx2

from aimlops_server.sandbox.app import Sandbox
from aimlops_server.sandbox.faults import ConnectionDropped


class SandboxTransport(httpx2.ASGITransport):
    """Hands requests to a sandbox in this process; dropped connections and read timeouts are httpx2's own errors."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(app=sandbox)
        self._clock_s = sandbox.clock_s

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        timeouts = cast("dict[str, float | None]", request.extensions.get("timeout", {}))
        # httpx2 leaves timeouts to the transport, and its ASGI transport has none: a hang would never end.
        with anyio.move_on_after(timeouts.get("read")):
            try:
                response = await super().handle_async_request(request)
            except ConnectionDropped as dropped:
                raise httpx2.RemoteProtocolError(str(dropped), request=request) from dropped
            # As a gateway does.
            response.headers["Date"] = formatdate(self._clock_s(), usegmt=True)
            return response
        raise httpx2.ReadTimeout("the sandbox did not answer in time", request=request)
