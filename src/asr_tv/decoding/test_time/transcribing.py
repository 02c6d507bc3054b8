"""Transcribes a manifest with a CTC model that adapts as it hears: texts as any, and what each adaptation did."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch

from asr_tv.audio.recordings import Wave
from asr_tv.config.test_time import Adaptation
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.data.orders import order_digest
from asr_tv.data.recorded import read_wave
from asr_tv.data.text_files import read_text
from asr_tv.decoding.hypotheses import hypotheses_file, write_hypotheses
from asr_tv.decoding.test_time.ctc import AdaptableCtc
from asr_tv.decoding.test_time.methods import AdaptedTurn, adapted_texts
from asr_tv.memory import named_memory_error
from asr_tv.store.results import write_atomically

TURNS: Final = "turns.jsonl"
"""Payload file of a transcription that adapted: a line a recording, in the order in which they were heard."""


def order_of(manifest: Manifest, how: Adaptation) -> dict[str, str]:
    """What the order of a manifest adds to the inputs of a key: nothing where no text depends on it."""
    if not how.needs_order:
        return {}
    return {"order": order_digest(manifest)}


def transcribe_adapting(
    model: Path, manifest: Manifest, how: Adaptation, device: torch.device, scratch: Path, advance: Any
) -> dict[str, Any]:
    """Writes texts and turns into `scratch`; what is to be told of them.

    Raises:
        DataError: an utterance without a recording, or memory too small for one clip.
    """
    turns = []
    for turn in adapted_texts(AdaptableCtc(model, device), _waves(manifest.utterances), how):
        turns.append(turn)
        advance(1)
    write_hypotheses(scratch / hypotheses_file(), {turn.id: turn.text for turn in turns})
    write_atomically(scratch / TURNS, "".join(json.dumps(asdict(turn), ensure_ascii=False) + "\n" for turn in turns))
    return {"adapted": summary(turns)}


def _waves(utterances: Sequence[Utterance]) -> Iterator[tuple[str, Wave]]:
    for utterance in utterances:
        with named_memory_error(utterance.id):
            yield utterance.id, read_wave(utterance)


def summary(turns: Sequence[AdaptedTurn]) -> dict[str, Any]:
    """Counts and means over the recordings that were adapted to; `plain` counts the others by their reason."""
    done = [turn for turn in turns if not turn.plain]
    names = ("loss_before", "loss_after", "entropy_before", "entropy_after")
    means = {name: round(sum(getattr(t, name) for t in done) / len(done), 4) for name in names} if done else {}
    return {
        "recordings": len(turns),
        "changed": sum(turn.text != turn.text_before for turn in turns),
        "all_blank": sum(turn.all_blank for turn in turns),
        "resets": sum(turn.reset for turn in turns),
        "plain": dict(sorted(Counter(turn.plain for turn in turns if turn.plain).items())),
        **means,
    }


def read_turns(path: Path) -> list[AdaptedTurn]:
    """The turns of a transcription, in the order in which they were heard."""
    return [AdaptedTurn(**json.loads(line)) for line in read_text(path).splitlines()]
