"""Campaigns on what others wrote, in their short forms."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.repo.sources import ROOT


def needs(name: str) -> pytest.MarkDecorator:
    """Skip where a campaign's material is not installed, save where all is to be run."""
    return pytest.mark.skipif(
        not (ROOT / f".venv-{name}" / "ready").exists() and "CI" not in os.environ,
        reason=f"`make test` and `make {name}` install it",
    )


def told(name: str, *arguments: str) -> dict[str, Any]:
    """Run a campaign, which must hold, and give its line."""
    command = [sys.executable, "-m", f"campaigns.{name}", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    line: dict[str, Any] = json.loads(run.stdout)
    return line
