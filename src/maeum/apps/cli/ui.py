"""``maeum ui``."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maeum._lang import language, say
from maeum.apps.cli._options import device_option, examples

if TYPE_CHECKING:
    from maeum.apps.ui.settings import Settings

_PATIENCE_SEC = 30
"""How long the browser waits for the server."""


@click.command(
    help=say(
        "모델을 웹 앱으로 엽니다: 한 문장, 리뷰, 파일, 비교, 기준값, 고르기, 라벨 달기, 라벨 점검. MODEL은 모델 폴더이고 여럿 줄 수 있습니다(기본: 내장 모델 mini). "
        "이 컴퓨터에서만 열리고, 쓰거나 올린 글은 --folder 밖에 저장하지 않으며, 바깥 주소에 접속하지 않습니다.",
        "Open models as a web app: one sentence, reviews, files, comparing, thresholds, sampling, labelling, audits. MODEL is a model folder, several may be "
        "given (default: the embedded model mini). Opens on this machine only; texts are not stored outside --folder and nothing outside is asked.",
    ),
    epilog=examples(
        "maeum ui",
        "maeum ui runs/kote runs/fashion",
        "maeum ui runs/kote --allow-save --port 9000",
        "maeum ui --folder 작업",
        "maeum ui runs/kote --host 0.0.0.0 --no-browser",
    ),
)
@click.argument("models", metavar="[MODEL…]", nargs=-1)
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="H", help=say("들을 주소", "Address to listen on.")
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8501,
    show_default=True,
    metavar="P",
    help=say("들을 포트", "Port to listen on."),
)
@click.option("--no-browser", is_flag=True, help=say("브라우저를 열지 않습니다.", "Do not open a browser."))
@click.option(
    "--allow-save",
    is_flag=True,
    help=say("기준값을 모델 폴더에 저장하게 합니다.", "Let the threshold page write into the model folders."),
)
@click.option(
    "--folder",
    metavar="DIR",
    help=say(
        "라벨 파일과 점검 폴더가 있는 폴더. 라벨 달기와 점검 쪽은 이 안에만 씁니다.",
        "Folder of labelling files and audits; the pages that label and audit write in it and nowhere else.",
    ),
)
@click.option(
    "--max-mb",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help=say("올리는 파일의 한계(MB)", "Largest upload in MB."),
)
@click.option(
    "--max-rows",
    type=click.IntRange(1, 1_000_000),
    default=20_000,
    show_default=True,
    metavar="N",
    help=say("올린 파일에서 읽을 행 수", "Rows read of an upload."),
)
@device_option
def ui(models: tuple[str, ...], host: str, port: int, no_browser: bool, **words: Any) -> None:
    """Check the models and the port, then let Streamlit run the app in this process."""
    from maeum._optional import require_installed

    require_installed("streamlit")
    require_installed("altair")
    from maeum.apps.ui.settings import VARIABLE, Settings
    from maeum.folder import embedded, read_manifest

    models = tuple(dict.fromkeys(models)) or ("mini",)
    for model in models:
        read_manifest(embedded(model))
    if words["folder"]:
        words["folder"] = str(_folder(words["folder"]))
    settings = Settings(models=models, language=language(), **words)
    _refuse_busy(host, port)
    os.environ[VARIABLE] = settings.to_json()
    address = f"http://{_shown(host)}:{port}"
    click.echo(say(f"웹 앱: {address}  (멈추기: Ctrl+C)", f"web app: {address}  (stop: Ctrl+C)"), err=True)
    if not no_browser:
        threading.Thread(target=_open, args=(host, port, address), daemon=True).start()
    _run(settings, host, port, debug="--debug" in sys.argv[1:])


def _folder(name: str) -> Path:
    """The folder to work in, made if it is not there.

    Raises:
        UsageError: it cannot be made, or is a file.
    """
    from maeum.errors import UsageError

    place = Path(name).absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"'{place}'을(를) 폴더로 쓸 수 없습니다({error.strerror}).",
            f"'{place}' cannot be used as a folder ({error.strerror})",
        ) from error
    return place


def _run(settings: Settings, host: str, port: int, *, debug: bool) -> None:
    from starlette.formparsers import MultiPartParser
    from streamlit.web import cli

    from maeum.apps.ui.settings import SCRIPT, streamlit_flags

    # uploads of more than 1 MB would pass through a temporary file; they are bounded, so they stay in memory
    MultiPartParser.spool_max_size = (settings.max_mb + 1) << 20
    flags = streamlit_flags(settings, host=host, port=port, debug=debug)
    cli.main(["run", str(SCRIPT), *flags], standalone_mode=False)


def _refuse_busy(host: str, port: int) -> None:
    """Say so at once where the port is taken.

    Raises:
        UsageError: it is, or the address is not one of this machine.
    """
    from maeum.errors import UsageError

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"{host}:{port}에서 열 수 없습니다({error.strerror}). --port로 다른 포트를 주세요.",
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port",
        ) from error


def _shown(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host


def _open(host: str, port: int, address: str) -> None:
    """Open the browser as soon as the server answers."""
    until = time.monotonic() + _PATIENCE_SEC
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((_shown(host).strip("[]"), port), timeout=1):
            webbrowser.open(address)
            return
        time.sleep(0.2)
