"""The approval page over its own port: what it shows, what it records, and what it keeps out."""

import logging
import re
import string
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from aimlops_server.errors import NotSent
from aimlops_server.guard.ledger import Entry, Ledger, Status
from aimlops_server.guard.page.server import (  # pyright: ignore[reportPrivateUsage]
    BAD_KEYS_S,
    MARKS,
    MAX_BAD_KEYS,
    MAX_BODY_BYTES,
    MAX_WRONG_NAMES,
    ApprovalPage,
)
from aimlops_server.guard.page.words import TABLE, Language, words
from aimlops_server.guard.plan import Check, Finding, Plan, Where
from aimlops_server.guard.question import LABELS
from aimlops_server.settings import LEDGER_FILE
from aimlops_server.vault import Vault
from pydantic import SecretStr

from tests.world import ENDPOINT, NO_CERTIFICATES, PASSWORD, Clock, make_desk

pytestmark = pytest.mark.anyio

LIMIT_S = 60
TTL_S = 600.0
NAMES = {"typed_release_name": "team-a", "typed_cluster_name": "prod-cluster"}
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


def deletion(**changes: Any) -> Plan:
    """The plan to delete a platform with its cluster."""
    values: dict[str, Any] = {
        "headline": 'DELETE platform "team-a" AND ITS WHOLE KUBERNETES CLUSTER "prod-cluster". It cannot be undone.',
        "where": Where("kr-west1", "e", "account-1", ENDPOINT, "1.2"),
        "method": "DELETE",
        "url": f"{ENDPOINT}/v1/aimlops-platform/{'a1' * 16}?with_k8s=true",
        "body": None,
        "lost": ("its notebooks and models", "3 nodes: n1, n2, n3"),
        "live": {"id": "a1" * 16, "state": "DEPLOYED"},
        "checks": (),
        "typed": {"release_name": "team-a", "cluster_name": "prod-cluster"},
        "asker": "some-client 1.0",
    }
    return Plan(**{**values, **changes})


def creation(**changes: Any) -> Plan:
    """The plan to create a platform; a yes is enough."""
    values: dict[str, Any] = {
        "headline": 'CREATE Enterprise platform "new" on a new cluster.',
        "method": "POST",
        "url": f"{ENDPOINT}/v1/aimlops-platform",
        "body": {"release_name": "new", "initial_user_password": "<typed on the page>"},
        "lost": (),
        "live": {},
        "typed": {},
        "checks": (
            Check("name", Finding.PASS, "it is free"),
            Check("image", Finding.FAIL, "its type is a guess", inferred=True, fix="list_images"),
            Check("version", Finding.UNKNOWN, "not told by the API"),
        ),
    }
    return deletion(**{**values, **changes})


def entry_of(plan: Plan, plan_id: str, now_s: float) -> Entry:
    return Entry(
        id=plan_id,
        tool="delete_platform",
        target="platform",
        request_digest=plan.request_digest,
        digest=plan.digest,
        asker=plan.asker,
        endpoint=plan.where.endpoint,
        account=plan.where.account,
        arguments="{}",
        shown=plan.to_json(),
        preview=plan.preview(),
        created_s=now_s,
        expires_s=now_s + TTL_S,
    )


@dataclass
class Office:
    """A served page and all around it. `browser` is a bare HTTP client."""

    clock: Clock
    ledger: Ledger
    vault: Vault
    page: ApprovalPage
    browser: httpx2.AsyncClient

    async def wait_for(self, plan: Plan, plan_id: str = "plan-1") -> str:
        """The link to a new waiting plan."""
        await self.ledger.add(entry_of(plan, plan_id, self.clock()))
        return await self.page.link(plan_id)

    async def status(self, plan_id: str = "plan-1") -> Status:
        entry = await self.ledger.get(plan_id)
        assert entry is not None
        return entry.status_at(self.clock())

    async def csrf(self, url: str) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', (await self.browser.get(url)).text)
        assert found is not None
        return found[1]

    async def answer(self, url: str, decision: str, form: Mapping[str, str] | None = None) -> httpx2.Response:
        """What a browser sends when a button is pressed."""
        data = {"csrf": await self.csrf(url), "decision": decision, **(form or {})}
        return await self.browser.post(url, data=data, headers={"Origin": origin(url)})


@asynccontextmanager
async def office(directory: Path, clock: Clock, language: Language = "en-US") -> AsyncGenerator[Office]:
    ledger = Ledger(directory / "state", clock)
    vault = Vault({}, None)
    page = ApprovalPage(ledger, make_desk(ledger, directory / "state", clock, vault), clock, language)
    try:
        with anyio.fail_after(LIMIT_S):
            async with (
                anyio.create_task_group() as tasks,
                httpx2.AsyncClient(trust_env=False, verify=NO_CERTIFICATES) as browser,
            ):
                tasks.start_soon(page.serve)
                yield Office(clock, ledger, vault, page, browser)
                tasks.cancel_scope.cancel()
    finally:
        await ledger.aclose()


@pytest.fixture
async def at(tmp_path: Path, clock: Clock) -> AsyncIterator[Office]:
    async with office(tmp_path, clock) as opened:
        yield opened


def files_in(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def origin(url: str) -> str:
    return url[: url.index("/", len("http://"))]


def text_of(page: httpx2.Response) -> str:
    """What can be read on a page, on one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


# What a person sees


async def test_the_page_shows_all_of_a_plan_in_order(at: Office) -> None:
    page = await at.browser.get(await at.wait_for(creation(undo={"tool": "delete_platform"})))

    assert page.status_code == 200
    said = text_of(page)
    expected = [
        'CREATE Enterprise platform "new" on a new cluster.',
        "Region kr-west1 Environment e Account account-1",
        f"Endpoint {ENDPOINT} API version 1.2",
        "What is lost No loss is known.",
        "Present state Nothing exists yet.",
        "✓ pass name : it is free ! fail, inferred image : its type is a guess → list_images",
        "? could not check version : not told",
        f"Method POST URL {ENDPOINT}/v1/aimlops-platform Body",
        '"initial_user_password": "<typed on the page>"',
        'How it can be taken back { "tool": "delete_platform" }',
        "Client some-client 1.0 Tool delete_platform Plan plan-1",
        "in 10 minutes",
        "Approve and send Deny",
    ]
    assert [text for text in expected if text not in said] == []
    assert sorted(expected, key=said.index) == expected


async def test_a_deletion_shows_what_is_lost_and_asks_for_each_name(at: Office) -> None:
    page = await at.browser.get(await at.wait_for(deletion()))

    said = text_of(page)
    assert "What is lost its notebooks and models 3 nodes: n1, n2, n3" in said
    assert "Type the platform's exact name The name is team-a" in said
    assert "Type the cluster's exact name The name is prod-cluster" in said
    assert "Approve and destroy for good" in said
    assert "No body is sent." in said


async def test_a_yes_that_cannot_be_recorded_does_not_count(at: Office, tmp_path: Path) -> None:
    url = await at.wait_for(deletion())
    (tmp_path / "state" / "audit.jsonl").mkdir()
    page = await at.answer(url, "approve", NAMES)

    assert (page.status_code, await at.status()) == (500, Status.WAITING)
    assert "Your decision may not be recorded, and nothing is sent without one." in text_of(page)


async def test_the_exact_names_approve_a_deletion(at: Office) -> None:
    page = await at.answer(await at.wait_for(deletion()), "approve", NAMES)

    entry = await at.ledger.get("plan-1")
    assert (page.status_code, entry and (entry.status, entry.decided_by)) == (200, ("approved", "page"))
    assert "Your assistant goes on by itself." in text_of(page)


async def test_a_denied_plan_is_denied(at: Office) -> None:
    page = await at.answer(await at.wait_for(deletion()), "deny")

    entry = await at.ledger.get("plan-1")
    assert (page.status_code, entry and (entry.status, entry.decided_by)) == (200, ("denied", "page"))
    assert "Nothing was sent." in text_of(page)


@pytest.mark.parametrize("typed", ["", "team-b", "Team-a", " team-a", "team-a ", "team-a\u200b"])
async def test_a_wrong_name_is_pointed_at_and_the_plan_goes_on_waiting(at: Office, typed: str) -> None:
    url = await at.wait_for(deletion())

    page = await at.answer(url, "approve", {**NAMES, "typed_release_name": typed})

    assert (page.status_code, await at.status()) == (422, Status.WAITING)
    assert 'role="alert" tabindex="-1" autofocus' in page.text
    assert 'aria-describedby="problem-typed_release_name hint-typed_release_name" aria-invalid="true"' in page.text
    assert "problem-typed_cluster_name" not in page.text
    assert (await at.answer(url, "approve", NAMES)).status_code == 200


async def test_after_ten_wrong_names_the_plans_links_are_dead(at: Office) -> None:
    url = await at.wait_for(deletion())
    other = await at.page.link("plan-1")
    wrong = {**NAMES, "typed_cluster_name": "x"}

    statuses = [(await at.answer(url, "approve", wrong)).status_code for _ in range(MAX_WRONG_NAMES)]

    assert statuses == [422] * 9 + [429]
    assert [(await at.browser.get(link)).status_code for link in (url, other)] == [410, 410]
    with pytest.raises(NotSent):
        await at.page.link("plan-1")
    listed = await at.browser.get(await at.page.list_link())
    assert ("Too many wrong names were typed." in listed.text, "/plan/" in listed.text) == (True, False)


async def test_typed_passwords_reach_the_vault_and_nothing_else(at: Office, tmp_path: Path) -> None:
    url = await at.wait_for(creation(asks_password=True))

    page = await at.answer(url, "approve", {"password": PASSWORD, "password_again": PASSWORD})

    assert (page.status_code, await at.status()) == (200, Status.APPROVED)
    assert at.vault.take_typed("plan-1") == SecretStr(PASSWORD)
    assert LEDGER_FILE in files_in(tmp_path)
    assert [name for name, content in files_in(tmp_path).items() if PASSWORD.encode() in content] == []


@pytest.mark.parametrize(
    ("first", "again", "field"), [("", "", "password"), (PASSWORD, PASSWORD + "x", "password_again")]
)
async def test_a_missing_or_mistyped_password_is_asked_for_anew(at: Office, first: str, again: str, field: str) -> None:
    url = await at.wait_for(creation(asks_password=True))

    page = await at.answer(url, "approve", {"password": first, "password_again": again})

    assert (page.status_code, await at.status()) == (422, Status.WAITING)
    assert f'aria-describedby="problem-{field} hint-password" aria-invalid="true"' in page.text
    assert PASSWORD not in page.text
    assert at.vault.take_typed("plan-1") is None


async def test_texts_of_the_service_are_text(at: Office) -> None:
    """A name can be neither markup nor an instruction to the eye."""
    hostile = "<script>alert(1)</script>\"'>\u202egnp.exe\u3164\x1b[31m"
    plan = deletion(
        headline=f"DELETE {hostile}",
        where=Where(hostile, hostile, hostile, hostile, hostile),
        body={hostile: hostile},
        lost=(hostile,),
        live={hostile: hostile},
        checks=(Check(hostile, Finding.FAIL, hostile, fix=hostile),),
        typed={"release_name": hostile},
        asker=hostile,
    )
    url = await at.wait_for(plan)

    wrong = await at.answer(url, "approve", {"typed_release_name": hostile + "x"})
    pages = [await at.browser.get(url), wrong, await at.browser.get(await at.page.list_link())]

    for page in pages:
        shown = re.sub(r'value="[^"]*"', "", page.text)  # the field gives back what was typed, as it was
        assert "<script>" not in page.text
        assert "&lt;script&gt;" in shown
        assert {"\u202e", "\u3164", "\x1b"} & set(shown) == set()
        assert "\\u202e" in shown


async def test_the_page_speaks_korean(tmp_path: Path, clock: Clock) -> None:
    async with office(tmp_path, clock, "ko-KR") as at:
        page = await at.browser.get(await at.wait_for(deletion()))
        gone = await at.browser.get(page.url.join("/nothing"))

    assert [re.findall(r"<html lang=[^>]+>", shown.text) for shown in (page, gone)] == [['<html lang="ko-KR">']] * 2
    assert "승인하고 영구 삭제 거부" in text_of(page)
    assert 'lang="en"' not in page.text


def test_each_text_has_the_same_gaps_in_both_languages() -> None:
    def gaps(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    assert set(words("en-US")) == set(words("ko-KR")) == set(TABLE)
    assert [key for key, (english, korean) in TABLE.items() if not english or not korean] == []
    assert [key for key, (english, korean) in TABLE.items() if gaps(english) != gaps(korean)] == []


def test_each_name_finding_and_status_has_its_word() -> None:
    needed = {f"label_{field}" for field in LABELS}
    needed |= {f"finding_{kind}" for kind in MARKS} | {f"status_{status}" for status in Status}
    assert needed - set(TABLE) == set()


async def test_the_list_shows_waiting_and_past_plans(at: Office) -> None:
    await at.wait_for(creation(headline="PAST"), "plan-0")
    at.clock.now_s += TTL_S
    await at.wait_for(deletion(headline="DENIED"), "plan-1")
    await at.answer(await at.page.link("plan-1"), "deny")
    await at.wait_for(deletion(headline="PENDING"), "plan-2")

    page = await at.browser.get(await at.page.list_link())

    said = text_of(page)
    assert re.findall(r"(PENDING|DENIED|PAST) Status ([a-z]+)", said) == [
        ("PENDING", "waiting"),
        ("DENIED", "denied"),
        ("PAST", "expired"),
    ]
    (link,) = re.findall(r'href="(/plan/[^"]+)"', page.text)
    assert "PENDING" in (await at.browser.get(page.url.join(link))).text


async def test_looking_at_the_list_leaves_the_assistants_link_alive(at: Office) -> None:
    url = await at.wait_for(deletion())
    for _ in range(9):
        await at.browser.get(await at.page.list_link())

    assert (await at.browser.get(url)).status_code == 200


async def test_a_password_for_another_process_is_not_taken(at: Office) -> None:
    await at.ledger.add(entry_of(creation(asks_password=True), "elsewhere", at.clock()))

    page = await at.browser.get(await at.page.list_link())

    assert "use the link that its own assistant gave" in text_of(page)
    assert "/plan/" not in page.text


# Dead keys


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_a_link_serves_for_one_decision(at: Office, decision: str) -> None:
    url = await at.wait_for(deletion())
    form = {"csrf": await at.csrf(url), "decision": decision, **NAMES}
    headers = {"Origin": origin(url)}
    other = await at.page.link("plan-1")

    first = await at.browser.post(url, data=form, headers=headers)
    replay = await at.browser.post(url, data={**form, "decision": "deny"}, headers=headers)
    after = [await at.browser.get(link) for link in (url, other)]

    assert [answer.status_code for answer in (first, replay, *after)] == [200, 410, 410, 410]
    assert "This link is no longer valid" in text_of(replay)
    assert await at.status() == {"approve": Status.APPROVED, "deny": Status.DENIED}[decision]


async def test_an_expired_plan_cannot_be_approved(at: Office) -> None:
    url = await at.wait_for(deletion())
    form = {"csrf": await at.csrf(url), "decision": "approve", **NAMES}
    at.clock.now_s += TTL_S

    answers = [await at.browser.get(url), await at.browser.post(url, data=form, headers={"Origin": origin(url)})]

    assert [answer.status_code for answer in answers] == [410, 410]
    assert await at.status() is Status.EXPIRED


async def test_a_plan_decided_elsewhere_is_gone(at: Office) -> None:
    url = await at.wait_for(deletion())
    await at.ledger.decide("plan-1", approve=False, by="terminal")

    page = await at.browser.get(url)

    assert (page.status_code, "Status of the plan: denied" in text_of(page)) == (410, True)


async def test_what_is_not_a_link_is_not_found(at: Office) -> None:
    url = await at.wait_for(deletion())
    listed = await at.page.list_link()
    own = url.rsplit("/", 1)[1], listed.rsplit("/", 1)[1]
    paths = [
        "/",
        "/plan",
        "/plan/",
        "/plans/",
        "/plan/plan-1",
        f"/plan/{own[1]}",
        f"/plans/{own[0]}",
        f"/plan/{own[0]}/",
    ]
    paths += [f"/plan/{own[0]}x", "/plan/%ff%fe", "/static/", "/static/server.py", "/static/..%2fserver.py"]
    paths += ["/favicon.ico", "/docs", "/robots.txt", f"/PLAN/{own[0]}"]

    found = {path: (await at.browser.get(origin(url) + path)).status_code for path in paths}

    assert found == dict.fromkeys(paths, 404)


async def test_every_plan_has_its_own_long_key(at: Office) -> None:
    urls = {await at.wait_for(deletion(), f"plan-{number}") for number in range(3)} | {await at.page.link("plan-0")}
    keys = {re.fullmatch(r"http://127\.0\.0\.1:\d+/plan/([\w-]{43})", url) for url in urls}
    assert (len(keys), None in keys) == (4, False)


# What is kept out


async def test_every_answer_carries_the_same_defences_and_no_cookie(at: Office) -> None:
    url = await at.wait_for(deletion())
    base = origin(url)
    answers = [
        await at.browser.get(url),
        await at.browser.get(await at.page.list_link()),
        await at.browser.get(f"{base}/static/page.css"),
        await at.browser.get(f"{base}/static/countdown.js"),
        await at.browser.get(f"{base}/nothing"),
        await at.browser.put(url),
        await at.browser.get(url, headers={"Host": "evil.example"}),
        await at.browser.post(url),
        await at.answer(url, "approve", {"typed_release_name": "x"}),
        await at.answer(url, "neither"),
        await at.answer(url, "deny"),
        await at.browser.get(url),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 404, 405, 421, 403, 422, 400, 200, 410]
    plain = {"date", "content-type", "content-length", "allow"}
    for answer in answers:
        assert {name: value for name, value in answer.headers.multi_items() if name not in plain} == HEADERS


async def test_static_files_are_what_they_say(at: Office) -> None:
    base = origin(await at.page.list_link())
    kinds = [
        (await at.browser.get(f"{base}/static/{name}")).headers["content-type"] for name in ("page.css", "countdown.js")
    ]
    assert kinds == ["text/css; charset=utf-8", "text/javascript; charset=utf-8"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost:{port}", "127.0.0.1", "127.0.0.1:{port}.evil.example",
             "127.0.0.1:1", "0.0.0.0:{port}", "[::1]:{port}", ""]
)  # fmt: skip
async def test_a_rebound_name_is_turned_away(at: Office, host: str) -> None:
    url = await at.wait_for(deletion())
    headers = {"Host": host.format(port=httpx2.URL(url).port), "Origin": origin(url)}
    form = {"csrf": await at.csrf(url), "decision": "deny"}

    answers = [await at.browser.get(url, headers=headers), await at.browser.post(url, data=form, headers=headers)]

    assert [(answer.status_code, "team-a" in answer.text) for answer in answers] == [(421, False)] * 2
    assert await at.status() is Status.WAITING


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:{port}/"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "none"},
    ],
)
@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_a_form_of_another_page_decides_nothing(at: Office, decision: str, headers: dict[str, str]) -> None:
    url = await at.wait_for(deletion())
    form = {"csrf": await at.csrf(url), "decision": decision, **NAMES}
    sent = {name: value.format(port=httpx2.URL(url).port) for name, value in headers.items()}

    answer = await at.browser.post(url, data=form, headers=sent)

    assert (answer.status_code, await at.status()) == (403, Status.WAITING)


async def test_the_page_of_a_modern_browser_is_its_own(at: Office) -> None:
    url = await at.wait_for(deletion())
    headers = {"Origin": origin(url), "Sec-Fetch-Site": "same-origin"}

    answer = await at.browser.post(url, data={"csrf": await at.csrf(url), "decision": "deny"}, headers=headers)

    assert (answer.status_code, await at.status()) == (200, Status.DENIED)


async def test_a_form_without_its_token_decides_nothing(at: Office) -> None:
    url = await at.wait_for(deletion())
    other = await at.csrf(await at.wait_for(deletion(), "plan-2"))

    for token in ({}, {"csrf": ""}, {"csrf": other}, {"csrf": "한"}):
        form = {"decision": "deny", **token}
        answer = await at.browser.post(url, data=form, headers={"Origin": origin(url)})
        assert answer.status_code == 403

    assert await at.status() is Status.WAITING


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
async def test_only_a_post_decides(at: Office, method: str) -> None:
    url = await at.wait_for(deletion())
    form = {"csrf": await at.csrf(url), "decision": "approve", **NAMES}

    answer = await at.browser.request(method, url, params=form, headers={"Origin": origin(url)})

    assert (answer.status_code, await at.status()) == (200 if method in {"GET", "HEAD"} else 405, Status.WAITING)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_refused(at: Office, chunked: bool) -> None:
    url = await at.wait_for(deletion())
    body = f"csrf={await at.csrf(url)}&decision=deny&x=".encode().ljust(MAX_BODY_BYTES + 1, b"x")

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:1000]
        yield body[1000:]

    headers = {"Origin": origin(url), "Content-Type": "application/x-www-form-urlencoded"}
    too_large = await at.browser.post(url, content=chunks() if chunked else body, headers=headers)
    waiting = await at.status()
    fits = await at.browser.post(url, content=body[:-1], headers=headers)

    assert (too_large.status_code, waiting, fits.status_code) == (413, Status.WAITING, 200)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", '{"decision": "deny"}', 415),
        ("text/plain", "csrf={csrf}&decision=deny", 415),
        ("multipart/form-data; boundary=x", "csrf={csrf}&decision=deny", 415),
        ("application/x-www-form-urlencoded", "csrf={csrf}&decision=deny&decision=approve", 400),
        ("application/x-www-form-urlencoded", "csrf={csrf}&decision=maybe", 400),
        ("application/x-www-form-urlencoded", "csrf={csrf}", 400),
        ("application/x-www-form-urlencoded", "csrf={csrf}&decision=deny&x=%ff", 400),
        ("application/x-www-form-urlencoded", "csrf={csrf}&decision=deny" + "&x=" * 20, 400),
    ],
)
async def test_a_form_that_no_browser_sends_decides_nothing(at: Office, kind: str, body: str, status: int) -> None:
    url = await at.wait_for(deletion())
    content = body.replace("{csrf}", await at.csrf(url)).encode()

    answer = await at.browser.post(url, content=content, headers={"Origin": origin(url), "Content-Type": kind})

    assert (answer.status_code, await at.status()) == (status, Status.WAITING)


@pytest.mark.parametrize("kind", ["plan", "plans"])
async def test_guessing_keys_closes_the_page_until_it_cools_down(at: Office, kind: str) -> None:
    url = await at.wait_for(deletion())
    listed = await at.page.list_link()
    base = origin(url)

    guesses = [(await at.browser.get(f"{base}/{kind}/guess-{n}")).status_code for n in range(MAX_BAD_KEYS + 1)]
    closed = [(await at.browser.get(link)).status_code for link in (url, listed)]
    at.clock.now_s += BAD_KEYS_S - 1
    still_closed = (await at.browser.get(url)).status_code
    at.clock.now_s += 1
    cool = [(await at.browser.get(link)).status_code for link in (url, listed)]

    assert guesses == [404] * MAX_BAD_KEYS + [429]
    assert (closed, still_closed, cool) == ([429, 429], 429, [200, 200])


async def test_neither_keys_nor_passwords_reach_a_log(at: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = await at.wait_for(creation(asks_password=True))
    csrf = await at.csrf(url)
    await at.browser.get(await at.page.list_link())
    await at.browser.get(f"{url}x")
    await at.browser.post(url, data={"password": PASSWORD})
    await at.answer(url, "approve", {"password": PASSWORD, "password_again": "other"})
    await at.answer(url, "approve", {"password": PASSWORD, "password_again": PASSWORD})
    await at.browser.get(url)

    # The test's own HTTP client logs what it sends.
    logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))
    secrets = [url.rsplit("/", 1)[1], (await at.page.list_link()).rsplit("/", 1)[1], csrf, PASSWORD]
    assert [secret for secret in secrets if secret in logged] == []


async def test_a_failing_ledger_is_told_without_its_details(
    at: Office, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = await at.wait_for(deletion())
    await at.ledger.aclose()
    (tmp_path / "state" / LEDGER_FILE).unlink()
    (tmp_path / "state" / LEDGER_FILE).mkdir()

    page = await at.browser.get(url)

    assert (page.status_code, page.headers["x-frame-options"]) == (500, "DENY")
    assert str(tmp_path) not in page.text
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "the approval page failed: LedgerUnavailable"
    ]


# Its life


async def test_serving_twice_is_serving_once(at: Office) -> None:
    before = await at.page.list_link()
    await at.page.serve()

    assert (at.page.started, await at.page.list_link()) == (True, before)


async def test_the_page_ends_with_its_task_and_can_start_again(tmp_path: Path, clock: Clock) -> None:
    ledger = Ledger(tmp_path, clock)
    page = ApprovalPage(ledger, make_desk(ledger, tmp_path, clock), clock, "en-US")
    links: list[str] = []
    for _ in range(2):
        assert not page.started
        with anyio.fail_after(LIMIT_S):
            async with (
                anyio.create_task_group() as tasks,
                httpx2.AsyncClient(trust_env=False, verify=NO_CERTIFICATES) as browser,
            ):
                tasks.start_soon(page.serve)
                links.append(await page.list_link())
                assert (await browser.get(links[-1])).status_code == 200
                tasks.cancel_scope.cancel()
    async with httpx2.AsyncClient(trust_env=False, verify=NO_CERTIFICATES) as browser:
        with pytest.raises(httpx2.ConnectError):
            await browser.get(links[0])
    await ledger.aclose()


def test_neither_the_desk_nor_the_terminal_loads_a_web_server() -> None:
    code = (
        "import sys, aimlops_server.guard.desk, aimlops_server.guard.terminal; "
        "print({'jinja2', 'aimlops_server.guard.page'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert ran.stdout == "set()\n"
