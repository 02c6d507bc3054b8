"""The page's own HTML, from texts that may come from anybody: escaped, hidden characters written out."""

from collections.abc import Sequence
from html import escape

from asr_tv.runs.trial.listeners import SideAnswer
from asr_tv.safe_text import printable
from asr_tv.scoring.heard_words import HeardWord, heard_words
from asr_tv.text.scripts import is_unspaced


def heading(title: str) -> str:
    """The head of the page."""
    return f"<h1>{_text(title)}: say a sentence</h1>"


def answer_cards(answers: Sequence[SideAnswer]) -> list[str]:
    """A card for each answer; words that differ from the first model's answer are marked, there and in the first."""
    heard = iter(heard_words([answer.text for answer in answers if not answer.problem]))
    return [_card(answer, () if answer.problem else next(heard)) for answer in answers]


def empty_card(answer: SideAnswer) -> str:
    """A side that has heard nothing yet, with its problem if it has one."""
    return _card(answer, ()) if answer.problem else f'<h2>{_text(answer.side)}</h2><p class="heard note">…</p>'


def sentence_line(sentence: str) -> str:
    """A sentence to read aloud."""
    return f'<p class="note">A sentence of the domain to read:</p><p class="sentence">{_text(sentence)}</p>'


def told(text: str, *, problem: bool = False) -> str:
    """A line that screen readers announce."""
    return f'<p role="status" class="{"problem" if problem else "note"}">{_text(text)}</p>'


def _card(answer: SideAnswer, words: Sequence[HeardWord]) -> str:
    title = f"<h2>{_text(answer.side)}</h2>"
    if answer.problem:
        return f'{title}<p class="problem">{_text(answer.problem)}</p>'
    joint = "" if is_unspaced(answer.text) else " "
    heard = joint.join(f"<mark>{_text(w.text)}</mark>" if w.differs else _text(w.text) for w in words)
    nothing = '<span class="note">no words</span>'
    return f'{title}<p class="heard">{heard or nothing}</p><p class="note">{answer.seconds:.2f} s</p>'


def _text(text: str) -> str:
    return escape(printable(text, keep=""))
