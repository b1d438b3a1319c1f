"""Mounts, namespaces and settings of the machine that a rehearsal runs on."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from baseroot import NoBase

DEVICES = ("null", "zero", "full", "random", "urandom")
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


def inside(root: Path, place: str) -> Path:
    """A place of the image, as a path of this machine; links in the image lead within it."""
    path = root
    for part in Path(place).parts[1:]:
        path = path / part
        if path.is_symlink():
            link = path.readlink()
            path = inside(root, str(link if link.is_absolute() else Path("/", path.parent.relative_to(root), link)))
    return path


def mount(*words: str) -> None:
    """``mount`` with its complaint as an error."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoBase(f"mount {' '.join(words)}: {done.stderr.strip()}")


def bind(source: Path, target: Path) -> None:
    """A file or folder of this machine, read-only in the image."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount("--bind", str(source), str(target))
    mount("-o", "remount,bind,ro", str(target))


@contextlib.contextmanager
def mounted(root: Path, *, network: bool) -> Iterator[None]:
    """What a container finds under /proc, /sys, /dev and (in a run) an empty /tmp; all gone afterwards."""
    mount("--bind", str(root), str(root))
    try:
        mount("-t", "proc", "proc", str(root / "proc"))
        mount("--rbind", "/sys", str(root / "sys"))
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root / "dev"))
        for name in DEVICES:
            (root / "dev" / name).touch()
            mount("--bind", f"/dev/{name}", str(root / "dev" / name))
        (root / "dev/shm").mkdir()
        mount("-t", "tmpfs", "tmpfs", str(root / "dev/shm"))
        if not network:
            mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(root / "tmp"))
        yield
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", str(root)], check=True)


def enter(root: Path, workdir: str, uid: int, gid: int) -> None:
    """Between fork and exec of a RUN step."""
    os.chroot(root)
    os.chdir(workdir)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def unshare(flag: int) -> None:
    """A namespace of this process's own."""
    if ctypes.CDLL(None, use_errno=True).unshare(flag):
        raise NoBase(f"namespaces are not allowed here: {os.strerror(ctypes.get_errno())}")


def only_loopback() -> None:
    """From here on this process and its children reach nothing but themselves."""
    unshare(CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS


def pip_settings() -> str:
    """This machine's pip settings, from all its files and variables, as one file."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    sections: dict[str, dict[str, str]] = {}
    for line in said.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        # variables count more than files, and come last in the list
        sections.setdefault("global" if section == ":env:" else section, {})[key] = str(ast.literal_eval(value))
    return "".join(
        f"[{section}]\n" + "".join(f"{key} = {' '.join(value.split())}\n" for key, value in found.items())
        for section, found in sections.items()
    )


def local_places(text: str) -> list[Path]:
    """Folders that pip's settings name; of a local index the folder above, since its pages lead to files beside it."""
    found = re.findall(r"(file://)?(/[^\s,]+)", re.sub(r"https?://\S+", "", text))
    places = {Path(name).parent if url else Path(name) for url, name in found}
    return sorted(place for place in places if place.is_dir() and len(place.parts) > 2)
