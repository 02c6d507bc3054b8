"""Templates from sentences, and sentences from templates: every term in every slot that fits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from asr_tv.seeds import generator
from asr_tv.text.writing.terms import TERM, Term, finder, slots_of

CARRIERS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "I am calling about {term}.",
        "Can you tell me more about {term}?",
        "I have a question about {term}.",
        "Could you please help me with {term}?",
        "The note says {term}, is that right?",
        "We were just talking about {term}.",
        "Please write down {term} for me.",
        "Is there anything new on {term} today?",
    )
}
"""Templates by language, for terms that fit no sentence of the user."""


def make_templates(sentences: Iterable[str], terms: Sequence[Term]) -> tuple[str, ...]:
    """The sentences with slots, and the other ones with the terms in them replaced by their slots.

    A sentence without slot or term gives no template; longer terms are replaced first.
    """
    found: dict[str, None] = {}
    ordered = sorted(terms, key=lambda term: (-len(term.text), term.text))
    for sentence in sentences:
        template = sentence
        for term in ordered if not slots_of(sentence) else ():
            # Terms are not replaced within the slots made so far.
            parts = template.split("{")
            head = [finder(term.text).sub(f"\0{term.slot}\1", parts[0])]
            rest = [_after_slot(part, term) for part in parts[1:]]
            template = "{".join([*head, *rest]).replace("\0", "{").replace("\1", "}")
        if slots_of(template):
            found[template] = None
    return tuple(found)


def _after_slot(part: str, term: Term) -> str:
    slot, brace, rest = part.partition("}")
    return slot + brace + finder(term.text).sub(f"\0{term.slot}\1", rest)


def carriers(terms: Sequence[Term], templates: Iterable[str], language: str) -> tuple[str, ...]:
    """Generic templates of the language for the slots that occur in no template; empty for other languages."""
    placed = {slot for template in templates for slot in slots_of(template)}
    lacking = sorted({term.slot for term in terms} - placed)
    frames = CARRIERS.get(language, ())
    return tuple(frame.replace(f"{{{TERM}}}", f"{{{slot}}}") for slot in lacking for frame in frames)


def fill_templates(templates: Sequence[str], terms: Sequence[Term], limit: int, seed: int) -> Iterator[str]:
    """At most `limit` sentences, from the templates and their terms in turn, so that each gets an equal share.

    In a template with several slots, the first takes every term in turn, and terms for the others are drawn.
    """
    by_slot: dict[str, list[str]] = {}
    for term in terms:
        by_slot.setdefault(term.slot, []).append(term.text)
    return islice(_in_turn([_sentences(template, by_slot, seed) for template in templates]), limit)


def _in_turn(streams: list[Iterator[str]]) -> Iterator[str]:
    while streams:
        alive = []
        for stream in streams:
            if (sentence := next(stream, None)) is not None:
                alive.append(stream)
                yield sentence
        streams = alive


def _sentences(template: str, by_slot: Mapping[str, Sequence[str]], seed: int) -> Iterator[str]:
    slots = slots_of(template)
    rng = generator("fill", seed, template)
    first = by_slot[slots[0]]
    rounds = 1 if len(slots) == 1 else 2 * max(len(by_slot[slot]) for slot in slots)
    for _ in range(rounds):
        for index in rng.permutation(len(first)).tolist():
            yield _fill(template, first[index], by_slot, rng)


def _fill(template: str, term: str, by_slot: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    """The template with `term` in its first slot, and drawn terms in the others, distinct if there are enough."""
    first, *others = slots_of(template)
    sentence, used = template.replace(f"{{{first}}}", term, 1), {term}
    for slot in others:
        unused = [text for text in by_slot[slot] if text not in used] or list(by_slot[slot])
        value = unused[int(rng.integers(len(unused)))]
        used.add(value)
        sentence = sentence.replace(f"{{{slot}}}", value, 1)
    return sentence[:1].upper() + sentence[1:]
