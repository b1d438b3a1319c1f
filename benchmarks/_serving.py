"""The servers that ``serve.py`` compares, each in a process of its own.

As a script: the naive one, ``python _serving.py FOLDER PORT THREADS``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import maeum

NAIVE = "/predict"


def naive_server(folder: str, port: int, threads: int) -> None:
    """What people write: a pipeline behind a plain function."""
    import torch
    import transformers
    import uvicorn
    from fastapi import FastAPI
    from inference import network_of

    torch.set_num_threads(threads)
    analyzer = next(iter(maeum.load_heads(folder).values()))
    predictor: Any = analyzer.predictor
    encoder = predictor.trunk.trunk if predictor.kind == "head" else predictor
    view: Any = SimpleNamespace(predictor=encoder, task=encoder.task)  # of several heads: all of their columns
    network, tokenizer, length = network_of(view)
    ask: Any = transformers.pipeline(
        "text-classification",  # type: ignore[call-overload, unused-ignore]
        model=network,
        tokenizer=tokenizer,
        top_k=None,
        function_to_apply="softmax" if encoder.task.kind == "multiclass" else "sigmoid",
        truncation=True,
        max_length=length,
        device="cpu",
    )
    ask(["준비"])
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post(NAIVE)
    def predict(body: dict[str, Any]) -> dict[str, Any]:
        return {"scores": ask([body["text"]])[0]}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


class Server:
    """A server in a process of its own, pinned, until ``stop``."""

    def __init__(self, command: list[str], cores: list[int], port: int, work: Path) -> None:
        env = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
        # neither is told how many threads to take; both see the cores they may use
        env.pop("OMP_NUM_THREADS", None)
        self.url = f"http://127.0.0.1:{port}"
        self.log = work / f"server-{port}-{time.monotonic_ns()}.log"
        began = time.perf_counter()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        while not self._healthy():
            if self.process.poll() is not None or time.perf_counter() - began > 180:
                self.process.kill()
                raise SystemExit(f"{command}: {self.log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
            time.sleep(0.1)
        self.start_seconds = round(time.perf_counter() - began, 2)

    def _healthy(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=2):
            return True
        return False

    def megabytes(self, name: str = "VmRSS") -> float:
        """Resident memory now, or (``VmHWM``) at its peak."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return round(int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024, 1)

    def cpu(self) -> float:
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it, gently at first."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return int(any_socket.getsockname()[1])


if __name__ == "__main__":
    naive_server(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
