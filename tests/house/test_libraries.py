"""Which library is imported where, what loads when, and that nothing unpickles."""

import ast
import json
import subprocess
import sys

import pytest
from source_tree import NAMES, PACKAGE, ROOT, imported, modules, parsed

ONLY_IN = {
    "jiwer": {"scoring.wer"},
    "librosa": {"audio.attributes"},
    "transformers": {
        "models",
        "training.trainer",
        "decoding.whisper_torch",
        "runs.runtimes",
        "testing",
        "synthesis.engines.bark",
        "synthesis.engines.speecht5",
        "text.writing",
    },
    "accelerate": {"training.trainer"},
    "peft": {"training.freezing"},
    "tokenizers": {"testing"},
    "huggingface_hub": {"models.hub"},
    "fsspec": {"store.object_storage"},
    "httpx": {"models.hub", "text.writing"},
    "safetensors": {"models.tensors", "testing"},
    "whisper": {"models.audio_context", "models.vocabulary", "runs.runtimes"},
    "ctranslate2": {"models.formats", "decoding.whisper_ctranslate2"},
    "faster_whisper": {"runs.runtimes"},
    "piper": {"synthesis.engines.piper"},
    "kokoro_onnx": {"synthesis.engines.kokoro"},
    "phonemizer": {"synthesis.engines.kokoro"},
    "espeakng_loader": {"synthesis.engines.kokoro"},
    "hibari": {"synthesis.engines.hibari"},
    "pocket_tts": {"synthesis.engines.pocket", "testing"},
    "sentencepiece": {"testing"},
    "pyarrow": {"synthesis.engines.speecht5"},
    "onnxruntime": {"synthesis.engines.adapter", "audio.vad"},
    "soundfile": {"audio.recordings", "audio.effects"},
    "soxr": {"audio.recordings", "audio.channel", "testing"},
    "scipy": {"audio.effects"},
    "datasketch": {"text.writing"},
    "sklearn": {"decoding.biasing.prompts"},
    "wordfreq": {"text.domain_terms"},
    "datasets": {"data.corpora.huggingface"},
    "pydantic": {
        "config.biasing",
        "config.corpora",
        "config.parsing",
        "config.selection",
        "config.benchmark",
        "config.run",
        "config.clips",
        "config.proxy",
        "config.section",
        "config.sequence",
        "config.synthesis",
        "config.test_time",
    },
    "inflect": {"text.spoken_form"},
    "yaml": {"config.file"},
    "typer": {"cli"},
    "rich": {"cli"},
    "jinja2": {"report.page"},
    "markupsafe": {"report.page"},
    "gradio": {"runs.trial"},
    "fastapi": {"runs.trial"},
    "starlette": {"runs.trial"},
    "uvicorn": {"runs.trial"},
    "prefect": set(),
    "ray": {"pipeline.execution.cluster", "testing"},
}

HEAVY = (
    *("inflect", "torch", "transformers", "accelerate", "peft"),
    *("whisper", "piper", "onnxruntime", "prefect", "huggingface_hub", "datasets"),
    *("ctranslate2", "faster_whisper", "sklearn", "wordfreq", "ray", "gradio", "librosa"),
    *("kokoro_onnx", "phonemizer", "hibari", "pocket_tts"),
)


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
        names = """errors progress config.run config.file data.manifest data.splits store.results report.build
            report.ledger report.markdown report.model_card"""
        loaded = loaded_after("\n".join(f"import asr_tv.{name}" for name in names.split()))
        assert not loaded & {*HEAVY, "soundfile"}

    def test_nothing_heavy_is_loaded_by_normalising_and_scoring(self) -> None:
        loaded = loaded_after("import asr_tv.scoring.score\nasr_tv.scoring.score.get_normalizer('english')('five')")
        assert not loaded & set(HEAVY)

    @pytest.mark.parametrize("library", sorted({*HEAVY} - {"torch"}))
    def test_slow_libraries_are_imported_where_they_are_used(self, library: str) -> None:
        guarded = {"synthesis.engines.piper"}  # under TYPE_CHECKING
        users = {
            n
            for n in NAMES
            for target in imported(modules()[n], loading_only=True)
            if target.partition(".")[0] == library and n not in guarded
        }
        assert users == set()

    def test_the_piper_adapter_loads_without_piper(self) -> None:
        assert not loaded_after("import asr_tv.synthesis.engines.piper") & set(HEAVY)


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
