"""WER as the released SYN2REAL code counts it: the normalised hypothesis against the raw reference. Never instead."""

from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.wer import ErrorCounts, count_words
from asr_tv.text.normalize import get_normalizer


def paper_word_counts(evaluation: Evaluation) -> ErrorCounts:
    """Pooled word errors of the released test script, for comparing with numbers that it printed.

    A perfect system does not score 0 by it: "what's" in the reference never equals the normalised "what is".
    """
    normalize = get_normalizer("english")
    counts = (count_words(row.reference, normalize(row.hypothesis)) for row in evaluation.utterances)
    return sum(counts, ErrorCounts())
