"""FastMCP's proxy of the twelve operations, in the peers' environment: python -m benchmarks.proxy OPENAPI_JSON."""

import json
import sys
from pathlib import Path

from fastmcp import FastMCP  # pyright: ignore[reportMissingImports, reportUnknownVariableType] reason: in .peers alone

from benchmarks.signed import client

if __name__ == "__main__":
    document = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    FastMCP.from_openapi(document, client=client(), name="proxy").run(show_banner=False)  # pyright: ignore[reportUnknownMemberType] reason: the same
