"""The page in Gradio: a recording in, one card for each model out, and what the visitor says of the answers."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from asr_tv.errors import DataError, UserError
from asr_tv.runs.trial.clips import MOST_SECONDS, Clip, read_clip
from asr_tv.runs.trial.keeping import STATEMENT, Keeper
from asr_tv.runs.trial.listeners import Answer, Listeners
from asr_tv.runs.trial.markup import answer_cards, empty_card, heading, sentence_line, told

_FORGET_SECONDS = 600
"""After which an upload and a visitor's last answers are gone."""
_WAITING = 16
"""Recordings that may wait for their turn, of all visitors; each visitor has one."""
_LOOK_FOR_MICROPHONE = """async () => {
  const found = navigator.mediaDevices ? await navigator.mediaDevices.enumerateDevices() : [];
  return found.some(device => device.kind === "audioinput") ? "%s" : "%s";
}"""


@dataclass(frozen=True)
class Heard:
    """A visitor's last recording and the answers to it."""

    clip: Clip
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Trial:
    """What the page does, without how it looks.

    Attributes:
        keeper: None where corrections have no folder.
    """

    title: str
    listeners: Listeners
    sentences: tuple[str, ...] = ()
    keeper: Keeper | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(listener.side.name for listener in self.listeners.all)

    def hear(self, path: str | None) -> tuple[Heard | None, str]:
        """The answers to an upload, if it is usable, and a line about it."""
        if path is None:
            return None, told("")
        try:
            clip = read_clip(Path(path))
        except UserError as error:
            return None, told("; ".join(error.problems), problem=True)
        answers = self.listeners.listen(clip)
        seconds = sum(answer.seconds for answer in answers)
        return Heard(clip, answers), told(f"{clip.seconds:.1f} s of sound, decoded in {seconds:.1f} s")

    def keep(self, heard: Heard | None, side: int, said: str | None, consent: bool) -> str:
        """Keeps a correction of one side, `said` None if that was right, and tells what was kept."""
        if self.keeper is None:
            return told("no folder for corrections: start with --keep FOLDER", problem=True)
        if heard is None or heard.answers[side].problem:
            return told("nothing was heard that could be corrected: record a sentence first", problem=True)
        answer = heard.answers[side]
        try:
            row = self.keeper.keep(heard.clip, answer, answer.text if said is None else said, consent=consent)
        except (DataError, OSError) as error:
            return told(f"not kept: {error}", problem=True)
        judged = "right" if row.right else f"wrong, it should be “{row.text}”"
        return told(f"kept: {answer.side} was {judged}; {'with' if consent else 'without'} the recording")

    def sentence(self) -> str:
        """A sentence to read, drawn at random."""
        return sentence_line(random.choice(self.sentences)) if self.sentences else ""  # nosec B311 - not a secret


def build_page(trial: Trial) -> Any:
    """The page as Gradio's Blocks, with a queue in which one recording is decoded at a time."""
    import gradio as gr

    with gr.Blocks(
        title=f"asr-tv try {trial.title}", analytics_enabled=False, delete_cache=(60, _FORGET_SECONDS)
    ) as page:
        heard = gr.State(None, time_to_live=_FORGET_SECONDS)
        gr.HTML(heading(trial.title), js_on_load=None)
        _draw_sentences(trial)
        sound = gr.Audio(
            sources=["microphone", "upload"],
            type="filepath",
            editable=False,
            buttons=[],
            label=f"Speak, or choose a file: at most {MOST_SECONDS:g} s",
            elem_id="sound",
        )
        line = gr.HTML(told(""), elem_id="line", js_on_load=None)
        with gr.Row(equal_height=True):
            parts = [_draw_side(name, number, trial.keeper is not None) for number, name in enumerate(trial.names)]
        cards, buttons = [card for card, _ in parts], [button for _, button in parts]
        said, consent, save = _draw_correction(trial)
        _connect(page, trial, _Parts(heard, sound, line, cards, buttons, said, consent, save))
    page.queue(default_concurrency_limit=1, max_size=_WAITING, api_open=False)
    return page


@dataclass(frozen=True)
class _Parts:
    """The components that events join."""

    heard: Any
    sound: Any
    line: Any
    cards: Sequence[Any]
    buttons: Sequence[Any]
    said: Any
    consent: Any
    save: Any


def _connect(page: Any, trial: Trial, parts: _Parts) -> None:
    import gradio as gr

    private = {"api_visibility": "private"}
    page.load(None, None, parts.line, js=_microphone_check())
    gr.on(
        [parts.sound.stop_recording, parts.sound.upload, parts.sound.clear],
        _hearing(trial),
        [parts.sound],
        [parts.heard, parts.line, *parts.cards, *parts.buttons, parts.said],
        show_progress_on=parts.line,
        concurrency_id="decode",
        **private,
    )
    for side, button in enumerate(parts.buttons):
        confirm = _confirming(trial, side)
        button.click(confirm, [parts.heard, parts.consent], parts.line, **private)
    last = len(trial.names) - 1
    gr.on(
        [parts.save.click, parts.said.submit],
        lambda heard, said, consent: trial.keep(heard, last, said, consent),
        [parts.heard, parts.said, parts.consent],
        parts.line,
        **private,
    )


def _hearing(trial: Trial) -> Callable[[str | None], tuple[Any, ...]]:
    import gradio as gr

    def hear(path: str | None) -> tuple[Any, ...]:
        heard, line = trial.hear(path)
        cards = answer_cards(heard.answers) if heard else [empty_card(name) for name in trial.names]
        usable = [bool(heard and trial.keeper and not answer.problem) for answer in _answers(heard, trial)]
        buttons = [gr.update(interactive=can) for can in usable]
        return heard, line, *cards, *buttons, heard.answers[-1].text if heard else ""

    return hear


def _answers(heard: Heard | None, trial: Trial) -> tuple[Answer, ...]:
    return heard.answers if heard else tuple(Answer(name) for name in trial.names)


def _confirming(trial: Trial, side: int) -> Callable[[Heard | None, bool], str]:
    return lambda heard, consent: trial.keep(heard, side, None, consent)


def _microphone_check() -> str:
    ready = told("Ready. Nothing is kept unless you ask for it.")
    none = told("No microphone found: connect one and reload this page, or choose a file.", problem=True)
    return _LOOK_FOR_MICROPHONE % (ready.replace('"', '\\"'), none.replace('"', '\\"'))


def _draw_sentences(trial: Trial) -> None:
    import gradio as gr

    if trial.sentences:
        shown = gr.HTML(trial.sentence, elem_id="sentence", js_on_load=None)
        gr.Button("Another sentence", size="sm").click(trial.sentence, None, shown, api_visibility="private")


def _draw_side(name: str, number: int, keeps: bool) -> tuple[Any, Any]:
    import gradio as gr

    with gr.Column(min_width=240, elem_classes="card"):
        card = gr.HTML(empty_card(name), elem_id=f"answer-{number}", js_on_load=None)
        button = gr.Button("Right", size="sm", interactive=False, visible=keeps, elem_id=f"right-{number}")
    return card, button


def _draw_correction(trial: Trial) -> tuple[Any, Any, Any]:
    import gradio as gr

    keeper, last = trial.keeper, trial.names[-1]
    where = f"Kept in {keeper.folder}" if keeper else "Start with --keep FOLDER to keep corrections"
    with gr.Group(visible=keeper is not None):
        said = gr.Textbox(label=f"Wrong? What was said, as a correction of {last}", lines=2, elem_id="said")
        consent = gr.Checkbox(label=f"Keep the recording, too. {STATEMENT} ({where})", elem_id="consent")
        save = gr.Button("Wrong, it should be this", elem_id="save")
    return said, consent, save


def style() -> str:
    """The page's own CSS."""
    return (resources.files("asr_tv.runs.trial") / "page.css").read_text(encoding="utf-8")
