"""``maeum serve`` beside a naive server, under load, overload, kill and drain; everything over loopback.

    python benchmarks/serve.py --model mini --naive runs/mini-torch [--data DIR] [--seconds 60] [--clients 64] [--cores 2]
    python benchmarks/serve.py --model runs/int8 --naive runs/encoder --seconds 5 --overload-seconds 5 --no-save   # a look

Naive: the same fine-tuned weights in fp32 torch, ``transformers.pipeline``, one text a request, FastAPI's thread pool; once
with one torch thread a request and once with as many as cores, and the faster of the two counts. ``--naive`` is the torch
folder that ``--model`` was exported from; of a folder with several heads it answers with all of their labels (and leaves
out the linear models that heads may mix in, which is less work than ours does).

Each server runs alone, in a process pinned to the same cores; the load generator (``_load.py``) is pinned to them too, so
its own cost weighs on both alike; ``--load-cores`` gives it others. One text a request, keep-alive, a closed loop.

Overload: requests of several texts at four times the rate a closed loop of them reaches, whether answers come or not.
Kill: a batch stream and the closed loop run while the server gets SIGKILL; the client has to notice, and after a restart
every row has to be there once. Drain: the closed loop runs while it gets SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _load import NO_CONNECTION, NOT_SENT, Events, Plan, finish
from _load import start as start_load
from _results import save
from _serving import NAIVE, Server, free_port

import maeum
from maeum._files import read_json
from maeum.calibration import Calibration

BAR = 8.0
OVERLOAD_TEXTS = 8
OVERLOAD_CLIENTS = 8
"""Of the closed loop that finds the capacity: enough for full batches, too few to be refused."""
OURS = "/v1/emotions"


class Bench:
    """What all measurements share."""

    def __init__(self, words: argparse.Namespace, work: Path) -> None:
        self.words = words
        self.work = work
        self.texts = texts_of(words)
        allowed = sorted(os.sched_getaffinity(0))
        self.cores = allowed[: words.cores]
        self.load_cores = [int(core) for core in words.load_cores.split(",")] if words.load_cores else self.cores
        self.port = free_port()

    @contextlib.contextmanager
    def ours(self, port: int | None = None) -> Iterator[Server]:
        port = port or self.port
        command = [sys.executable, "-m", "maeum", "serve", self.words.model, "--port", str(port)]
        yield from self._running(command, port)

    @contextlib.contextmanager
    def naive(self, threads: int) -> Iterator[Server]:
        script = str(Path(__file__).with_name("_serving.py"))
        yield from self._running([sys.executable, script, self.words.naive, str(self.port), str(threads)], self.port)

    def _running(self, command: list[str], port: int) -> Iterator[Server]:
        server = Server(command, self.cores, port, self.work)
        try:
            yield server
        finally:
            server.stop()

    def plan(
        self, server: Server, path: str, seconds: float, texts: int = 1, clients: int | None = None, **options: Any
    ) -> Plan:
        """A plan whose requests hold ``texts`` texts each."""
        bodies = self.work / f"bodies{path.replace('/', '-')}-{texts}.jsonl"
        if not bodies.exists():
            groups = [self.texts[at : at + texts] for at in range(0, len(self.texts) - texts + 1, texts)]
            values = [{"text": group[0]} if path == NAIVE else {"texts": group} for group in groups]
            bodies.write_text(
                "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8"
            )
        key = "scores" if path == NAIVE else "results"
        out = str(self.work / "events.npy")
        return Plan(server.url + path, str(bodies), out, key, seconds, clients or self.words.clients, **options)

    def load(self, plan: Plan) -> tuple[Events, float]:
        return finish(start_load(plan, self.load_cores), plan)


def texts_of(words: argparse.Namespace) -> list[str]:
    """Texts of KOTE, mixed once."""
    rows = maeum.read(str(Path(words.data) / "kote" / "dev.tsv"), format="kote").texts
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[place] for place in order]


# ---- measurements ---------------------------------------------------------------------------------------------------
def throughput(bench: Bench, server: Server, path: str) -> dict[str, Any]:
    """The closed loop."""
    bench.load(bench.plan(server, path, min(5.0, bench.words.seconds)))  # warm
    before = server.cpu()
    events, own = bench.load(bench.plan(server, path, bench.words.seconds))
    good = events[events[:, 2] == 200]
    span = events[:, 1].max() - events[:, 0].min()
    return {
        "requests": len(events),
        "errors": int((events[:, 2] != 200).sum()),
        "statuses": statuses(events),
        "texts_per_second": round(len(good) / span, 2),
        **latencies(good),
        "peak_mb": server.megabytes("VmHWM"),
        "server_cpu_seconds": round(server.cpu() - before, 2),
        "load_cpu_seconds": round(own, 2),
        "start_seconds": server.start_seconds,
    }


def latencies(events: Events) -> dict[str, Any]:
    """In milliseconds."""
    if not len(events):
        return {"p50_ms": None, "p99_ms": None, "max_ms": None}
    took = (events[:, 1] - events[:, 0]) * 1000
    p50, p99 = np.percentile(took, [50, 99])
    return {"p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1), "max_ms": round(float(took.max()), 1)}


def statuses(events: Events) -> dict[str, int]:
    names = {0: "broken", NOT_SENT: "not sent", NO_CONNECTION: "no connection"}
    values, counts = np.unique(events[:, 2].astype(int), return_counts=True)
    return {names.get(int(value), str(value)): int(count) for value, count in zip(values, counts, strict=True)}


def overload(bench: Bench, server: Server) -> dict[str, Any]:
    """Four times what a closed loop of the same requests reaches."""
    seconds = bench.words.overload_seconds
    loop = bench.plan(server, OURS, min(10.0, bench.words.seconds), texts=OVERLOAD_TEXTS, clients=OVERLOAD_CLIENTS)
    events, _ = bench.load(loop)
    good = int((events[:, 2] == 200).sum())
    capacity = good / (events[:, 1].max() - events[:, 0].min())
    rate = 4 * capacity
    plan = bench.plan(server, OURS, seconds, texts=OVERLOAD_TEXTS, rate=rate)
    body = json.dumps({"texts": bench.texts[:1]}).encode()
    alone = sorted(probe(server, body)[1] for _ in range(10))[5]
    before = server.megabytes()
    memory: list[float] = []
    process = start_load(plan, bench.load_cores)
    over = time.monotonic() + seconds
    while time.monotonic() < over and process.poll() is None:
        time.sleep(0.25)
        memory.append(server.megabytes())
    # what was taken is still being answered; a newcomer should be as well, and soon as fast as before
    answered_after = normal_after = None
    ended = time.monotonic()
    while normal_after is None and time.monotonic() - ended < 60:
        status, took = probe(server, body)
        if status == 200:
            answered_after = answered_after or round(time.monotonic() - ended, 3)
            if took < max(3 * alone, 0.05):
                normal_after = round(time.monotonic() - ended, 3)
        time.sleep(0.02)
    events, own = finish(process, plan)
    refused, good = events[events[:, 2] == 429], events[events[:, 2] == 200]
    sent = events[events[:, 2] >= 0]
    span = sent[:, 0].max() - sent[:, 0].min()
    quarter = len(memory) // 4
    return {
        "seconds": seconds,
        "capacity_requests_per_second": round(capacity, 1),
        "asked_requests_per_second": round(rate, 1),
        "sent_requests_per_second": round(len(sent) / span, 1),
        "texts_a_request": OVERLOAD_TEXTS,
        "statuses": statuses(events),
        "refused_share": round(len(refused) / len(sent), 3),
        "of_429": latencies(refused),
        "of_200": latencies(good),
        "answered_texts_per_second": round(len(good) * OVERLOAD_TEXTS / (events[:, 1].max() - sent[:, 0].min()), 1),
        "rss_mb": {
            "before": before,
            "first_quarter": max(memory[: quarter + 1]),
            "peak": max(memory),
            "end": memory[-1],
        },
        "alone_ms": round(alone * 1000, 1),
        "first_200_after_s": answered_after,
        "normal_after_s": normal_after,
        "load_cpu_seconds": round(own, 2),
    }


def probe(server: Server, body: bytes) -> tuple[int, float]:
    """Status and seconds of one request."""
    began = time.monotonic()
    request = urllib.request.Request(server.url + OURS, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            return answer.status, time.monotonic() - began
    except urllib.error.HTTPError as error:
        return error.code, time.monotonic() - began
    except OSError:
        return 0, time.monotonic() - began


def killed(bench: Bench) -> dict[str, Any]:
    """SIGKILL while a batch stream and the closed loop run."""
    from maeum.client import Client, CutShort

    rows = [{"id": f"r{n}", "text": bench.texts[n % len(bench.texts)]} for n in range(bench.words.batch_rows)]
    got: list[str] = []
    port = free_port()
    found: dict[str, Any] = {"rows": len(rows)}
    with bench.ours(port) as server:
        client = Client(server.url, retries=0)
        plan = bench.plan(server, OURS, 10.0)
        process = start_load(plan, bench.load_cores)
        time.sleep(3.0)
        try:
            for row in client.batch(rows):
                got.append(row.id)
                if len(got) == len(rows) // 3:
                    server.process.send_signal(signal.SIGKILL)
            raise SystemExit("a killed server's batch ended as if nothing had happened")
        except CutShort as error:
            done = error.done
        events, _ = finish(process, plan)
    found |= {"answered_before_kill": len(got), "client_says": done, "closed_loop": statuses(events)}
    with bench.ours(port) as server, Client(server.url) as client:
        got += [row.id for row in client.batch(rows, start=done)]
    found["every_row_once"] = got == [row["id"] for row in rows]
    return found


def drained(bench: Bench) -> dict[str, Any]:
    """SIGTERM while the closed loop runs."""
    with bench.ours(free_port()) as server:
        plan = bench.plan(server, OURS, 6.0)
        process = start_load(plan, bench.load_cores)
        time.sleep(3.0)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(60)
        ended = time.monotonic()
        events, _ = finish(process, plan)
    before = events[events[:, 0] < told]
    return {
        "exit_status": status,
        "ended_after_s": round(ended - told, 3),
        "sent_before": len(before),
        "under_way": int((before[:, 1] > told).sum()),
        # begun before the signal: answered, or told to go elsewhere; never left without a word
        "statuses_of_sent_before": statuses(before),
        "lost": int((before[:, 2] <= 0).sum()),
        "sent_after": statuses(events[(events[:, 0] >= told) & (events[:, 0] < ended)]),
    }


def same_answers(bench: Bench, server: Server, path: str, count: int = 50) -> list[dict[str, float]]:
    """Scores of the first texts, by label."""
    found = []
    for text in bench.texts[:count]:
        body = {"text": text} if path == NAIVE else {"texts": [text]}
        request = urllib.request.Request(
            server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)
        if path == NAIVE:
            found.append({item["label"]: item["score"] for item in said["scores"]})
        else:
            found.append(next(iter(said["results"][0]["scores"].values())))
    return found


def largest_difference(folder: str, ours: list[dict[str, float]], naive: list[dict[str, float]]) -> float | None:
    """Between our scores and those of the naive server, calibrated as ours are; None for several heads."""
    if not (Path(folder) / "calibration.json").exists():
        return None
    keys = list(ours[0])
    calibration = Calibration.from_dict(read_json(Path(folder) / "calibration.json"))
    theirs = calibration.apply(np.array([[row[key] for key in keys] for row in naive], np.float32))
    return float(np.abs(theirs - np.array([[row[key] for key in keys] for row in ours])).max())


def run(bench: Bench) -> dict[str, Any]:
    words = bench.words
    result: dict[str, Any] = {
        "model": Path(words.model).name,
        "cores_used": len(bench.cores),
        "load_on_same_cores": bench.load_cores == bench.cores,
        "clients": words.clients,
        "seconds": words.seconds,
    }
    naive: dict[str, Any] = {}
    scores: list[dict[str, float]] = []
    for threads in sorted({1, len(bench.cores)}) if words.naive else ():
        with bench.naive(threads) as server:
            scores = same_answers(bench, server, NAIVE)
            naive[f"threads_{threads}"] = throughput(bench, server, NAIVE)
        print(f"naive, {threads} torch threads", json.dumps(naive[f"threads_{threads}"]), flush=True)
    with bench.ours() as server:
        own = same_answers(bench, server, OURS)
        result["maeum"] = ours = throughput(bench, server, OURS)
        print("maeum", json.dumps(ours), flush=True)
        result["overload"] = overload(bench, server)
        print("overload", json.dumps(result["overload"]), flush=True)
    for name, measure in (("kill", killed), ("drain", drained)):
        result[name] = measure(bench)
        print(name, json.dumps(result[name]), flush=True)
    if naive:
        best = max(naive.values(), key=lambda found: found["texts_per_second"])
        ratio = ours["texts_per_second"] / best["texts_per_second"]
        result |= {
            "naive": naive,
            "ratio": round(ratio, 2),
            "bar": BAR,
            "met": bool(ratio >= BAR and ours["p99_ms"] <= best["p99_ms"] and not ours["errors"]),
            "largest_difference": largest_difference(words.naive, own, scores),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="what maeum serve opens")
    parser.add_argument("--naive", help="the torch folder it was exported from; none: ours alone")
    parser.add_argument("--data", default=os.environ.get("MAEUM_DATA", "../shared/data"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of each closed loop")
    parser.add_argument("--overload-seconds", type=float, default=30.0)
    parser.add_argument("--batch-rows", type=int, default=3000, help="of the stream that is killed")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--load-cores", help="cores of the load generator, 2,3; the server's own if not given")
    parser.add_argument("--json", action="store_true", help="print the result as JSON at the end")
    parser.add_argument("-o", "--output", type=Path, help="also write it here")
    parser.add_argument("--no-save", action="store_true")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = run(Bench(words, Path(place)))
    if "ratio" in result:
        print(f"\n{result['ratio']:.1f}x the naive server (bar {BAR:.0f}x), met: {result['met']}")
    if words.json:
        print(json.dumps(result, ensure_ascii=False))
    if words.output:
        words.output.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if not words.no_save:
        print(save("serve", result))


if __name__ == "__main__":
    main()
