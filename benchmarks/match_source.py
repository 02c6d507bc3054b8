"""What `synthesis.match: source` buys: target_synthetic with and without it, plain and augmented.

    python benchmarks/match_source.py --out runs/match [--ocean MANIFEST] [--targets voicemail ...] [--seeds 17 18]

Targets: Asterisk's voicemail, conference, calls and services prompts on the simulated line, whose sources are the other
three; and, of speechocean762 (a manifest with the domains adult and child), adults with children as the source and the
other way round. Every row starts from the pretrained model. What is scored is kept, and a stopped table goes on.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from demo_material import machine

from asr_tv.config.parsing import parse_config, with_overrides
from asr_tv.config.run import AdaptConfig
from asr_tv.data.corpora import stored_manifest
from asr_tv.pipeline.execution.executor import InProcess, Step
from asr_tv.pipeline.likeness.match import matched
from asr_tv.pipeline.material import Material, prepare
from asr_tv.pipeline.scoring import System, TestSet, score_systems
from asr_tv.pipeline.speech import synthesis_call
from asr_tv.pipeline.trainings import finetune_call
from asr_tv.scoring.bootstrap import Bootstrap, Group, mean_difference
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.records import Record
from asr_tv.store.results import Store
from asr_tv.training.data import TrainingData

ASTERISK = ("voicemail", "conference", "calls", "services")
OCEAN = ("adult", "child")
BOOTSTRAP = Bootstrap(2000, 0.95, 17)
ROWS = ("plain", "plain, matched", "augmented", "augmented, matched")
TEST, TEXTS = 40, 32
"""Recordings scored and sentences spoken of each target."""


def config_of(target: str, seed: int, ocean: str | None, overrides: Sequence[str]) -> AdaptConfig:
    """The run of one target; training as in configs/demo.yaml, without rehearsal."""
    if target in ASTERISK:
        corpus = {
            "kind": "asterisk",
            "language": "en",
            "line": {"codec": "gsm", "snr_db": 10},
            "max_per_domain": 2 * TEST,
        }
        sources = [domain for domain in ASTERISK if domain != target]
    else:
        corpus = {"kind": "manifest", "path": ocean, "domains": list(OCEAN), "max_per_domain": 2 * TEST}
        sources = [domain for domain in OCEAN if domain != target]
    values: dict[str, Any] = {
        "name": f"match {target}",
        "training_seed": seed,
        "corpora": [corpus],
        "sources": sources,
        "target": {"domain": target, "test_fraction": 0.5},
        "splits": {"dev": 0.0, "test": 0.1},
        "max_source_utterances": 20,
        "synthesis": {"takes": 1},
        "training": {"epochs": 2, "learning_rate": 5e-5, "batch_size": 4, "full_context_share": 0.15},
        "selection": {"method": "fixed"},
        "rehearsal": {"share": 0},
    }
    given = {key: yaml.safe_load(value) for key, value in (each.split("=", 1) for each in overrides)}
    return parse_config(with_overrides(values, given), "match_source")


def first(material: Material) -> tuple[Any, Any]:
    """The sentences that are spoken and the recordings that are scored, few enough for a short table."""
    texts = material.target_texts
    kept = {u.id for u in sorted(texts, key=lambda u: u.id)[:TEXTS]}
    test = material.target_test
    assert test is not None
    scored = {u.id for u in sorted(test, key=lambda u: (u.audio_digest or "", u.id))[:TEST]}
    return texts.where("target texts", lambda u: u.id in kept), test.where("target test", lambda u: u.id in scored)


def trained(config: AdaptConfig, material: Material, texts: Any, what: str, execute: InProcess) -> dict[str, Record]:
    """The plain and the augmented training on the target's clips as the configuration speaks them."""
    (spoken,) = execute([synthesis_call(config, f"target{what}", texts, config.synthesis)])
    clips = stored_manifest(spoken)
    rows = {"plain": None, "augmented": config.augmentation}
    calls = [
        finetune_call(
            config, Step("finetune", f"{row}{what}"), material.base, TrainingData(clips, how), config.training
        )
        for row, how in rows.items()
    ]
    return {f"{row}{what}": record for row, record in zip(rows, execute(calls), strict=True)}


def cell(target: str, seed: int, arguments: argparse.Namespace, store: Store) -> dict[str, Evaluation]:
    """Every row of one target and seed."""
    execute = InProcess(store)
    config = config_of(target, seed, arguments.ocean, arguments.set)
    material = prepare(config, execute)
    texts, test = first(material)
    own = matched(with_match(config), material, execute)
    told = {
        "length_scale": own.synthesis.length_scale,
        "gain_db": own.synthesis.gain_db,
        "high_hz": own.synthesis.high_hz,
        "snr_db": own.augmentation.snr_db,
    }
    print(f"{target}, seed {seed}: {json.dumps(told)}", flush=True)
    systems = {"pretrained": material.base, **trained(config, material, texts, "", execute)}
    systems |= trained(own, material, texts, ", matched", execute)
    pairs = [System(name, record) for name, record in systems.items()]
    scored = score_systems(config, pairs, [TestSet("target", test)], execute)
    return {name: evaluation for (name, _), evaluation in scored.items()}


def with_match(config: AdaptConfig) -> AdaptConfig:
    """The same run, matched."""
    return config.model_copy(update={"synthesis": config.synthesis.model_copy(update={"match": "source"})})


def difference(cells: dict[tuple[str, int], dict[str, Evaluation]], a: str, b: str) -> dict[str, float]:
    """Mean over targets of the difference of two rows, seeds pooled, by drawing sentences within each target."""
    groups = []
    for target in dict.fromkeys(target for target, _ in cells):
        own = [scored for (name, _), scored in cells.items() if name == target]
        columns: list[tuple[int, int, int, str]] = []
        for scored in own:
            for left, right in zip(scored[a].utterances, scored[b].utterances, strict=True):
                assert left.id == right.id
                columns.append(
                    (left.word_counts.errors, right.word_counts.errors, left.word_counts.words, left.sentence)
                )
        groups.append(Group(*(list(column) for column in zip(*columns, strict=True))))
    return mean_difference(groups, **asdict(BOOTSTRAP))._asdict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ocean")
    parser.add_argument("--targets", nargs="+", default=list(ASTERISK))
    parser.add_argument("--seeds", nargs="+", type=int, default=[17, 18])
    parser.add_argument("--store", type=Path, default=Path(".store"))
    parser.add_argument("--set", nargs="*", default=[])
    arguments = parser.parse_args()
    store = Store(arguments.store)
    cells = {(t, s): cell(t, s, arguments, store) for t in arguments.targets for s in arguments.seeds}
    rows = []
    for (target, seed), scored in cells.items():
        wers = {name: round(100 * e.wer, 1) for name, e in scored.items()}
        rows.append({"target": target, "seed": seed, "words": scored["plain"].word_counts.words, **wers})
    compared = {
        f"{a} minus {b}": difference(cells, a, b)
        for a, b in (
            ("plain, matched", "plain"),
            ("augmented, matched", "augmented"),
            ("augmented", "plain"),
            ("plain, matched", "augmented"),
        )
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), "rows": rows, "differences": compared}
    (arguments.out / "match.json").write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        print(row)
    for name, value in compared.items():
        print(name, {k: round(100 * v, 1) if k != "p" else v for k, v in value.items()})


if __name__ == "__main__":
    main()
