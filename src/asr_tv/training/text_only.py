"""The stage that tunes a Whisper's decoder on texts without audio, as an internal language model.

After internal-LM adaptation (Meng et al. 2022, arXiv 2110.05354) and clairaudience (arXiv 2307.10274).
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_tv.config.biasing import TextOnlyConfig
from asr_tv.data.manifest import Manifest
from asr_tv.devices import choose_device
from asr_tv.errors import DataError
from asr_tv.models.vocabulary import load_tokenizer
from asr_tv.models.whisper import load_model, prompt_ids, save_checkpoint
from asr_tv.seeds import generator
from asr_tv.store.payload import MODEL
from asr_tv.store.results import Identity, Produced, Record
from asr_tv.store.runtime import Runtime
from asr_tv.training.labels import IGNORED, collate, token_ids

TUNED = ("self_attn.", "self_attn_layer_norm.", "fc1.", "fc2.", "final_layer_norm.")
"""Parts of each decoder layer that change; cross-attention, embedding and encoder stay."""


def text_only_stage(
    runtime: Runtime, base: Record, texts: Manifest, config: TextOnlyConfig, rho: float, seed: int, language: str
) -> Record:
    """The stage: (1 - rho) x cross-entropy of the texts + rho x KL(tuned decoder || base's), both without audio.

    The record's folder holds `model/`. An interrupted training starts anew: it takes seconds.

    Raises:
        DataError: no text, a loss that is not finite, or every text that is too long for the decoder.
    """
    if not len(texts):
        raise DataError(f"{texts.name}: no text to tune on")
    parameters = config.model_dump(mode="json", exclude={"rhos"}) | {"rho": rho, "language": language}

    def produce(scratch: Path) -> Produced:
        model = load_model(base.path / MODEL).to(choose_device(runtime.device))
        rows = _rows(base.path / MODEL, model.config, texts, language)
        with runtime.progress(runtime.label or "text only", config.epochs * len(rows), "texts") as advance:
            losses = _tune(model, rows, config, rho, seed, advance)
        save_checkpoint(model, base.path / MODEL, scratch / MODEL)
        return Produced(texts.refs(), {"epoch_losses": losses, "texts": len(texts)})

    inputs = {"base": base.digest, "texts": texts.digest}
    return runtime.store.build(Identity("text_only", 1, parameters, inputs, seed), produce)


def _rows(directory: Path, config: Any, texts: Manifest, language: str) -> list[tuple[Tensor, Tensor]]:
    """Inputs and labels of each text, shape (1, length)."""
    tokenizer = load_tokenizer(directory)
    prompt = prompt_ids(tokenizer, language)
    sequences = {u.id: token_ids(tokenizer, prompt, u.text, config.eos_token_id) for u in texts}
    most = config.max_target_positions
    if long := [f"{name}: its text has over {most} tokens" for name, s in sequences.items() if len(s) > most]:
        raise DataError(long)
    ordered = [sequences[name] for name in sorted(sequences)]
    return [collate([sequence], len(prompt), config.pad_token_id) for sequence in ordered]


def _tune(
    model: Any, rows: Sequence[tuple[Tensor, Tensor]], config: TextOnlyConfig, rho: float, seed: int, advance: Any
) -> list[float]:
    unchanged = copy.deepcopy(model).eval()
    tuned = _tuned_parameters(model)
    optimizer = torch.optim.AdamW(tuned, lr=config.learning_rate, weight_decay=0.0)
    losses = []
    for epoch in range(config.epochs):
        order = generator("text only", seed, epoch).permutation(len(rows))
        total = 0.0
        for start in range(0, len(rows), config.batch_size):
            batch = [rows[i] for i in order[start : start + config.batch_size]]
            loss = torch.stack([_loss(model, unchanged, inputs, labels, rho) for inputs, labels in batch]).mean()
            if not torch.isfinite(loss):
                raise DataError(f"text only: the loss became {loss.item()}: lower biasing.text_only.learning_rate")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(batch)
            advance(len(batch))
        losses.append(total / len(rows))
    return losses


def _tuned_parameters(model: Any) -> list[Tensor]:
    chosen = []
    for name, parameter in model.named_parameters():
        part = name.partition("model.decoder.layers.")[2].partition(".")[2]
        parameter.requires_grad_(part.startswith(TUNED))
        if parameter.requires_grad:
            chosen.append(parameter)
    return chosen


def _loss(model: Any, unchanged: Any, inputs: Tensor, labels: Tensor, rho: float) -> Tensor:
    """Of one text; the model stays in its inference mode, since nothing of Whisper's dropout is used in tuning."""
    device, scored = model.device, (labels != IGNORED)[0]
    log_p = _log_probabilities(model, inputs.to(device))[scored]
    with torch.no_grad():
        log_q = _log_probabilities(unchanged, inputs.to(device))[scored]
    entropy = torch.nn.functional.nll_loss(log_p, labels[0][scored].to(device))
    # Less both masses, which are one: so its gradient is exactly nought where both are equal, and Adam stays.
    divergence = (log_p.exp() * (log_p - log_q) - log_p.exp() + log_q.exp()).sum(-1).mean()
    return (1 - rho) * entropy + rho * divergence


def _log_probabilities(model: Any, inputs: Tensor) -> Tensor:
    """Ln P of every next token, shape (length, vocabulary): without encoder states, cross-attention is skipped."""
    hidden = model.model.decoder(input_ids=inputs, use_cache=False).last_hidden_state[0]
    return torch.log_softmax(model.proj_out(hidden).float(), dim=-1)
