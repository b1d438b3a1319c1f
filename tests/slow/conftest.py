"""What the tests of the web app share: a browser, and a folder for screenshots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_kit import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from chromium()


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("MAEUM_ARTEFACTS") or tmp_path_factory.mktemp("ui")) / "ui"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
