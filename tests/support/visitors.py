"""People on the page of `asr-tv try`, played by Chromium."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Launch = Callable[..., Any]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 120_000  # milliseconds, on a busy machine


@contextmanager
def launcher() -> Iterator[Launch]:
    """Starts Chromium with the given switches."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, which CI is.
        yield lambda *args: playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *args])


class Visitor:
    """A page with what it said on the console and what it asked for."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | context))
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("#line p.note, #line p.problem", timeout=PATIENCE)
        self.address = address

    def record(self, seconds: float) -> None:
        self.page.locator("#sound").get_by_role("button", name="Record", exact=True).click()
        self.page.wait_for_timeout(1000 * seconds)
        self.page.locator("#sound").get_by_role("button", name="Stop", exact=True).locator("visible=true").click()

    def upload(self, path: Path) -> None:
        self.page.get_by_label("Upload file").first.click()
        self.page.locator("#sound input[type=file]").set_input_files(path)

    def wait_for_answers(self) -> list[str]:
        self.page.wait_for_selector("#answer-1 .heard:not(.note)", timeout=PATIENCE)
        return [self.page.locator(f"#answer-{n} .heard").inner_text() for n in (0, 1)]

    def wait_for_line(self, words: str) -> str:
        self.page.locator("#line", has_text=re.compile(words)).wait_for(timeout=PATIENCE)
        return str(self.page.locator("#line").inner_text())

    def close(self, *, silent: bool = True) -> None:
        """Leaves; `silent` where the browser itself had nothing to complain of, such as a file that is no sound."""
        self.context.close()
        assert not silent or [text for text in self.said if text.startswith("error")] == []
        outside = [url for url in self.asked if not url.startswith((self.address, "data:", f"blob:{self.address}"))]
        assert outside == []
