"""The approval page in a real browser: what a person does there, and what other pages cannot do."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import anyio.abc
import pytest
from aimlops_server.guard.ledger import Status
from aimlops_server.guard.page.words import Language
from pydantic import SecretStr

from tests.test_approval_page import LIMIT_S, TTL_S, Office, creation, deletion, office, origin
from tests.world import PASSWORD, Clock

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page

pytestmark = pytest.mark.anyio

CHROMIUM = "/usr/bin/chromium"
# Alone and without the network: a fresh profile that asks nobody for anything.
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
APPROVE, DENY = "button[value=approve]", "button[value=deny]"
RELEASE, CLUSTER = "#typed_release_name", "#typed_cluster_name"
# The lowest contrast of any text on the page with its own ground.
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    const color = rgb(getComputedStyle(element).backgroundColor);
    return color[3] === 0 ? ground(element.parentElement) : color;
  };
  const texts = [...document.body.querySelectorAll("*")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
  return Math.min(...texts.map((e) => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for the whole module: the browser starts once."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator["Browser"]:
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        _missing("the Python package playwright is not installed")
    if not await anyio.Path(CHROMIUM).exists():
        _missing(f"there is no {CHROMIUM}")
    async with async_playwright() as playwright:
        with anyio.fail_after(LIMIT_S):
            launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield launched
        await launched.close()


def _missing(reason: str) -> NoReturn:
    """Without a browser these tests say nothing: fine on a person's machine, not where a merge is decided."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Desktop:
    """A person's browser on a served page; `complaints` is what the browser found wrong."""

    at: Office
    tab: "Page"
    complaints: list[str] = field(default_factory=list[str])
    requested: set[str] = field(default_factory=set[str])

    async def press(self, target: str) -> None:
        """Click what leads to another page, and wait until that is all there."""
        async with self.tab.expect_navigation():
            await self.tab.click(target)

    async def text(self) -> str:
        return " ".join((await self.tab.inner_text("main")).split())

    async def focused(self) -> str:
        return await self.tab.evaluate("document.activeElement.id || document.activeElement.className")


@asynccontextmanager
async def desktop(
    browser: "Browser", directory: Path, clock: Clock, language: Language = "en-US", **options: Any
) -> AsyncGenerator[Desktop]:
    """A fresh profile. Whatever happens in it, nothing may be wrong on the page and nothing come from elsewhere."""
    async with office(directory, clock, language) as at:
        context = await browser.new_context(**options)
        context.set_default_timeout(LIMIT_S * 1000 / 2)
        opened = Desktop(at, await context.new_page())

        def hear(message: "ConsoleMessage") -> None:
            # That an answer's status is not 200 is said of each refusal; anything else is a fault of the page.
            refusal = message.text.startswith("Failed to load resource: the server responded with a status of 4")
            if message.type in {"error", "warning"} and not refusal:
                opened.complaints.append(message.text)

        opened.tab.on("console", hear)
        opened.tab.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.tab.on("request", lambda request: opened.requested.add(origin(request.url)))
        yield opened
        await context.close()
        assert (opened.complaints, opened.requested) == ([], {origin(await at.page.list_link())})


async def test_a_person_approves_a_deletion(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.tab.goto(await person.at.wait_for(deletion()))
        await person.tab.fill(RELEASE, "team-a")
        await person.tab.fill(CLUSTER, "prod-cluster")
        await person.press(APPROVE)

        assert await person.text() == (
            "Approved Your approval is recorded. It counts once, for exactly this request. Your assistant goes on by "
            "itself. If it has already stopped, ask it to call the tool again with the same arguments before "
            f"{(await person.text()).split(' before ')[1].split('. You can')[0]}. You can close this page."
        )
        assert await person.at.status() is Status.APPROVED


async def test_a_person_denies_without_typing_anything(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.tab.goto(await person.at.wait_for(deletion()))
        await person.press(DENY)

        assert (await person.text()).startswith("Denied Your refusal is recorded. Nothing was sent.")
        assert await person.at.status() is Status.DENIED


async def test_a_wrong_name_is_corrected(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.tab.goto(await person.at.wait_for(deletion()))
        await person.tab.fill(RELEASE, "team-a")
        await person.tab.fill(CLUSTER, "prod")
        await person.press(APPROVE)

        assert (await person.tab.title()).startswith("Error: ")
        assert await person.focused() == "summary"
        described = await person.tab.evaluate(
            f"document.querySelector('{CLUSTER}').getAttribute('aria-describedby').split(' ')"
            ".map((id) => document.getElementById(id).innerText)"
        )
        assert described[0].startswith("✕ This is not the exact name.")
        assert described[1:] == ["The name is prod-cluster"]

        await person.tab.click(".summary a")
        assert await person.focused() == CLUSTER[1:]
        assert await person.tab.input_value(RELEASE) == "team-a"
        await person.tab.fill(CLUSTER, "prod-cluster")
        await person.press(APPROVE)
        assert (await person.text()).startswith("Approved")


async def test_an_expired_plan_says_so_when_a_button_is_pressed(
    browser: "Browser", tmp_path: Path, clock: Clock
) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.tab.goto(await person.at.wait_for(creation()))
        clock.now_s += TTL_S
        await person.press(APPROVE)

        assert (await person.text()).startswith("This link is no longer valid")
        assert await person.at.status() is Status.EXPIRED


async def test_the_countdown_ends_in_words(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.tab.clock.install()
        await person.tab.clock.pause_at(4_000_000_000_000)
        await person.tab.goto(await person.at.wait_for(creation()))
        texts = [await person.tab.inner_text("#countdown")]
        for seconds in (60, 490, 50):
            await person.tab.clock.run_for(seconds * 1000)
            texts.append(await person.tab.inner_text("#countdown"))
            texts.append(await person.tab.inner_text("#soon"))

        assert texts == [
            *["10:00 left", "9:00 left", ""],
            *["0:50 left", "Less than one minute is left to decide.", "0:00 left", ""],
        ]
        assert (await person.tab.inner_text("#ran-out")).startswith("Time is up: this plan has expired")
        assert [await person.tab.is_disabled(button) for button in (APPROVE, DENY)] == [True, True]


async def test_a_used_link_cannot_be_used_again(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        url = await person.at.wait_for(creation())
        await person.tab.goto(url)
        await person.press(DENY)
        await person.tab.reload()  # sends the form once more
        reloaded = await person.text()
        await person.tab.goto(url)

        gone = "This link is no longer valid"
        assert (reloaded.startswith(gone), (await person.text()).startswith(gone)) == (True, True)
        assert "Status of the plan: denied" in reloaded
        assert await person.at.status() is Status.DENIED


async def test_a_double_click_approves_once_and_shows_it(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.tab.goto(await person.at.wait_for(creation()))
        await person.tab.dblclick(APPROVE)
        await person.tab.wait_for_selector("text=You can close this page.")

        assert (await person.text()).startswith("Approved")


async def test_a_missing_password_is_asked_for_and_then_taken(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.tab.goto(await person.at.wait_for(creation(asks_password=True)))
        await person.press(APPROVE)
        missing = await person.text()
        await person.tab.fill("#password", PASSWORD)
        await person.tab.fill("#password_again", "another")
        await person.press(APPROVE)
        different = await person.text()
        kept = [await person.tab.input_value(f"#{name}") for name in ("password", "password_again")]
        kinds = [
            await person.tab.locator(f"#{name}").evaluate("(field) => [field.type, field.autocomplete]")
            for name in ("password", "password_again")
        ]
        for name in ("password", "password_again"):
            await person.tab.fill(f"#{name}", PASSWORD)
        await person.press(APPROVE)

        assert missing.startswith("Not approved yet Password of the first user: The password is missing.")
        assert "The two passwords are not the same." in different
        assert (kept, kinds) == (["", ""], [["password", "new-password"]] * 2)
        assert (await person.text()).startswith("Approved")
        assert person.at.vault.take_typed("plan-1") == SecretStr(PASSWORD)


async def test_another_page_can_neither_send_the_form_nor_frame_the_page(
    browser: "Browser", tmp_path: Path, clock: Clock
) -> None:
    """Even one that knows everything but lives on another port."""
    async with desktop(browser, tmp_path, clock) as person:
        url = await person.at.wait_for(creation())
        html = (
            f'<form method="post" action="{url}"><input name="csrf" value="{await person.at.csrf(url)}">'
            f'<button name="decision" value="approve">x</button></form><iframe src="{url}"></iframe>'
        )
        async with elsewhere(html) as other:
            await person.tab.goto(other)
            framed = await person.tab.frames[1].content()
            async with person.tab.expect_response(url) as answer:
                await person.tab.click("button")
            refusal = await answer.value
            sent = await refusal.request.all_headers()

        # The browser itself complains of the frame, and the other page is of another origin.
        assert "frame-ancestors 'none'" in " ".join(person.complaints)
        person.complaints.clear()
        person.requested.discard(other.rstrip("/"))
        assert "CREATE" not in framed
        assert (refusal.status, sent["origin"]) == (403, other.rstrip("/"))
        assert await person.at.status() is Status.WAITING


async def test_a_script_in_a_name_does_not_run(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    hostile = "</code></title><img src=x onerror='window.ran = 1'><script>window.ran = 1</script>"
    async with desktop(browser, tmp_path, clock) as person:
        plan = deletion(headline=f"DELETE {hostile}", lost=(hostile,), typed={"release_name": hostile}, asker=hostile)
        await person.tab.goto(await person.at.wait_for(plan))
        await person.tab.fill(RELEASE, '"><script>window.ran = 1</script>')
        await person.press(APPROVE)
        shown = await person.text()
        await person.tab.goto(await person.at.page.list_link())

        assert shown.count(hostile) == 4
        assert await person.tab.evaluate("window.ran") is None
        assert await person.tab.locator("img").count() == 0


async def test_a_person_approves_in_korean(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock, "ko-KR") as person:
        await person.tab.goto(await person.at.wait_for(deletion(typed={"release_name": "team-a"})))
        await person.tab.get_by_label("플랫폼의 정확한 이름을 입력하세요").fill("team-a")
        await person.press("text=승인하고 영구 삭제")

        assert (await person.text()).startswith("승인됨 승인이 기록되었습니다.")
        assert await person.tab.evaluate("document.documentElement.lang") == "ko-KR"


async def test_everything_works_without_javascript(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock, java_script_enabled=False) as person:
        await person.tab.goto(await person.at.wait_for(deletion()))
        assert await person.tab.inner_text("#countdown") == "in 10 minutes"
        await person.press(APPROVE)
        assert (await person.text()).startswith("Not approved yet")
        await person.tab.fill(RELEASE, "team-a")
        await person.tab.fill(CLUSTER, "prod-cluster")
        await person.press(APPROVE)

        assert (await person.text()).startswith("Approved")


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
async def test_a_narrow_screen_needs_no_sideways_scrolling(
    browser: "Browser", tmp_path: Path, clock: Clock, language: Language
) -> None:
    long = "a1" * 60
    async with desktop(browser, tmp_path, clock, language, viewport={"width": 320, "height": 640}) as person:
        plan = deletion(
            headline=f"DELETE {long}",
            body={long: long},
            live={long: long, "id": long},
            lost=(long,),
            asker=long,
            typed={"release_name": long},
        )
        url = await person.at.wait_for(plan)
        widths: list[int] = []
        for page in (url, await person.at.page.list_link(), f"{url}x"):
            await person.tab.goto(page)
            widths.append(await person.tab.evaluate("document.documentElement.scrollWidth"))
        await person.tab.goto(url)
        await person.press(APPROVE)
        widths.append(await person.tab.evaluate("document.documentElement.scrollWidth"))

        assert widths == [320] * 4


async def test_the_keyboard_alone_is_enough(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.tab.goto(await person.at.wait_for(deletion()))
        keyboard = person.tab.keyboard
        way: list[str] = []
        for key in ("Tab", "Enter", "Tab"):
            await keyboard.press(key)
            way.append(await person.focused())
        await keyboard.type("team-a")
        await keyboard.press("Tab")
        way.append(await person.focused())
        await keyboard.type("prod-cluster")
        for _ in range(2):
            await keyboard.press("Tab")
            way.append(await person.focused())
        seen = await person.tab.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        await keyboard.press("Shift+Tab")
        async with person.tab.expect_navigation():
            await keyboard.press("Enter")

        assert way == ["skip", "decide", RELEASE[1:], CLUSTER[1:], "destructive", "deny"]
        assert seen == "3px"
        assert (await person.text()).startswith("Approved")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_stands_out_from_its_ground(
    browser: "Browser", tmp_path: Path, clock: Clock, scheme: str
) -> None:
    """By WCAG 2.2, 1.4.3: 4.5 to 1."""
    async with desktop(browser, tmp_path, clock, color_scheme=scheme) as person:
        url = await person.at.wait_for(creation(lost=("something",), asks_password=True, typed={"release_name": "new"}))
        contrasts: list[float] = []
        for page in (url, await person.at.page.list_link(), f"{url}x"):
            await person.tab.goto(page)
            contrasts.append(await person.tab.evaluate(CONTRAST))
        await person.tab.goto(url)
        await person.press(APPROVE)
        contrasts.append(await person.tab.evaluate(CONTRAST))

        assert min(contrasts) >= 4.5


async def test_a_waiting_plan_is_decided_from_the_list(browser: "Browser", tmp_path: Path, clock: Clock) -> None:
    async with desktop(browser, tmp_path, clock) as person:
        await person.at.wait_for(creation())
        await person.tab.goto(await person.at.page.list_link())
        await person.press("text=Look and decide")
        await person.press(DENY)

        assert await person.at.status() is Status.DENIED


@asynccontextmanager
async def elsewhere(html: str) -> AsyncGenerator[str]:
    """The URL of a page of somebody else on this machine."""

    async def answer(client: anyio.abc.SocketStream) -> None:
        async with client:
            await client.receive()
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close"
            await client.send(f"{head}\r\n\r\n{html}".encode())

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 reason: anyio's, not Django's
        yield f"http://127.0.0.1:{port}/"
        tasks.cancel_scope.cancel()
