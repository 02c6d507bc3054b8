"""`asr-tv try` on a real run, in Chromium whose microphone plays a real recording: what a visitor sees and keeps."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from visitors import Launch, Visitor, launcher

from asr_tv.data.corrections import read_corrections
from asr_tv.runs.finished import read_run
from asr_tv.store.results import Store

pytest.importorskip("gradio")
pytestmark = [pytest.mark.browser, pytest.mark.real]

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


@pytest.fixture(scope="module")
def short(slice_folder: Path, slice_report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real recording of the target that the two models were scored on with different errors."""
    shown = slice_report["examples"]
    (row, *_) = [*shown["most_improved"], *shown["most_worsened"]]
    recordings = read_run(slice_folder / "out").recordings("target", Store(slice_folder / "store"))
    assert recordings is not None
    path = tmp_path_factory.mktemp("microphone") / "short.wav"
    soundfile.write(path, *soundfile.read(recordings.by_id[row["id"]].audio, dtype="float32"))
    return path


@pytest.fixture(scope="module")
def clip(short: Path) -> Path:
    """The same as a microphone hears it, with a pause before it and silence afterwards."""
    wave, rate = soundfile.read(short, dtype="float32")
    path = short.with_name("clip.wav")
    soundfile.write(
        path, np.concatenate([np.zeros(rate // 2, np.float32), wave, np.zeros(20 * rate, np.float32)]), rate
    )
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def address(slice_folder: Path, slice_report: dict[str, Any], kept: Path) -> Iterator[str]:  # noqa: ARG001
    program = [sys.executable, "-c", "from asr_tv.cli import main; main()", "try", str(slice_folder / "out")]
    program += ["--store", str(slice_folder / "store"), "--keep", str(kept)]
    server = subprocess.Popen(program, stderr=subprocess.PIPE, text=True, cwd=kept)
    assert server.stderr is not None
    lines = []
    for line in server.stderr:
        lines.append(line)
        if found := re.match(r"http://127\.0\.0\.1:\d+/", line):
            break
    else:
        pytest.fail("".join(lines))
    assert [re.sub(r"[\d.]+ s for", "N s for", told) for told in lines[:2]] == [
        "pretrained: N s for 3 s of sound\n",
        "adapted: N s for 3 s of sound\n",
    ]
    yield found[0]
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=30)
    assert server.stderr.read().count("Traceback") == 0


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    with launcher() as found:
        yield found


@pytest.fixture(scope="module")
def chromium(launch: Launch, clip: Path) -> Iterator[Any]:
    """A browser whose microphone plays the clip."""
    opened = launch(*MICROPHONE, f"--use-file-for-fake-audio-capture={clip}%noloop")
    yield opened
    opened.close()


@pytest.fixture
def visitor(chromium: Any, address: str) -> Iterator[Visitor]:
    found = Visitor(chromium, address)
    yield found
    found.close()


def folded(words: str) -> list[str]:
    return [re.sub(r"\W", "", word).lower() for word in words.split()]


def test_a_sentence_is_heard_and_corrected(visitor: Visitor, kept: Path) -> None:
    visitor.record(5)
    texts = visitor.wait_for_answers()
    assert all(texts)
    assert not (kept / "corrections.jsonl").exists()
    visitor.page.locator("#said textarea").fill("to leave a message, please enter a mailbox number")
    visitor.page.get_by_role("button", name="Wrong, it should be this").click()
    visitor.wait_for_line("kept: adapted was wrong")
    (row,) = read_corrections(kept / "corrections.jsonl")
    assert (row.heard, row.text) == (texts[1], "to leave a message, please enter a mailbox number")
    visitor.page.get_by_label(re.compile("Keep the recording")).check()
    visitor.page.locator("#right-0").click()
    visitor.wait_for_line("kept: pretrained was right; with the recording")
    confirmed = read_corrections(kept / "corrections.jsonl")[-1]
    assert (confirmed.heard, confirmed.right) == (texts[0], True)
    assert soundfile.info(kept / confirmed.audio).duration > 4
    consent = json.loads((kept / "consent.jsonl").read_text())
    assert consent["id"] == confirmed.id


def test_the_words_that_differ_are_marked(visitor: Visitor, short: Path) -> None:
    visitor.upload(short)
    texts = visitor.wait_for_answers()
    assert folded(texts[0]) != folded(texts[1])
    assert visitor.page.locator(".heard mark").count() > 0
    visitor.page.evaluate("document.querySelectorAll('mark').forEach(mark => mark.remove())")
    unmarked = [folded(visitor.page.locator(f"#answer-{n} .heard").inner_text()) for n in (0, 1)]
    assert unmarked[0] == unmarked[1]


def test_bad_recordings_are_one_line_each_and_the_page_goes_on(
    chromium: Any, address: str, short: Path, tmp_path: Path
) -> None:
    visitor = Visitor(chromium, address)
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "hour.flac", np.zeros(3600 * 8000, np.float32), 8000)
    (tmp_path / "text.wav").write_text("not audio " * 100)
    for name, said in (("silence", "is the microphone muted"), ("hour", "lasts 60 minutes"), ("text", "not audio")):
        visitor.upload(next(tmp_path.glob(f"{name}.*")))
        line = visitor.wait_for_line(said)
        assert str(tmp_path) not in line
        assert "\n" not in line
        visitor.page.locator("#sound").get_by_label("Clear").click()
        visitor.wait_for_line("Ready")
    visitor.upload(short)
    assert all(visitor.wait_for_answers())
    visitor.close(silent=False)


def test_two_visitors_at_once_are_both_answered(chromium: Any, address: str) -> None:
    visitors = [Visitor(chromium, address) for _ in range(2)]
    for visitor in visitors:
        visitor.page.locator("#sound").get_by_role("button", name="Record", exact=True).click()
    visitors[0].page.wait_for_timeout(3000)
    for visitor in visitors:
        visitor.page.locator("#sound").get_by_role("button", name="Stop", exact=True).locator("visible=true").click()
    for visitor in visitors:
        assert len(visitor.wait_for_answers()) == 2
        visitor.close()


def test_without_a_microphone_it_says_so_and_takes_files(launch: Launch, address: str, short: Path) -> None:
    browser = launch()
    visitor = Visitor(browser, address)
    visitor.wait_for_line("No microphone found: connect one and reload this page, or choose a file")
    visitor.upload(short)
    assert all(visitor.wait_for_answers())
    visitor.close()
    browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_it_fits(chromium: Any, address: str, scheme: str, size: dict[str, int]) -> None:
    visitor = Visitor(chromium, address, viewport=size, color_scheme=scheme)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert visitor.page.locator("body.dark").count() == (scheme == "dark")
    visitor.close()


def test_it_works_by_keyboard(visitor: Visitor) -> None:
    before = visitor.page.locator("#sentence .sentence").inner_text()
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.textContent").strip() == "Another sentence"
    for _ in range(20):
        visitor.page.keyboard.press("Enter")
        visitor.page.wait_for_timeout(300)
        if visitor.page.locator("#sentence .sentence").inner_text() != before:
            break
    reached = set()
    for _ in range(15):
        visitor.page.keyboard.press("Tab")
        reached.add(visitor.page.evaluate("document.activeElement.textContent || document.activeElement.type").strip())
    assert {"Record", "I read the sentence above", "Wrong, it should be this", "checkbox", "textarea"} <= reached
