"""Scores hypotheses against the references of a manifest; evaluations are written to a folder and read back."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr_tv.config.run import ScoringConfig
from asr_tv.data.manifest import Manifest, Utterance
from asr_tv.decoding.hypotheses import read_hypotheses
from asr_tv.errors import DataError
from asr_tv.scoring.evaluation import Conditions, Evaluation, Scalar, UtteranceScore, decoding_pairs
from asr_tv.scoring.wer import ErrorCounts, count_characters, count_words
from asr_tv.store.results import write_atomically
from asr_tv.text.normalize import CHARACTERS, Normalizer, get_normalizer

ROWS = "evaluation.jsonl"
SUMMARY = "evaluation.json"
_SHOWN_IDS = 5


def evaluate(
    reference: Manifest,
    hypotheses: Mapping[str, str],
    normalizer: str,
    *,
    checkpoint: str | None = None,
    decoding: Mapping[str, Scalar] | None = None,
) -> Evaluation:
    """Word and character errors of every utterance; both texts pass the same normaliser.

    An utterance whose normalised reference is empty is kept: words recognised in it count as insertions.
    The digest of the checkpoint and the options of the decoder are for the conditions.

    Raises:
        DataError: the manifest is empty, or references and hypotheses have different ids.
        ConfigError: unknown normaliser.
    """
    normalize = get_normalizer(normalizer)
    _require_same_ids(reference, hypotheses)
    rows = (_score_utterance(utterance, hypotheses[utterance.id], normalize) for utterance in reference)
    options = decoding_pairs(decoding or {})
    conditions = Conditions(checkpoint, reference.digest, options, normalize.name, normalize.version)
    return Evaluation(tuple(sorted(rows, key=lambda row: row.id)), conditions)


def _score_utterance(utterance: Utterance, hypothesis: str, normalize: Normalizer) -> UtteranceScore:
    expected, found = normalize(utterance.text), normalize(hypothesis)
    words = count_words(expected, found)
    return UtteranceScore(
        id=utterance.id,
        domain=utterance.domain,
        sentence=expected,
        reference=utterance.text,
        hypothesis=hypothesis,
        word_counts=words,
        character_counts=words if normalize.name == CHARACTERS else count_characters(expected, found),
        heard=found,
        raw_word_counts=count_words(utterance.text, hypothesis),
        speaker=utterance.speaker,
    )


def _require_same_ids(reference: Manifest, hypotheses: Mapping[str, str]) -> None:
    if not len(reference):
        raise DataError(f"{reference.name}: no utterances to score")
    expected = {utterance.id for utterance in reference}
    missing, unknown = expected - hypotheses.keys(), hypotheses.keys() - expected
    found = {"no hypothesis for": missing, "hypotheses for unknown": unknown}
    problems = [f"{reference.name}: {what} {_list_ids(ids)}" for what, ids in found.items() if ids]
    if problems:
        raise DataError(problems)


def _list_ids(ids: set[str]) -> str:
    first = ", ".join(map(repr, sorted(ids)[:_SHOWN_IDS]))
    return f"{len(ids)} id{'s' if len(ids) > 1 else ''}: {first}{', ...' if len(ids) > _SHOWN_IDS else ''}"


def score_file(
    reference: Manifest,
    hypotheses: Path,
    config: ScoringConfig,
    folder: Path,
    *,
    checkpoint: str | None = None,
    decoding: Mapping[str, Scalar] | None = None,
) -> Evaluation:
    """Scores a file of hypotheses and writes the evaluation into `folder`.

    Raises:
        DataError: as `read_hypotheses` and `evaluate`.
    """
    heard = read_hypotheses(hypotheses)
    evaluation = evaluate(reference, heard, config.normalizer, checkpoint=checkpoint, decoding=decoding)
    write_evaluation(evaluation, folder)
    return evaluation


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Writes `evaluation.jsonl`, one utterance per line, then `evaluation.json`, conditions and totals.

    Equal evaluations give equal bytes.
    """
    lines = "".join(json.dumps(asdict(row), ensure_ascii=False, sort_keys=True) + "\n" for row in evaluation.utterances)
    summary = {
        "conditions": {**asdict(evaluation.conditions), "decoding": dict(evaluation.conditions.decoding)},
        "word_counts": asdict(evaluation.word_counts),
        "character_counts": asdict(evaluation.character_counts),
        "raw_word_counts": asdict(evaluation.raw_word_counts),
        "utterances": len(evaluation.utterances),
    }
    write_atomically(folder / ROWS, lines)
    write_atomically(folder / SUMMARY, json.dumps(summary, ensure_ascii=False, sort_keys=True, indent=1) + "\n")


def read_evaluation(folder: Path) -> Evaluation:
    """Reads what `write_evaluation` wrote, in this version or an earlier one.

    Raises:
        DataError: a file is missing, is not an evaluation, or its rows do not add up to its totals.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        lines = (folder / ROWS).read_text(encoding="utf-8").split("\n")
        decoding = decoding_pairs(summary["conditions"]["decoding"])
        conditions = Conditions(**{**summary["conditions"], "decoding": decoding})
        rows = tuple(_parse_row(json.loads(line), conditions) for line in lines if line)
        evaluation = Evaluation(rows, conditions)
        totals = ErrorCounts(**summary["word_counts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder}: not an evaluation: {error!r}") from error
    if evaluation.word_counts != totals or len(evaluation.utterances) != summary["utterances"]:
        raise DataError(f"{folder}: {ROWS} does not add up to the totals in {SUMMARY}")
    return evaluation


def _parse_row(row: Any, conditions: Conditions) -> UtteranceScore:
    if "heard" not in row:  # as version 1 wrote it
        heard = get_normalizer(conditions.normalizer)(row["hypothesis"])
        row = row | {"heard": heard, "raw_word_counts": asdict(count_words(row["reference"], row["hypothesis"]))}
    counts = {key: ErrorCounts(**row[key]) for key in ("word_counts", "character_counts", "raw_word_counts")}
    return UtteranceScore(**{**row, **counts})
