import json
import sys

import pytest
import torch

from asr_tv import cli
from asr_tv.models.tensors import open_tensors
from asr_tv.testing.whisper import tiny_whisper
from asr_tv.vectors.files import create_vector

EMBEDDING = "model.decoder.embed_tokens.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("vectors")
    for seed, name in enumerate(("base", "one", "two")):
        tiny_whisper(root / name, seed=seed)
    create_vector(root / "one", root / "base", root / "a.safetensors", {})
    create_vector(root / "two", root / "base", root / "b.safetensors", {})
    return root


@pytest.fixture
def run(made, monkeypatch, capsys):
    """`asr-tv vector ...` in this process, beside the vectors: exit code, standard output and error."""
    monkeypatch.chdir(made)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "error")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["asr-tv", "vector", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return int(ending.value.code or 0), printed.out, printed.err

    return command


def refused(done, *says):
    code, out, err = done
    assert code == 2
    assert out == ""
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [
        f"error: {problem}" for problem in says
    ]


def test_combine(run, made, tmp_path):
    out = tmp_path / "deep" / "v.safetensors"
    code, text, _ = run(
        "combine", "a.safetensors", "b.safetensors", "--method", "sum", "--coef", 0.5, "--coef", -1, "--out", out
    )
    assert (code, text) == (0, f"sum, coefficients (0.5, -1.0) of 2 vectors: {out}\n")
    a, b = (open_tensors(made / name)[EMBEDDING] for name in ("a.safetensors", "b.safetensors"))
    expected = 0.5 * a - b
    torch.testing.assert_close(open_tensors(out)[EMBEDDING], expected)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["mean"], {}),
        (["ties", "--keep", "0.5"], {"keep": 0.5}),
        (["dare", "--drop", "0.5", "--seed", "3"], {"drop": 0.5, "seed": 3}),
        (["dare-ties"], {"keep": 0.2, "drop": 0.9, "seed": 17}),
    ],
)
def test_combine_says_what_it_used(run, tmp_path, options, settings):
    out = tmp_path / "v.safetensors"
    code, text, _ = run("combine", "a.safetensors", "b.safetensors", "--method", *options, "--out", out, "--json")
    assert code == 0
    assert json.loads(text) == {"vector": str(out), "method": options[0], **settings}
    assert json.loads(open_tensors(out).metadata["recipe"])["operation"] == options[0]


def test_combine_refuses(run, tmp_path):
    def combine(*options, vectors=("a.safetensors", "b.safetensors"), out=tmp_path / "v"):
        return run("combine", *vectors, "--out", out, "--method", *options)

    refused(combine("slerp"), "method 'slerp': must be one of mean, sum, ties, dare, dare-ties")
    refused(combine("mean", "--keep", 0.2, "--seed", 1), "method mean: takes no keep", "method mean: takes no seed")
    refused(combine("dare", "--drop", 1), "drop 1.0: the probability of DARE must be at least 0 and below 1")
    refused(combine("sum", "--coef", 1), "2 vectors need as many coefficients, got 1")
    refused(combine("mean", out="a.safetensors"), "a.safetensors: is one of the vectors to combine")
    refused(
        combine("mean", vectors=("gone", "base/model.safetensors")),
        "gone: no such file",
        "base/model.safetensors: is not a task vector, as `asr-tv vector create` makes them",
    )
    assert not list(tmp_path.iterdir())


def test_compare_prints_a_table(run):
    code, text, _ = run("compare", "a.safetensors", "b.safetensors")
    lines = text.splitlines()
    assert code == 0
    assert lines[:3] == ["1  a.safetensors", "2  b.safetensors", ""]
    assert lines[3].split() == ["part", "norm", "1", "norm", "2", "cos", "1,2"]
    assert [line.split()[0] for line in lines[5:-1]] == [
        *("whole", "conv_stem", "decoder", "embedding", "encoder"),
        *(f"{side}.layers.{i}" for side in ("decoder", "encoder") for i in (0, 1)),
    ]
    assert len({len(line) for line in lines[3:-1]}) == 1


def test_compare_for_scripts(run):
    code, text, _ = run("compare", "a.safetensors", "b.safetensors", "--json")
    row = json.loads(text)
    assert code == 0
    assert row["vectors"] == ["a.safetensors", "b.safetensors"]
    whole = row["parts"][0]
    assert whole["kind"] == whole["name"] == "whole"
    assert whole["cosines"][0][0] == 1.0
    assert 0.3 < whole["cosines"][0][1] == whole["cosines"][1][0] < 0.7


def test_a_part_that_is_zero_has_no_cosine(run, made, tmp_path):
    create_vector(made / "one", made / "one", tmp_path / "zero", {})
    code, text, _ = run("compare", "a.safetensors", tmp_path / "zero")
    assert code == 0
    assert all(line.split()[-1] == "–" for line in text.splitlines()[5:-1])
    row = json.loads(run("compare", "a.safetensors", tmp_path / "zero", "--json")[1])
    assert row["parts"][0]["cosines"] == [[1.0, None], [None, None]]


def test_info(run):
    code, text, _ = run("info", "a.safetensors", "--json")
    row = json.loads(text)
    assert code == 0
    assert row["path"] == "a.safetensors"
    assert row["recipe"]["operation"] == "difference"
    assert row["architecture"]["d_model"] == 64
    assert row["parameters"] == sum(group["parameters"] for group in row["groups"])
    assert row["norm"] ** 2 == pytest.approx(sum(group["norm"] ** 2 for group in row["groups"]))
    lines = run("info", "a.safetensors")[1].splitlines()
    assert lines[0] == "a.safetensors"
    assert "  operation: difference" in lines
    assert f"  base: {row['recipe']['base']}" in lines
    assert lines[-5].split()[:2] == ["conv_stem", "4"]
    refused(run("info", "gone"), "gone: no such file")


def test_apply_by_module(run, made, tmp_path):
    out, store = tmp_path / "out", tmp_path / "store"
    arguments = ("apply", made / "base", "a.safetensors", "--store", store, "--out", out)
    modules = ("--coef", 0.5, "--coef", "decoder=0.25", "--coef", "embedding=0")
    code, text, _ = run(*arguments, *modules)
    assert (code, text) == (0, f"{made / 'base'} + 0.5, decoder=0.25, embedding=0 x a.safetensors: {out}\n")
    base, vector, result = (open_tensors(path) for path in (made / "base", made / "a.safetensors", out))
    for name, by in {
        "model.encoder.layers.0.fc1.weight": 0.5,
        "model.decoder.layers.0.fc1.weight": 0.25,
        EMBEDDING: 0.0,
    }.items():
        torch.testing.assert_close(result[name], base[name] + by * vector[name], atol=1e-6, rtol=0)
    row = json.loads(run(*arguments, *modules, "--json")[1])
    assert row == {"model": str(out), "coef": 0.5, "by_module": {"decoder": 0.25, "embedding": 0.0}}


def test_apply_refuses(run, made, tmp_path):
    def apply(*coefficients):
        options = [word for value in coefficients for word in ("--coef", value)]
        return run(
            "apply", made / "base", "a.safetensors", "--store", tmp_path / "s", "--out", tmp_path / "o", *options
        )

    refused(
        apply("much", "encoder=", "decoder=1", "decoder=2"),
        "--coef decoder: given twice",
        "--coef much: 'much' is not a number",
        "--coef encoder=: '' is not a number",
    )
    refused(apply("0.4", "0.5"), "--coef N: given twice")
    refused(apply("=0.4"), "--coef =0.4: no module before the equals sign")
    refused(apply("0.4", "encodre=1"), "encodre: no tensor of the model is in such a module")
    assert apply("encoder=0.4")[2].startswith("error: ")
    assert apply("encoder=0.4")[0] == 2
    assert not (tmp_path / "o").exists()


class TestOtherBase:
    def test_refused_without_the_word_and_said_with_it(self, run, tmp_path):
        words = ("apply", "two", "a.safetensors", "--coef", 0.5, "--out", tmp_path / "out")
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert "a.safetensors: was made on another model than two;" in err
        assert "--other-base" in err
        assert not list(tmp_path.iterdir())
        code, out, err = run(*words, "--other-base", "--json")
        assert code == 0
        assert json.loads(out)["other_base"] == ["a.safetensors"]
        assert err == "warning: a.safetensors was made on another model, none that two is known to come from\n"
        code, out, err = run(*words, "--other-base")
        assert (code, out) == (0, f"two + 0.5 x a.safetensors: {tmp_path / 'out'}\n")
        assert err.startswith("warning: ")

    def test_what_was_made_from_the_base_needs_no_word(self, run, tmp_path):
        assert run("apply", "base", "a.safetensors", "--coef", 0.5, "--out", tmp_path / "one")[0] == 0
        code, _, err = run("apply", tmp_path / "one", "b.safetensors", "--coef", 0.5, "--out", tmp_path / "two")
        assert (code, err) == (0, "")


def test_several_vectors_and_forgetting(run, made, tmp_path):
    out = tmp_path / "out"
    vectors = ("a.safetensors", "b.safetensors")
    code, text, _ = run("apply", "base", *vectors, "--scaling-coef", 0.5, "--scaling-coef", -1, "--out", out)
    assert (code, text) == (0, f"base + 0.5 x a.safetensors + -1 x b.safetensors: {out}\n")
    base, a, b, result = (open_tensors(made / name)[EMBEDDING] for name in ("base", *vectors, out))
    torch.testing.assert_close(result, base + 0.5 * a - b, atol=1e-6, rtol=0)
    refused(run("apply", "base", *vectors, "--coef", 1, "--out", out), "2 vectors need as many --coef, got 1")
    refused(
        run("apply", "base", *vectors, "--coef", 1, "--coef", "encoder=1", "--out", out),
        "coefficients of modules are for a single vector; combine the vectors first",
    )


def test_the_analogy(run, made, tmp_path):
    out = tmp_path / "out"
    code, text, _ = run("analogy", "base", "one", "two", "--coef", 0.25, "--coef", "embedding=0", "--out", out)
    assert (code, text) == (0, f"two + 0.25, embedding=0 x (one - base): {out}\n")
    two, result = open_tensors(made / "two"), open_tensors(out)
    assert torch.equal(result[EMBEDDING], two[EMBEDDING])
    name = "model.encoder.layers.0.fc1.weight"
    change = open_tensors(made / "one")[name] - open_tensors(made / "base")[name]
    torch.testing.assert_close(result[name], two[name] + 0.25 * change, atol=1e-6, rtol=0)
    assert run("analogy", "base", "one", "two", "--out", out, "--json")[1] == f'{{"model": "{out}", "coef": 1.0}}\n'
    code, _, err = run("analogy", "base", "one", "a.safetensors", "--out", tmp_path / "new.safetensors")
    assert code == 2
    assert "a.safetensors: is a task vector, not a model" in err


def test_options_of_token_rows(run, made, tmp_path):
    def apply(*options):
        return run("apply", "base", "a.safetensors", "--coef", 1, "--out", tmp_path / "out", *options)

    refused(apply("--embedding", "some"), "--embedding some: must be one of same, skip, shared")
    refused(apply("--row", "3=4"), "--row and --rows-from go together")
    refused(
        apply("--rows-from", "one", "--row", "3", "--row", "4=5", "--row", "4=6"),
        "--row 3: two numbers of tokens, as 32011=32000",
        "--row 4: given twice",
    )
    code, _, err = apply("--rows-from", "two", "--row", "3=4")
    assert code == 2
    assert "two: rows must come from the tuned model of a vector, and this is that of none" in err
    assert apply("--embedding", "skip", "--rows-from", "one", "--row", "3=4")[0] == 0
    rows, one = open_tensors(tmp_path / "out")[EMBEDDING], open_tensors(made / "one")[EMBEDDING]
    assert torch.equal(rows[3], one[4])


def test_a_file_gives_a_file(run, made, tmp_path):
    model = made / "base" / "model.safetensors"
    out = tmp_path / "out.safetensors"
    assert run("apply", model, "a.safetensors", "--coef", 1, "--out", out)[0] == 0
    assert out.is_file()
    refused(
        run("apply", model, "a.safetensors", "--coef", 1, "--out", tmp_path / "folder"),
        f"--out {tmp_path / 'folder'}: the model is one file, and so is the result; name it .safetensors",
    )
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.txt").write_text("mine")
    code, _, err = run("apply", "base", "a.safetensors", "--coef", 1, "--out", tmp_path / "notes")
    assert code == 2
    assert "holds something that is not a model" in err
    assert (tmp_path / "notes" / "x.txt").read_text() == "mine"


def test_settings_beside_the_model_go_along(run, made, tmp_path):
    (made / "two" / "asr_tv.json").write_text('{"audio_context": "dynamic", "language": "en"}')
    assert run("analogy", "base", "one", "two", "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "asr_tv.json").read_text() == '{"audio_context": "dynamic", "language": "en"}'


@pytest.mark.parametrize("command", ["create", "apply", "analogy", "combine", "compare", "info"])
def test_help_has_an_example(run, command):
    code, text, _ = run(command, "--help")
    assert code == 0
    assert f"asr-tv vector {command}" in " ".join(text.split())
