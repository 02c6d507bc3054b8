"""Beams and fusion in both engines, against exhaustive search and against scores computed anew."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_tv.decoding.biasing.fusion import Fusion
from asr_tv.decoding.biasing.ngram import END, train
from asr_tv.decoding.biasing.processor import CANDIDATES, FusionProcessor
from asr_tv.decoding.biasing.search import Search
from asr_tv.decoding.biasing.trie import PhraseTrie
from asr_tv.decoding.whisper_ctranslate2 import CTranslate2Decoder
from asr_tv.decoding.whisper_torch import TorchDecoder
from asr_tv.models.audio_context import encode
from asr_tv.models.whisper import load_model, load_tokenizer, prompt_ids, whisper_config
from asr_tv.testing.whisper import tiny_whisper

CPU = torch.device("cpu")
LETTERS = (65, 66, 67)  # the text tokens that the model below may choose
LIMIT = 3


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Whisper that knows three letters and the end."""
    folder = tiny_whisper(tmp_path_factory.mktemp("search") / "model", seed=3)
    config = whisper_config(folder)
    others = [t for t in range(config.vocab_size) if t not in (*LETTERS, config.eos_token_id)]
    file = folder / "generation_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"suppress_tokens": others, "begin_suppress_tokens": None}))
    return folder


@pytest.fixture(scope="module")
def end(directory: Path) -> int:
    return int(whisper_config(directory).eos_token_id)


@pytest.fixture(scope="module")
def prompt(directory: Path) -> tuple[int, ...]:
    return prompt_ids(load_tokenizer(directory), "en")


@pytest.fixture(scope="module")
def features(directory: Path) -> torch.Tensor:
    return torch.randn(3, whisper_config(directory).num_mel_bins, 200, generator=torch.Generator().manual_seed(1))


def fusion_of(end: int, **options: Any) -> Fusion:
    a, b, c = LETTERS
    trie = PhraseTrie([[a, b], [b, b, c], [c, a]], boost=0.7)
    return Fusion(end, trie, train([[a, b, c], [c, c], [b]], 3, end), alpha=0.4, beta=0.2, take_back=True, **options)


def log_probabilities(
    directory: Path, states: torch.Tensor, begin: Sequence[int], text: Sequence[int], end: int
) -> Any:
    """ln P of every next token at each place of a text, over what is not suppressed."""
    model = load_model(directory)
    ids = torch.tensor([[*begin, *text]])
    hidden = model.model.decoder(input_ids=ids, encoder_hidden_states=states[None]).last_hidden_state
    logits = model.proj_out(hidden)[0, len(begin) - 1 :]
    allowed = torch.full((logits.shape[-1],), -torch.inf)
    allowed[[*LETTERS, end]] = 0.0
    return torch.log_softmax(logits + allowed, -1)


def exhaustive(directory: Path, states: torch.Tensor, begin: Sequence[int], fusion: Fusion) -> tuple[int, ...]:
    """Of all texts that end within the limit or reach it, the best by mean score of their tokens."""
    scores: dict[tuple[int, ...], float] = {}
    for length in range(LIMIT + 1):
        for text in product(LETTERS, repeat=length):
            whole = (*text, fusion.end) if length < LIMIT else text
            probabilities = log_probabilities(directory, states, begin, text, fusion.end)
            state, total = fusion.start, 0.0
            for place, token in enumerate(whole):
                total += float(probabilities[place, token]) + fusion.added(state, [token])[0]
                state = fusion.advance(state, token)
            scores[whole] = total / len(whole)
    return max(scores, key=scores.__getitem__)


@torch.inference_mode()
def test_a_beam_wide_enough_is_exhaustive_search(
    directory: Path, prompt: tuple[int, ...], features: torch.Tensor, end: int
) -> None:
    fusion = fusion_of(end)
    decoder = TorchDecoder(directory, prompt, None, CPU, Search(40, fusion), bf16=False)
    found = [tuple(row) for row in decoder.tokens(features, LIMIT)]
    states = encode(load_model(directory).model.encoder, features)
    expected = [exhaustive(directory, row, prompt, fusion) for row in states]
    assert [row[: row.index(end) + 1] if end in row else row for row in found] == expected
    assert len(set(expected)) > 1 or expected[0] != (LETTERS[0],) * LIMIT


@torch.inference_mode()
def test_greedy_takes_the_best_fused_token_at_each_place(
    directory: Path, prompt: tuple[int, ...], features: torch.Tensor, end: int
) -> None:
    fusion = fusion_of(end)
    decoder = TorchDecoder(directory, prompt, None, CPU, Search(1, fusion), bf16=False)
    states = encode(load_model(directory).model.encoder, features)
    for row, encoded in zip(decoder.tokens(features, 6), states, strict=True):
        text: list[int] = []
        state = fusion.start
        while len(text) < 6 and end not in text:
            p = log_probabilities(directory, encoded, prompt, text, end)[-1]
            options = [*LETTERS, end]
            fused = [float(p[o]) + added for o, added in zip(options, fusion.added(state, options), strict=True)]
            text.append(options[fused.index(max(fused))])
            state = fusion.advance(state, text[-1])
        assert row[: len(text)] == text


class TestNothingAdded:
    @pytest.mark.parametrize("previous", [(), (66, 65)])
    def test_weights_of_nought_change_nothing(
        self, directory: Path, prompt: tuple[int, ...], features: torch.Tensor, end: int, previous: tuple[int, ...]
    ) -> None:
        nothing = Fusion(end, PhraseTrie([LETTERS], 0.0), train([LETTERS], 2, end))
        plain, fused = (
            TorchDecoder(directory, prompt, None, CPU, search, bf16=False).tokens(features, 12, previous)
            for search in (Search(), Search(1, nothing))
        )
        assert plain == fused

    def test_both_engines_agree_on_a_prompt_and_on_beams(
        self, directory: Path, prompt: tuple[int, ...], features: torch.Tensor, tmp_path: Path
    ) -> None:
        previous = (load_tokenizer(directory).convert_tokens_to_ids("<|startofprev|>"), 66, 65)
        for beams in (1, 3):
            search = Search(beams)
            torch_rows = TorchDecoder(directory, prompt, None, CPU, search, bf16=False).tokens(features, 4, previous)
            other = CTranslate2Decoder(directory, prompt, CPU, search, "fp32", tmp_path / "place")
            ct2_rows = other.tokens(features, 4, previous)
            assert [row[:4] for row in torch_rows] == [(row + row[-1:] * 4)[:4] for row in ct2_rows]


@torch.inference_mode()
def test_ctranslate2_rescores_whole_texts(
    directory: Path, prompt: tuple[int, ...], features: torch.Tensor, end: int, tmp_path: Path
) -> None:
    """With ten beams and three places its list holds the best texts; the reference scores them by torch."""
    fusion = fusion_of(end)
    decoder = CTranslate2Decoder(directory, prompt, CPU, Search(1, fusion), "fp32", tmp_path / "place")
    states = encode(load_model(directory).model.encoder, features)
    heard: list[Any] = []
    generate = decoder._model.generate

    class Listening:
        def generate(self, *args: Any, **options: Any) -> Any:
            heard.extend(generate(*args, **options))
            return heard

    decoder._model = Listening()
    rows = decoder.tokens(features, LIMIT)
    for row, result, encoded in zip(rows, heard, states, strict=True):
        totals = {}
        for text, score in zip(result.sequences_ids, result.scores, strict=True):
            p = log_probabilities(directory, encoded, prompt, text, end)
            whole = [*text, end] if len(text) < LIMIT else list(text)
            own = sum(float(p[place, token]) for place, token in enumerate(whole))
            assert score * max(1, len(text)) == pytest.approx(own, abs=1e-3)
            totals[tuple(text)] = own + fusion.total(text)
        assert tuple(t for t in row if t != end) == max(totals, key=totals.__getitem__)


class TestProcessor:
    def test_only_the_recogniser_s_best_can_win(self) -> None:
        scores = torch.arange(100.0).flip(0)[None] * 0.01
        fusion = Fusion(1000, PhraseTrie([[10], [CANDIDATES + 5]], 50.0))
        fused = FusionProcessor(fusion, begin=1)(torch.tensor([[7]]), scores)
        assert int(fused.argmax()) == 10
        assert int(torch.isfinite(fused).sum()) == CANDIDATES

    def test_its_own_language_model_is_subtracted_from_text_alone(self) -> None:
        """Tokens: two of text, the end, a timestamp."""
        scores = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()
        internal = torch.tensor([[0.9, 0.05, 0.02, 0.03]]).log()
        ngram = train([[1]], 1, 2)
        processor = FusionProcessor(Fusion(2, ngram=ngram, alpha=0.5, beta=0.1), 1, lambda _: internal, gamma=0.3)
        fused = processor(torch.tensor([[7]]), scores)[0]
        for token in (0, 1):
            added = 0.5 * ngram.log_probability((), token) + 0.1 - 0.3 * float(internal[0, token])
            assert float(fused[token] - scores[0, token]) == pytest.approx(added, abs=1e-6)
        assert float(fused[2] - scores[0, 2]) == pytest.approx(0.5 * ngram.log_probability((), END), abs=1e-6)
        assert float(fused[3] - scores[0, 3]) == pytest.approx(0.0, abs=1e-6)

    def test_what_is_suppressed_stays_so(self) -> None:
        scores = torch.tensor([[0.0, -torch.inf, -1.0]])
        fused = FusionProcessor(Fusion(3, PhraseTrie([[1]], 9.0)), 1)(torch.tensor([[7]]), scores)
        assert float(fused[0, 1]) == -torch.inf


def test_the_internal_language_model_hears_nothing(
    directory: Path, prompt: tuple[int, ...], features: torch.Tensor, end: int
) -> None:
    """With the one encoder state that it is given, whatever the features: a large weight silences what is likely."""
    state = torch.zeros(1, 1, whisper_config(directory).d_model)
    fusion = Fusion(end, ngram=train([LETTERS], 1, end))
    plain, without = (
        TorchDecoder(directory, prompt, None, CPU, Search(1, fusion, state, gamma), bf16=False).tokens(features, 4)
        for gamma in (0.0, 1.0)
    )
    assert plain != without
