"""A stand-in for the image ``python:3.N-slim``, made from the Debian system it runs on: nothing is downloaded.

It holds only the files of Debian's essential packages (and of what those depend on) and one Python under ``/usr/local``
without its site-packages. So whatever an image needs and does not bring itself is missing here too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

BESIDE_ESSENTIAL = ("apt", "ca-certificates", "netbase", "tzdata", "passwd", "libc-bin")
"""What the real image adds to Debian's essential packages, as far as a Python service can notice it: with apt comes
libstdc++, which numpy needs."""
NOT_NEEDED = re.compile(r"usr/share/(doc|man|info|locale|lintian|bash-completion)/")
LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class NoBase(RuntimeError):
    """This system cannot stand in for the image; the sentence says why."""


def build(root: Path, python: Path) -> None:
    """Fill an empty folder.

    Args:
        python: the interpreter to put under ``/usr/local``, as ``find_python`` gives it.
    """
    names = sorted({name for package in _packages() for name in _files(package)})
    for folder in ("dev", "proc", "sys", "tmp", "root", "etc", "var/tmp", "run", "usr/local/bin", "usr/lib", "home"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for link in LINKS:
        if Path("/", link).is_symlink():
            (root / link).symlink_to(Path("/", link).readlink())
    # a package's list may say /bin/sh where the file lies at /usr/bin/sh
    real = sorted({_behind_links(name) for name in names} | set(_alternatives(names)))
    _copy(root, real)
    for source, target in (("passwd.master", "passwd"), ("group.master", "group")):
        shutil.copy(Path("/usr/share/base-passwd", source), root / "etc" / target)
    for name in ("shadow", "gshadow"):
        (root / "etc" / name).touch(mode=0o640)
    for name in ("resolv.conf", "hosts", "nsswitch.conf", "ssl/certs/ca-certificates.crt"):
        if Path("/etc", name).exists():
            (root / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path("/etc", name), root / "etc" / name)
    _put_python(root, python)
    subprocess.run(["ldconfig", "-r", str(root)], check=True)


def find_python(version: str) -> Path:
    """An interpreter of this version that is no virtual environment: on PATH, or beside the others of a version manager.

    Raises:
        NoBase: there is none.
    """
    names = [shutil.which(f"python{version}")]
    beside = Path(os.path.realpath("/proc/self/exe")).parents[2]
    names += sorted(map(str, beside.glob(f"{version}*/bin/python{version}")))
    for name in filter(None, names):
        ask = "import sys; print(sys.version_info[:2] == tuple(map(int, sys.argv[1].split('.'))), sys.base_prefix)"
        said = subprocess.run([name, "-c", ask, version], capture_output=True, text=True, check=False)
        right, _, prefix = said.stdout.strip().partition(" ")
        if said.returncode == 0 and right == "True":
            return Path(prefix, "bin", f"python{version}")
    raise NoBase(f"no Python {version} on this machine to stand in for the base image's")


def _packages() -> list[str]:
    if not shutil.which("dpkg-query"):
        raise NoBase("this is no Debian system, whose packages could stand in for the base image")
    form = "${binary:Package}\t${Essential}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    depends: dict[str, list[str]] = {}
    provider: dict[str, str] = {}
    wanted = list(BESIDE_ESSENTIAL)
    for line in listed.splitlines():
        name, essential, provides, needs = line.split("\t")
        short = name.split(":")[0]
        depends[short] = [re.split(r"[ :(|]", item.strip())[0] for item in needs.split(",") if item.strip()]
        provider |= {re.split(r"[ (]", item.strip())[0]: short for item in provides.split(",") if item.strip()}
        if essential == "yes":
            wanted.append(short)
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        name = name if name in depends else provider.get(name, name)
        if name in depends and name not in found:
            found.add(name)
            wanted += depends[name]
    return sorted(found)


def _files(package: str) -> Iterator[str]:
    listed = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        name = line.lstrip("/")
        path = Path("/", name)
        if line.startswith("/") and not NOT_NEEDED.match(name) and (path.is_symlink() or path.is_file()):
            yield name


def _alternatives(names: Iterable[str]) -> Iterator[str]:
    """``/usr/bin/awk`` and the like: links that packages make when they are installed and do not list."""
    own = {f"/{_behind_links(name)}" for name in names}
    for link in Path("/etc/alternatives").iterdir():
        if os.path.realpath(link) in own:
            yield f"etc/alternatives/{link.name}"
            for folder in ("usr/bin", "usr/sbin"):
                user = Path("/", folder, link.name)
                if user.is_symlink() and user.readlink() == link:
                    yield f"{folder}/{link.name}"


def _behind_links(name: str) -> str:
    path = Path("/", name)
    return str(Path(os.path.realpath(path.parent), path.name)).lstrip("/")


def _copy(root: Path, names: list[str]) -> None:
    listing = "\0".join(names).encode()
    pack = ["tar", "-C", "/", "--no-recursion", "--null", "-T", "-", "-cf", "-"]
    with subprocess.Popen(pack, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as packing:
        assert packing.stdin is not None
        unpack = ["tar", "-C", str(root), "-xpf", "-"]
        with subprocess.Popen(unpack, stdin=packing.stdout) as unpacking:
            packing.stdin.write(listing)
            packing.stdin.close()
    if packing.returncode or unpacking.returncode:
        raise NoBase("the system's files could not be copied")


def _put_python(root: Path, python: Path) -> None:
    """The interpreter, its library and the shared libraries it is linked with; no installed packages."""
    prefix, version = python.parents[1], python.name.removeprefix("python")
    local = root / "usr/local"
    (local / "lib").mkdir(parents=True, exist_ok=True)
    shutil.copy2(os.path.realpath(python), local / "bin" / f"python{version}")
    for name in ("python3", "python"):
        (local / "bin" / name).symlink_to(f"python{version}")
    library = local / "lib" / f"python{version}"
    unwanted = shutil.ignore_patterns("site-packages", "__pycache__", "test", "idlelib", "tkinter", "turtledemo")
    shutil.copytree(prefix / "lib" / f"python{version}", library, ignore=unwanted, symlinks=True)
    (library / "site-packages").mkdir()
    for shared in (prefix / "lib").glob("libpython*.so*"):
        shutil.copy2(shared, local / "lib", follow_symlinks=False)
    linked = [local / "bin" / f"python{version}", *library.glob("lib-dynload/*.so")]
    said = subprocess.run(["ldd", *map(str, linked)], capture_output=True, text=True, check=False).stdout
    for found in sorted(set(re.findall(r"=> (/\S+)", said))):
        place = root / _behind_links(found)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(os.path.realpath(found), place)
    pip = [str(Path("/usr/local/bin") / f"python{version}"), "-m", "ensurepip", "--root", "/", "--default-pip"]
    done = subprocess.run(["chroot", str(root), *pip], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoBase(f"Python does not start in the clean root: {done.stderr[-500:]}")
