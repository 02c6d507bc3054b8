"""One model through a sequence of domains, in as many ways against forgetting as the configuration has rows."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asr_tv.config.sequence import SequenceConfig, SequenceRow
from asr_tv.data.corpora import stored_manifest
from asr_tv.data.manifest import Manifest, concatenate, in_domain
from asr_tv.data.pairs import paired
from asr_tv.data.replay import with_replay
from asr_tv.data.splits import Shares, split_by_sentence
from asr_tv.errors import ConfigError
from asr_tv.pipeline.continual.published import published_vector
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.material import as_texts, capped, joined, load, sentence_identity
from asr_tv.pipeline.scoring import System, TestSet, score_systems
from asr_tv.pipeline.speech import synthesis_call
from asr_tv.pipeline.trainings import Scope, domain_pairs, domain_vectors, finetune_call, training_seed
from asr_tv.pipeline.writing.replayed import Memory, replayed_texts
from asr_tv.report.systems import PRETRAINED
from asr_tv.scoring.evaluation import Evaluation
from asr_tv.store.results import Record
from asr_tv.training.data import TrainingData
from asr_tv.vectors.stages import adapt_stage, mean_stage

REPLAYED: Mapping[SequenceRow, str] = {
    "real": "real",
    "texts": "texts",
    "generated": "generated",
    "generated + vector": "generated",
}
"""Rows that replay, and from where."""
WITH_VECTOR: frozenset[SequenceRow] = frozenset({"generated + vector", "averaged + vector"})


@dataclass(frozen=True)
class Lesson:
    """One domain of the sequence: its texts as they are spoken to learn it, and its recordings."""

    name: str
    clips: Manifest
    recordings: Manifest
    test: Manifest


@dataclass(frozen=True)
class SequenceResult:
    """The matrix R[after, on] of each row and seed.

    Attributes:
        evaluations: (row, seed, after so many domains, on a domain) -> evaluation; after 0 is the pretrained model.
        models: (row, seed, after) -> checkpoint.
    """

    lessons: tuple[Lesson, ...]
    evaluations: Mapping[tuple[str, int, int, str], Evaluation]
    models: Mapping[tuple[str, int, int], Record]
    corpora: tuple[Record, ...]


@dataclass(frozen=True)
class _Course:
    """One row with one seed."""

    row: SequenceRow
    config: SequenceConfig
    base: Record
    lessons: Sequence[Lesson]
    execute: Executor
    vectors: Mapping[str, Record] = field(default_factory=dict)

    @property
    def run(self) -> str:
        return f"{self.row}, seed {self.config.training_seed}"

    def models(self) -> list[Record]:
        """The checkpoint after each domain."""
        found, previous = [], self.base
        for number in range(len(self.lessons)):
            previous = self._after(number, previous)
            found.append(self._corrected(number, previous))
        return found

    def _after(self, number: int, previous: Record) -> Record:
        lesson, earlier = self.lessons[number], self.lessons[:number]
        start, clips = previous, lesson.clips
        if self.row == "joint":
            start = self.base
            clips = concatenate(lesson.name, [each.clips for each in (*earlier, lesson)])
        elif earlier and self.row in REPLAYED:
            clips = self._with_memory(number)
        augmentation = self.config.augmentation if self.config.selection.fixed.augmentation else None
        data, training = TrainingData(clips, augmentation), self.config.training
        step = Step("finetune", f"{self.row} after {lesson.name}", run=self.run, options=self.config.run)
        (tuned,) = self.execute([finetune_call(self.config, step, start, data, training)])
        if not earlier or not self.row.startswith("averaged"):
            return tuned
        kept = 1 - 1 / (number + 1)
        step = replace(step, kind="average")
        return self.execute([call(step, adapt_stage, tuned, None, previous, 0.0, kept)])[0]

    def _with_memory(self, number: int) -> Manifest:
        """The domain's clips, and those replayed of the domains before it."""
        lesson, earlier = self.lessons[number], self.lessons[:number]
        replay = self.config.replay.model_copy(update={"origin": REPLAYED[self.row]})
        real = concatenate("earlier", [each.recordings for each in earlier])
        if replay.origin == "real":
            return with_replay(lesson.clips, real, real, replay, training_seed(self.config))
        texts = as_texts(real)
        memory = Memory(replay, self.config.language, training_seed(self.config))
        wanted = math.ceil(replay.share * len({u.text for u in lesson.clips}))
        chosen = replayed_texts(memory, texts, {}, wanted, self._scored, self.execute)
        what = f"{replay.origin} before {lesson.name}"
        spoken = self.execute([synthesis_call(self.config, what, chosen, self.config.synthesis, run=self.run)])
        return with_replay(lesson.clips, real, stored_manifest(spoken[0]), replay, training_seed(self.config))

    def _corrected(self, number: int, model: Record) -> Record:
        """The model plus the vector of the domains before, where the row has one."""
        if self.row not in WITH_VECTOR:
            return model
        earlier = [self.vectors[each.name] for each in self.lessons[:number] if each.name in self.vectors]
        step = Step("mean vector", f"before {self.lessons[number].name}", run=self.run, options=self.config.run)
        vector = published_vector(self.config, self.base, self.run, self.execute)
        if vector is None and earlier:
            vector = self.execute([call(step, mean_stage, earlier)])[0]
        if vector is None:
            return model
        coef = self.config.sequence.scaling_coef
        step = Step("adapt", f"{self.row} after {self.lessons[number].name}", run=self.run, options=self.config.run)
        return self.execute([call(step, adapt_stage, model, vector, self.base, coef, 0.0)])[0]

    @property
    def _scored(self) -> frozenset[str]:
        return frozenset(u.text for each in self.lessons for u in each.test)


def sequence(config: SequenceConfig, execute: Executor) -> SequenceResult:
    """Trains every row with every seed, and scores each checkpoint on every domain's recordings.

    Raises:
        ConfigError: a domain that is not in the corpora, or that has nothing to train or score on.
    """
    base, *records = load(config, execute)
    lessons = _lessons(config, joined("corpus", records[: len(config.corpora)]), execute)
    models: dict[tuple[str, int, int], Record] = {}
    for seed in config.seeds:
        seeded = config.model_copy(update={"training_seed": seed})
        vectors = _vectors(seeded, base, lessons, execute)
        for row in config.sequence.rows:
            course = _Course(row, seeded, base, lessons, execute, vectors)
            models |= {(row, seed, n): model for n, model in enumerate(course.models(), 1)}
    return SequenceResult(lessons, _scores(config, base, lessons, models, execute), models, tuple(records))


def _lessons(config: SequenceConfig, labelled: Manifest, execute: Executor) -> tuple[Lesson, ...]:
    names = config.sequence.domains
    if unknown := [name for name in names if name not in labelled.domains]:
        known = ", ".join(labelled.domains) or "none"
        raise ConfigError([*(f"sequence.domains: there is no domain {n!r}" for n in unknown), f"domains: {known}"])
    normalize = sentence_identity(config.language)
    own = labelled.where("sequence", lambda u: u.domain in names and u.origin == "real")
    split = split_by_sentence(own, Shares(0.0, config.splits.test), normalize, config.seed)
    asked = {normalize(u.text) for u in split if u.split == "test"}
    train = capped(
        split.where("train", lambda u: u.split == "train" and normalize(u.text) not in asked),
        config.max_source_utterances,
    )
    parts = {n: (train.where(f"{n} train", in_domain(n)), _test(config, split, n)) for n in names}
    if empty := [name for name, (learnt, test) in parts.items() if not len(learnt) or not len(test)]:
        raise ConfigError(f"sequence.domains: {name} has nothing to train or to score on" for name in empty)
    calls = [synthesis_call(config, name, as_texts(learnt), config.synthesis) for name, (learnt, _) in parts.items()]
    spoken = execute(calls)
    return tuple(
        Lesson(name, stored_manifest(record), *parts[name]) for name, record in zip(names, spoken, strict=True)
    )


def _test(config: SequenceConfig, split: Manifest, name: str) -> Manifest:
    tests = [u for u in split if u.split == "test" and u.domain == name]
    tests.sort(key=lambda u: hashlib.sha256(f"{u.audio_digest}\x1f{u.id}".encode()).hexdigest())
    return Manifest(f"{name} test", tuple(tests[: config.sequence.max_test]))


def _vectors(config: SequenceConfig, base: Record, lessons: Sequence[Lesson], execute: Executor) -> dict[str, Record]:
    """The vector of each domain but the last, made while its recordings are there."""
    if not WITH_VECTOR & {*config.sequence.rows} or config.vector.published is not None:
        return {}
    normalize = sentence_identity(config.language)
    pairs = [paired(each.recordings, each.clips, normalize) for each in lessons[:-1]]
    real, clips = (concatenate(name, [pair[n] for pair in pairs]) for n, name in enumerate(("real", "clips")))
    scope = Scope("", real, clips, clips, (), run=f"vectors, seed {config.training_seed}")
    return domain_vectors(config, scope, domain_pairs(config, base, scope, execute), execute)


def _scores(
    config: SequenceConfig,
    base: Record,
    lessons: Sequence[Lesson],
    models: Mapping[tuple[str, int, int], Record],
    execute: Executor,
) -> dict[tuple[str, int, int, str], Evaluation]:
    """Every checkpoint on every domain; one that several rows share is scored once."""
    names: dict[Path, str] = {base.path: PRETRAINED}
    for (row, seed, after), model in models.items():
        names.setdefault(model.path, f"{row} {after} seed {seed}")
    records = {base.path: base} | {model.path: model for model in models.values()}
    systems = [System(name, records[path]) for path, name in names.items()]
    scored = score_systems(config, systems, [TestSet(each.name, each.test) for each in lessons], execute)
    found = {
        (row, seed, after, each.name): scored[names[model.path], each.name]
        for (row, seed, after), model in models.items()
        for each in lessons
    }
    started = {
        (row, seed, 0, each.name): scored[PRETRAINED, each.name]
        for row in config.sequence.rows
        for seed in config.seeds
        for each in lessons
    }
    return started | found
