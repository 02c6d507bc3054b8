import pickle

import pytest
import torch

from asr_tv.errors import DataError
from asr_tv.models.openai import read_openai, transformers_name


def whisper_state():
    from whisper.model import ModelDimensions, Whisper

    dims = ModelDimensions(80, 10, 64, 1, 2, 100, 12, 64, 1, 2)
    return vars(dims), Whisper(dims).state_dict()


def test_every_parameter_of_openais_class_has_its_name_in_transformers():
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    small = {"encoder_layers": 2, "decoder_layers": 2, "d_model": 64, "vocab_size": 100, "max_source_positions": 10}
    heads = {f"{side}_attention_heads": 1 for side in ("encoder", "decoder")}
    ffn = {f"{side}_ffn_dim": 256 for side in ("encoder", "decoder")}
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    config = WhisperConfig(**small, **heads, **ffn, **special, max_target_positions=12)
    theirs = WhisperForConditionalGeneration(config).state_dict()
    del theirs["proj_out.weight"]
    _, state = whisper_state()
    renamed = {transformers_name(name): tuple(tensor.shape) for name, tensor in state.items()}
    assert renamed == {name: tuple(tensor.shape) for name, tensor in theirs.items()}


def test_a_checkpoint_is_read_with_its_dimensions(tmp_path):
    dims, state = whisper_state()
    torch.save({"dims": dims, "model_state_dict": state}, tmp_path / "m.pt")
    read, tensors = read_openai(tmp_path / "m.pt")
    assert read["n_text_layer"] == 2
    assert torch.equal(tensors["model.decoder.embed_tokens.weight"], state["decoder.token_embedding.weight"])
    assert torch.equal(
        tensors["model.encoder.layers.1.self_attn.k_proj.weight"], state["encoder.blocks.1.attn.key.weight"]
    )


class Payload:
    def __reduce__(self):
        return (print, ("executed",))


def test_code_is_not_executed(tmp_path, capsys):
    torch.save({"dims": {}, "model_state_dict": {"x": Payload()}}, tmp_path / "torch.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload(), protocol=2))
    for name in ("torch.pt", "plain.pt"):
        with pytest.raises(DataError, match=f"{name}: is not a checkpoint of plain weights"):
            read_openai(tmp_path / name)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "has no dims and model_state_dict"),
        ([1, 2], "has no dims and model_state_dict"),
        ({"dims": {}, "model_state_dict": {"a": 1}}, "a is not a tensor"),
        ({"dims": {}, "model_state_dict": {"lora.a": torch.ones(1)}}, "lora.a is not a tensor of openai-whisper"),
    ],
)
def test_other_contents(tmp_path, content, message):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(DataError, match=message):
        read_openai(tmp_path / "m.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_damaged_files(tmp_path, content):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"m\.pt: is not a checkpoint of plain weights"):
        read_openai(tmp_path / "m.pt")
