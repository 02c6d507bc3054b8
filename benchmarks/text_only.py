"""What configs/text_only.yaml buys on a new domain and costs elsewhere, over targets and seeds, with intervals.

    python benchmarks/text_only.py --ocean MANIFEST --out runs/text_only [--seeds 17 18 19] [--set training.epochs=2]...

Targets: Asterisk's voicemail and conference prompts on the simulated line, and the school sentences that children read
in speechocean762 (a manifest with the domains adult and child). General speech: Asterisk's studio prompts by one
speaker, and sentences read by speechocean762's adults. Each run is compared with the same texts, all weights
tuned, without rehearsal, without batches of 30 s and without averaging. A stopped table goes on where it was.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from demo_material import machine

from asr_tv.config.file import load_config
from asr_tv.config.parsing import with_overrides
from asr_tv.config.run import AdaptConfig
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.report.systems import ADAPTED, PRETRAINED, TOPLINE
from asr_tv.runs.finished import FinishedRun, read_run
from asr_tv.runs.run import run
from asr_tv.scoring.bootstrap import Bootstrap, paired_difference
from asr_tv.scoring.evaluation import Evaluation, require_comparable
from asr_tv.store.results import Store

CONFIG = Path(__file__).parent.parent / "configs" / "text_only.yaml"
BOOTSTRAP = Bootstrap(2000, 0.95, 17)
LINE = {"codec": "gsm", "snr_db": 10}
PLAIN = {
    "target_trainable": None,
    "training.full_context_share": 0,
    "rehearsal.share": 0,
    "selection.fixed.pretrained_weight": 0,
    "general": [],
}
"""The same texts, all weights tuned, without anything that keeps general speech."""


def targets(ocean: str) -> dict[str, dict[str, Any]]:
    """Target -> where its texts and test recordings come from."""
    asterisk = {"kind": "asterisk", "language": "en", "line": LINE}
    return {
        "voicemail": asterisk | {"domains": ["voicemail"]},
        "conference": asterisk | {"domains": ["conference"]},
        "child": {"kind": "manifest", "path": ocean, "domains": ["child"], "max_per_domain": 240},
    }


def values(target: str, corpus: dict[str, Any], seed: int, ocean: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The configuration of one run; `overrides` are KEY=VALUE."""
    general = [
        {"kind": "asterisk", "language": "en", "max_per_domain": 20},
        {"kind": "manifest", "path": ocean, "domains": ["adult"], "max_per_domain": 160},
    ]
    settings = {
        "training_seed": seed,
        "corpora": [corpus],
        "sources": [],
        "target": {"domain": target, "test_fraction": 0.5},
        "general": general,
        "proxy": None,
        **{key: yaml.safe_load(value) for key, value in (each.split("=", 1) for each in overrides)},
    }
    return with_overrides(load_config(CONFIG).model_dump(mode="json", exclude_unset=True), settings)


def finished(given: dict[str, Any], name: str, out: Path, store: Store) -> FinishedRun:
    """The run, which is run where it has no report yet."""
    folder = out / name
    if not (folder / "report.json").is_file():
        run(AdaptConfig.model_validate({**given, "name": name}), InProcess(store), folder)
    return read_run(folder)


def rows(arguments: argparse.Namespace, store: Store) -> Iterator[str]:
    """A Markdown row per target, over its seeds."""
    for target, corpus in targets(arguments.ocean).items():
        kept, plain = [], []
        for seed in arguments.seeds:
            given = values(target, corpus, seed, arguments.ocean, arguments.set)
            kept.append(finished(given, f"{target}_{seed}", arguments.out, store))
            plain.append(finished(with_overrides(given, PLAIN), f"plain_{target}_{seed}", arguments.out, store))
        yield " | ".join([f"| {target}", *_cells(kept, plain, store), ""]).rstrip()


def _cells(kept: Sequence[FinishedRun], plain: Sequence[FinishedRun], store: Store) -> Iterator[str]:
    for role, systems in (("target", (PRETRAINED, ADAPTED, TOPLINE)), ("general", (PRETRAINED, ADAPTED))):
        for system in systems:
            yield f"{100 * _mean(kept, system, role):.1f}"
        yield _difference([_pair(r, r, PRETRAINED, role, store) for r in kept])
        if role == "target":
            yield f"{100 * _mean(plain, ADAPTED, role):.1f}"
            yield _difference([_pair(r, p, ADAPTED, role, store) for r, p in zip(kept, plain, strict=True)])
    passed = [run.report["forgetting"]["passed"] for run in kept]
    yield ", ".join(f"{run.report['selection']['chosen']['pretrained_weight']:g}" for run in kept)
    yield f"{sum(map(bool, passed))} of {len(passed)}"


def _mean(runs: Sequence[FinishedRun], system: str, role: str) -> float:
    return sum(run.row(system, role)["wer"] for run in runs) / len(runs)


def _pair(run: FinishedRun, other: FinishedRun, rival: str, role: str, store: Store) -> tuple[Evaluation, Evaluation]:
    return run.evaluation(ADAPTED, role, store), other.evaluation(rival, role, store)


def _difference(pairs: Sequence[tuple[Evaluation, Evaluation]]) -> str:
    """Adapted minus a rival in points, over all seeds: what they heard of a sentence is resampled together."""
    a, b, words, sentences = [], [], [], []
    for own, rival in pairs:
        require_comparable(own, rival)
        others = {u.id: u for u in rival.utterances}
        for u in own.utterances:
            a.append(u.word_counts.errors)
            b.append(others[u.id].word_counts.errors)
            words.append(u.word_counts.words)
            sentences.append(u.sentence)
    found = paired_difference(a, b, words, sentences, **asdict(BOOTSTRAP))
    return f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


HEADING = (
    "| target | pretrained | adapted | real recordings | adapted minus pretrained | plain | adapted minus plain "
    "| general: pretrained | adapted | adapted minus pretrained | shares | within the bound |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ocean", required=True, help="manifest of speechocean762, with the domains adult and child")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19])
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE of the configuration")
    arguments = parser.parse_args()
    print(machine())
    print(f"\n{HEADING}\n|---|{'--:|' * (HEADING.count('|') - 2)}")
    for row in rows(arguments, Store(arguments.store)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
