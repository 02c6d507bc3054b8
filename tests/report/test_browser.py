"""The report of a real run in Chromium, opened from disk: it sorts, plays, unfolds, and asks nothing of a network."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import record

from asr_tv.report.page import Player, render_page

pytestmark = [pytest.mark.browser, pytest.mark.real]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class Opened:
    """A page with what it said and what it asked for."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page, self.said, self.asked = page, [], []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(file.as_uri())

    def column(self, table: str, number: int) -> list[str]:
        cells = self.page.locator(f"#{table} tbody tr > :nth-child({number})")
        return [text.strip() for text in cells.all_inner_texts()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, which CI is.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(slice_folder: Path, slice_report: dict[str, Any]) -> Path:  # noqa: ARG001
    return slice_folder / "out" / "report.html"


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Opened]:
    context = browser.new_context(viewport=WIDE)
    found = Opened(context.new_page(), file)
    yield found
    assert found.said == []
    assert {url.partition(":")[0] for url in found.asked} <= {"file", "data"}
    assert [url for url in found.asked if url.startswith("file:")] == [file.as_uri()]
    context.close()


def test_a_column_sorts_both_ways_by_mouse_and_by_keyboard(opened: Opened) -> None:
    header = opened.page.locator("#wer-0 thead button", has_text="WER %").first
    header.click()
    rates = [float(text) for text in opened.column("wer-0", 2)]
    assert rates == sorted(rates)
    assert opened.page.locator("#wer-0 th[aria-sort=ascending]").count() == 1
    header.press("Enter")
    assert [float(text) for text in opened.column("wer-0", 2)] == sorted(rates, reverse=True)
    assert opened.page.locator("#said").inner_text() == "Sorted by WER %, descending"
    opened.page.locator("#wer-0 thead button").first.press("Space")
    names = opened.column("wer-0", 1)
    assert len(names) == len(rates)
    assert names == sorted(names)


def test_a_diff_opens_and_its_recordings_play(opened: Opened) -> None:
    example = opened.page.locator("#examples details").first
    assert not example.locator(".diff").is_visible()
    example.locator("summary").press("Enter")
    assert example.locator(".diff dd").first.is_visible()
    assert example.locator("del, ins").count() > 0
    for audio in example.locator("audio").all():
        audio.evaluate("a => a.play()")
        opened.page.wait_for_function("a => a.currentTime > 0 || a.ended", arg=audio.element_handle())
        assert audio.evaluate("a => a.duration") > 0.2
    assert example.locator("audio").count() == 2


def test_a_linked_recording_plays_from_beside_the_page(
    browser: Any, slice_report: dict[str, Any], tmp_path: Path
) -> None:
    record(tmp_path / "a clip.wav")
    shown = slice_report["examples"]
    (first, *_) = [*shown["most_improved"], *shown["most_worsened"]]
    file = tmp_path / "linked.html"
    file.write_text(render_page(slice_report, {first["id"]: (Player("Real recording", "a%20clip.wav", "linked"),)}))
    context = browser.new_context()
    opened = Opened(context.new_page(), file)
    opened.page.locator("#open-all").click()
    audio = opened.page.locator("audio")
    audio.evaluate("a => a.play()")
    opened.page.wait_for_function("a => a.currentTime > 0 || a.ended", arg=audio.element_handle())
    assert opened.said == []
    context.close()


def test_all_examples_open_at_once(opened: Opened) -> None:
    opened.page.locator("#open-all").click()
    assert opened.page.locator("#examples details:not([open])").count() == 0


def test_the_csv_behind_a_table_is_downloaded(opened: Opened) -> None:
    with opened.page.expect_download() as download:
        opened.page.locator("#wer-0 a.csv").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("system,WER %,")
    assert len(lines) == 1 + len(opened.column("wer-0", 1))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_it_fits_and_can_be_read(browser: Any, file: Path, scheme: str, size: dict[str, int]) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = Opened(context.new_page(), file).page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    poor = page.evaluate(_CONTRAST)
    assert poor == []
    context.close()


def test_print_opens_what_is_folded_and_breaks_no_table_off(browser: Any, file: Path) -> None:
    context = browser.new_context(viewport=WIDE)
    page = Opened(context.new_page(), file).page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("#wer-0 .scroll").evaluate("e => getComputedStyle(e).overflowX") == "visible"
    assert not page.locator("nav").is_visible()
    assert page.pdf()[:4] == b"%PDF"
    context.close()


def test_everything_is_named_for_a_screen_reader(opened: Opened) -> None:
    page = opened.page
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == page.locator("header").count() == page.locator("nav").count() == 1
    unnamed = "[...document.querySelectorAll('svg:not([aria-hidden]), audio, [role=region], nav')].filter(e => "
    unnamed += "!e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')).length"
    assert page.evaluate(unnamed) == 0
    assert page.evaluate("[...document.querySelectorAll('table')].filter(t => !t.caption).length") == 0
    charts = page.get_by_role("img").all()
    assert charts
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the scores"


def test_a_hostile_report_runs_nothing(browser: Any, slice_report: dict[str, Any], tmp_path: Path) -> None:
    hostile = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">\u0000\u202e"
    text = {"name": hostile, "headline": hostile, "verdict": hostile, "target_domain": hostile}
    systems = [{**row, "conditions": {**row["conditions"], "engine": hostile}} for row in slice_report["systems"]]
    systems.append({**systems[1], "name": hostile, "domain": hostile})
    file = tmp_path / "hostile.html"
    file.write_text(render_page({**slice_report, **text, "systems": systems}), encoding="utf-8")
    context = browser.new_context(viewport=WIDE)
    opened = Opened(context.new_page(), file)
    assert "<script>document.title='run'</script>" in opened.page.locator("h1").inner_text()
    assert opened.page.title() != "run"
    assert opened.asked == [file.as_uri()]
    assert opened.said == []
    context.close()


def test_a_table_of_hundreds_of_rows_sorts_at_once(browser: Any, slice_report: dict[str, Any], tmp_path: Path) -> None:
    lost = [{"id": f"u{i * 7919 % 10_007}", "stage": "corpus", "reason": "too long"} for i in range(10_000)]
    dropped = {"count": len(lost), "by_reason": {"too long": len(lost)}, "utterances": lost}
    file = tmp_path / "big.html"
    file.write_text(render_page({**slice_report, "dropped": dropped}), encoding="utf-8")
    assert file.stat().st_size < 5_000_000
    context = browser.new_context(viewport=PHONE)
    opened = Opened(context.new_page(), file)
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    opened.page.locator("#dropped thead button").first.click()
    numbers = [int(re.sub(r"\D", "", text)) for text in opened.column("dropped", 1)]
    assert len(numbers) == 200
    assert numbers == sorted(numbers)
    context.close()


_CONTRAST = """
() => {
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255, 1];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest(".hidden, .skip, script, audio, title, desc")) continue;
    const style = getComputedStyle(e), text = e.closest("svg") ? style.fill : style.color;
    const pair = [light(parse(text)), light(behind(e))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) poor.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.trim().slice(0, 30)}`);
  }
  return [...new Set(poor)];
}
"""
