"""The row of a decoder tuned on the target's texts alone; how much it may change is chosen on the folds."""

from collections.abc import Sequence

from asr_tv.config.biasing import TextOnlyConfig
from asr_tv.config.run import AdaptConfig
from asr_tv.data.manifest import Manifest, in_domain
from asr_tv.pipeline.execution.executor import Executor, Step, call
from asr_tv.pipeline.hearing import Heard, RowChoice, hearing
from asr_tv.pipeline.material import Material
from asr_tv.pipeline.scoring import Hearing, score_hearings
from asr_tv.report.systems import TEXT_ONLY_DECODER
from asr_tv.store.records import Purpose
from asr_tv.store.results import Record
from asr_tv.training.text_only import text_only_stage


def text_only_row(
    config: AdaptConfig,
    settings: TextOnlyConfig,
    material: Material,
    test: Manifest,
    folds: Sequence[str],
    execute: Executor,
) -> tuple[Hearing, RowChoice]:
    """The row's decoding of the test, and its choice; without folds the largest rho, which changes least."""
    rhos = sorted(settings.rhos, reverse=True)
    tried: dict[float, tuple[int, int]] = dict.fromkeys(rhos, (0, 0))
    for fold in folds if len(rhos) > 1 else ():
        texts = material.source_train.where(f"{fold} texts", in_domain(fold))
        dev = material.source_dev.where(f"{fold} dev", in_domain(fold))
        models = [_tuned(config, settings, material.base, texts, rho, fold, execute) for rho in rhos]
        hearings = [
            hearing(config, Heard(f"{TEXT_ONLY_DECODER}, rho {rho:g}", model, dev, fold=fold), None, "")
            for rho, model in zip(rhos, models, strict=True)
        ]
        for rho, scored in zip(rhos, score_hearings(config, hearings, execute), strict=True):
            errors, words = tried[rho]
            tried[rho] = errors + scored.word_counts.errors, words + scored.word_counts.words
    rho = min(rhos, key=lambda rho: tried[rho][0])
    model = _tuned(config, settings, material.base, material.target_texts, rho, "", execute)
    compared = tuple(({"rho": rho}, *counts) for rho, counts in tried.items()) if folds else ()
    chosen = RowChoice(TEXT_ONLY_DECODER, {"rho": rho}, compared)
    return hearing(config, Heard(TEXT_ONLY_DECODER, model, test), None, ""), chosen


def _tuned(
    config: AdaptConfig,
    settings: TextOnlyConfig,
    base: Record,
    texts: Manifest,
    rho: float,
    fold: str,
    execute: Executor,
) -> Record:
    purpose: Purpose = "choice" if fold else "scoring"
    step = Step("text only", f"rho {rho:g}", fold=fold, purpose=purpose, options=config.run)
    (record,) = execute([call(step, text_only_stage, base, texts, settings, rho, config.seed, config.language)])
    return record
