"""Serves the approval page on 127.0.0.1 and nowhere else; decides nothing itself, the desk does.

What it defends against: other programs of this machine that guess links, and pages in the same browser that send
forms here or point a name of theirs at 127.0.0.1. A link's key is what lets a person in, so it is kept in memory
only and never logged. There are no cookies: a browser shares them between all ports of 127.0.0.1.
"""

import asyncio
import contextlib
import hmac
import logging
import secrets
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
import jinja2
import uvicorn
from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from aimlops_server.errors import NotSent
from aimlops_server.guard.desk import Desk
from aimlops_server.guard.ledger import Entry, Ledger, Status
from aimlops_server.guard.page.words import Language, words
from aimlops_server.guard.plan import Check, Finding, Plan
from aimlops_server.guard.terminal import harmless, local_time, pretty
from aimlops_server.wording import Wording

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
MAX_BODY_BYTES = 16 * 1024
MAX_FORM_FIELDS = 16
MAX_LINKS = 500
MAX_LISTED_LINKS = 3
MAX_WRONG_NAMES = 10
MAX_BAD_KEYS = 30
BAD_KEYS_S = 60.0
START_S = 10
BODY_S = 10
SHUTDOWN_S = 2

# Not no-referrer: with it a browser sends "Origin: null" with the page's own form (Fetch, "append a request `Origin`
# header"), and the exact Origin could not be asked for. same-origin gives other sites as little: no referrer at all.
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_HERE = Path(__file__).parent
_STATIC = {"page.css": "text/css", "countdown.js": "text/javascript"}
MARKS = {"pass": "✓", "stop": "✕", "advice": "!", "unknown": "?"}


@dataclass(frozen=True, slots=True)
class _Link:
    """One way to one plan."""

    plan_id: str
    listed: bool = False
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


@dataclass(frozen=True, slots=True)
class _Problem:
    """What is wrong with one field of the form."""

    field: str
    label: str
    text: str


class _Stop(Exception):  # reason: never leaves this module
    """Ends a request with a response."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class ApprovalPage:
    """The page. `clock_s` is Unix seconds, the ledger's own clock."""

    def __init__(self, ledger: Ledger, desk: Desk, clock_s: Callable[[], float], language: Language) -> None:
        self._ledger = ledger
        self._desk = desk
        self._clock_s = clock_s
        self._language = language
        self._words = words(language)
        self._templates = _templates()
        self._started = False
        self._settled = anyio.Event()
        self._port: int | None = None
        self._list_key = secrets.token_urlsafe(32)
        self._links: list[_Link] = []
        self._own: set[str] = set()
        self._wrong_names = Counter[str]()
        self._bad_keys_s = deque[float]()
        self._one_at_a_time = anyio.Lock()
        self._routes = Router(
            [
                Route("/plan/{key}", self._see, methods=["GET"]),
                Route("/plan/{key}", self._decide, methods=["POST"]),
                Route("/plans/{key}", self._list, methods=["GET"]),
                Route("/static/{name}", self._static, methods=["GET"]),
            ],
            redirect_slashes=False,
            default=self._nothing,
        )

    @property
    def started(self) -> bool:
        """Whether `serve` runs."""
        return self._started

    async def link(self, plan_id: str) -> str:
        """A new link to a plan; works until the plan is decided or expires. Waits until the page listens.

        Raises:
            NotSent: there is no page, or too many wrong names were typed for this plan.
        """
        if self._exhausted(plan_id):
            raise NotSent(
                "Too many wrong names were typed on this plan's page.",
                "ask the user; call the tool again after the plan has expired if they want the change",
            )
        base_url = await self._base_url()
        self._own.add(plan_id)
        return f"{base_url}/plan/{self._new_link(plan_id).key}"

    async def list_link(self) -> str:
        """The link to the list of plans; works as long as the page is served.

        Raises:
            NotSent: there is no page.
        """
        return f"{await self._base_url()}/plans/{self._list_key}"

    async def serve(self) -> None:
        """Listen and serve until cancelled. Returns at once when it already does, or cannot listen."""
        if self._started:
            return
        self._started = True
        try:
            try:
                listener = _listen()
            except OSError as error:
                log.error("the approval page cannot listen on %s: %s", ADDRESS, error.strerror)  # noqa: TRY400 reason: the cause is in the message
                return
            with listener:
                await self._serve(listener)
        finally:
            self._started = False
            self._port = None
            self._settled.set()
            self._settled = anyio.Event()

    async def _serve(self, listener: socket.socket) -> None:
        def listening() -> None:
            self._port = listener.getsockname()[1]
            self._settled.set()

        config = uvicorn.Config(
            self._answer,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config, listening)
        try:
            await server.serve(sockets=[listener])
        finally:
            # uvicorn ends by its own flag, not by cancellation: without this, its connections would stay.
            with anyio.move_on_after(SHUTDOWN_S, shield=True):
                await server.end()

    async def _base_url(self) -> str:
        with anyio.move_on_after(START_S):
            await self._settled.wait()
        if self._port is None:
            raise NotSent(
                "The approval page could not be opened on this machine.",
                "tell the user; a plan can also be decided in a terminal with scp-aimlops-mcp approve",
            )
        return f"http://{ADDRESS}:{self._port}"

    # The way of a request: the host, then the route, then what the route asks for.

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_RAW_HEADERS]
            await send(message)

        try:
            try:
                self._require_own_name(scope)
                await self._routes(scope, receive, with_headers)
            except _Stop as stop:
                await stop.response(scope, receive, with_headers)
        except ClientDisconnect:
            pass
        except Exception as error:
            # Its text may hold what was typed, so only its kind is told.
            log.error("the approval page failed: %s", type(error).__name__)  # noqa: TRY400 reason: no traceback, see above
            await self._notice("broken_title", "broken", status=500)(scope, receive, with_headers)

    async def _nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._notice("unknown_title", "unknown", status=404)(scope, receive, send)

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            return self._notice("unknown_title", "unknown", status=404)
        content = await anyio.Path(_HERE / "static" / name).read_bytes()
        return Response(content, media_type=_STATIC[name])

    async def _see(self, request: Request) -> Response:
        link, entry = await self._find(request)
        return self._plan_page(link, entry)

    async def _decide(self, request: Request) -> Response:
        self._require_own_page(request)
        link, _ = await self._find(request)
        form = await self._form(request)
        if not _same(form.get("csrf", ""), link.csrf):
            raise _Stop(self._notice("refused_title", "refused", status=403))
        async with self._one_at_a_time:
            _, entry = await self._find(request)  # as it is now: the form may have come slowly
            try:
                match form.get("decision"):
                    case "approve":
                        return await self._approve(link, entry, form)
                    case "deny":
                        await self._desk.deny(entry, by="page")
                        return self._notice("denied_title", "denied", "denied_next", "close")
                    case _:
                        return self._notice("refused_title", "refused", status=400)
            except NotSent:
                await self._find(request)  # too late: says what became of the plan
                raise

    async def _approve(self, link: _Link, entry: Entry, form: Mapping[str, str]) -> Response:
        plan = Plan.from_json(entry.shown)
        typed = {name: form.get(f"typed_{name}", "") for name in plan.typed}
        problems = self._wrong(plan, typed)
        if problems:
            self._wrong_names[entry.id] += 1
            if self._exhausted(entry.id):
                return self._notice("busy_title", "busy_names", status=429)
        if plan.asks_password:
            problems += self._password_problems(form)
        if problems:
            return self._plan_page(link, entry, typed, problems)
        password = SecretStr(form["password"]) if plan.asks_password else None
        await self._desk.approve(entry, typed, by="page", password=password)
        return self._notice("approved_title", "approved", "approved_next", "close", until=local_time(entry.expires_s))

    async def _list(self, request: Request) -> Response:
        self._require_calm()
        if not _same(request.path_params["key"], self._list_key):
            raise self._bad_key()
        now_s = self._clock_s()
        waiting: list[dict[str, object]] = []
        past: list[dict[str, object]] = []
        for entry in await self._ledger.latest():
            status = entry.status_at(now_s)
            is_waiting = status is Status.WAITING
            # A password goes to the process that was asked for it; another process's plan cannot be approved here.
            elsewhere = is_waiting and bool(entry.plan.get("asks_password")) and entry.id not in self._own
            tries_used = is_waiting and self._exhausted(entry.id)
            can_open = is_waiting and not elsewhere and not tries_used
            row: dict[str, object] = {
                "entry": entry,
                "headline": entry.plan["headline"],
                "status": self._words[f"status_{status}"],
                "elsewhere": elsewhere,
                "tries_used": tries_used,
                "key": self._new_link(entry.id, listed=True).key if can_open else None,
            }
            (waiting if is_waiting else past).append(row)
        return self._page("list.html", waiting=waiting, past=past)

    # What a request must bring

    def _require_own_name(self, scope: Scope) -> None:
        """A page that points its own name at 127.0.0.1 (DNS rebinding) still sends that name."""
        if [value for name, value in scope["headers"] if name == b"host"] != [self._host()]:
            raise _Stop(self._notice("refused_title", "refused", status=421))

    def _require_own_page(self, request: Request) -> None:
        """Another page's form carries that page's origin, and a sandboxed one "null"."""
        origins = request.headers.getlist("origin")
        sites = request.headers.getlist("sec-fetch-site")
        if origins != [f"http://{self._host().decode()}"] or sites not in ([], ["same-origin"]):
            raise _Stop(self._notice("refused_title", "refused", status=403))

    async def _find(self, request: Request) -> tuple[_Link, Entry]:
        self._require_calm()
        link = self._link_of(request.path_params["key"])
        if link is None:
            raise self._bad_key()
        entry = await self._ledger.get(link.plan_id)
        status = entry.status_at(self._clock_s()) if entry else None
        if entry is None or status is not Status.WAITING or self._exhausted(entry.id):
            became = self._words[f"status_{status}"] if status not in (None, Status.WAITING) else None
            raise _Stop(self._notice("gone_title", "gone", status=410, became=became))
        return link, entry

    async def _form(self, request: Request) -> dict[str, str]:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise _Stop(self._notice("refused_title", "refused", status=415))
        body = b""
        try:
            with anyio.fail_after(BODY_S):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise _Stop(self._notice("refused_title", "refused", status=413))
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict")
        except TimeoutError:
            raise _Stop(self._notice("refused_title", "refused", status=408)) from None
        except ValueError:
            raise _Stop(self._notice("refused_title", "refused", status=400)) from None
        form = dict(pairs)
        if len(form) != len(pairs):  # which of two decisions was meant, nobody can know
            raise _Stop(self._notice("refused_title", "refused", status=400))
        return form

    def _wrong(self, plan: Plan, typed: Mapping[str, str]) -> list[_Problem]:
        return [
            _Problem(
                f"typed_{name}", self._words[f"label_{name}"], self._words["wrong_name" if typed[name] else "no_name"]
            )
            for name, expected in plan.typed.items()
            if not _same(typed[name], expected)
        ]

    def _password_problems(self, form: Mapping[str, str]) -> list[_Problem]:
        first, again = form.get("password", ""), form.get("password_again", "")
        if not first:
            return [_Problem("password", self._words["password"], self._words["no_password"])]
        if not _same(first, again):
            return [_Problem("password_again", self._words["password_again"], self._words["other_password"])]
        return []

    # Keys and limits

    def _host(self) -> bytes:
        return f"{ADDRESS}:{self._port}".encode()

    def _new_link(self, plan_id: str, *, listed: bool = False) -> _Link:
        link = _Link(plan_id, listed)
        if listed:  # each look at the list makes one: those of earlier looks give way, an assistant's own link stays
            earlier = [old for old in self._links if old.plan_id == plan_id and old.listed]
            for old in earlier[: 1 - MAX_LISTED_LINKS]:
                self._links.remove(old)
        self._links = [*self._links, link][-MAX_LINKS:]
        return link

    def _link_of(self, key: str) -> _Link | None:
        # All of them, each in constant time: neither where a key stands nor how much of it was right can be measured.
        found = [link for link in self._links if _same(link.key, key)]
        return found[0] if found else None

    def _exhausted(self, plan_id: str) -> bool:
        return self._wrong_names[plan_id] >= MAX_WRONG_NAMES

    def _require_calm(self) -> None:
        now_s = self._clock_s()
        while self._bad_keys_s and not 0 <= now_s - self._bad_keys_s[0] < BAD_KEYS_S:
            self._bad_keys_s.popleft()
        if len(self._bad_keys_s) > MAX_BAD_KEYS:
            raise _Stop(self._notice("busy_title", "busy_keys", status=429))

    def _bad_key(self) -> _Stop:
        self._bad_keys_s.append(self._clock_s())
        if len(self._bad_keys_s) > MAX_BAD_KEYS:
            return _Stop(self._notice("busy_title", "busy_keys", status=429))
        return _Stop(self._notice("unknown_title", "unknown", status=404))

    # What is shown

    def _plan_page(
        self, link: _Link, entry: Entry, typed: Mapping[str, str] | None = None, problems: list[_Problem] | None = None
    ) -> Response:
        plan = Plan.from_json(entry.shown)
        wrong = {problem.field: problem for problem in problems or ()}
        left_s = max(0, int(entry.expires_s - self._clock_s()))
        return self._page(
            "plan.html",
            422 if problems else 200,
            entry=entry,
            plan=plan,
            say=Wording(plan.language),
            body=None if plan.body is None else pretty(plan.body),
            undo=None if plan.undo is None else pretty(plan.undo),
            checks=[(check, kind, MARKS[kind], self._words[f"finding_{kind}"]) for check, kind in _graded(plan)],
            left_s=left_s,
            names=[
                {
                    "field": f"typed_{name}",
                    "label": self._words[f"label_{name}"],
                    "expected": expected,
                    "value": (typed or {}).get(name, ""),
                    "problem": wrong.get(f"typed_{name}"),
                }
                for name, expected in plan.typed.items()
            ],
            problems=problems or [],
            wrong=wrong,
            tries_left=MAX_WRONG_NAMES - self._wrong_names[entry.id],
            csrf=link.csrf,
        )

    def _notice(self, title: str, *texts: str, status: int = 200, became: str | None = None, **values: str) -> Response:
        """A page that only says something."""
        said = [self._words[text].format(**values) for text in texts]
        return self._page("notice.html", status, title=self._words[title], said=said, became=became, good=status == 200)

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        html = self._templates.get_template(template).render(values, t=self._words, language=self._language)
        return HTMLResponse(html, status)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens and leaves signals to the program it is a part of."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def end(self) -> None:
        """Stop listening and drop every connection, so that hanging requests end too.

        Not uvicorn's shutdown(): that waits for connections to end by themselves, a tenth of a second at least.
        """
        if not self.started:
            return
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if answering := set(self.server_state.tasks):
            _, late = await asyncio.wait(answering, timeout=self.config.timeout_graceful_shutdown)
            for task in late:
                task.cancel()


def _listen() -> socket.socket:
    """A listening socket on a port that the system chooses."""
    # With the protocol named, asyncio turns Nagle's algorithm off; without, each answer took 40 ms (measured).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":  # there, another program could otherwise take the same port over
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind((ADDRESS, 0))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(harmless=harmless, local_time=local_time, iso_time=_iso)
    return environment


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def _graded(plan: Plan) -> list[tuple[Check, str]]:
    kinds = {Finding.PASS: "pass", Finding.FAIL: "advice", Finding.UNKNOWN: "unknown"}
    return [(check, "stop" if check.stops else kinds[check.finding]) for check in plan.checks]
