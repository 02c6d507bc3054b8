from pathlib import Path

import pytest

from asr_tv.data.corpora.debian import package_files
from asr_tv.errors import DataError

NEEDED = ("usr/share/sounds/a", "usr/share/doc/p/text")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing installed in it, and a PATH on which the tests put an apt-get of their own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def command(machine: Path, name: str, script: str) -> None:
    path = machine / "bin" / name
    path.write_text(f'#!/bin/sh\necho "$@" >> {machine}/calls\n{script}\n')
    path.chmod(0o755)


def unpacker(machine: Path) -> None:
    command(machine, "dpkg-deb", 'mkdir -p "$3/usr/share/sounds/a" "$3/usr/share/doc/p/text"')


def test_installed_files_are_used_as_they_are(machine: Path) -> None:
    for path in NEEDED:
        (machine / "root" / path).mkdir(parents=True)
    root = package_files(["p"], NEEDED, machine / "scratch", installed=machine / "root")
    assert root == machine / "root"


def test_else_they_are_downloaded_and_unpacked(machine: Path) -> None:
    (machine / "root" / NEEDED[0]).mkdir(parents=True)  # installed without its documentation
    command(machine, "apt-get", "touch p_1_all.deb")
    unpacker(machine)
    root = package_files(["p"], NEEDED, machine / "scratch", installed=machine / "root")
    assert root.is_relative_to(machine / "scratch")
    assert all((root / path).exists() for path in NEEDED)


def test_empty_package_lists_are_fetched_into_a_private_folder(machine: Path) -> None:
    script = f"""case "$*" in
      *update*) touch {machine}/updated;;
      *) [ -e {machine}/updated ] || {{ echo "E: Unable to locate package p" >&2; exit 100; }}
         touch p_1_all.deb;;
    esac"""
    command(machine, "apt-get", script)
    unpacker(machine)
    package_files(["p"], NEEDED, machine / "scratch", installed=machine / "root")
    first, update, second, _ = (machine / "calls").read_text().splitlines()
    assert "Dir::State" not in first
    for call in (update, second):
        assert f"Dir::State={machine / 'scratch' / 'apt'}" in call


def test_a_closed_network_is_said_and_not_tried_again(machine: Path) -> None:
    command(machine, "apt-get", 'echo "E: Failed to fetch p  Temporary failure resolving" >&2; exit 100')
    with pytest.raises(DataError, match=r"packages p are not installed and cannot be fetched: .*Temporary failure"):
        package_files(["p"], NEEDED, machine / "scratch", installed=machine / "root")
    assert len((machine / "calls").read_text().splitlines()) == 1


def test_no_apt_and_a_package_without_the_files(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(machine, "apt-get", "touch p_1_all.deb")
    command(machine, "dpkg-deb", "exit 0")
    with pytest.raises(DataError, match=f"packages p have no {NEEDED[0]}, {NEEDED[1]}"):
        package_files(["p"], NEEDED, machine / "scratch", installed=machine / "root")
    monkeypatch.setenv("PATH", str(machine))
    with pytest.raises(DataError, match="no apt-get on this machine"):
        package_files(["p"], NEEDED, machine / "scratch", installed=machine / "root")
