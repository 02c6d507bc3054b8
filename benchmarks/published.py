"""A first index of published vectors, and what they give where they were not made: line, voices, speakers.

    python benchmarks/published.py --out runs/published [--ocean MANIFEST] [--targets voicemail conference]

For each target: the full run on the other three of Asterisk's domains (GSM 06.10, 10 dB), whose vector goes to
OUT/index as fp32 and as int8; then runs from the target's text alone with that vector. Rivals are the same run without
the vector (augmentation alone) and the full run, with the minutes of their trainings. A stopped table goes on.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr_tv.config.parsing import with_overrides
from asr_tv.config.run import AdaptConfig
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.report.systems import ADAPTED, PRETRAINED, target_row
from asr_tv.runs.finished import FinishedRun, read_run
from asr_tv.runs.publishing import publish_run
from asr_tv.runs.run import run
from asr_tv.scoring.bootstrap import Bootstrap, Difference
from asr_tv.scoring.evaluation import compare
from asr_tv.store.results import Store
from asr_tv.vectors.published.folder import Publication
from asr_tv.vectors.published.index import VectorIndex

BOOTSTRAP = asdict(Bootstrap(2000, 0.95, 17))
DOMAINS = ("voicemail", "conference", "calls", "services")
AUGMENTED = target_row("pretrained", True)
LINE = {"codec": "gsm", "snr_db": 10}
ASTERISK = {"kind": "asterisk", "language": "en", "domains": list(DOMAINS), "max_per_domain": 60, "line": LINE}
BASE: dict[str, Any] = {
    "model": "openai/whisper-tiny.en",
    "splits": {"dev": 0.1, "test": 0.1},
    "max_source_utterances": 20,
    "synthesis": {"takes": 1},
    "training": {"epochs": 3, "learning_rate": 3.0e-5, "batch_size": 4},
    "rehearsal": {"share": 0},
    "retention": {"noise_seconds": 0, "short_clips": 0},
    "short_context_updates": 0,
}
FIXED = {"start": "pretrained", "augmentation": True, "scaling_coef": 0.6, "pretrained_weight": 0.0}


def source_run(target: str) -> dict[str, Any]:
    """The full run whose vector is published; its coefficient is what the table of four domains found."""
    return {**BASE, "corpora": [ASTERISK], "target": {"domain": target}} | {
        "selection": {"method": "fixed", "fixed": FIXED, "scaling_coefs": [0.0, 0.6]}
    }


def textual_run(target: str, vector: Path, corpus: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A run from text alone with a published vector."""
    given = {**BASE, "corpora": [corpus], "target": {"domain": target}, "sources": []}
    selection = {"method": "fixed", "fixed": FIXED | {"scaling_coef": 0.0}, "scaling_coefs": [0.0, 0.6]}
    given |= {"selection": selection}
    return with_overrides(given, {"vector.published": str(vector)} | more)


def transfers(target: str, whole: Path, small: Path, ocean: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is done otherwise than where the vector was made -> the run."""
    yield "nothing, fp32", textual_run(target, whole, ASTERISK)
    yield "nothing, int8", textual_run(target, small, ASTERISK)
    yield "line: 20 dB, no GSM", textual_run(target, small, ASTERISK | {"line": {"codec": "none", "snr_db": 20}})
    espeak = {"synthesis.engine": "espeak", "synthesis.voices": ["en-us"]}
    yield "engine: espeak", textual_run(target, small, ASTERISK, **espeak)
    if ocean is not None:
        speech = {"kind": "manifest", "path": ocean, "domains": ["adult"], "max_per_domain": 80}
        yield "corpus: 80 sentences of many speakers", textual_run("adult", small, speech)


def finished(given: dict[str, Any], name: str, out: Path, store: Store) -> FinishedRun:
    """The run, which is run where it has no report yet."""
    folder = out / name
    if not (folder / "report.json").is_file():
        run(AdaptConfig.model_validate({**given, "name": name}), InProcess(store), folder)
    return read_run(folder)


def published(source: FinishedRun, target: str, out: Path, store: Store) -> tuple[Path, Path]:
    """The folders of its vector in fp32 and int8, pushed to the index and pulled from it."""
    index, folders = VectorIndex(str(out / "index")), []
    for numbers in ("fp32", "int8"):
        name = f"tiny.en-gsm10-piper-without-{target}-{numbers}"
        public = Publication(name, "1.0.0", "CC BY-SA 3.0", numbers)
        made = out / "made" / name
        publish_run(source.folder, public, store, made)
        entry = index.push(made)
        folders.append(index.pull(entry, out / "vectors"))
    return folders[0], folders[1]


def rows(arguments: argparse.Namespace, store: Store) -> Iterator[str]:
    """A Markdown row for each target and transfer."""
    for target in arguments.targets:
        source = finished(source_run(target), f"full_{target}", arguments.out, store)
        yield _row(target, "the full run", source, _minutes(source), store)
        whole, small = published(source, target, arguments.out, store)
        for number, (what, given) in enumerate(transfers(target, whole, small, arguments.ocean)):
            if not arguments.only or number in arguments.only:
                found = finished(given, f"{target}_{number}", arguments.out, store)
                yield _row(found.report["target_domain"], what, found, _minutes(found), store)


def _row(target: str, what: str, found: FinishedRun, minutes: float, store: Store) -> str:
    scores = [found.row(system, "target") for system in (PRETRAINED, AUGMENTED, ADAPTED)]
    rates = [f"{100 * s['wer']:.1f} ({100 * s['ci_low']:.1f} to {100 * s['ci_high']:.1f})" for s in scores]
    ours, rival = (found.evaluation(system, "target", store) for system in (ADAPTED, AUGMENTED))
    told = _points(compare(ours, rival, **BOOTSTRAP))
    size = f"{scores[0]['utterances']} / {scores[0]['words']}"
    return f"| {target} | {what} | {size} | {' | '.join(rates)} | {told} | {minutes:.1f} |"


def _points(difference: Difference) -> str:
    return f"{100 * difference.difference:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def _minutes(found: FinishedRun) -> float:
    """Of the trainings that the adapted model comes from; not those of its rivals."""
    needed = {"source_real", "source_synthetic", AUGMENTED}
    stages = [s for s in found.report["stages"] if s["name"] == "finetune"]
    return sum(s["seconds"] for s in stages if s["label"].removeprefix("finetune ") in needed) / 60


HEADING = (
    "| target | otherwise than the vector's making | recordings / words | pretrained | augmentation alone "
    "| with the vector | vector minus augmentation alone | minutes of training |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of the index")
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--targets", nargs="+", default=["voicemail"], choices=DOMAINS)
    parser.add_argument("--ocean", help="manifest of speechocean762, with the domain adult")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the transfers; all if none is given")
    arguments = parser.parse_args()
    print(f"{HEADING}\n|---|---|{'--:|' * 6}", flush=True)
    for row in rows(arguments, Store(arguments.store)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
