"""Self-generated targets, DeSTA2's data recipe (arXiv 2409.20007): a language model answers from seed transcripts.

The answers are in the model's own words, so that what is trained to give them need not change how it writes.
"""

from collections.abc import Sequence
from pathlib import Path

from asr_tv.data.manifest import Manifest
from asr_tv.describing.answers import answered
from asr_tv.describing.description import Description, seed_transcript
from asr_tv.progress import Progress
from asr_tv.text.writing.prompt import Writer


def write_targets(
    described: Sequence[Description], clips: Manifest, ask: str, writer: Writer, out: Path, progress: Progress
) -> int:
    """Writes a row a clip: id, audio, instruction, seed transcript, model and target; returns how many there are.

    Raises:
        DataError, ConfigError: as `answered`.
    """
    audio = {u.id: u.audio for u in clips}
    seeds = [seed_transcript(one) for one in described]
    rows = [
        {"id": one.id, "audio": audio[one.id], "instruction": ask, "seed_transcript": seed}
        for one, seed in zip(described, seeds, strict=True)
    ]
    return len(answered(rows, [f"{seed}\n\n{ask}" for seed in seeds], writer, out, progress))
