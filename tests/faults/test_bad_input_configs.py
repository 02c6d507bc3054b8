"""Configurations that cannot be used, through the command line: exit code 2, every problem with file and path."""

from pathlib import Path

import pytest
from commands import Command

RUN = "name: x\ncorpora: [{kind: asterisk}]\n"
HEAD = b"name: x\n"

FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("expected keys and values, found NoneType",)),
    "a comment": (b"# nothing\n", ("found NoneType",)),
    "a number": (b"7\n", ("found int",)),
    "JSON lines": (b'{"a": 1}\n{"b": 2}\n', ("not YAML",)),
    "two documents": (b"name: x\n---\nname: y\n", ("not YAML", "expected a single document")),
    "a tab": (b"training:\n\tepochs: 1\n", ("not YAML", "line 2")),
    "an open quote": (b"name: 'x\n", ("not YAML", "line")),
    "a NUL": (b"name: x\0y\n", ("not YAML", "special characters")),
    "an escape sequence": (b"name: \x1b[31mx\n", ("not YAML", "special characters")),
    "latin-1": (b"name: caf\xe9\n", ("cannot be read",)),
    "utf-16": ("name: x\n".encode("utf-16"), ("cannot be read",)),
    "a key twice": (HEAD + b"seed: 1\nseed: 2\n", ("key seed stands twice",)),
    "a merge key twice": (HEAD + b"a: &a {b: 1}\nc: {<<: *a, <<: *a}\n", ("stands twice",)),
    "an alias of nothing": (HEAD + b"model: *m\n", ("undefined alias",)),
    "an alias of itself": (HEAD + b"corpora: &c [*c]\n", ("an alias stands for what it is part of",)),
    "a mapping of itself": (HEAD + b"target: &t {domain: *t}\n", ("an alias stands for what it is part of",)),
    "a merge of itself": (HEAD + b"target: &t {<<: *t}\n", ("an alias stands for what it is part of",)),
    "a billion laughs": (
        b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 10)) for n in range(98, 108)),
        ("aliases stand for more than 100000 values",),
    ),
    "50000 lists deep": (b"name: " + b"[" * 50_000, ("not YAML",)),
    "50000 keys deep": (b"name: " + b"{a: " * 50_000, ("not YAML",)),
    "more than a megabyte": (b"name: x\n#" + b"x" * (1 << 20), ("more than 1048576 bytes",)),
    "a set": (b"name: !!set {x}\n", ("run.yaml",)),
    "bytes": (b"name: !!binary aGVsbG8=\nseed: x\n", ("seed: ",)),
    "a date for a name": (b"name: 2024-01-01\n", ("name: Input should be a valid string",)),
    "no date": (b"name: 2024-99-99\n", ("not YAML",)),
    "python/object": (b"name: !!python/object:os.system {}\n", ("could not determine a constructor",)),
    "python/object/new": (b"name: !!python/object/new:os.system [id]\n", ("could not determine a constructor",)),
    "python/object/apply": (b"x: !!python/object/apply:os.system [id]\n", ("could not determine a constructor",)),
    "python/module": (b"name: !!python/module:os\n", ("could not determine a constructor",)),
    "python/tuple": (b"name: !!python/tuple [a]\n", ("could not determine a constructor",)),
    "a tag of its own": (b"%TAG ! tag:example.org,2000:\n---\nname: !x y\n", ("could not determine a constructor",)),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, asr_tv: Command, tmp_path: Path) -> None:
    content, words = FILES[name]
    (tmp_path / "run.yaml").write_bytes(content)
    told = " | ".join(asr_tv("adapt", "run.yaml").problems)
    assert "run.yaml" in told
    assert len(told) < 5000
    for word in words:
        assert word in told
    assert [p.name for p in tmp_path.iterdir()] == ["run.yaml"]


OVERRIDES: dict[str, tuple[str, str]] = {
    "no value": ("seed", "expected section.key=value"),
    "no key": ("=1", "expected section.key=value"),
    "spaces for a key": (" =1", "expected section.key=value"),
    "half a list": ("target=[", "the value is not YAML"),
    "a tag": ("model=!!python/name:os.system", "the value is not YAML"),
    "laughs": ("x=[&a [1,1,1,1,1,1,1,1,1,1], " + "*a, " * 9999 + "*a]", "the value is not YAML"),
    "an unknown key": ("sed=1", "unknown key sed; keys here: "),
    "an unknown key below": ("training.epoch=1", "unknown key training.epoch; keys here: "),
    "a key below a number": ("seed.x=1", "seed: "),
    "a place that is not there": ("corpora.7.kind=asterisk", "corpora: expected a list"),
    "a place below zero": ("corpora.-1.kind=asterisk", "corpora: expected a list"),
    "a name for a place": ("corpora.first.kind=asterisk", "corpora: expected a list"),
    "a seed of a fraction": ("seed=1.5", "seed: "),
    "a seed of words": ("seed=often", "seed: "),
    "a seed of nothing": ("seed=", "seed: "),
    "no epoch": ("training.epochs=0", "training.epochs: "),
    "minus an epoch": ("training.epochs=-1", "training.epochs: "),
    "half an epoch": ("training.epochs=0.5", "training.epochs: "),
    "a list of epochs": ("training.epochs=[1, 2]", "training.epochs: "),
    "a learning rate of NaN": ("training.learning_rate=.nan", "training.learning_rate: "),
    "an infinite learning rate": ("training.learning_rate=.inf", "training.learning_rate: "),
    "no learning rate": ("training.learning_rate=0", "training.learning_rate: "),
    "a batch of none": ("training.batch_size=0", "training.batch_size: "),
    "warm-up of 110 %": ("training.warmup=1.1", "training.warmup: "),
    "a context of 31 s": ("training.audio_context=31", "training.audio_context: "),
    "a context of a word": ("training.audio_context=long", "training.audio_context: "),
    "an unknown precision": ("training.precision=int4", "training.precision: "),
    "an unknown part": ("training.trainable=heart", "training.trainable: "),
    "a name that climbs": ("name=../x", "name: must be usable as a folder's name"),
    "an absolute name": ("name=/etc", "name: must be usable as a folder's name"),
    "a name of dots": ("name=..", "name: must be usable as a folder's name"),
    "a name of spaces": ("name='  '", "name: must be usable as a folder's name"),
    "a name with a NUL": ('name="a\\0b"', "name: must be usable as a folder's name"),
    "a name of a number": ("name=7", "name: Input should be a valid string"),
    "an empty target": ("target={}", "target: needs domain or texts"),
    "a whole test": ("target={domain: x, test_fraction: 1}", "target.test_fraction: "),
    "nothing to train on": ("splits={dev: 0.5, test: 0.5}", "splits: dev and test leave nothing to train on"),
    "sources twice": ("sources=[a, a]", "sources: stands there more than once: a"),
    "coefficients twice": ("selection.scaling_coefs=[0.3, 0.3]", "selection.scaling_coefs: stands there more"),
    "no coefficient": ("selection.scaling_coefs=[]", "selection.scaling_coefs: "),
    "a coefficient of NaN": ("selection.scaling_coefs=[.nan]", "selection.scaling_coefs"),
    "an unknown start": ("selection.starts=[scratch]", "selection.starts"),
    "no fold": ("selection.folds=0", "selection.folds: "),
    "a range the wrong way": ("synthesis.length_scale=[2, 1]", "the range ends at 1, below its start 2"),
    "a range of one": ("synthesis.length_scale=[1]", "synthesis.length_scale"),
    "a range of three": ("synthesis.length_scale=[1, 2, 3]", "synthesis.length_scale"),
    "no take": ("synthesis.takes=0", "synthesis.takes: "),
    "voices of a word": ("synthesis.voices=1.5", "synthesis.voices: expected a list"),
    "an unknown kind of corpus": ("corpora=[{kind: wav}]", "corpora.0.kind: "),
    "a corpus without its path": ("corpora=[{kind: manifest}]", "corpora.0: kind manifest needs a path"),
    "a corpus of a word": ("corpora=[asterisk]", "corpora.0: expected keys and values"),
    "outside of a word": ("corpora=[{kind: manifest, path: x, outside: perhaps}]", "corpora.0.outside: "),
    "an interval of 100 %": ("scoring.confidence=1", "scoring.confidence: "),
    "few resamples": ("scoring.resamples=99", "scoring.resamples: "),
    "an unknown normaliser": ("scoring.normalizer=german", "scoring.normalizer: "),
    "another language": ("language=de", "language is de"),
    "a password": ("model=https://me:hunter2@example.org/m", "model: an address with a password or token"),
    "a password below": ("corpora=[{kind: nemo, path: 's3://KEY:se/cret@b/x'}]", "corpora.0.path: an address with a"),
    "a token": ("model='https://example.org/m?access_token=hunter2'", "model: an address with a password or token"),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_overrides(name: str, asr_tv: Command, tmp_path: Path) -> None:
    override, word = OVERRIDES[name]
    (tmp_path / "run.yaml").write_text(RUN)
    told = " | ".join(asr_tv("adapt", "run.yaml", "--set", override).problems)
    assert word in told
    assert "hunter2" not in told
    assert "se/cret" not in told
    assert "\0" not in told
    assert [p.name for p in tmp_path.iterdir()] == ["run.yaml"]


def test_a_device_for_a_file(asr_tv: Command) -> None:
    (problem,) = asr_tv("adapt", "/dev/zero").problems
    assert problem == "/dev/zero: more than 1048576 bytes, which no configuration has"


@pytest.mark.parametrize("text", ["a: &a [1, 2]\nb: [*a, *a]\n", "x: &x {y: 1}\nz: {<<: *x, w: 2}\n"])
def test_honest_aliases_are_read(text: str) -> None:
    import yaml

    from asr_tv.config.file import _parse

    assert _parse(text) == yaml.safe_load(text)
