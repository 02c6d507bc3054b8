"""The page in Gradio: a recording in, one card for each model out, and what the visitor says of the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from asr_tv.models.audio_context import FULL_SECONDS
from asr_tv.runs.trial.keeping import STATEMENT
from asr_tv.runs.trial.listeners import SideAnswer
from asr_tv.runs.trial.markup import answer_cards, empty_card, heading, told
from asr_tv.runs.trial.trial import READY, HeardClip, Trial

_FORGET_SECONDS = 600
"""After which an upload and a visitor's last answers are gone."""
_WAITING = 16
"""Recordings that may wait for their turn, of all visitors; each visitor has one."""
_LOOK_FOR_MICROPHONE = """async () => {
  const found = navigator.mediaDevices ? await navigator.mediaDevices.enumerateDevices() : [];
  return found.some(device => device.kind === "audioinput") ? "%s" : "%s";
}"""

_LISTENING = "sound => sound ? `%s` : `%s`"


def build_page(trial: Trial) -> Any:
    """The page as Gradio's Blocks, with a queue in which one recording is decoded at a time."""
    import gradio as gr

    with gr.Blocks(
        title=f"asr-tv try {trial.title}", analytics_enabled=False, delete_cache=(60, _FORGET_SECONDS)
    ) as page:
        heard = gr.State(None, time_to_live=_FORGET_SECONDS)
        gr.HTML(heading(trial.title), js_on_load=None)
        sentence = _draw_sentences(page, trial)
        sound = gr.Audio(
            sources=["microphone", "upload"],
            type="filepath",
            editable=False,
            buttons=[],
            label=f"Speak, or choose a file: at most {FULL_SECONDS:g} s",
            elem_id="sound",
        )
        line = gr.HTML(told(""), elem_id="line", js_on_load=None)
        with gr.Row(equal_height=True):
            drawn = [
                _draw_side(answer, number, trial.keeper is not None) for number, answer in enumerate(trial.unheard)
            ]
        cards, buttons = zip(*drawn, strict=True)
        said, consent, save = _draw_correction(trial, sentence)
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
    # Gradio's own progress is an animation, which takes a core from the decoding on a machine of two.
    parts.sound.change(None, parts.sound, parts.line, js=_LISTENING % (told("listening …"), told("")), **private)
    # Of the events of a recording, a file and the button that clears them, this one alone comes each time.
    parts.sound.change(
        _hearing(trial),
        [parts.sound],
        [parts.heard, parts.line, *parts.cards, *parts.buttons, parts.said, parts.consent],
        show_progress="hidden",
        concurrency_id="decode",
        **private,
    )
    for side, button in enumerate(parts.buttons):
        confirm = _confirming(trial, side)
        button.click(confirm, [parts.heard, parts.consent], parts.line, **private)
    gr.on(
        [parts.save.click, parts.said.submit],
        lambda heard, said, consent: trial.keep(heard, trial.judged, said, consent),
        [parts.heard, parts.said, parts.consent],
        parts.line,
        **private,
    )


def _hearing(trial: Trial) -> Callable[[str | None], tuple[Any, ...]]:
    import gradio as gr

    def hear(path: str | None) -> tuple[Any, ...]:
        heard, line = trial.hear(path)
        answers = heard.answers if heard else trial.unheard
        cards = answer_cards(answers) if heard else map(empty_card, answers)
        buttons = [gr.update(interactive=bool(heard) and not answer.problem) for answer in answers]
        # Consent is given for one recording, not for those that follow.
        return heard, line, *cards, *buttons, answers[trial.judged].text, False

    return hear


def _confirming(trial: Trial, side: int) -> Callable[[HeardClip | None, bool], str]:
    return lambda heard, consent: trial.keep(heard, side, None, consent)


def _microphone_check() -> str:
    ready = told(READY)
    none = told("No microphone found: connect one and reload this page, or choose a file.", problem=True)
    return _LOOK_FOR_MICROPHONE % (ready.replace('"', '\\"'), none.replace('"', '\\"'))


def _draw_sentences(page: Any, trial: Trial) -> Any:
    """Draws a sentence and the button for another; returns the one that is shown, None where there are none."""
    import gradio as gr

    if not trial.sentences:
        return None
    sentence = gr.State("")
    shown = gr.HTML("", elem_id="sentence", js_on_load=None)
    another = gr.Button("Another sentence", size="sm", elem_id="another")
    gr.on([page.load, another.click], trial.sentence, None, [sentence, shown], api_visibility="private")
    return sentence


def _draw_side(answer: SideAnswer, number: int, keeps: bool) -> tuple[Any, Any]:
    import gradio as gr

    with gr.Column(min_width=240, elem_classes="card"):
        card = gr.HTML(empty_card(answer), elem_id=f"answer-{number}", js_on_load=None)
        button = gr.Button("Right", size="sm", interactive=False, visible=keeps, elem_id=f"right-{number}")
    return card, button


def _draw_correction(trial: Trial, sentence: Any) -> tuple[Any, Any, Any]:
    import gradio as gr

    keeper, corrected = trial.keeper, trial.unheard[trial.judged].side
    where = f"Kept in {keeper.folder}" if keeper else "Start with --keep FOLDER to keep corrections"
    with gr.Group(visible=keeper is not None):
        said = gr.Textbox(label=f"Wrong? What was said, as a correction of {corrected}", lines=2, elem_id="said")
        if sentence is not None:
            read = gr.Button("I read the sentence above", size="sm", elem_id="read")
            read.click(lambda shown: shown, sentence, said, api_visibility="private")
        consent = gr.Checkbox(label=f"Keep the recording, too. {STATEMENT} ({where})", elem_id="consent")
        save = gr.Button("Wrong, it should be this", elem_id="save")
    return said, consent, save


def style() -> str:
    """The page's own CSS."""
    return (resources.files("asr_tv.runs.trial") / "page.css").read_text(encoding="utf-8")
