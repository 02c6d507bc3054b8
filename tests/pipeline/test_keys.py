"""Which key follows from what: every field of the configuration, and a changed byte in every input.

A field is assigned to the stages that take it; what follows from those must change with them, and nothing else may.
"""

import functools
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
from pydantic import BaseModel

from asr_tv.config.benchmark import BenchmarkConfig
from asr_tv.config.parsing import parse_section, with_overrides
from asr_tv.config.run import AdaptConfig
from asr_tv.config.selection import GRIDS
from asr_tv.models import vocabulary
from asr_tv.models.tensors import WEIGHTS
from asr_tv.models.vocabulary import whisper_tokenizer
from asr_tv.pipeline.execution.executor import InProcess
from asr_tv.pipeline.material import Material, prepare
from asr_tv.store.results import Store
from asr_tv.synthesis import engines as tts
from asr_tv.synthesis.gate import gate
from asr_tv.testing.ctc import tiny_ctc
from asr_tv.testing.keys import StandIn, planned_keys
from asr_tv.testing.runs import fake_recordings
from asr_tv.testing.speech import EnergyDetector
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.text.writing.endpoint import EndpointWriter
from asr_tv.text.writing.like import train_text_model
from asr_tv.text.writing.local_model import LocalWriter
from asr_tv.vectors.files import create_vector
from asr_tv.vectors.published.folder import Publication, VectorOrigin, write_published

DOMAINS = ("banking", "hotels", "parcels", "spare", "travel")


# What each stage takes from others. Names in capitals are no stages: parts of a corpus, and the pretrained model.
def upstream(label: str) -> set[str]:
    """The labels of the stages whose results a stage takes, and the parts of the corpora that it reads."""
    if (fold := re.fullmatch(r"(.*) \(fold banking\)", label)) is not None:
        return _in_fold(fold[1])
    what, _, name = label.partition(" ")
    if what in ("SOURCE", "TARGET", "FOLD"):
        return {"corpus of the run"}
    if label == "GENERAL SPLIT":
        return {"corpus of general speech"}
    if label == "synthesize general":
        return set()
    if label == "synthesize synthetic proxy":
        return {"TARGET SENTENCES"}
    if what == "synthesize":
        return {{"target": "TARGET", "source": "SOURCE"}.get(name, "FOLD") + " SENTENCES"}
    if what == "judge":
        return {"checkpoint", f"synthesize {name}"}
    if what == "gate":
        return {f"synthesize {name}", f"judge {name}", "checkpoint"}
    if label == "context start":
        return {"checkpoint", "gate source"}
    if what == "finetune":
        return _training(name)
    if label == "vector":
        return {"finetune source_real", "finetune source_synthetic"}
    if label == "adapt":  # the simplest recipe, since in a plan all recipes are equally good
        return {"finetune target_synthetic_augmented", "vector", "checkpoint"}
    if label in ("sweep coefficient curve on target", "score coefficient curve on target"):
        followed = {"sweep coefficient curve on target"} if what == "score" else set()
        return {"finetune target_synthetic_augmented", "vector", "checkpoint", "TARGET TEST", *followed}
    if (kept := re.fullmatch(r"(sweep|score) (.*) on (general dev|target)", label)) and "pretrained on" in label:
        return _keeping(what, *kept.groups()[1:])
    if what in ("transcribe", "score"):
        return _listening(what, name)
    assert what in ("checkpoint", "corpus", "noise", "write", "published"), label
    return set()


def _keeping(what: str, name: str, test: str) -> set[str]:
    """A share of the pretrained weights on general dev recordings, or on the target's test."""
    heard = {"general dev": "GENERAL SPLIT", "target": "TARGET TEST"}[test]
    followed = {f"sweep {name} on {test}"} if what == "score" else set()
    own = set() if name == "pretrained" else {"finetune target_synthetic_augmented", "vector"}
    return {"checkpoint", heard, *own, *followed}


def _training(name: str) -> set[str]:
    real, clips = {"context start", "SOURCE RECORDINGS"}, {"context start", "gate source"}
    own = {
        "source_real": real | {"gate source"},  # recordings whose sentence has a clip
        "source_synthetic": clips | {"SOURCE SENTENCES"},
        "source_mixed": real | clips,
        "topline": {"context start", "TARGET RECORDINGS"},
        "target_synthetic_ungated": {"context start", "synthesize target", "synthesize general", "checkpoint"},
    }
    if name in own:
        return own[name]
    start = re.fullmatch(r"(?:(source_real|source_mixed)_then_)?target_synthetic(?:_augmented)?", name)
    assert start, name
    first = f"finetune {start[1]}" if start[1] else "context start"
    return {"gate target", "SOURCE RECORDINGS", first, "synthesize general", "checkpoint"}  # with replay and rehearsal


def _in_fold(label: str) -> set[str]:
    what, _, name = label.partition(" ")
    if what == "write":
        return set()
    if label == "vector":
        return {"finetune source_real (fold banking)", "finetune source_synthetic (fold banking)"}
    if what in ("sweep", "score"):
        followed = {f"sweep {name} (fold banking)"} if what == "score" else set()
        parts = {f"finetune {name} (fold banking)", "vector (fold banking)", "checkpoint", "SOURCE DEV"}
        return parts | followed
    others = _training(name)
    swapped = {"gate target": "gate banking as target", "finetune source_mixed": "finetune source_mixed (fold banking)"}
    return {swapped.get(other, other) for other in others}


def _listening(what: str, name: str) -> set[str]:
    found = re.fullmatch(
        r"(\S+) on (target|source|general|almost without speech|de speech|synthetic proxy)( with timestamps)?", name
    )
    assert found, name
    system, test, _ = found.groups()
    own = {"pretrained": "checkpoint", "pretrained_short_context": "context start"}
    own |= {"adapted": "adapt", "adapted_short_context": "adapt"}
    heard = {
        "target": {"TARGET TEST"},
        "source": {"SOURCE TEST"},
        "general": {"GENERAL SPLIT"},
        "almost without speech": {"noise"},
        "de speech": {"corpus of another language"},
        "synthetic proxy": {"synthesize synthetic proxy"},
    }[test]
    followed = {f"transcribe {name}"} if what == "score" else set()
    return {own.get(system, f"finetune {system}"), *heard, *followed}


@functools.cache
def follows(label: str, cause: str) -> bool:
    """Whether a stage is the cause (a regular expression of labels), or takes from one that is, however indirectly."""
    return re.fullmatch(cause, label) is not None or any(follows(one, cause) for one in upstream(label))


@dataclass(frozen=True)
class Takes:
    """What a field is assigned to. Stages are regular expressions of labels.

    Attributes:
        value: another one than the base configuration's, or how to make it in a folder.
        stages: whose results it changes, so that all that follows has other keys, too.
        alone: whose keys it changes, but not their results in this run: what follows is known by content, and stays.
        graph: stages come or go with it.
        also: settings on both sides, without which it would not count.
    """

    value: Any
    stages: str = "-"
    alone: str = "-"
    graph: bool = False
    also: Mapping[str, Any] | None = None
    base: str = "adapt"


CORPUS, GENERAL, OTHER = "corpus of the run", "corpus of general speech", "corpus of another language"
SPLIT = r"(SOURCE|TARGET|FOLD) .*"
SOURCE, ALL_BUT_SOURCE_TEST = r"SOURCE .*", r"(?!SOURCE TEST)(SOURCE|TARGET|FOLD) .*"
HEARD_ELSEWHERE = r"(transcribe|score) \S+ on de speech"
HEARING = r"(transcribe|sweep|score) .*"
CLIPS, MANY_CLIPS = r"synthesize .*", r"synthesize (target|banking as target|general)"
TARGET_CLIPS = r"synthesize (target|banking as target)"
AUGMENTED = r"finetune .*_augmented( \(fold banking\))?"
ON_TARGET = r"finetune (source_\w+_then_)?target_synthetic(?!_ungated).*"
JUDGED, GATE = r"(judge|gate) .*", r"gate .*"
CURVE = r"(sweep|score) (coefficient curve|[\d.]+ pretrained) on target"
KEPT = r"sweep (.*, )?[\d.]+ pretrained on .*"
SHORT = r"(transcribe|score) adapted_short_context .*"


def of_corpus(prefix: str, corpus: str, parts: str, recordings: str) -> dict[str, Takes]:
    """The fields of one place where a corpus may stand: its stage, and what is made of it."""
    kept = {"corpora.0": ["banking", "hotels", "parcels", "travel"]}.get(prefix, ["news"])
    later = {
        "splits": ["train"],
        "subset": "s",
        "revision": "r",
        "columns": {"id": "id"},
        "limit": 90,
        "missing_audio": "drop",
    }
    return {
        f"{prefix}.path": Takes(lambda folder: moved(folder, prefix), also={f"{prefix}.outside": True}),
        f"{prefix}.audio": Takes("elsewhere"),
        f"{prefix}.outside": Takes(True),
        f"{prefix}.kind": Takes("nemo", alone=corpus),
        f"{prefix}.language": Takes("it", alone=f"{corpus}|{HEARD_ELSEWHERE}" if corpus == OTHER else corpus),
        f"{prefix}.domains": Takes(kept, alone=corpus),
        f"{prefix}.max_seconds": Takes(29.0, alone=corpus),
        f"{prefix}.max_per_domain": Takes(
            {CORPUS: 6, GENERAL: 5}.get(corpus, 2), parts, alone=corpus, graph=corpus == CORPUS
        ),
        f"{prefix}.line.codec": Takes("gsm", recordings, alone=corpus),
        f"{prefix}.line.snr_db": Takes(7.0, recordings, alone=corpus),
        f"{prefix}.line.seed": Takes(5, recordings, alone=corpus),
        **{f"{prefix}.{name}": Takes(value, alone=corpus) for name, value in later.items()},
    }


def moved(folder: Path, prefix: str) -> str:
    """The same corpus in another place."""
    name = {"corpora.0": "run", "general.0": "general"}.get(prefix, "other")
    (folder / "moved").mkdir(exist_ok=True)
    shutil.copy(folder / f"{name}.jsonl", folder / "moved")
    return str(folder / "moved" / f"{name}.jsonl")


def texts(folder: Path) -> str:
    (folder / "texts.txt").write_text("".join(f"Tell me about journey {name}.\n" for name in "abcdefgh"))
    return str(folder / "texts.txt")


def sentences(folder: Path, name: str) -> Path:
    """A few sentences to rehearse."""
    path = folder / f"{name}.txt"
    path.write_text("".join(f"{what} is {name} 12.\n" for what in ("This", "That", "Everything")), encoding="utf-8")
    return path


def listed(name: str, *lines: str) -> Callable[[Path], str]:
    """A file of lines."""

    def write(folder: Path) -> str:
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(folder / name)

    return write


def kept_model(folder: Path) -> dict[str, str]:
    """A text model of a domain that is not in the corpora."""
    sentences = [f"Where can I find the {what} today?" for what in ("lion", "zebra", "old owl")]
    text = train_text_model(sentences, 3, str.lower).text()
    (folder / "zoo.json").write_text(text, encoding="utf-8")
    return {"zoo": str(folder / "zoo.json")}


def published(folder: Path) -> str:
    """A vector that was made on the run's model."""
    if not (folder / "published").exists():
        tiny_whisper(folder / "elsewhere", multilingual=True, seed=4)
        create_vector(folder / "elsewhere", folder / "base", folder / "v.safetensors", {})
        origin = VectorOrigin("tiny", "en", {"domains": ["zoo"]}, {}, {}, {"pretrained": 0.6}, "a test", ("A lion.",))
        public = Publication("v", "1.0.0", "CC0-1.0", "fp32")
        write_published(folder / "v.safetensors", folder / "base", origin, public, str.lower, folder / "published")
    return str(folder / "published")


def other_sentences(folder: Path) -> str:
    return str(sentences(folder, "special"))


def another_model(folder: Path) -> str:
    return str(tiny_whisper(folder / "another", multilingual=True, seed=1))


FIXED = {"selection.method": "fixed"}
TERMS = {"texts.terms": listed("terms.txt", "express train", "night bus")}
WRITTEN = r"write travel|TARGET SENTENCES"
GENERATED = {"replay.origin": "generated", "replay.share": 2.0}
REPLAYED = rf"write .*|synthesize replay.*|{ON_TARGET}"
TEXTUAL = {**FIXED, "sources": [], "selection.fixed.scaling_coef": 0.0, "context_start": None, "replay.share": 0}
PUBLISHED = {**TEXTUAL, "vector.published": published}
QUICK = {f"selection.{name}": value for name, value in GRIDS["quick"].items()}
FIELDS: dict[str, Takes] = {
    "name": Takes("another"),
    "seed": Takes(18, rf"{SPLIT}|GENERAL SPLIT|{CLIPS}|context start|finetune .*|noise"),
    "model": Takes(another_model, "checkpoint"),
    "language": Takes("fr", rf"context start|finetune .*|(?!{HEARD_ELSEWHERE}){HEARING}", alone=JUDGED),
    **of_corpus("corpora.0", CORPUS, SPLIT, r"\w+ (RECORDINGS|DEV|TEST)"),
    **of_corpus("general.0", GENERAL, GENERAL, GENERAL),
    **of_corpus("retention.other_languages.0", OTHER, OTHER, OTHER),
    "sources": Takes(["banking", "parcels"], SOURCE),
    "target.domain": Takes("spare", ALL_BUT_SOURCE_TEST),
    "target.texts": Takes(texts, SPLIT, graph=True),
    "target.test_fraction": Takes(0.3, ALL_BUT_SOURCE_TEST),
    "drop_shared_sentences": Takes(False, r"(?!SOURCE TEST)(SOURCE|FOLD) .*"),
    "max_source_utterances": Takes(3, "(SOURCE|FOLD) (SENTENCES|RECORDINGS)"),
    "splits.dev": Takes(0.4, r"(SOURCE|FOLD) (?!TEST).*"),
    "splits.test": Takes(0.4, r"(SOURCE|FOLD) .*"),
    "synthesis.engine": Takes("espeak", rf"{CLIPS}|{GATE}"),
    "synthesis.voices": Takes(
        ["tone", "espeak:a", "bark:b"], rf"{MANY_CLIPS}|finetune topline", alone=r"gate (target|banking as target)"
    ),
    "synthesis.language": Takes("de", CLIPS),
    "synthesis.voices_per_text": Takes(2, rf"{TARGET_CLIPS}|finetune topline", alone="synthesize source"),
    "synthesis.takes": Takes(3, rf"{TARGET_CLIPS}|finetune topline"),
    "synthesis.length_scale": Takes([0.9, 1.2], CLIPS),
    "synthesis.noise_scale": Takes([0.5, 0.9], CLIPS),
    "synthesis.noise_w_scale": Takes([0.6, 1.0], CLIPS),
    "synthesis.gain_db": Takes(-3.0, CLIPS),
    "synthesis.high_hz": Takes(3000.0, CLIPS),
    "synthesis.match": Takes("source", graph=True),
    "forgetting.max_domain_words": Takes(2.0),
    "source_gap.clips": Takes(10),
    "synthesis.max_words": Takes(59, alone=CLIPS),
    "synthesis.spoken_form": Takes(False, CLIPS),
    "synthesis.espeak.words_per_minute": Takes([150, 190], MANY_CLIPS),
    "synthesis.espeak.pitch": Takes([30, 65], MANY_CLIPS),
    "synthesis.espeak.pitch_range": Takes([41, 60], MANY_CLIPS),
    "synthesis.bark.device": Takes("cpu"),
    "synthesis.bark.batch_size": Takes(3),
    "synthesis.bark.cpu_offload": Takes(True),
    "synthesis.bark.precision": Takes("bf16", MANY_CLIPS),
    "synthesis.bark.temperature": Takes(0.6, MANY_CLIPS),
    "synthesis.bark.words_at_once": Takes(25, MANY_CLIPS),
    "synthesis.allow_noncommercial": Takes(True),
    "synthesis.kokoro.speed": Takes([0.9, 1.1], MANY_CLIPS),
    "synthesis.kokoro.styles": Takes("elsewhere"),
    "synthesis.hibari.speed": Takes([0.9, 1.1], MANY_CLIPS),
    "synthesis.pocket.temperature": Takes(0.6, MANY_CLIPS),
    "synthesis.pocket.clone": Takes(True),
    "synthesis.speecht5.device": Takes("cpu"),
    "synthesis.speecht5.batch_size": Takes(3),
    "synthesis.speecht5.vocoder": Takes("another", MANY_CLIPS),
    "synthesis.speecht5.embeddings": Takes("another", MANY_CLIPS),
    "gate.judge": Takes(another_model, alone=JUDGED, graph=True),
    "gate.retries": Takes(2),
    "gate.cer_excess": Takes(0.6, alone=GATE),
    "gate.cer_excess_letters": Takes(3.0, alone=GATE),
    "gate.tempo_ratio": Takes(1.6, alone=GATE),
    "gate.lone_tempo_ratio": Takes(1.8, alone=GATE),
    "gate.clipped_share": Takes(0.003, alone=GATE),
    "gate.edge_seconds": Takes(0.6, alone=GATE),
    "gate.ablation": Takes(False, graph=True),
    **{
        f"augmentation.{name}": Takes(value, AUGMENTED)
        for name, value in {
            "snr_db": [1, 25],
            "silence_seconds": [0, 0.5],
            "speed": [0.8, 1.1],
            "gain_db": [-5, 3],
            "probability": 0.8,
            "channel.room_probability": 0.4,
            "channel.reverberation_seconds": [0.2, 0.6],
            "channel.direct_db": [1, 15],
            "channel.pink_noise_probability": 0.6,
            "channel.band_probability": 0.6,
            "channel.low_hz": [60, 400],
            "channel.high_hz": [3100, 7000],
            "channel.codecs": ["none", "gsm"],
        }.items()
    },
    **{
        f"training.{name}": Takes(value, r"finetune .*")
        for name, value in {
            "epochs": 4,
            "learning_rate": 2e-5,
            "batch_size": 4,
            "warmup": 0.2,
            "weight_decay": 0.02,
            "gradient_clip": 2.0,
            "full_context_share": 0.1,
            "precision": "bf16",
            "trainable": "only_encoder",
            "gradient_checkpointing": True,
        }.items()
    },
    "training.audio_context": Takes(20.0, rf"finetune .*|{SHORT}"),
    "training.freeze_feature_encoder": Takes(False, r"finetune .*", base="ctc"),
    "context_start.epochs": Takes(2, "context start"),
    "context_start.learning_rate": Takes(2e-5, "context start"),
    "context_start.batch_size": Takes(4, "context start"),
    "second_stage_learning_rate": Takes(0.2, r"finetune .*_then_.*"),
    "target_epochs": Takes(2.0, r"finetune (.*target_synthetic.*|topline)"),
    "target_trainable": Takes("freeze_encoder", r"finetune .*target_synthetic.*"),
    "mixed_epochs": Takes(2.0, r"finetune source_mixed( \(fold banking\))?"),
    "vector.ties_keep": Takes(0.3),
    "training_seed": Takes(18, "finetune .*"),
    "short_context_updates": Takes(0),
    "vector.pooling": Takes("mean_of_domains", r"vector.*", graph=True),
    "selection.method": Takes("fixed", graph=True),
    "selection.effort": Takes("standard"),  # quick and thorough stand for the settings below
    "selection.folds": Takes(2, graph=True),
    "selection.starts": Takes(["pretrained", "source_real"], graph=True),
    "selection.augmentation": Takes([False, True], rf"adapt|{CURVE}", graph=True),
    "selection.scaling_coefs": Takes([0.3, 0.5], r"adapt|(?!sweep pretrained on)sweep .*"),
    "selection.fixed.start": Takes("source_mixed", rf"adapt|{CURVE}", graph=True, also=FIXED),
    "selection.fixed.augmentation": Takes(False, rf"adapt|{CURVE}", graph=True, also=FIXED),
    "selection.fixed.scaling_coef": Takes(0.4, rf"adapt|{KEPT}", also=FIXED),
    "replay.share": Takes(0.05, ON_TARGET),
    "replay.origin": Takes("synthetic", ON_TARGET),
    "replay.order": Takes(2, REPLAYED, also=GENERATED),
    "replay.novel": Takes(True, rf"write like .*|synthesize replay.*|{ON_TARGET}", also=GENERATED),
    "replay.writers": Takes(
        kept_model, rf"write like (?!parcels$).*|synthesize replay.*|{ON_TARGET}", also=GENERATED, graph=True
    ),
    "vector.published": Takes(published, rf"adapt|{CURVE}|{KEPT}", also=TEXTUAL, graph=True),
    "vector.scaling_coef": Takes(0.7, rf"adapt|{KEPT}", also=PUBLISHED),
    "texts.terms": Takes(listed("others.txt", "slow train", "early bus"), WRITTEN, also=TERMS),
    "texts.sentences": Takes(listed("say.txt", "I want the {term} today.", "Where is it now?"), WRITTEN, also=TERMS),
    "texts.count": Takes(3, WRITTEN, also=TERMS),
    "texts.exclude": Takes(listed("not.txt", "I am calling about night bus."), WRITTEN, also=TERMS),
    "texts.llm": Takes("some-model", WRITTEN, also=TERMS),
    "texts.local_llm": Takes("another-model", WRITTEN, also=TERMS),
    "texts.llm_url": Takes("http://elsewhere/v1", also=TERMS, graph=True),
    "texts.llm_key": Takes("ANOTHER_KEY", also=TERMS, graph=True),
    "rehearsal.weight": Takes(2.0, r"finetune .*target_synthetic.*"),
    "rehearsal.share": Takes(0.7, r"finetune .*target_synthetic.*"),
    "rehearsal.texts": Takes(other_sentences, "synthesize general"),
    "selection.pretrained_weights": Takes([0.4], rf"adapt|{CURVE}", graph=True),
    # With a share that is given, no general recording has to choose one, and all are scored.
    "selection.fixed.pretrained_weight": Takes(
        0.7, rf"adapt|{CURVE}|(transcribe|score) .* on general.*", graph=True, also=FIXED
    ),
    "forgetting.dev": Takes(0.2, "GENERAL SPLIT"),
    "scoring.normalizer": Takes("english", rf"(?!{HEARD_ELSEWHERE})score .*"),
    "scoring.engine": Takes("ctranslate2", r"(score|sweep|transcribe) .*"),
    "scoring.max_new_tokens": Takes(100, HEARING, alone=JUDGED),
    "scoring.beams": Takes(2, HEARING),
    "scoring.terms": Takes(["account"]),
    **{
        f"biasing.{name}": Takes(value, graph=True)
        for name, value in {
            "rows": ["boost"],
            "max_terms": 5,
            "boosts": [0, 1],
            "misheard_takes": 1,
            "prompt_terms": [3],
            "prompt_sentences": [2],
            "nearest": 0,
            "order": 2,
            "background_share": 0.2,
            "alphas": [0, 0.1],
            "betas": [0, 0.2],
            "gammas": [0, 0.3],
            "distractors": 3,
            "text_only.epochs": 1,
            "text_only.learning_rate": 1e-4,
            "text_only.batch_size": 2,
            "text_only.rhos": [0.5],
        }.items()
    },
    "test_time.methods": Takes(["suta"], base="ctc"),
    "test_time.of": Takes(["adapted"], base="ctc"),
    "scoring.resamples": Takes(300),
    "scoring.confidence": Takes(0.9),
    "proxy.voices": Takes(["piper:y"], "synthesize synthetic proxy", also={"proxy.voices": ["piper:x"]}),
    "proxy.share": Takes(0.5, "TARGET SENTENCES", also={"proxy.voices": ["piper:x"], "proxy.share": 0.25}, graph=True),
    "forgetting.max_relative": Takes(0.5),
    "retention.noise_seconds": Takes(10.0, "noise"),
    "retention.short_clips": Takes(2, r"transcribe \S+ on almost without speech", graph=True),
    "retention.timestamps": Takes(False, graph=True),
    "run.device": Takes("cpu"),
    "run.workers": Takes(2),
    "run.jobs": Takes(2),
    "run.eval_batch_size": Takes(2),
}
"""Every field of the configuration. One that is assigned to nothing says how to run, or counts for the report only."""


MANY_VOICES = ["tone", "espeak:a", "bark:b", "speecht5:c", "kokoro:d", "hibari:e", "pocket:f"]


def values(folder: Path) -> dict[str, Any]:
    """A run in which every section is used."""
    line = {"codec": "none", "snr_db": 20.0}
    return {
        "name": "whole",
        "model": str(folder / "base"),
        "corpora": [{"kind": "manifest", "path": str(folder / "run.jsonl"), "line": line}],
        "sources": ["banking", "hotels", "parcels"],
        "target": {"domain": "travel"},
        "general": [{"kind": "manifest", "path": str(folder / "general.jsonl"), "line": line}],
        "splits": {"dev": 0.25, "test": 0.25},
        "synthesis": {"engine": "fake", "voices": MANY_VOICES, "language": "en"},
        "gate": {},
        "augmentation": {"channel": {}},
        "training": {"precision": "fp32"},
        "context_start": {},
        "selection": {
            "method": "leave_one_source_domain_out",
            "folds": 1,
            "starts": ["pretrained", "source_mixed"],
            "augmentation": [True],
            "scaling_coefs": [0.2, 0.5],
            "pretrained_weights": [0.2],
            "fixed": {"scaling_coef": 0.2},
        },
        "replay": {"share": 0.1},
        "rehearsal": {"share": 0.5, "texts": str(sentences(folder, "general"))},
        "run": {"workers": 1},
        "scoring": {"normalizer": "basic"},
        "retention": {
            "noise_seconds": 5,
            "short_clips": 0,
            "timestamps": True,
            "other_languages": [
                {"kind": "manifest", "language": "de", "path": str(folder / "other.jsonl"), "line": line}
            ],
        },
    }


def ctc_values(folder: Path) -> dict[str, Any]:
    kept = ("name", "corpora", "sources", "target", "splits", "selection")
    synthesis = {"engine": "fake", "voices": ["tone"]}
    return {k: v for k, v in values(folder).items() if k in kept} | {
        "model": str(folder / "ctc"),
        "synthesis": synthesis,
    }


def table_values(folder: Path, table: str = "table") -> dict[str, Any]:
    fixed = {"start": "pretrained", "augmentation": False, "scaling_coef": 0.5}
    return {
        "name": "table",
        "model": str(folder / "base"),
        "corpora": [{"kind": "manifest", "path": str(folder / f"{table}.jsonl")}],
        "splits": {"dev": 0.25, "test": 0.25},
        "synthesis": {"engine": "fake", "voices": ["tone"]},
        "training": {"precision": "fp32"},
        "selection": {
            "method": "fixed",
            "starts": ["pretrained", "source_mixed"],
            "augmentation": [False],
            "scaling_coefs": [0.5],
            "fixed": fixed,
        },
        "run": {"workers": 1},
        "benchmark": {"targets": ["travel"]},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys")
    tiny_whisper(path / "base", multilingual=True)
    tiny_ctc(path / "ctc")
    corpus(path, "run", 8, DOMAINS)
    corpus(path, "table", 8, ("banking", "hotels", "travel"))
    corpus(path, "larger", 8, ("banking", "hotels", "travel", "zoo"))
    corpus(path, "general", 8, ("news",))
    corpus(path, "other", 3, ("news",))
    return path


def corpus(folder: Path, name: str, sentences: int, domains: tuple[str, ...]) -> None:
    """A manifest with NeMo's names, absolute paths, and, of the run's domains, sentences that the first one shares."""
    file = fake_recordings(folder / name, sentences, domains)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    if "spare" in domains:
        asked = [row | {"id": f"shared-{row['id']}", "domain": domains[0]} for row in rows if row["domain"] == "travel"]
        rows += asked
        for row in asked:
            original, row["audio"] = row["audio"], f"{row['id']}.wav"
            shutil.copy(folder / name / original, folder / name / row["audio"])
    for row in rows:
        row["text"] = row["text"].replace("Please", f"Please, {name}:") if len(domains) == 1 else row["text"]
        row["audio_filepath"] = str((folder / name / row.pop("audio")).absolute())
        row["duration"] = soundfile.info(row["audio_filepath"]).duration
        row.pop("audio_digest", None)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


TOKENIZER = functools.cache(whisper_tokenizer)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "SpeechDetector", EnergyDetector)
    monkeypatch.setattr(vocabulary, "whisper_tokenizer", TOKENIZER)
    for kind in (EndpointWriter, LocalWriter):
        monkeypatch.setattr(kind, "answer", lambda self, *_: f"We will see {self.model} on the night bus.")
    for name in ("fake", *tts.ENGINES):
        monkeypatch.setitem(tts.ENGINES, name, tts.SpeechEngine(StandIn.__module__, StandIn.__name__))


Keys = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def keys(folder: Path) -> Keys:
    """The keys of a run with other settings, by label; each planned once."""
    known: dict[str, dict[str, str]] = {}

    def planned(settings: Mapping[str, Any], base: str = "adapt") -> dict[str, str]:
        made = {"adapt": values, "ctc": ctc_values, "benchmark": table_values}[base](folder)
        name = json.dumps([base, settings], sort_keys=True)
        if name not in known:
            known[name] = named(made["model"], planned_keys(config(made, settings), folder / "plan"))
        return known[name]

    return planned


def config(made: dict[str, Any], settings: Mapping[str, Any]) -> AdaptConfig:
    kind = BenchmarkConfig if "benchmark" in made else AdaptConfig
    return parse_section(kind, with_overrides(made, settings), "keys")


def named(model: str, found: Mapping[str, str]) -> dict[str, str]:
    """Labels as `upstream` has them, whatever files and languages are called."""
    names = (
        (re.escape(f"checkpoint {model}"), "checkpoint"),
        (r"checkpoint .*/another", "checkpoint"),
        (r"corpus \w+ general.jsonl.*", GENERAL),
        (r"corpus \w+ run.jsonl.*", CORPUS),
        (r"corpus \w+ \w\w", OTHER),
        (r"(.*) on \w\w speech", r"\1 on de speech"),
    )
    renamed: dict[str, str] = {}
    for label, key in found.items():
        new = next((re.sub(f"^{old}$", new, label) for old, new in names if re.fullmatch(old, label)), label)
        renamed["checkpoint of the judge" if new in renamed else new] = key
    return renamed


def check(before: Mapping[str, str], after: Mapping[str, str], stages: str, alone: str, *, graph: bool) -> None:
    common = before.keys() & after.keys()
    if not graph:
        assert common == before.keys() == after.keys()
    changed = {label for label in common if before[label] != after[label]}
    expected = {label for label in common if follows(label, stages) or re.fullmatch(alone, label)}
    assert {"not changed": sorted(expected - changed), "changed": sorted(changed - expected)} == {
        "not changed": [],
        "changed": [],
    }
    assert changed or graph or "checkpoint of" in str(after) or stages == alone == "-"


def fields(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every field of a configuration, dotted; a list has the place 0."""
    for name, field in kind.model_fields.items():
        listed = "tuple" in str(field.annotation)
        inner = [] if str(field.annotation).startswith("dict") else [*sections(field.annotation)]
        if inner:
            yield from fields(inner[0], f"{prefix}{name}.{'0.' if listed else ''}")
        else:
            yield prefix + name


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from sections(argument)


def test_every_field_is_assigned() -> None:
    assert sorted(FIELDS) == sorted(fields(AdaptConfig))


NEITHER = {name: takes for name, takes in FIELDS.items() if takes.stages == takes.alone == "-" and not takes.graph}


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in NEITHER])
def test_a_field_changes_the_keys_of_its_stages_and_of_what_follows(name: str, keys: Keys, folder: Path) -> None:
    takes = FIELDS[name]
    value = takes.value(folder) if callable(takes.value) else takes.value
    also = {n: v(folder) if callable(v) else v for n, v in (takes.also or {}).items()}
    before = keys(also, takes.base)
    after = keys({**also, name: value}, takes.base)
    check(before, after, takes.stages, takes.alone, graph=takes.graph)


def test_how_to_run_changes_no_key(keys: Keys, folder: Path) -> None:
    """All of a base at once: a key that none of them changes is changed by no one of them."""
    for base in {takes.base for takes in NEITHER.values()}:
        own = {n: t.value(folder) if callable(t.value) else t.value for n, t in NEITHER.items() if t.base == base}
        check(keys({}, base), keys(own, base), "-", "-", graph=False)
    assert {
        "run.device",
        "run.workers",
        "run.jobs",
        "run.eval_batch_size",
        "name",
        "scoring.resamples",
    } <= NEITHER.keys()


def test_an_effort_is_a_name_for_its_grid(keys: Keys) -> None:
    assert keys(QUICK) == keys(QUICK | {"selection.effort": "quick"}) != keys({})


def test_what_ties_keeps_changes_the_vectors_it_merges(keys: Keys) -> None:
    before = keys({"vector.pooling": "ties"})
    after = keys({"vector.pooling": "ties", "vector.ties_keep": 0.3})
    merged = {label for label in before if label.startswith("vector by TIES")}
    assert merged == {"vector by TIES", "vector by TIES (fold banking)"}
    assert all(before[label] != after[label] for label in merged)
    trained = [label for label in before if label.startswith("finetune ")]
    assert all(before[label] == after[label] for label in trained)


BENCHMARK: dict[str, Takes] = {
    "benchmark.targets": Takes(["banking", "travel"], "compare vectors", graph=True),
    "benchmark.seeds": Takes([17, 18], graph=True),
    "benchmark.vectors": Takes(["pooled", "ties"], "compare vectors", graph=True),
    "benchmark.ties_keep": Takes(0.3, "vector by TIES.*|compare vectors|.* ties .*"),
    "benchmark.source_counts": Takes([1], graph=True),
    "benchmark.draws": Takes(1),
    "benchmark.engines": Takes({"other": {"engine": "espeak", "voices": ["a"]}}, "compare vectors", graph=True),
    "benchmark.ablations": Takes({"long": {"training.epochs": 5}}, graph=True),
    "benchmark.ablation_start": Takes("source_mixed"),
    "benchmark.max_kept_utterances": Takes(2, r"(transcribe|score) .* on source \(travel, seed 17\)"),
    "benchmark.paper_scorer": Takes(True),
}
"""Of the leave-one-domain-out table; most say which rows there are, and the stages of the others keep their keys."""


def test_every_field_of_the_benchmark_is_assigned() -> None:
    own = [name for name in fields(BenchmarkConfig) if name not in FIELDS]
    assert sorted(BENCHMARK) == sorted(own)


@pytest.mark.parametrize("name", BENCHMARK)
def test_a_field_of_the_benchmark_leaves_other_rows_alone(name: str, keys: Keys) -> None:
    takes = BENCHMARK[name]
    before, after = keys({}, "benchmark"), keys({name: takes.value}, "benchmark")
    common = before.keys() & after.keys()
    assert takes.graph or common == before.keys() == after.keys()
    changed = {label for label in common if before[label] != after[label]}
    assert changed == {label for label in common if re.fullmatch(takes.stages, label)}
    assert changed or takes.graph or takes.stages == "-"


def test_a_further_domain_costs_what_depends_on_it_and_nothing_else(keys: Keys, folder: Path) -> None:
    """Of a table over banking, hotels and travel, to which zoo comes: what is new or has another key, by name."""
    before = keys({}, "benchmark")
    after = keys({"corpora.0.path": str(folder / "larger.jsonl")}, "benchmark")
    new = {label for label, key in after.items() if before.get(label) != key}
    made = sorted(label for label in new if not label.startswith(("transcribe ", "score ", "sweep ")))
    assert made == FURTHER
    kept = {label for label in after if label not in new}
    assert kept >= {f"finetune {kind} of {d} (seed 17)" for d in DOMAINS[:2] for kind in ("real", "synthetic")}
    assert kept >= {f"finetune {row} (travel, seed 17)" for row in ("topline", "target_synthetic")}


FURTHER = [
    "adapt (travel, seed 17)",
    "compare shifts of zoo",
    "compare shifts without travel",
    "compare vectors",
    "corpus manifest larger.jsonl",
    "finetune real of zoo (seed 17)",
    "finetune real of zoo (travel, seed 17)",
    "finetune source_mixed (travel, seed 17)",
    "finetune source_mixed_then_target_real (travel, seed 17)",
    "finetune source_mixed_then_target_synthetic (travel, seed 17)",
    "finetune source_real (travel, seed 17)",
    "finetune source_synthetic (travel, seed 17)",
    "finetune synthetic of zoo (seed 17)",
    "finetune synthetic of zoo (travel, seed 17)",
    "mean vector (travel, seed 17)",
    "synthesize source (seed 17)",
    "synthesize source (travel, seed 17)",
    "vector (travel, seed 17)",
    "vector by TIES (travel, seed 17)",
    "vector of zoo (seed 17)",
    "vector of zoo (travel, seed 17)",
]


def copied(folder: Path, tmp_path: Path) -> dict[str, Any]:
    """The run's settings over a copy of its corpus, with all source speech replayed."""
    shutil.copytree(folder / "run", tmp_path / "run")
    text = (folder / "run.jsonl").read_text().replace(str((folder / "run").absolute()), str(tmp_path / "run"))
    (tmp_path / "run.jsonl").write_text(text)
    return {"corpora.0.path": str(tmp_path / "run.jsonl"), "replay.share": 50.0}


@pytest.fixture(scope="module")
def material(folder: Path) -> Material:
    made = config(values(folder), {})
    tts.ENGINES["fake"] = tts.SpeechEngine(StandIn.__module__, StandIn.__name__)
    return prepare(made, InProcess(Store(folder / "plan" / "store")))


@pytest.mark.parametrize(
    ("part", "domain", "stages"),
    [
        ("source_train", "parcels", "SOURCE RECORDINGS"),
        ("source_dev", "banking", "SOURCE DEV"),
        ("source_test", "parcels", "SOURCE TEST"),
        ("target_train", "travel", "TARGET RECORDINGS"),
        ("target_test", "travel", "TARGET TEST"),
    ],
)
def test_a_changed_byte_of_a_recording(
    keys: Keys, folder: Path, tmp_path: Path, material: Material, part: str, domain: str, stages: str
) -> None:
    before = keys({"replay.share": 50.0})
    settings = copied(folder, tmp_path)
    assert planned(folder, settings) == before
    name = next(u.id for u in getattr(material, part) if u.domain == domain and not u.id.startswith("shared"))
    flip(tmp_path / "run" / f"{name}.wav", -1001)
    check(before, planned(folder, settings), stages, CORPUS, graph=False)


def planned(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """As `keys`, always anew: the files have changed."""
    made = with_overrides(values(folder), settings)
    return named(made["model"], planned_keys(config(made, {}), folder / "plan"))


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_a_changed_letter_of_a_manifest(keys: Keys, folder: Path, tmp_path: Path, material: Material) -> None:
    before, settings = keys({"replay.share": 50.0}), copied(folder, tmp_path)
    text = next(u.text for u in material.source_train if u.domain == "parcels")
    manifest = tmp_path / "run.jsonl"
    manifest.write_text(manifest.read_text().replace(text, text.replace("number", "numbed")))
    after = planned(folder, settings)
    changed = {label for label in before if before[label] != after[label]}
    assert {CORPUS, "synthesize source", "finetune source_real", "finetune source_synthetic", "vector"} <= changed
    assert {"adapt", "score adapted on target", "finetune target_synthetic"} <= changed  # through replay, the last
    assert all(follows(label, CORPUS) for label in changed)
    assert not changed & {"synthesize target", "checkpoint", "score pretrained on general"}


def test_a_changed_letter_of_the_target_s_texts(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    shutil.copy(texts(folder), file)
    settings = {"target.texts": str(file)}
    before = planned(folder, settings)
    file.write_text(file.read_text().replace("journey a", "journal a"))
    check(before, planned(folder, settings), "TARGET SENTENCES", "-", graph=False)


def test_a_changed_bit_of_the_pretrained_weights(keys: Keys, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "base", tmp_path / "base")
    settings = {"model": str(tmp_path / "base")}
    assert planned(folder, settings) == keys({})
    flip(tmp_path / "base" / WEIGHTS, -1)
    check(keys({}), planned(folder, settings), "checkpoint", "-", graph=False)
