"""Files of Debian packages without root rights: as installed, else downloaded by apt-get and unpacked in a folder."""

import os
import subprocess  # nosec B404 - lists of words, no shell
from collections.abc import Sequence
from pathlib import Path

from asr_tv.errors import DataError, TryAgain

_SECONDS = 300
_NETWORK = (
    *("-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=5", "-o", "Acquire::https::Timeout=5"),
    *("-o", "Acquire::http::ConnectionAttemptDelayMsec=250"),
)
_OUTDATED_LISTS = ("Unable to locate package", "Can't select", "404  Not Found")


def package_files(packages: Sequence[str], needed: Sequence[str], folder: Path, *, installed: Path = Path("/")) -> Path:
    """The root under which every path of `needed` lies: `installed`, or a folder made below `folder`.

    Args:
        needed: files or folders relative to the root, such as usr/share/doc/NAME/copyright. A package may be
            installed without its documentation, as container images do.
        folder: scratch space, which must exist.

    Raises:
        DataError: not installed, and apt-get cannot download them; without a network within seconds.
    """
    if not _lacking(installed, needed):
        return installed
    try:
        _download(packages, folder)
        root = folder / "root"
        for package in sorted(folder.glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(root)], folder)
    except DataError as error:
        raise type(error)(f"packages {', '.join(packages)} are not installed and cannot be fetched: {error}") from None
    if lacking := _lacking(root, needed):
        raise DataError(f"packages {', '.join(packages)} have no {', '.join(lacking)}")
    return root


def _lacking(root: Path, needed: Sequence[str]) -> list[str]:
    return [path for path in needed if not (root / path).exists()]


def _download(packages: Sequence[str], folder: Path) -> None:
    """apt-get download; again with fresh package lists of our own where the system's are missing or too old."""
    download = ["apt-get", "-q", *_NETWORK, "download", *packages]
    try:
        _run(download, folder)
    except DataError as error:
        if not any(sign in str(error) for sign in _OUTDATED_LISTS):
            raise
        private = _private_state(folder / "apt")
        _run(["apt-get", "-q", *_NETWORK, *private, "-o", "APT::Update::Error-Mode=any", "update"], folder)
        _run([*download, *private], folder)


def _private_state(folder: Path) -> list[str]:
    """Options that keep apt's lists and cache in a folder; only the list of installed packages stays the system's."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    settings = (
        f"Dir::State={folder}",
        f"Dir::State::lists={folder / 'lists'}",
        "Dir::State::status=/var/lib/dpkg/status",
        f"Dir::Cache={folder / 'cache'}",
    )
    return [word for setting in settings for word in ("-o", setting)]


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # nosec B603 - our own words and names of packages
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise DataError(f"no {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise TryAgain(f"{command[0]} took more than {_SECONDS} seconds") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb: error"))]
        raise TryAgain(f"{command[0]}: {' '.join(errors) or f'exit code {done.returncode}'}")
