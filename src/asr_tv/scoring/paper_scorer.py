"""WER as the released SYN2REAL code counts it: the normalised hypothesis against the raw reference."""

from asr_tv.scoring.evaluation import Evaluation
from asr_tv.scoring.wer import ErrorCounts, count_words
from asr_tv.text.normalize import get_normalizer


def paper_word_counts(evaluation: Evaluation) -> ErrorCounts:
    """Pooled word errors as the released test script counts them, only for comparison with published numbers.

    A perfect system does not score 0: "what's" in the reference never equals the normalised "what is".
    """
    normalize = get_normalizer("english")
    counts = (count_words(row.reference, normalize(row.hypothesis)) for row in evaluation.utterances)
    return sum(counts, ErrorCounts())
