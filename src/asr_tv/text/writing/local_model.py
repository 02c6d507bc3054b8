"""A language model on this machine, through transformers."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asr_tv.devices import choose_device, shape_independent_attention
from asr_tv.errors import ConfigError
from asr_tv.store.results import canonical_json

_SHORTEST_ANSWER = 40
"""Tokens: a few sentences."""


@dataclass(frozen=True)
class LocalWriter:
    """A causal language model by name, folder or .gguf file; its sampling is reproducible by seed on one machine."""

    model: str
    device: str = "auto"
    temperature: float = 0.9
    new_tokens: int = 400

    @property
    def name(self) -> str:
        return canonical_json([self.model, self.temperature, self.new_tokens])

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        where = self.model
        more: dict[str, str] = {}
        if self.model.endswith(".gguf"):
            where, more["gguf_file"] = str(Path(self.model).parent), Path(self.model).name
        try:
            tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **more)  # nosec B615 - the user's
            model: Any = AutoModelForCausalLM.from_pretrained(where, trust_remote_code=False, **more)  # nosec B615
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            raise ConfigError(f"{self.model}: does not load as a language model: {error}") from error
        return tokenizer, model.to(choose_device(self.device)).eval()

    def answer(self, prompt: str, seed: int) -> str:
        """The continuation of the prompt, which is put into the model's chat template if it has one.

        Raises:
            ConfigError: the model does not load, or its context has no room for an answer to the prompt.
        """
        import torch

        tokenizer, model = self._loaded
        if getattr(tokenizer, "chat_template", None):
            messages = [{"role": "user", "content": prompt}]
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
        inputs.pop("token_type_ids", None)
        new_tokens = self._room_for_answer(model, inputs["input_ids"].shape[1])
        with torch.random.fork_rng(), torch.inference_mode(), shape_independent_attention(model.device):
            torch.manual_seed(seed)
            ids = model.generate(**inputs, do_sample=True, temperature=self.temperature, max_new_tokens=new_tokens)
        return str(tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    def _room_for_answer(self, model: Any, prompt: int) -> int:
        """The most tokens of an answer that the model's context holds beside a prompt of so many."""
        names = ("max_position_embeddings", "n_positions", "n_ctx")
        context = next(
            (size for name in names if (size := getattr(model.config, name, None))), prompt + self.new_tokens
        )
        if context - prompt < _SHORTEST_ANSWER:
            advice = "give fewer or shorter sentences, or a model with a longer context"
            raise ConfigError(f"{self.model}: {prompt} tokens of prompt in a context of {context}: {advice}")
        return min(self.new_tokens, int(context) - prompt)
