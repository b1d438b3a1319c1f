"""What the base promises: light imports, a quick --help."""

from __future__ import annotations

import subprocess
import sys
import time


def fastest(*commands: list[str], repeats: int = 9) -> list[float]:
    """Shortest wall-clock seconds of each command, run in turns so that a busy machine hits all alike."""
    best = [float("inf")] * len(commands)
    for _ in range(repeats):
        for place, words in enumerate(commands):
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, capture_output=True)
            best[place] = min(best[place], time.perf_counter() - start)
    return best


def test_import_is_light():
    code = (
        "import time; t = time.process_time(); import maeum, sys; print(time.process_time() - t);"
        "print([m for m in ('torch', 'transformers', 'pandas', 'sklearn', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    took, loaded = done.stdout.splitlines()
    assert float(took) < 0.3
    assert loaded == "[]"


def test_help_costs_at_most_ten_empty_starts():
    help_, empty = fastest(["-m", "maeum", "--help"], ["-c", "pass"])
    assert help_ < 10 * empty


def test_every_public_name_can_be_had():
    import maeum

    for name in maeum.__all__:
        assert getattr(maeum, name) is not None
    assert set(dir(maeum)) == set(maeum.__all__)
