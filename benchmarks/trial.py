"""The page of `asr-tv try`: from the choice of a file to both answers on the screen, against decoding alone.

    python benchmarks/trial.py RUN CLIP... --store .store       # needs the extras try and dev, and Chromium

Each clip is given to the page in a browser, and decoded in this process as `asr-tv transcribe` decodes it, in turn. The
overhead is the page's time less what the page spent on decoding. Memory is the server's peak resident size.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asr_tv.cli.models import model_path, model_settings
from asr_tv.runs.trial.clips import read_clip
from asr_tv.runs.trial.listeners import loaded
from asr_tv.runs.trial.sides import comparison_of
from asr_tv.store.results import Store

_WATCH = """() => { window.shown = new Promise(done => {
  const look = () => document.querySelector("#answer-0 .heard:not(.note)") && done(Date.now());
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
}); }"""
"""Notes when the first answer is in the page."""
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def main() -> None:
    """Prints a row for each clip, then medians and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    compared = comparison_of([options.run], lambda name: (path := model_path(name), model_settings(path)))
    print("| clip, s | page, s | decoded there, s | decoded here, s | overhead, s |\n| --: | --: | --: | --: | --: |")
    overheads = []
    with _served(options.run, options.store) as (address, server), _browsed(address) as page:
        with loaded(compared.sides, Store(options.store)) as listeners:
            for clip in [options.clips[0], *(options.clips * options.rounds)]:
                heard = read_clip(clip)
                whole, there = _on_the_page(page, clip)
                here = sum(answer.seconds for answer in listeners.listen(heard))
                print(f"| {heard.seconds:.1f} | {whole:.2f} | {there:.2f} | {here:.2f} | {whole - there:.2f} |")
                overheads.append(whole - there)
        peak = int(_PEAK.findall(Path(f"/proc/{server}/status").read_text())[0]) / 1e6
    print(f"\noverhead, median of {len(overheads) - 1}: {statistics.median(overheads[1:]):.2f} s", end="; ")
    print(f"largest {max(overheads[1:]):.2f} s; peak memory of the server, {len(compared.sides)} models: {peak:.2f} GB")


@contextmanager
def _served(run: str, store: Path) -> Iterator[tuple[str, int]]:
    program = [sys.executable, "-c", "from asr_tv.cli import main; main()", "try", run, "--store", str(store)]
    server = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        for line in server.stderr:
            print(line.rstrip(), file=sys.stderr)
            if found := re.match(r"http://\S+", line):
                yield found[0], server.pid
                break
    finally:
        server.terminate()
        server.wait()


@contextmanager
def _browsed(address: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#line p.note, #line p.problem")
        page.get_by_label("Upload file").first.click()
        yield page
        browser.close()


def _on_the_page(page: Any, clip: Path) -> tuple[float, float]:
    """Seconds until the answers are shown, and the seconds of decoding that the page tells."""
    page.evaluate(_WATCH)  # Playwright's own waiting looks twice a second
    started = time.time()
    page.locator("#sound input[type=file]").set_input_files(clip)
    seconds = page.evaluate("() => window.shown") / 1000 - started
    cards = page.locator("[id^=answer-] p.note").all_inner_texts()
    decoded = sum(float(text.split()[0]) for text in cards)
    page.locator("#sound").get_by_label("Clear").click()
    page.wait_for_selector("#answer-0 .heard.note")
    return seconds, decoded


if __name__ == "__main__":
    main()
