"""One pure function that signs a request the vendor's way (facts 1). Knows no clock, no network, no settings."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from pydantic import SecretStr

CLIENT_TYPE = "Openapi"


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a request. `account_id` and `auth_token` are optional."""

    access_key: str
    secret_key: SecretStr
    account_id: str = ""
    auth_token: SecretStr | None = None


def sign(keys: Keys, method: str, url: str, timestamp_ms: int) -> dict[str, str]:
    """The signed headers of one attempt.

    `url` is the full URL byte for byte as it goes on the wire: the signature covers it together with the method,
    the time, the access key, the account id and the client type, but neither the body nor any other header.
    """
    parts = (method, url, str(timestamp_ms), keys.access_key, keys.account_id, CLIENT_TYPE)
    secret = keys.secret_key.get_secret_value().encode()
    digest = hmac.new(secret, "".join(parts).encode(), hashlib.sha256).digest()
    headers = {
        "Scp-Accesskey": keys.access_key,
        "Scp-Signature": base64.b64encode(digest).decode(),
        "Scp-Timestamp": str(timestamp_ms),
        "Scp-ClientType": CLIENT_TYPE,
    }
    if keys.account_id:
        headers["Scp-AccountId"] = keys.account_id
    if keys.auth_token:
        headers["X-Auth-Token"] = keys.auth_token.get_secret_value()
    return headers
