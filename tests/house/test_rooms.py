"""Rooms: every module is in one, and imports run one way."""

import ast
from collections import defaultdict
from collections.abc import Iterator

import pytest
from source_tree import (
    FLOORS,
    NAMES,
    PACKAGE,
    ROOMS,
    ROOT,
    SOURCE,
    floor_of,
    imported,
    modules,
    own_imports,
    parsed,
    room_of,
)

PURE = (
    "audio.silences",
    "config",
    "data.manifest",
    "data.pairs",
    "data.replay",
    "data.splits",
    "describing.description",
    "decoding.biasing.arpa",
    "decoding.biasing.bias",
    "decoding.biasing.fusion",
    "decoding.biasing.ngram",
    "decoding.biasing.trie",
    "decoding.subtitles",
    "errors",
    "models.parameter_names",
    "progress",
    "report",
    "safe_text",
    "scoring.bootstrap",
    "scoring.evaluation",
    "scoring.gap",
    "scoring.listed",
    "scoring.loops",
    "scoring.matched_pairs",
    "scoring.paper_scorer",
    "scoring.questions",
    "scoring.retention",
    "scoring.scored_set",
    "scoring.terms",
    "scoring.wer",
    "scoring.word_diff",
    "seeds",
    "store.payload",
    "synthesis.gate.clip_yield",
    "synthesis.gate.consensus",
    "synthesis.gate.tempo",
    "text.normalize",
    "text.rare_words",
    "text.spoken_form",
    "text.word_model",
    "training.batches",
    "training.labels",
    "training.settings",
    "vectors.merging",
    "vectors.published.card",
    "vectors.published.sentences",
    "vectors.similarity",
    "vectors.sparsify",
    "vectors.task_vector",
)
"""Values in, values out: what opens no file and reads no clock."""


class TestDirection:
    def test_every_room_of_the_plan_exists(self) -> None:
        assert {room for room in ROOMS if not any(room_of(name) == room for name in NAMES)} == set()

    @pytest.mark.parametrize("name", NAMES)
    def test_a_room_uses_itself_the_ground_and_lower_rooms(self, name: str) -> None:
        wrong = [
            target
            for target in own_imports(name)
            if room_of(target) not in (None, room_of(name)) and floor_of(target) >= floor_of(name)
        ]
        assert wrong == []

    def test_a_floor_has_rooms_that_do_not_know_each_other(self) -> None:
        assert len(ROOMS) == sum(map(len, FLOORS))

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
        # Settings are read from a file in one place; the normalisers are files of another package, found and loaded
        # without that package's heavy parent; the page reads its templates;
        # the table's io.StringIO opens nothing.
        excepted = {"config.file", "text.normalize", "report.page", "report.table"}
        pure = [n for n in NAMES if any(n == p or n.startswith(f"{p}.") for p in PURE) and n not in excepted]
        users = {(n, t) for n in pure for t in imported(modules()[n]) if t.partition(".")[0] in outside}
        assert users == set()

    def test_flows_use_the_library_and_not_the_other_way_round(self) -> None:
        assert [n for n in NAMES for t in imported(modules()[n]) if t.partition(".")[0] == "flows"] == []


class TestFolders:
    def test_the_ground_has_at_most_seven_files(self) -> None:
        assert len([name for name in NAMES if room_of(name) is None]) <= 7

    def test_a_folder_has_at_most_eighteen_files(self) -> None:
        folders: dict[str, list[str]] = defaultdict(list)
        for path in modules().values():
            if path.name != "__init__.py":
                folders[str(path.parent.relative_to(SOURCE))].append(path.name)
        assert {folder: len(files) for folder, files in folders.items() if len(files) > 18} == {}

    def test_a_prefix_that_three_files_share_is_a_folder(self) -> None:
        prefixes: dict[str, list[str]] = defaultdict(list)
        for name, path in modules().items():
            if "_" in path.stem and path.stem != "__init__":
                prefixes[f"{name.rpartition('.')[0]}.{path.stem.partition('_')[0]}"].append(path.stem)
        assert {prefix: stems for prefix, stems in prefixes.items() if len(stems) > 2} == {}

    def test_tests_mirror_the_rooms(self) -> None:
        others = {"faults", "end_to_end", "flows", "house", "support"}
        folders = {file.parent.relative_to(ROOT / "tests") for file in (ROOT / "tests").rglob("test_*.py")}
        unknown = {str(f) for f in folders if f.parts and f.parts[0] not in others and not (SOURCE / f).is_dir()}
        assert unknown == set()

    def test_the_map_of_the_readme_is_the_tree(self) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Where things are")[1].split("\n## ")[0]
        named = {line.split()[0].rstrip(",/") for line in text.splitlines() if line.startswith("      ")}
        folders = {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name not in ("__pycache__", "schemas")}
        ground = {path.stem for path in SOURCE.glob("*.py") if path.stem != "__init__"}
        assert named - ground == folders
        assert len(text.splitlines()) <= 40


class TestNames:
    def test_a_public_class_name_means_one_thing(self) -> None:
        homes: dict[str, list[str]] = defaultdict(list)
        for name, path in modules().items():
            for node in parsed(path).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes[node.name].append(name)
        assert {name: where for name, where in homes.items() if len(where) > 1} == {}

    def test_names_of_payload_files_stand_in_one_place(self) -> None:
        kept = {"MODEL", "VECTOR", "MANIFEST", "DROPPED"}
        others = {
            f"{name}: {ast.unparse(node)}"
            for name, path in modules().items()
            if name != "store.payload"
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Assign) and kept & {t.id for t in node.targets if isinstance(t, ast.Name)}
        }
        assert others == set()

    def test_the_package_is_the_only_one(self) -> None:
        assert [path.name for path in SOURCE.parent.iterdir() if path.is_dir() and path.suffix != ".egg-info"] == [
            PACKAGE
        ]


class TestStages:
    def stages(self) -> Iterator[tuple[str, ast.FunctionDef]]:
        """Functions that are given a runtime first: the stages, and what single commands run like one."""
        for name, path in modules().items():
            for node in parsed(path).body:
                if isinstance(node, ast.FunctionDef) and node.args.args:
                    annotation = node.args.args[0].annotation
                    if annotation is not None and ast.unparse(annotation) == "Runtime":
                        yield name, node

    def test_a_stage_has_at_most_six_parameters_beside_how_to_run(self) -> None:
        found = {f"{name}.{node.name}": len(node.args.args + node.args.kwonlyargs) - 1 for name, node in self.stages()}
        assert len(found) > 10
        assert {stage: count for stage, count in found.items() if count > 6} == {}

    def test_nobody_parses_a_label(self) -> None:
        """A label is for people: what a step is, its kind, subject and purpose say."""
        parsing = {"startswith", "endswith", "partition", "rpartition", "removeprefix", "removesuffix", "split"}
        files = [*modules().values(), *(ROOT / "flows").glob("*.py")]
        users = {
            f"{path.name}:{node.lineno}"
            for path in files
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in parsing
            and ast.unparse(node.func.value).endswith(("call.label", "step.label", "done.label", "entry.label"))
        }
        assert users == set()
