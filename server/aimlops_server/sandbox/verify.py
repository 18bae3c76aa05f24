"""Verifies a request's signature, written from the vendor's recipe alone.

Knows the recipe, and nothing of routes, state or of the client that signs: the two can only agree by both being right.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

CLIENT_TYPE = "Openapi"


class Verdict(StrEnum):
    """What the credentials of a request are worth."""

    ABSENT = "absent"
    VALID = "valid"
    INVALID = "invalid"


def signed_urls(scheme: str, host: str, target: str, public_base_urls: Sequence[str]) -> tuple[str, ...]:
    """The URLs a caller may have signed for this raw target: as the request says, or as a proxy in front publishes."""
    bases = (f"{scheme}://{host}", *(base.rstrip("/") for base in public_base_urls))
    return tuple(base + target for base in bases)


def verify(
    method: str,
    urls: Sequence[str],
    headers: Sequence[tuple[str, str]],
    keys: Mapping[str, str],
    now_s: float,
    skew_limit_s: float,
) -> Verdict:
    """Judge the credentials in `headers` (names in lower case) for any one of `urls`.

    `keys` maps access keys to secret keys. The timestamp must be decimal milliseconds within `skew_limit_s` of `now_s`;
    how much skew the real gateway allows is not documented.
    """
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    if "scp-accesskey" not in found and "scp-signature" not in found:
        return Verdict.ABSENT
    access_key = _single(found, "scp-accesskey")
    signature = _single(found, "scp-signature")
    timestamp = _single(found, "scp-timestamp")
    client_type = _single(found, "scp-clienttype")
    account_id = _single(found, "scp-accountid") if "scp-accountid" in found else ""
    if access_key is None or signature is None or timestamp is None or account_id is None:
        return Verdict.INVALID
    if client_type != CLIENT_TYPE or not re.fullmatch(r"[0-9]{1,16}", timestamp):
        return Verdict.INVALID
    if abs(now_s - int(timestamp) / 1000) > skew_limit_s:
        return Verdict.INVALID
    secret = keys.get(access_key)
    # An unknown key costs as much time as a known one.
    key = (secret if secret is not None else "unknown").encode()
    matches = False
    for url in urls:
        message = method.upper() + url + timestamp + access_key + account_id + CLIENT_TYPE
        expected = base64.b64encode(hmac.new(key, message.encode(), hashlib.sha256).digest())
        matches |= hmac.compare_digest(expected, signature.encode())
    return Verdict.VALID if matches and secret is not None else Verdict.INVALID


def _single(found: Mapping[str, Sequence[str]], name: str) -> str | None:
    # A header given twice is ambiguous: the one checked might not be the one used.
    values = found.get(name, ())
    return values[0] if len(values) == 1 else None
