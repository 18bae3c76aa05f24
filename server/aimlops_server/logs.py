"""Log lines on stderr, as text or JSON, each with the id of the tool call that it belongs to."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

# Set for the length of a tool call; what the call sends carries it in its log lines.
call_id: ContextVar[str] = ContextVar("call_id", default="-")


class _Formatter(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        if self._as_json:
            line = {
                "time": time,
                "level": record.levelname,
                "logger": record.name,
                "call": call_id.get(),
                "message": message,
            }
            return json.dumps(line, ensure_ascii=False)
        return f"{time} {record.levelname} {record.name} [{call_id.get()}] {message}"


def log_to_stderr(log_format: Literal["text", "json"] = "text") -> None:
    """Send this process's log lines to stderr: ours from INFO on, everybody else's from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(as_json=log_format == "json"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("aimlops_server").setLevel(logging.INFO)
