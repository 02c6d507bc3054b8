"""The page in Chromium with models that hear one sentence each: what is shown of hostile texts and of a lost model."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import record
from parrots import parrots
from visitors import Launch, Visitor, launcher

from asr_tv.runs.trial import served

pytest.importorskip("gradio")
pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='run'\"> ${document.title='run'} {{document.title='run'}} <b>bold</b>"


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    with launcher() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import uvicorn

    folder = tmp_path_factory.mktemp("page")
    trial = parrots(folder / "kept", {"pretrained": HOSTILE, "adapted": "press pound"}, prompt=HOSTILE)
    with pytest.MonkeyPatch.context() as patch, served.listen_on(None) as listening:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        server = uvicorn.Server(uvicorn.Config(served._application(trial), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield served.address_of(listening)
        server.should_exit = True
        thread.join()


def test_texts_are_shown_as_they_are_and_run_nothing(launch: Launch, address: str, tmp_path: Path) -> None:
    browser = launch()
    visitor = Visitor(browser, address)
    visitor.upload(record(tmp_path / "a.wav"))
    assert visitor.wait_for_answers() == [HOSTILE, "press pound"]
    assert visitor.page.locator("#sentence .sentence").inner_text() == HOSTILE
    assert visitor.page.title() == "asr-tv try menu"
    visitor.page.locator("#said textarea").fill(HOSTILE)
    visitor.page.get_by_role("button", name="Wrong, it should be this").click()
    assert HOSTILE in visitor.wait_for_line("kept: adapted was wrong")
    assert visitor.page.title() == "asr-tv try menu"
    visitor.close()
    browser.close()


def test_a_model_that_was_collected_is_one_line_and_the_others_are_heard(
    launch: Launch, address: str, tmp_path: Path
) -> None:
    browser = launch()
    visitor = Visitor(browser, address)
    assert "this model cannot be loaded: collected" in visitor.page.locator("#answer-2").inner_text()
    visitor.upload(record(tmp_path / "a.wav"))
    assert visitor.wait_for_answers()[1] == "press pound"
    assert "this model cannot be loaded: collected" in visitor.page.locator("#answer-2").inner_text()
    assert visitor.page.locator("#right-2 button, button#right-2").first.is_disabled()
    visitor.close()
    browser.close()
