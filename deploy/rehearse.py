#!/usr/bin/env python3
"""Runs the steps of ``deploy/Dockerfile`` in a clean root, where no Docker engine runs; needs root and Debian.

    sudo python deploy/rehearse.py --mount runs/first:/models/first -- serve /models/first
    sudo python deploy/rehearse.py --target ui
    sudo python deploy/rehearse.py --report report.json --ask /v1/emotions '{"texts": ["드디어 표를 구했다"]}'

Every stage the target needs is built in a folder of its own: COPY out of what .dockerignore leaves, RUN under chroot. Then
the image's own ENTRYPOINT and CMD (or the words after ``--``) start as the image's own USER, as process 1, without rights,
on a read-only root with an empty /tmp, in a network that is nothing but loopback. The image's own HEALTHCHECK has to pass;
a request may follow; then the image's STOPSIGNAL has to end it in time.

What this is not: the base image (Debian's and Python's files of this machine stand in for it), an engine's layers and cache,
seccomp, AppArmor, published ports. RUN steps use this machine's network and pip settings, as a build with the secret
``pip_conf`` does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import baseroot
import dockerfile
from confined import (
    CLONE_NEWNS,
    bind,
    enter,
    inside,
    local_places,
    mount,
    mounted,
    only_loopback,
    pip_settings,
    unshare,
)

ROOT = Path(__file__).resolve().parents[1]
BASE_ENV = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
GRACE = 30.0
"""Seconds between the stop signal and the kill; compose.yaml and Kubernetes give as many or more."""


class Failed(RuntimeError):
    """A step of the image did not do what it should."""


class Rehearsal:
    """One build and one run.

    Args:
        work: an empty folder for the stages.
        target: a stage of the Dockerfile.
        python: the interpreter that stands in for the base image's.
    """

    def __init__(self, work: Path, target: str | None, python: Path | None) -> None:
        self.work = work
        self.file = dockerfile.read(ROOT / "deploy" / "Dockerfile")
        self.target = target or self.file.default
        self.image = self.file.image(self.target)
        self.image.env = BASE_ENV | self.image.env
        self.python = python
        self.bases: dict[str, Path] = {}
        self.report: dict[str, Any] = {"target": self.target, "steps": []}
        (work / "stages").mkdir()
        self.pip_conf = work / "pip.conf"
        self.pip_conf.touch(mode=0o600)
        self.pip_conf.write_text(pip_settings(), encoding="utf-8")

    # ---- building ---------------------------------------------------------------------------------------------------
    def build(self) -> Path:
        """All stages of the target; the last one's root."""
        images: dict[str, dockerfile.Image] = {}
        for name in self.file.needed(self.target):
            stage = self.file.stages[name]
            root = self.work / "stages" / name
            own = stage.base in self.file.stages
            start = self.work / "stages" / stage.base if own else self._base(stage.base)
            subprocess.run(["cp", "-a", str(start), str(root)], check=True)
            image = images[stage.base].copy() if own else dockerfile.Image(env=dict(BASE_ENV))
            for step in stage.steps:
                started = time.perf_counter()
                self._step(step, image, root)
                took = time.perf_counter() - started
                log(f"{name} {took:6.1f} s  {step.word} {step.rest[:90]}")
                self.report["steps"].append({"stage": name, "line": step.line, "seconds": round(took, 2)})
            images[name] = image
        root = self.work / "stages" / self.target
        base = next(iter(self.bases.values()))
        self.report["image_mb"] = round(megabytes(root) - megabytes(base), 1)
        return root

    def _base(self, name: str) -> Path:
        if name not in self.bases:
            version = re.fullmatch(r"(?:.*/)?python:(\d+\.\d+)-slim.*", name)
            if version is None:
                raise baseroot.NoBase(f"nothing here can stand in for the image '{name}'")
            python = self.python or baseroot.find_python(version[1])
            self.bases[name] = self.work / f"base-{len(self.bases)}"
            baseroot.build(self.bases[name], python)
            log(f"NOT the image {name}: this machine's Debian packages and {python.name} stand in for it")
            self.report["stand_in"] = {"image": name, "python": python.name}
        return self.bases[name]

    def _step(self, step: dockerfile.Step, image: dockerfile.Image, root: Path) -> None:
        if step.word == "COPY":
            self._copy(step, image, root)
        elif step.word == "RUN":
            self._run(step, image, root)
        else:
            image.apply(step)
            if step.word == "WORKDIR":
                inside(root, image.workdir).mkdir(parents=True, exist_ok=True)

    def _copy(self, step: dockerfile.Step, image: dockerfile.Image, root: Path) -> None:
        *names, place = dockerfile.fill(step.rest, image.env).split()
        to = inside(root, str(Path(image.workdir) / place))
        several = len(names) > 1 or place.endswith("/") or place == "."
        for name in names:
            if "from" in step.flags:
                source = inside(self.work / "stages" / step.flags["from"][0], str(Path("/") / name))
            else:
                source = self._context() / name
            if not source.exists():
                raise Failed(f"line {step.line}: COPY {name}: not there (or shut out by .dockerignore)")
            # COPY gives a folder's content, and a file under its own name where the place is a folder
            target = to if source.is_dir() or not several else to / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", f"{source}/." if source.is_dir() else str(source), str(target)], check=True)
            subprocess.run(["chown", "-R", *step.flags.get("chown", ("0:0",)), str(target)], check=True)
            if "chmod" in step.flags:
                target.chmod(int(step.flags["chmod"][0], 8))

    def _context(self) -> Path:
        """The build context: a copy of what .dockerignore leaves, so that nothing else can be reached."""
        context = self.work / "context"
        if not context.exists():
            for name in dockerfile.context_files(ROOT):
                (context / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, context / name)
        return context

    def _run(self, step: dockerfile.Step, image: dockerfile.Image, root: Path) -> None:
        with mounted(root, network=True):
            for flag in step.flags.get("mount", ()):
                self._mount_for_run(flag, root, step.line)
            uid, gid = map(int, image.user.split(":"))
            env = image.env | {name: os.environ[name] for name in PROXIES if name in os.environ}
            done = subprocess.run(
                step.words(),
                env={"HOME": "/root"} | env,
                preexec_fn=lambda: enter(root, image.workdir, uid, gid),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        if done.returncode:
            raise Failed(f"line {step.line}: RUN ended with status {done.returncode}:\n{done.stdout[-3000:]}")

    def _mount_for_run(self, flag: str, root: Path, line: int) -> None:
        options = dict(part.split("=", 1) for part in flag.split(","))
        target = inside(root, options["target"])
        if options["type"] == "cache":
            source = self.work / "cache"
            said = subprocess.run(
                [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False
            )
            if said.returncode == 0 and Path(said.stdout.strip()).is_dir():
                source = Path(said.stdout.strip())
            source.mkdir(exist_ok=True)
            target.mkdir(parents=True, exist_ok=True)
        elif options["type"] == "secret" and options.get("id") == "pip_conf":
            source = self.pip_conf
            target.touch()
            for place in local_places(source.read_text(encoding="utf-8")):
                bind(place, inside(root, str(place)))
        else:
            raise Failed(f"line {line}: --mount={flag} is not known here")
        mount("--bind", str(source), str(target))

    # ---- running ----------------------------------------------------------------------------------------------------
    def run(self, root: Path, words: list[str], mounts: list[str], env: dict[str, str], ask: list[str] | None) -> None:
        """Start, wait for health, ask, stop."""
        image = self.image
        env = image.env | env
        uid, gid = map(int, image.user.split(":"))
        if uid == 0:
            raise Failed("the image runs as root")
        self.report |= {"user": image.user, "packages": installed(root, image)}
        as_user = (
            f"setpriv --reuid={uid} --regid={gid} --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs"
        )
        only_loopback()
        with mounted(root, network=False):
            for item in mounts:
                source, place = item.split(":")
                bind(Path(source).resolve(), inside(root, place))
            mount("-o", "remount,bind,ro", str(root))
            starter = [which("unshare"), "--pid", "--fork", "--kill-child", f"--root={root}", f"--wd={image.workdir}"]
            starter += ["--mount-proc", *as_user.split(), *image.entrypoint, *(words or image.command)]
            log_path = self.work / "container.log"
            started = time.perf_counter()
            with log_path.open("wb") as output:
                process = subprocess.Popen(starter, env=env, stdout=output, stderr=subprocess.STDOUT)
            try:
                first = self._until_healthy(process, as_user.split(), env, started)
                if ask is not None:
                    self.report["answer"] = post(f"http://127.0.0.1:{env['MAEUM_SERVE_PORT']}{ask[0]}", ask[1], env)
                    log(f"{ask[0]} answered {self.report['answer']['status']}")
                self.report["peak_mb"] = peak(first)
                self._stop(process, first)
            finally:
                self.report["log"] = log_path.read_text(encoding="utf-8", errors="replace")[-4000:]
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def _until_healthy(
        self, process: subprocess.Popen[bytes], as_user: list[str], env: dict[str, str], started: float
    ) -> int:
        """Ask the HEALTHCHECK until it passes; the number of the container's process 1, as seen from here."""
        check = self.image.healthcheck
        if check is None:
            raise Failed("the image has no HEALTHCHECK")
        wait = {name: dockerfile.seconds(check.flags[name][0]) for name in ("start-period", "interval", "timeout")}
        until = started + wait["start-period"] + wait["interval"] * int(check.flags["retries"][0])
        said = ""
        while time.perf_counter() < until and process.poll() is None:
            # an engine waits --interval between two checks; asking more often tells when it was ready
            time.sleep(0.25)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if not children:
                continue
            into = [which("nsenter"), f"--target={children[0]}", "--mount", "--pid", "--root", "--wd"]
            with contextlib.suppress(subprocess.TimeoutExpired):
                asked = [*into, *as_user, *check.words()]
                done = subprocess.run(
                    asked, env=env, capture_output=True, text=True, timeout=wait["timeout"], check=False
                )
                said = done.stderr
                if done.returncode == 0:
                    self.report["healthy_after_s"] = round(time.perf_counter() - started, 2)
                    log(f"healthy after {self.report['healthy_after_s']} s")
                    return int(children[0])
        output = (self.work / "container.log").read_text(encoding="utf-8", errors="replace")
        raise Failed(f"never healthy (status {process.poll()}): {said}\n{output[-3000:]}")

    def _stop(self, process: subprocess.Popen[bytes], first: int) -> None:
        started = time.perf_counter()
        os.kill(first, getattr(signal, self.image.stopsignal))
        try:
            status = process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.image.stopsignal} did not end it within {GRACE:.0f} s") from None
        self.report |= {"stop_status": status, "stopped_after_s": round(time.perf_counter() - started, 2)}
        log(f"{self.image.stopsignal} ended it after {self.report['stopped_after_s']} s with status {status}")


def which(name: str) -> str:
    """A tool of this machine: PATH of a step is the image's own."""
    return shutil.which(name) or name


def log(line: str) -> None:
    """One line on stderr, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def installed(root: Path, image: dockerfile.Image) -> list[str]:
    """Names of all packages that the image's own Python sees."""
    ask = "import importlib.metadata as m; print(*sorted({d.name.lower() for d in m.distributions()}))"
    done = subprocess.run(
        ["python", "-c", ask],
        env=image.env,
        preexec_fn=lambda: enter(root, "/", 0, 0),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def megabytes(root: Path) -> float:
    """Size of a folder."""
    return (
        int(subprocess.run(["du", "-sk", str(root)], capture_output=True, text=True, check=True).stdout.split()[0])
        / 1024
    )


def peak(pid: int) -> float:
    """Peak memory of a process so far, in MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return round(int(found[1]) / 1024, 1) if found else 0.0


def post(url: str, body: str, env: dict[str, str]) -> dict[str, Any]:
    """The answer to one request."""
    head = {"Content-Type": "application/json"}
    if key := env.get("MAEUM_API_KEYS", "").split(",")[0]:
        head["Authorization"] = f"Bearer {key}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, body.encode(), head), timeout=60) as answer:
            return {"status": answer.status, "body": json.load(answer)}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode(errors="replace")}


def main() -> int:
    """0 done, 1 the image is at fault, 3 this machine cannot rehearse it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="a stage of the Dockerfile; the last one if not given")
    parser.add_argument("--mount", action="append", default=[], metavar="HERE:THERE", help="a folder, read-only")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--ask", nargs=2, metavar=("PATH", "JSON"), help="a request to send once it is healthy")
    parser.add_argument("--python", type=Path, help="an interpreter to stand in for the base image's")
    parser.add_argument("--report", type=Path, help="where to write what was found, as JSON")
    parser.add_argument("--build-only", action="store_true", help="do not start it")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the stages in an empty folder, to look at")
    parser.add_argument("words", nargs="*", help="instead of the image's CMD, after --")
    words = parser.parse_args()
    if os.geteuid() != 0:
        log("this needs root: it uses chroot and namespaces")
        return 3
    if words.keep:
        words.keep.mkdir(parents=True)
    place = (
        contextlib.nullcontext(str(words.keep))
        if words.keep
        else tempfile.TemporaryDirectory(prefix="maeum-rehearsal-")
    )
    with place as work:
        try:
            unshare(CLONE_NEWNS)
            mount("--make-rprivate", "/")
            rehearsal = Rehearsal(Path(work), words.target, words.python)
            root = rehearsal.build()
            if not words.build_only:
                env = dict(item.split("=", 1) for item in words.env)
                rehearsal.run(root, words.words, words.mount, env, words.ask)
        except baseroot.NoBase as error:
            log(f"cannot be rehearsed here: {error}")
            return 3
        except Failed as error:
            log(f"FAILED: {error}")
            return 1
        if words.report:
            words.report.write_text(json.dumps(rehearsal.report, ensure_ascii=False, indent=2), encoding="utf-8")
    answer = rehearsal.report.get("answer", {"status": 200})
    return 0 if answer["status"] == 200 and rehearsal.report.get("stop_status", 0) == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
