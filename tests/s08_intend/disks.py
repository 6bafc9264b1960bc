"""Disks that are small enough to be filled."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of its own at the folder, which only root may mount; gives what remounts it."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk to fill")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, f"size={size}", "none", str(folder)]).returncode != 0:
        pytest.skip("this machine does not let a small disk be mounted")

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def disk_of(user: str, size: str) -> Iterator[Path]:
    """A small disk in a place that another user can reach, and which is his."""
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "disk"
        with small_disk(folder, size):
            shutil.chown(folder, user)
            yield folder


def filled_up(filler: Path) -> None:
    """Write until the disk takes no more."""
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
