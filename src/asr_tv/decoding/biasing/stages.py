"""The stages that biases are made by: n-grams of texts, and the encoder state of an internal language model."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from asr_tv.audio.recordings import read_audio
from asr_tv.data.manifest import Manifest
from asr_tv.data.text_files import read_bytes
from asr_tv.decoding.biasing.arpa import write_arpa
from asr_tv.decoding.biasing.ngram import Ngram, mix, train
from asr_tv.decoding.biasing.phrases import plain_encoder, text_tokens
from asr_tv.decoding.biasing.search import load_ngram, spellings
from asr_tv.devices import choose_device
from asr_tv.errors import DataError
from asr_tv.models.audio_context import FULL_SECONDS, encode, log_mel
from asr_tv.models.whisper import load_model, load_tokenizer, whisper_config
from asr_tv.store.payload import INTERNAL_LM, MODEL, NGRAM
from asr_tv.store.results import Identity, Produced, Record, write_atomically
from asr_tv.store.runtime import Runtime

_MOST_CLIPS = 32
"""An average over so many recordings moves little with more."""


def ngram_stage(
    runtime: Runtime, base: Record, texts: Manifest, background: Manifest, order: int, background_share: float
) -> Record:
    """The stage: an n-gram of texts as the labels of a training would spell them, mixed with one of other texts.

    Args:
        base: a checkpoint, for its vocabulary.
        background: texts of other domains, perhaps none.
        background_share: their weight in the mixture.

    Raises:
        DataError: every text that spells a control token.
    """
    parameters = {"order": order, "background_share": background_share if len(background) else 0.0}
    inputs = {"base": base.digest, "texts": texts.digest, "background": background.digest}

    def produce(scratch: Path) -> Produced:
        tokenizer = load_tokenizer(base.path / MODEL)
        end = whisper_config(base.path / MODEL).eos_token_id
        model = _of_texts(tokenizer, texts, order, end)
        if len(background) and background_share:
            model = mix(model, _of_texts(tokenizer, background, order, end), background_share)
        write_atomically(scratch / NGRAM, write_arpa(model, spellings(tokenizer, end)))
        read = [*texts.refs(), *(background.refs() if len(background) else ())]
        return Produced(tuple(read), {"grams": len(model.probabilities), "texts": len(texts)})

    return runtime.store.build(Identity("ngram", 1, parameters, inputs), produce)


def _of_texts(tokenizer: object, texts: Manifest, order: int, end: int) -> Ngram:
    encode_text, rows, problems = plain_encoder(tokenizer), [], []
    for u in texts:
        try:
            rows.append(text_tokens(encode_text, f" {u.text.strip()}", end))
        except ValueError as error:
            problems.append(f"{u.id}: {error}")
    if problems:
        raise DataError(problems)
    return train(rows, order, end)


def imported_ngram(runtime: Runtime, base: Record, path: Path) -> Record:
    """The stage: an ARPA file over the tokens of a recogniser, once it is known to be one.

    Raises:
        DataError: as `read_arpa`, or the file cannot be read.
    """
    data = read_bytes(path)
    end = whisper_config(base.path / MODEL).eos_token_id
    load_ngram(path, load_tokenizer(base.path / MODEL), end)

    def produce(scratch: Path) -> Produced:
        (scratch / NGRAM).write_bytes(data)
        return Produced()

    identity = Identity("imported_ngram", 1, {"sha256": hashlib.sha256(data).hexdigest()}, {"base": base.digest})
    return runtime.store.build(identity, produce)


def internal_lm_stage(runtime: Runtime, base: Record, speech: Manifest) -> Record:
    """The stage: the mean encoder state over recordings, with which a decoder is a language model of its own.

    An internal language model is estimated from the mean encoder state in Zeineldeen et al. 2021 (arXiv 2104.05544).

    Raises:
        DataError: no recording, or one that cannot be read.
    """
    spoken = sorted((u for u in speech if u.audio is not None), key=lambda u: (u.audio_digest or "", u.id))
    chosen = Manifest(speech.name, tuple(spoken[:_MOST_CLIPS]))
    if not len(chosen):
        raise DataError(f"{speech.name}: no recording to take an encoder state from")

    def produce(scratch: Path) -> Produced:
        device = choose_device(runtime.device)
        model = load_model(base.path / MODEL).to(device)
        mels = model.config.num_mel_bins
        means = []
        with torch.inference_mode(), runtime.progress(runtime.label or "internal lm", len(chosen), "clips") as advance:
            for u in chosen:
                wave = read_audio(Path(u.audio or ""), utterance=u.id)
                states = encode(model.model.encoder, log_mel([wave], FULL_SECONDS, mels, device))
                means.append(states.mean(dim=(0, 1)).cpu().numpy())
                advance()
        state = np.mean(means, axis=0).astype(float).tolist()
        write_atomically(scratch / INTERNAL_LM, json.dumps(state) + "\n")
        return Produced((chosen.ref(),), {"clips": len(chosen)})

    inputs = {"base": base.digest, "manifest": chosen.digest}
    return runtime.store.build(Identity("internal_lm", 1, {}, inputs), produce)
