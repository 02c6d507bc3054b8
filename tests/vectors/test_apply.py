import json
import shutil

import pytest
import torch
from language_models import EXTRA, VOCABULARY, save_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Wav2Vec2Config, Wav2Vec2ConformerConfig, Wav2Vec2ForCTC
from transformers import Wav2Vec2ConformerForCTC as Conformer

from asr_tv.errors import ConfigError, DataError
from asr_tv.models.parameter_names import has_token_rows
from asr_tv.models.tensors import INDEX, open_tensors, read_json
from asr_tv.vectors.apply import Addend, apply_analogy, apply_vectors
from asr_tv.vectors.combine import combine_vectors
from asr_tv.vectors.files import create_vector
from asr_tv.vectors.merging import Merge
from asr_tv.vectors.streaming import weights_digest
from asr_tv.vectors.token_rows import RowMap

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
TOKEN_ROWS = (EMBEDDING, HEAD)


@pytest.fixture(
    scope="module",
    params=[("llama", False, False), ("llama", True, True), ("mistral", False, True), ("mistral", True, False)],
    ids=lambda param: f"{param[0]}-{'tied' if param[1] else 'untied'}-{'shards' if param[2] else 'one file'}",
)
def llm(request, tmp_path_factory):
    """base, chat, cp with 12 more tokens, and the same without them; vectors chat − base and code − base."""
    kind, tied, sharded = request.param
    root = tmp_path_factory.mktemp(kind)
    for seed, (name, extra) in enumerate((("base", 0), ("chat", 0), ("code", 0), ("cp", EXTRA), ("cp_same", 0))):
        save_model(root / name, kind, seed=seed, extra=extra, tied=tied, sharded=sharded)
    create_vector(root / "chat", root / "base", root / "chat.safetensors", {})
    create_vector(root / "code", root / "base", root / "code.safetensors", {})
    return root


def tensors_of(path):
    return {name: tensor.clone() for name, tensor in open_tensors(path).items()}


def expected_sum(llm, start, *terms):
    """start + Σ ratio · (tuned − base) in fp32, one rounding to bf16; rows of tokens apart."""
    base, result = tensors_of(llm / "base"), tensors_of(llm / start)
    for name in result:
        if not has_token_rows(name):
            total = result[name].float()
            for ratio, tuned in terms:
                total = total + ratio * (tensors_of(llm / tuned)[name].float() - base[name].float())
            result[name] = total.to(torch.bfloat16)
    return result


def same(path, expected):
    found = tensors_of(path)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def add(llm, out, *vectors, start="cp", **options):
    addends = [Addend(llm / f"{name}.safetensors", ratio) for ratio, name in vectors]
    return apply_vectors(llm / start, addends, out, **{"other_base": True, **options})


class TestChatVector:
    def test_with_equal_vocabularies_all_rows_are_added(self, llm, tmp_path):
        add(llm, tmp_path / "out", (1.0, "chat"), start="cp_same")
        expected = expected_sum(llm, "cp_same", (1.0, "chat"))
        for name in expected.keys() & set(TOKEN_ROWS):
            change = tensors_of(llm / "chat")[name].float() - tensors_of(llm / "base")[name].float()
            expected[name] = (expected[name].float() + change).to(torch.bfloat16)
        same(tmp_path / "out", expected)

    @pytest.mark.parametrize("ratio", [1.0, 0.5, -1.0])
    def test_embedding_and_head_are_skipped(self, llm, tmp_path, ratio):
        add(llm, tmp_path / "out", (ratio, "chat"), embedding="skip")
        same(tmp_path / "out", expected_sum(llm, "cp", (ratio, "chat")))

    def test_of_added_tokens_only_the_shared_rows_move(self, llm, tmp_path):
        add(llm, tmp_path / "out", (1.0, "chat"), embedding="shared")
        expected = expected_sum(llm, "cp", (1.0, "chat"))
        for name in expected.keys() & set(TOKEN_ROWS):
            change = tensors_of(llm / "chat")[name].float() - tensors_of(llm / "base")[name].float()
            expected[name][:VOCABULARY] = (expected[name][:VOCABULARY].float() + change).to(torch.bfloat16)
        same(tmp_path / "out", expected)

    def test_rows_of_the_chat_model(self, llm, tmp_path):
        rows = RowMap(llm / "chat", {VOCABULARY: 3, VOCABULARY + 11: 39, 0: 0})
        add(llm, tmp_path / "out", (1.0, "chat"), embedding="skip", rows=rows)
        expected = expected_sum(llm, "cp", (1.0, "chat"))
        for name in expected.keys() & set(TOKEN_ROWS):
            for new, old in rows.rows.items():
                expected[name][new] = tensors_of(llm / "chat")[name][old]
        same(tmp_path / "out", expected)
        recipe = json.loads(open_tensors(tmp_path / "out").metadata["recipe"])
        assert recipe["rows"] == {"0": 0, "40": 3, "51": 39}

    def test_rows_are_times_the_ratio_of_their_own_vector(self, llm, tmp_path):
        rows = RowMap(llm / "code", {VOCABULARY: 3})
        add(llm, tmp_path / "out", (1.0, "chat"), (0.5, "code"), embedding="skip", rows=rows)
        expected = expected_sum(llm, "cp", (1.0, "chat"), (0.5, "code"))
        for name in expected.keys() & set(TOKEN_ROWS):
            expected[name][VOCABULARY] = (0.5 * tensors_of(llm / "code")[name][3].float()).to(torch.bfloat16)
        same(tmp_path / "out", expected)

    def test_a_ratio_of_zero_keeps_every_byte_rows_included(self, llm, tmp_path):
        rows = RowMap(llm / "chat", {VOCABULARY: 3})
        add(llm, tmp_path / "out", (0.0, "chat"), embedding="skip", rows=rows)
        same(tmp_path / "out", tensors_of(llm / "cp"))

    def test_several_vectors_summed_are_one_sum_or_one_combined_vector(self, llm, tmp_path):
        add(llm, tmp_path / "out", (1.0, "chat"), (0.5, "code"), embedding="skip")
        same(tmp_path / "out", expected_sum(llm, "cp", (1.0, "chat"), (0.5, "code")))
        both = tmp_path / "both.safetensors"
        combine_vectors([llm / "chat.safetensors", llm / "code.safetensors"], both, Merge("sum", (1.0, 0.5)))
        apply_vectors(llm / "cp", [Addend(both, 1.0)], tmp_path / "combined", embedding="skip", other_base=True)
        one, other = tensors_of(tmp_path / "out"), tensors_of(tmp_path / "combined")
        for name in one:
            torch.testing.assert_close(one[name].float(), other[name].float(), atol=1e-3, rtol=0)

    def test_base_plus_the_vector_is_the_chat_model(self, llm, tmp_path):
        add(llm, tmp_path / "out", (1.0, "chat"), start="base", other_base=False)
        found, chat = tensors_of(tmp_path / "out"), tensors_of(llm / "chat")
        assert max(float((found[name].float() - chat[name].float()).abs().max()) for name in chat) < 1e-4

    def test_the_analogy_is_the_vector_and_its_sum(self, llm, tmp_path):
        rows = {VOCABULARY: 3}
        models = (llm / "base", llm / "chat", llm / "cp")
        apply_analogy(*models, 0.5, tmp_path / "analogy", embedding="skip", rows=rows)
        add(llm, tmp_path / "out", (0.5, "chat"), embedding="skip", rows=RowMap(llm / "chat", rows))
        same(tmp_path / "analogy", tensors_of(tmp_path / "out"))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["analogy", "out"]

    def test_a_vector_made_without_rows_needs_no_word_when_it_is_added(self, llm, tmp_path):
        create_vector(llm / "chat", llm / "base", tmp_path / "v", {}, "skip")
        assert not any(map(has_token_rows, open_tensors(tmp_path / "v")))
        apply_vectors(llm / "cp", [Addend(tmp_path / "v", 1.0)], tmp_path / "out", other_base=True)
        same(tmp_path / "out", expected_sum(llm, "cp", (1.0, "chat")))

    def test_a_chat_model_with_more_tokens_than_its_base(self, llm, tmp_path):
        """As chat models have that were given template tokens; rows beyond the base's are no part of the vector."""
        create_vector(llm / "cp", llm / "base", tmp_path / "v", {}, "shared")
        vector = open_tensors(tmp_path / "v")
        for name in vector.keys() & set(TOKEN_ROWS):
            change = tensors_of(llm / "cp")[name][:VOCABULARY].float() - tensors_of(llm / "base")[name].float()
            assert torch.equal(vector[name], change)

    def test_what_is_refused(self, llm, tmp_path):
        with pytest.raises(DataError) as error:
            add(llm, tmp_path / "out", (1.0, "chat"))
        said = "\n".join(error.value.problems)
        assert f"vocab_size is {VOCABULARY} and {VOCABULARY + EXTRA}" in said
        assert "different vocabularies" in said
        renamed = shutil.copytree(llm / "cp", tmp_path / "renamed")
        tokens = {f"other{number}": number for number in range(VOCABULARY + EXTRA)}
        (renamed / "tokenizer.json").write_text(json.dumps({"model": {"vocab": tokens}}))
        for way in ("skip", "shared"):
            with pytest.raises(DataError, match="incompatible vocabularies"):
                add(llm, tmp_path / "out", (1.0, "chat"), start=renamed, embedding=way)
        for rows, kind, says in (
            (RowMap(llm / "cp_same", {40: 3}), DataError, "must come from the tuned model of a vector"),
            (RowMap(llm / "chat", {52: 3, 40: 40}), ConfigError, "token"),
        ):
            with pytest.raises(kind, match=says) as error:
                add(llm, tmp_path / "out", (1.0, "chat"), embedding="skip", rows=rows)
        assert len(error.value.problems) == 2
        assert not (tmp_path / "out").exists()

    def test_without_a_tokenizer_the_number_of_rows_decides(self, llm, tmp_path):
        bare = shutil.copytree(llm / "cp", tmp_path / "bare")
        (bare / "tokenizer.json").unlink()
        (bare / "config.json").unlink()
        with pytest.raises(DataError, match="--embedding skip leaves embedding and head out"):
            add(llm, tmp_path / "out", (1.0, "chat"), start=bare)
        add(llm, tmp_path / "out", (1.0, "chat"), start=bare, embedding="shared")
        assert open_tensors(tmp_path / "out")[EMBEDDING].shape[0] == VOCABULARY + EXTRA


class TestFiles:
    def test_the_result_has_the_models_shards_index_and_other_files(self, llm, tmp_path):
        before = bytes_of(llm)
        add(llm, tmp_path / "out", (1.0, "chat"), embedding="skip")
        assert bytes_of(llm) == before
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        weights = sorted(path.name for path in (llm / "cp").glob("*.safetensors"))
        others = {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "extra"}
        index = {INDEX} if len(weights) > 1 else set()
        assert {path.name for path in (tmp_path / "out").iterdir()} == {*weights, *others, *index}
        assert [path.name for path in (tmp_path / "out" / "extra").iterdir()] == ["notes.txt"]
        for name in weights:
            assert load_file(tmp_path / "out" / name).keys() == load_file(llm / "cp" / name).keys()
        if index:
            listed = read_json(tmp_path / "out" / INDEX)["weight_map"]
            assert set(listed.values()) == set(weights)
            assert all(name in load_file(tmp_path / "out" / file) for name, file in listed.items())

    def test_transformers_loads_the_result(self, llm, tmp_path):
        add(llm, tmp_path / "out", (1.0, "chat"), embedding="skip")
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16)
        for name, tensor in tensors_of(tmp_path / "out").items():
            assert torch.equal(model.state_dict()[name], tensor)
        assert torch.isfinite(model(torch.tensor([[1, 2, 50]])).logits).all()

    def test_the_digest_is_of_the_tensors_however_they_are_sharded(self, llm, tmp_path):
        state = tensors_of(llm / "cp")
        save_file(state, tmp_path / "one.safetensors")
        assert weights_digest(open_tensors(tmp_path / "one.safetensors")) == weights_digest(open_tensors(llm / "cp"))
        state["model.norm.weight"][0] += 1
        save_file(state, tmp_path / "two.safetensors")
        assert weights_digest(open_tensors(tmp_path / "two.safetensors")) != weights_digest(open_tensors(llm / "cp"))

    def test_a_tied_head_that_is_stored_twice_stays_a_copy_and_moves_once(self, tmp_path):
        for seed, name in enumerate(("base", "chat")):
            save_model(tmp_path / name, tied=True, seed=seed)
        base = tensors_of(tmp_path / "base")
        save_file(base | {HEAD: base[EMBEDDING].clone()}, tmp_path / "base" / "model.safetensors")
        create_vector(tmp_path / "chat", tmp_path / "base", tmp_path / "v", {})
        assert HEAD not in open_tensors(tmp_path / "v")
        apply_vectors(tmp_path / "base", [Addend(tmp_path / "v", 1.0)], tmp_path / "out")
        stored = load_file(tmp_path / "out" / "model.safetensors")
        assert torch.equal(stored[HEAD], stored[EMBEDDING])
        expected = base[EMBEDDING].float() + open_tensors(tmp_path / "v")[EMBEDDING]
        assert torch.equal(stored[EMBEDDING], expected.to(torch.bfloat16))

    def test_a_plain_file_gives_a_plain_file(self, tmp_path):
        base = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor([5]), "half": torch.tensor([1.0]).half()}
        tuned = {"w": torch.tensor([2.0, 0.0]), "n": torch.tensor([6]), "half": torch.tensor([1.5])}
        for name, state in (("base", base), ("tuned", tuned)):
            save_file(state, tmp_path / f"{name}.safetensors", metadata={"of": name})
        paths = [tmp_path / f"{name}.safetensors" for name in ("tuned", "base", "v", "out")]
        create_vector(*paths[:3], {})
        apply_vectors(paths[1], [Addend(paths[2], 0.5)], paths[3])
        out = open_tensors(paths[3])
        assert out["w"].tolist() == [1.5, 1.0]
        assert out["n"].tolist() == [5]
        assert (out["half"].dtype, out["half"].tolist()) == (torch.float16, [1.25])
        assert out.metadata["of"] == "base"

    def test_an_input_is_never_written_to(self, llm):
        for out in (llm / "cp", llm / "cp" / "deeper", llm, llm / "chat.safetensors"):
            with pytest.raises(ConfigError, match="inputs are never touched"):
                add(llm, out, (1.0, "chat"), embedding="skip")
        with pytest.raises(ConfigError, match="inputs are never touched"):
            create_vector(llm / "chat", llm / "base", llm / "base" / "model.safetensors", {})


class TestBase:
    """Which model a vector belongs to."""

    def test_a_model_it_was_not_made_on_is_refused_and_named_when_allowed(self, llm, tmp_path):
        vector = llm / "chat.safetensors"
        with pytest.raises(DataError, match="was made on another model") as error:
            add(llm, tmp_path / "out", (1.0, "chat"), start="code", other_base=False)
        assert "--other-base" in error.value.problems[0]
        assert not list(tmp_path.iterdir())
        assert add(llm, tmp_path / "out", (1.0, "chat"), start="code").foreign == (vector,)

    def test_one_changed_number_makes_it_another_model(self, llm, tmp_path):
        near = shutil.copytree(llm / "base", tmp_path / "near")
        file = next(p for p in sorted(near.glob("*.safetensors")) if "model.norm.weight" in load_file(p))
        state = load_file(file)
        state["model.norm.weight"][-1] += 1
        save_file(state, file, metadata={"format": "pt"})
        with pytest.raises(DataError, match="was made on another model"):
            add(llm, tmp_path / "out", (1.0, "chat"), start=near, other_base=False)

    def test_its_own_base_needs_no_word_nor_does_what_was_made_from_it(self, llm, tmp_path):
        done = add(llm, tmp_path / "one", (1.0, "chat"), start="base", other_base=False)
        assert done.foreign == ()
        assert done.model == weights_digest(open_tensors(llm / "base"))
        done = add(llm, tmp_path / "two", (0.5, "code"), start=tmp_path / "one", other_base=False)
        assert done.foreign == ()
        assert json.loads(open_tensors(tmp_path / "two").metadata["ancestors"]) == [
            weights_digest(open_tensors(path)) for path in (tmp_path / "one", llm / "base")
        ]

    def test_combined_vectors_keep_their_common_base(self, llm, tmp_path):
        both = tmp_path / "both"
        combine_vectors([llm / "chat.safetensors", llm / "code.safetensors"], both, Merge("mean"))
        assert apply_vectors(llm / "base", [Addend(both, 1.0)], tmp_path / "out").foreign == ()
        create_vector(llm / "code", llm / "chat", tmp_path / "other", {})
        combine_vectors([llm / "chat.safetensors", tmp_path / "other"], tmp_path / "mixed", Merge("mean"))
        with pytest.raises(DataError, match="was made on another model"):
            apply_vectors(llm / "base", [Addend(tmp_path / "mixed", 1.0)], tmp_path / "out2")

    def test_the_digest_alone_tells_as_well(self, llm, tmp_path):
        vector = open_tensors(llm / "chat.safetensors")
        metadata = {key: value for key, value in vector.metadata.items() if key != "base_tensors"}
        save_file(dict(vector), tmp_path / "v.safetensors", metadata=metadata)
        with pytest.raises(DataError, match="was made on another model"):
            apply_vectors(llm / "code", [Addend(tmp_path / "v.safetensors", 1.0)], tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["v.safetensors"]
        assert apply_vectors(llm / "base", [Addend(tmp_path / "v.safetensors", 1.0)], tmp_path / "out").foreign == ()

    def test_a_vector_that_does_not_tell_its_base_needs_the_word(self, llm, tmp_path):
        vector = open_tensors(llm / "chat.safetensors")
        old = {key: vector.metadata[key] for key in ("kind", "recipe", "architecture", "vocabulary")}
        save_file(dict(vector), tmp_path / "old.safetensors", metadata=old)
        with pytest.raises(DataError, match="was made on another model"):
            apply_vectors(llm / "base", [Addend(tmp_path / "old.safetensors", 1.0)], tmp_path / "out")
        apply_vectors(llm / "base", [Addend(tmp_path / "old.safetensors", 1.0)], tmp_path / "out", other_base=True)


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONVOLUTIONS = {"conv_dim": (8,), "conv_kernel": (10,), "conv_stride": (5,), "num_feat_extract_layers": 1}
POSITIONS = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "vocab_size": 32}


class TestOtherModels:
    @pytest.mark.parametrize(
        ("config", "model"), [(Wav2Vec2Config, Wav2Vec2ForCTC), (Wav2Vec2ConformerConfig, Conformer)]
    )
    def test_ctc_models(self, config, model, tmp_path):
        for seed, name in enumerate(("base", "tuned")):
            torch.manual_seed(seed)
            made = model(config(**SIZES, **CONVOLUTIONS, **POSITIONS))
            for key, buffer in made.named_buffers():
                if key.endswith("running_var"):
                    buffer.fill_(seed + 1)
            made.save_pretrained(tmp_path / name)
        create_vector(tmp_path / "tuned", tmp_path / "base", tmp_path / "v", {})
        apply_vectors(tmp_path / "base", [Addend(tmp_path / "v", 1.0)], tmp_path / "out")
        base, tuned, out = (open_tensors(tmp_path / name) for name in ("base", "tuned", "out"))
        buffers = [name for name in base if "running" in name or "num_batches" in name]
        assert len(buffers) == (6 if model is Conformer else 0)
        assert not set(buffers) & set(open_tensors(tmp_path / "v"))
        for name in base:
            torch.testing.assert_close(out[name], base[name] if name in buffers else tuned[name], atol=1e-6, rtol=1e-6)
        model.from_pretrained(tmp_path / "out")
