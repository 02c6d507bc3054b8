"""A cascade: a recogniser and measurements describe a recording in a line, a language model answers from it alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from asr_tv.data.corpora.local import placed
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.describing.answers import TARGET, answered
from asr_tv.describing.description import Description, seed_transcript
from asr_tv.progress import Progress
from asr_tv.text.writing.prompt import Writer


def recordings_of(audio: Sequence[str], folder: Path, *, outside: bool = False) -> Manifest:
    """The recordings that tasks name, each once and with its name as its id; relative ones lie in the tasks' folder.

    Raises:
        DataError: every recording that cannot be used, or that lies elsewhere and `outside` does not allow it.
    """
    named = tuple(Utterance(name, "", audio=name, split="test") for name in dict.fromkeys(audio))
    return placed(Manifest("tasks", named), folder, "tasks", outside=outside)


def with_heard(recordings: Manifest, heard: Mapping[str, str]) -> Manifest:
    """The recordings with what a recogniser heard as their texts."""
    return Manifest(recordings.name, tuple(replace(u, text=heard[u.id]) for u in recordings))


def answer_tasks(
    questions: Mapping[str, tuple[str, str, tuple[str, ...]]],
    described: Sequence[Description],
    writer: Writer,
    out: Path,
    progress: Progress,
) -> dict[str, str]:
    """Answers by the questions' ids.

    Args:
        questions: id -> recording, instruction and options.
    """
    seeds = {one.id: seed_transcript(one) for one in described}
    rows, prompts = [], []
    for name, (audio, instruction, options) in questions.items():
        rows.append({"id": name, "audio": audio, "instruction": instruction, "seed_transcript": seeds[audio]})
        choose = f"Choose one answer from: {'; '.join(options)}. Answer with it alone."
        prompts.append(f"{seeds[audio]}\n\n{instruction} {choose}")
    return {row["id"]: row[TARGET] for row in answered(rows, prompts, writer, out, progress)}
