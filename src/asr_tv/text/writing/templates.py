"""Templates from sentences, and sentences from templates: every term gets its turn in every place that fits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice

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
"""For terms that no sentence of the user's has a place for; by language."""


def templates_of(sentences: Iterable[str], terms: Sequence[Term]) -> tuple[str, ...]:
    """The sentences with slots, and every other one with the terms found in it turned into slots of their kind.

    A sentence without slot or term gives no template; longer terms are looked for first.
    """
    found: dict[str, None] = {}
    ordered = sorted(terms, key=lambda term: (-len(term.text), term.text))
    for sentence in sentences:
        template = sentence
        for term in ordered if not slots_of(sentence) else ():
            # Terms are looked for outside of the slots made so far.
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
    """Plain frames of the language for the slots that no template has; none where the language has none."""
    placed = {slot for template in templates for slot in slots_of(template)}
    lacking = sorted({term.slot for term in terms} - placed)
    frames = CARRIERS.get(language, ())
    return tuple(frame.replace(f"{{{TERM}}}", f"{{{slot}}}") for slot in lacking for frame in frames)


def filled(templates: Sequence[str], terms: Sequence[Term], limit: int, seed: int) -> Iterator[str]:
    """At most `limit` sentences, template after template and term after term, so that none waits for the others.

    A template with several slots takes every term of the first in turn and draws the others'.
    """
    by_slot: dict[str, list[str]] = {}
    for term in terms:
        by_slot.setdefault(term.slot, []).append(term.text)
    streams = [_sentences(template, by_slot, seed) for template in templates]
    yield from islice(_in_turn(streams), limit)


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
    distinct = dict.fromkeys(slots)
    first = next(iter(distinct))
    rounds = 1 if len(slots) == 1 else 2 * max(len(by_slot[slot]) for slot in distinct)
    for number in count():
        if number >= rounds:
            return
        order = rng.permutation(len(by_slot[first])).tolist()
        for index in order:
            yield _filled(template, slots, first, by_slot[first][index], by_slot, rng)


def _filled(
    template: str, slots: Sequence[str], first: str, term: str, by_slot: Mapping[str, Sequence[str]], rng: "object"
) -> str:
    sentence, used = template, {term}
    for number, slot in enumerate(slots):
        value = term
        if number or slot != first:
            others = [text for text in by_slot[slot] if text not in used] or list(by_slot[slot])
            value = others[int(rng.integers(len(others)))]  # type: ignore[attr-defined]
            used.add(value)
        sentence = sentence.replace(f"{{{slot}}}", value, 1)
    return sentence[:1].upper() + sentence[1:]
