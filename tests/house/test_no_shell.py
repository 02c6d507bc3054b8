"""Read from the source: no shell, no code made of text, nothing that unpickles, and YAML and arrays without objects."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(file for folder in ("src", "flows", "benchmarks") for file in (ROOT / folder).rglob("*.py"))

CALLS = frozenset(
    """eval exec compile __import__ breakpoint input os.system os.popen os.execv os.execl os.execvp os.spawnl
    os.spawnv os.spawnlp os.startfile pty.spawn subprocess.getoutput subprocess.getstatusoutput
    commands.getoutput pickle.load pickle.loads pickle.Unpickler cPickle.load dill.load dill.loads joblib.load
    shelve.open marshal.load marshal.loads pandas.read_pickle pd.read_pickle torch.hub.load jsonpickle.decode
    yaml.unsafe_load yaml.full_load yaml.load_all yaml.unsafe_load_all tempfile.mktemp tar.extractall
    shutil.unpack_archive""".split()  # noqa: SIM905
)
NEEDED = {
    "torch.load": ("weights_only=True",),
    "np.load": ("allow_pickle=False",),
    "numpy.load": ("allow_pickle=False",),
    "tar.extract": ("filter='data'",),
}
"""Calls that are allowed with these words only."""
SUBPROCESS = (
    "subprocess.run",
    "subprocess.Popen",
    "subprocess.call",
    "subprocess.check_call",
    "subprocess.check_output",
)


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        words = [ast.unparse(keyword) for keyword in node.keywords]
        if called in CALLS:
            yield f"{node.lineno}: {called}"
        if any(keyword.arg in ("shell", "trust_remote_code", "allow_pickle") and word.endswith("=True")
               for keyword, word in zip(node.keywords, words, strict=True)):  # fmt: skip
            yield f"{node.lineno}: {called}({', '.join(words)})"
        if lacking := [word for word in NEEDED.get(called, ()) if word not in words]:
            yield f"{node.lineno}: {called} without {lacking[0]}"
        if called == "yaml.load" and (len(node.args) < 2 or "Safe" not in ast.unparse(node.args[1])):
            yield f"{node.lineno}: yaml.load without a safe loader"
        if called in SUBPROCESS and (not node.args or isinstance(node.args[0], ast.Constant | ast.JoinedStr)):
            yield f"{node.lineno}: {called} of a string"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_has_one(path: Path) -> None:
    assert list(faults(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "text",
    [
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run(f'ls {x}')",
        "subprocess.run(['ls'], shell=True)",
        "eval('1')",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(t)",
        "yaml.load(t, yaml.Loader)",
        "pickle.loads(b)",
        "AutoModel.from_pretrained(p, trust_remote_code=True)",
        "tar.extractall(p)",
        "tar.extract(m, p)",
    ],
)
def test_each_would_be_found(text: str) -> None:
    assert list(faults(ast.parse(text)))


def test_the_loader_of_configurations_is_a_safe_one() -> None:
    import yaml

    from asr_tv.config.file import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)
    assert _Loader.yaml_constructors == yaml.SafeLoader.yaml_constructors
