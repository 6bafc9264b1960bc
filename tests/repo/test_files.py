"""What no file of the repository may name."""

import re

import pytest

from tests.repo.sources import ROOT, committed_files

# Put together here, so that this file does not name what it looks for.
HOSTS = [
    ("py", "pi.org"),
    ("python", "hosted.org"),
    ("registry.npm", "js.org"),
    ("registry.yarn", "pkg.com"),
    ("deb.deb", "ian.org"),
    ("proxy.go", "lang.org"),
    ("crates", ".io"),
]
FOLDERS = ["home", "root", "Users", "work", "mnt"]
HOST = re.compile("|".join(re.escape(head + tail) for head, tail in HOSTS))
MACHINE_PATH = re.compile(rf"(?<![\w.:/~$}})-])/(?:{'|'.join(FOLDERS)})/\w")


@pytest.mark.claim("repo.nothing-local")
def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in committed_files()
        for number, line in enumerate(path.read_text("utf-8", errors="ignore").splitlines(), 1)
        if HOST.search(line) or MACHINE_PATH.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://" + "files.python" + "hosted.org/x", True),
        ("cd " + "/ho" + "me/ann/checkout", True),
        ("'" + "/wo" + "rk/main'", True),
        ("https://example.com/home/page", False),
        ("../root/x and src/work/x", False),
    ],
)
def test_what_counts_as_local(text: str, found: bool) -> None:
    assert bool(HOST.search(text) or MACHINE_PATH.search(text)) is found
