"""The signature, for those that the server is compared with."""

import os
import time
from collections.abc import Generator

import httpx2
from aimlops_server.signing import Keys, sign
from pydantic import SecretStr


class Signed(httpx2.Auth):
    """Signs each request with the keys of the environment."""

    def __init__(self) -> None:
        self._keys = Keys(os.environ["SCP_ACCESS_KEY"], SecretStr(os.environ["SCP_SECRET_KEY"]))

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        request.headers.update(sign(self._keys, request.method, str(request.url), time.time_ns() // 1_000_000))
        yield request


HEADERS = {"Accept": "application/json", "Scp-Api-Version": "aimlops-platform 1.1"}


def client() -> httpx2.AsyncClient:
    """A client that signs and does nothing more."""
    return httpx2.AsyncClient(base_url=os.environ["SCP_ENDPOINT"], auth=Signed(), headers=HEADERS)
