"""Does a roll-up of many reviews stay in constant memory, and how fast is it?

    python benchmarks/rollup.py [--data DIR] [--sizes 20000,60000,200000,649362] [--model DIR]

The first rows of ``nsmc/reviews.parquet`` (by month and by movie) through ``maeum rollup`` with a linear review model, by
default one of ``sample:fashion`` that is trained first. It knows nothing of movies, and need not: what is measured is the
way from rows to a report. Each size is a process of its own; its peak is ``VmHWM`` of Linux, and its rows per second are
of the CPU clock, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _results import save

ASKED: dict[str, Any] = {"date_column": "date", "date_format": "%y.%m.%d", "group_column": "movie_id"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sizes", default="20000,60000,200000,649362")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(*given.one)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as place:
        model = given.model or trained(Path(place) / "model")
        for size in map(int, given.sizes.split(",")):
            path = first_rows(given.data / "nsmc" / "reviews.parquet", size, Path(place) / f"{size}.parquet")
            words = [sys.executable, __file__, "--one", str(model), str(path), str(Path(place) / f"out-{size}")]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout))
            print(rows[-1], flush=True)
    print(save("rollup", {"asked": ASKED, "runs": rows}))


def one(model: str, source: str, output: str) -> dict[str, Any]:
    """A roll-up in this process."""
    import maeum

    analyzer_mib = peak_after_loading(model)
    wall, cpu = time.perf_counter(), time.process_time()
    marks: list[tuple[str, float]] = []
    done = maeum.rollup(model, source, output, **ASKED, progress=lambda line: marks.append((line, time.process_time())))
    end = time.process_time()
    # keys, predicting, counting, writing
    begins = [clock for _, clock in marks] + [end]
    parts = [round(after - before, 2) for before, after in itertools.pairwise(begins)]
    told = json.loads((Path(output) / "rollup.json").read_text(encoding="utf-8"))["counts"]
    return {
        "rows": done.rows,
        "groups": done.groups,
        "loaded_mib": analyzer_mib,
        "peak_mib": peak_mib(),
        "wall_sec": round(time.perf_counter() - wall, 1),
        "cpu_sec": round(end - cpu, 1),
        "cpu_sec_of_stages": dict(zip(("keys", "predicting", "counting", "writing"), parts, strict=True)),
        "rows_per_cpu_sec": round(done.rows / (end - cpu)),
        "unlisted_words_in_at_most": told["unlisted_words_in_at_most"],
        "folder_mb": round(sum(path.stat().st_size for path in Path(output).iterdir()) / 1e6, 1),
    }


def peak_after_loading(model: str) -> float:
    """Peak of this process once the model has been opened and used."""
    import maeum

    maeum.load(model).analyze(["배송이 빨라요"])
    return peak_mib()


def peak_mib() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024, 1)


def trained(folder: Path) -> Path:
    import maeum

    maeum.train("sample:fashion", valid=0.2, output=folder)
    return folder


def first_rows(source: Path, size: int, path: Path) -> Path:
    import arro3.io

    arro3.io.write_parquet(arro3.io.read_parquet(str(source)).read_all().slice(0, size), str(path))
    return path


if __name__ == "__main__":
    main()
