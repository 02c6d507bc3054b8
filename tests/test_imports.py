"""The shape of the house, read from the source: who may import whom, how large a thing may be, what loads when."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
PACKAGE = "asr_tv"

LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        # values in, values out
        """clip_yield consensus gate_config rarity tempo
        batches benchmark_config bootstrap breakdown comparison config corpus_config errors evaluation
        examples export_card families labels leave_one_out_markdown leave_one_out_report ledger loops
        manifest markdown matched_pairs merging model_card modules normalize pairs paper_scorer pieces printable
        progress redaction replay report report_inputs report_scores retention retention_markdown scored_set section
        select similarity sparsify speech_config splits spoken subtitles task_vector terms trainable verdict
        wer""",
        # edges: one outside thing each
        """store durable records store_checks store_uses store_inventory store_garbage object_storage
        page audio channel corpora checkpoint tts devices workers short_context training_loss
        config_file text_files archives arrays adapters memory whisper_lessons short_context_lessons ctc_lessons
        ctc_recogniser ctranslate2_decoder decoding kept_epochs prefetch runtimes torch_decoder vad realism writing""",
        # stages
        "synthesize finetune context_start transcribe transcribe_files score merge export finished geometry noise gate",
        "pipeline",
        "cli testing",
    )
)

ONLY_IN = {
    "jiwer": {"wer"},
    "transformers": {
        "checkpoint",
        "finetune",
        "torch_decoder",
        "runtimes",
        "testing",
        "tts.bark",
        "tts.speecht5",
        "writing",
    },
    "accelerate": {"finetune"},
    "peft": {"adapters"},
    "tokenizers": {"testing"},
    "huggingface_hub": {"checkpoint.hub"},
    "fsspec": {"object_storage"},
    "httpx": {"checkpoint.hub", "writing"},
    "safetensors": {"checkpoint.tensors"},
    "whisper": {"short_context", "checkpoint.vocabulary", "runtimes"},
    "ctranslate2": {"checkpoint.exporting", "ctranslate2_decoder"},
    "faster_whisper": {"runtimes"},
    "piper": {"tts.piper"},
    "sentencepiece": {"testing"},
    "pyarrow": {"tts.speecht5"},
    "onnxruntime": {"tts.piper", "vad"},
    "soundfile": {"audio", "channel", "realism"},
    "soxr": {"audio", "channel", "testing"},
    "scipy": {"realism"},
    "datasketch": {"writing"},
    "datasets": {"corpora.huggingface"},
    "pydantic": {"corpus_config", "benchmark_config", "config", "gate_config", "section", "speech_config"},
    "inflect": {"spoken"},
    "yaml": {"config_file"},
    "typer": {"cli"},
    "rich": {"cli"},
    "jinja2": {"page"},
    "markupsafe": {"page"},
    "prefect": set(),
}

HEAVY = (
    *("inflect", "torch", "transformers", "accelerate", "peft"),
    *("whisper", "piper", "onnxruntime", "prefect", "huggingface_hub", "datasets"),
    *("ctranslate2", "faster_whisper"),
)


@cache
def modules() -> dict[str, Path]:
    """Name below the package -> file; the package itself is ""."""
    root = SOURCE / PACKAGE
    dotted = {".".join(file.relative_to(root).with_suffix("").parts): file for file in sorted(root.rglob("*.py"))}
    return {name.removesuffix("__init__").rstrip("."): file for name, file in dotted.items()}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path, *, loading_only: bool = False) -> Iterator[str]:
    """Absolute names that a file imports, `a.b` for both `import a.b` and `from a import b`, wherever they stand.

    Args:
        loading_only: leave out what functions import when they are called.
    """
    tree = parsed(path)
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    inner = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if loading_only and id(node) in inner:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(name: str) -> set[str]:
    """The package's own modules that a module imports."""
    found = set()
    for target in imported(modules()[name]):
        if target == PACKAGE or target.startswith(f"{PACKAGE}."):
            inside = target.removeprefix(PACKAGE).lstrip(".")
            found.add(inside if inside in modules() else inside.rpartition(".")[0])
    return found - {name}


def layer(name: str) -> int:
    top = name.partition(".")[0]
    numbers = [number for number, names in enumerate(LAYERS) if top in names]
    assert len(numbers) == 1, f"{name}: say in tests/test_imports.py which layer it is of"
    return numbers[0]


NAMES = [name for name in modules() if name]


class TestDirection:
    def test_every_name_in_the_layers_exists(self) -> None:
        assert frozenset().union(*LAYERS) == {name.partition(".")[0] for name in NAMES}

    @pytest.mark.parametrize("name", NAMES)
    def test_no_module_imports_one_of_a_higher_layer(self, name: str) -> None:
        assert [target for target in own_imports(name) if layer(target) > layer(name)] == []

    def test_the_program_does_not_lean_on_fakes(self) -> None:
        users = [n for n in NAMES if not n.startswith("testing") for t in own_imports(n) if t.startswith("testing")]
        assert users == []

    def test_there_is_no_cycle(self) -> None:
        done: set[str] = set()

        def follow(name: str, path: tuple[str, ...]) -> None:
            assert name not in path, f"cycle: {' -> '.join([*path[path.index(name) :], name])}"
            if name not in done:
                for target in sorted(own_imports(name)):
                    follow(target, (*path, name))
                done.add(name)

        for name in NAMES:
            follow(name, ())

    def test_pure_modules_reach_for_no_file_and_no_clock(self) -> None:
        outside = {"os", "io", "pathlib", "shutil", "tempfile", "time", "datetime", "subprocess", "socket", "random"}
        # The normalisers are files of another package, found and loaded without the package's heavy parent.
        users = {
            (name, target)
            for name in NAMES
            if layer(name) == 0 and name != "normalize"
            for target in imported(modules()[name])
            if target.partition(".")[0] in outside
        }
        assert users == set()

    def test_flows_use_the_library_and_not_the_other_way_round(self) -> None:
        assert [n for n in NAMES for t in imported(modules()[n]) if t.partition(".")[0] == "flows"] == []


class TestLibraries:
    @pytest.mark.parametrize("library", ONLY_IN)
    def test_each_is_imported_only_where_it_belongs(self, library: str) -> None:
        users = {n for n in NAMES for target in imported(modules()[n]) if target.partition(".")[0] == library}
        homes = ONLY_IN[library]
        assert {n for n in users if not any(n == home or n.startswith(f"{home}.") for home in homes)} == set()
        assert {home for home in homes if not any(n == home or n.startswith(f"{home}.") for n in users)} == set()

    def test_flows_are_prefects_and_only_they(self) -> None:
        files = sorted((ROOT / "flows").rglob("*.py"))
        allowed = {*sys.stdlib_module_names, PACKAGE, "flows", "prefect", "pydantic", "httpx", "yaml"}
        assert {t.partition(".")[0] for file in files for t in imported(file)} - allowed == set()
        assert any(t.startswith("prefect") for file in files for t in imported(file))

    def test_nothing_unpickles(self) -> None:
        unsafe = {"dill", "joblib", "shelve", "marshal", "cloudpickle"}
        assert {n for n in NAMES for t in imported(modules()[n]) if t.partition(".")[0] in unsafe} == set()
        for name in NAMES:
            for node in ast.walk(parsed(modules()[name])):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
                    assert node.attr == "UnpicklingError", name
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    assert "weights_only=True" in [ast.unparse(keyword) for keyword in node.keywords], name


class TestSizes:
    @pytest.mark.parametrize("name", modules())
    def test_names_lengths_and_docstrings(self, name: str) -> None:
        path = modules()[name]
        lines = path.read_text(encoding="utf-8").splitlines()
        banned = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
        assert not banned & set(name.split("."))
        assert len(lines) < 400
        docstring = ast.get_docstring(parsed(path))
        assert docstring, "no docstring"
        assert sum(bool(line.strip()) for line in docstring.splitlines()) <= 3

    @pytest.mark.parametrize("name", modules())
    def test_no_function_has_more_than_60_lines_of_code(self, name: str) -> None:
        path = modules()[name]
        lines = path.read_text(encoding="utf-8").splitlines()
        functions = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert {f.name: count for f in functions if (count := code_lines(f, lines)) > 60} == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of a function that are neither blank, nor a comment, nor its docstring."""
    numbers = set(range(function.lineno, (function.end_lineno or 0) + 1))
    if ast.get_docstring(function) is not None:
        numbers -= set(range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1))
    return sum(bool(text := lines[n - 1].strip()) and not text.startswith("#") for n in numbers)


def test_code_lines_counts_code() -> None:
    text = 'def f():\n    """Doc.\n\n    More.\n    """\n    # why\n\n    x = 1\n    return x\n'
    function = ast.parse(text).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function, text.splitlines()) == 3


def loaded_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after some code."""
    program = f"import sys\n{code}\nprint('\\n' + str(sorted(sys.modules)).replace(\"'\", '\"'), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return {str(name).partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


class TestLoading:
    def test_help_loads_nothing_heavy(self) -> None:
        for arguments in (["--help"], ["adapt", "--help"], ["vector", "create", "--help"]):
            loaded = loaded_after(
                "import asr_tv.cli\n"
                f"sys.argv = ['asr-tv', *{arguments}]\n"
                "try:\n    asr_tv.cli.main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
            )
            assert "asr_tv" in loaded
            assert not loaded & {*HEAVY, "numpy", "yaml", "jiwer", "soundfile", "scipy", "pandas"}

    def test_the_commands_load_no_configuration(self) -> None:
        # typer itself may load pydantic once it draws a command.
        assert not loaded_after("import asr_tv.cli") & {*HEAVY, "pydantic", "numpy", "yaml"}

    def test_help_takes_less_than_half_a_second(self) -> None:
        seconds = [processor_seconds_of_help() for _ in range(3)]
        assert min(seconds) < 0.5

    def test_contracts_load_nothing_heavy(self) -> None:
        names = ("errors", "config", "config_file", "manifest", "report", "markdown", "model_card", "store", "ledger")
        loaded = loaded_after("\n".join(f"import asr_tv.{name}" for name in (*names, "splits", "select", "progress")))
        assert not loaded & {*HEAVY, "soundfile"}

    def test_nothing_heavy_is_loaded_by_normalising_and_scoring(self) -> None:
        loaded = loaded_after("import asr_tv.score\nasr_tv.score.get_normalizer('english')('five')")
        assert not loaded & set(HEAVY)

    @pytest.mark.parametrize("library", sorted({*HEAVY} - {"torch"}))
    def test_slow_libraries_are_imported_where_they_are_used(self, library: str) -> None:
        guarded = {"tts.piper"}  # under TYPE_CHECKING
        users = {
            n
            for n in NAMES
            for target in imported(modules()[n], loading_only=True)
            if target.partition(".")[0] == library and n not in guarded
        }
        assert users == set()

    def test_the_piper_adapter_loads_without_piper(self) -> None:
        assert not loaded_after("import asr_tv.tts.piper") & set(HEAVY)


def processor_seconds_of_help() -> float:
    """Processor time rather than the clock's, which other work on the machine lengthens."""
    program = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'from asr_tv.cli import main; main()', '--help'],"
        " check=True, stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)
