"""The model folder: JSON and safetensors, checksums in ``manifest.json``, no pickle anywhere.

::

    manifest.json      format version, package version, model kind, checksum of every other file; written last
    task.json          labels in column order
    text.json          text preparation and its version
    calibration.json   per-label calibration
    thresholds.json    the decision rule
    settings.json      settings, data fingerprints, library versions
    report.json        metrics on rows that neither trained nor tuned (report.html beside it, to read)
    README.md          model card
    model/             the predictor's own files
    folds/0 …          with --folds: each a model folder of its own; model/ then only says "mean of the folds"
    oof.safetensors    out-of-fold probabilities of the training rows, with oof_ids.txt

A folder with several heads has ``trunk/`` and ``heads/NAME/`` instead (see ``maeum.heads.folder``).

A folder is written beside its final name and renamed, so it is either whole or not there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maeum._files import atomic_folder, pretty_json, read_json, sha256_file, write_text
from maeum._version import __version__
from maeum.analyzer import Analyzer
from maeum.bases.folder import KIND as BASE_KIND
from maeum.calibration import Calibration
from maeum.errors import FormatError, MaeumError, TaskMismatch, UsageError
from maeum.models.base import Predictor, load_predictor
from maeum.task import Task
from maeum.text import TextPrep
from maeum.thresholds import Thresholds

FORMAT_VERSION = 1
HEADS_KIND = "heads"
"""``model`` in the manifest of a folder that holds several heads on one trunk."""


def write_analyzer(analyzer: Analyzer, folder: Path) -> None:
    """Write everything but the manifest into an existing, empty folder; ``seal`` comes after."""
    _write_parts(analyzer, folder)
    analyzer.predictor.save(folder / "model")


def write_head(analyzer: Analyzer, folder: Path) -> None:
    """The same for one head of several, without its trunk."""
    predictor: Any = analyzer.predictor
    _write_parts(analyzer, folder)
    predictor.save_head(folder / "model")


def _write_parts(analyzer: Analyzer, folder: Path) -> None:
    write_text(folder / "task.json", pretty_json(analyzer.task.to_dict()))
    write_text(folder / "text.json", pretty_json(analyzer.prep.to_dict()))
    write_text(folder / "calibration.json", pretty_json(analyzer.calibration.to_dict()))
    write_text(folder / "thresholds.json", pretty_json(analyzer.thresholds.to_dict()))
    write_text(folder / "settings.json", pretty_json(analyzer.about))
    (folder / "model").mkdir()


def seal(folder: Path, kind: str, task: Task, *, heads: Sequence[str] = ()) -> None:
    """Write the manifest: from now on the folder counts as complete, and any change to it as damage."""
    manifest = {
        "format": FORMAT_VERSION,
        "maeum": __version__,
        "model": kind,
        "task": {"name": task.name, "kind": task.kind, "fingerprint": task.fingerprint},
        **({"heads": list(heads)} if heads else {}),
        "files": {str(path.relative_to(folder).as_posix()): sha256_file(path) for path in _own_files(folder)},
    }
    write_text(folder / "manifest.json", pretty_json(manifest))


def save(analyzer: Analyzer, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a model folder in one step."""
    path = Path(path)
    with atomic_folder(path, overwrite=overwrite) as folder:
        write_analyzer(analyzer, folder)
        seal(folder, analyzer.predictor.kind, analyzer.task)
    return path


def load(path: str | Path, *, task: str | None = None) -> Analyzer:
    """Open a model folder.

    Args:
        path: the folder.
        task: name of the head, where a folder holds several.

    Raises:
        UsageError: there is no such folder.
        FormatError: it is cut short, edited, or made by a newer version.
        TaskMismatch: it has no head for ``task``.
    """
    folder = embedded(path)
    return _load_one(folder, check(folder), task)


def _load_one(folder: Path, manifest: Mapping[str, Any], task: str | None) -> Analyzer:
    """One model or head of a folder that was checked."""
    if manifest["model"] == BASE_KIND:
        raise UsageError(
            f"'{folder}'은(는) 아직 학습하지 않은 바탕 모델입니다. 'maeum train DATA --model encoder:{folder} -o DIR'로 학습하세요.",
            f"'{folder}' is a base encoder that nothing was trained on yet; train it with "
            f"'maeum train DATA --model encoder:{folder} -o DIR'",
        )
    if manifest["model"] == HEADS_KIND:
        name = _head_named(folder, task, manifest["heads"])
        return _load_heads(folder, [name])[name]
    with _readable(folder):
        own = Task.from_dict(read_json(folder / "task.json"))
        if task is not None and task != own.name:
            raise _no_head(folder, task, [own.name])
        return _opened(folder, load_predictor(manifest["model"], folder / "model", own))


def load_heads(path: str | Path) -> dict[str, Analyzer]:
    """All heads of a model folder by task name, around one trunk; of an ordinary folder its one model.

    Errors as of ``load``.
    """
    folder = embedded(path)
    manifest = check(folder)
    if manifest["model"] == HEADS_KIND:
        return _load_heads(folder, manifest["heads"])
    analyzer = _load_one(folder, manifest, None)
    return {analyzer.task.name: analyzer}


def fingerprint(path: str | Path) -> str:
    """What tells a model from another: its manifest holds the checksums of all its files."""
    return sha256_file(embedded(path) / "manifest.json")


def head_names(path: str | Path) -> tuple[str, ...]:
    """Names of the heads of a folder; empty for one that holds a single model."""
    return tuple(read_manifest(embedded(path)).get("heads", ()))


def head_folder(path: str | Path, task: str | None = None) -> str:
    """Where a head's own files lie within a model folder, as a prefix of their names: ``heads/NAME/``, or nothing.

    Args:
        task: the head; the first if not given.

    Raises:
        TaskMismatch: there is no such head.
    """
    names = head_names(path)
    return f"heads/{_head_named(Path(path), task, names)}/" if names else ""


def _load_heads(folder: Path, names: Sequence[str]) -> dict[str, Analyzer]:
    from maeum.models.head import HeadPredictor, open_trunk

    with _readable(folder):
        trunk = open_trunk(folder / "trunk")
        places = {place.name: place for place in (folder / "heads").iterdir()}
        found = {}
        for name in names:
            place = places[name]
            own = Task.from_dict(read_json(place / "task.json"))
            found[name] = _opened(place, HeadPredictor.load_head(place / "model", own, trunk))
        return found


def _head_named(folder: Path, task: str | None, names: Sequence[str]) -> str:
    if task is not None and task not in names:
        raise _no_head(folder, task, names)
    return task or names[0]


def _no_head(folder: Path, task: str, names: Sequence[str]) -> TaskMismatch:
    listed = ", ".join(names)
    return TaskMismatch(
        f"'{folder}'에는 과제 '{task}'가 없습니다. 있는 과제: {listed}",
        f"'{folder}' has no head for task '{task}'; it has: {listed}",
    )


def _opened(folder: Path, predictor: Predictor) -> Analyzer:
    """An analyzer from the files that lie beside ``model/``."""
    return Analyzer(
        predictor,
        prep=TextPrep.from_dict(read_json(folder / "text.json")),
        thresholds=Thresholds.from_dict(read_json(folder / "thresholds.json")),
        calibration=Calibration.from_dict(read_json(folder / "calibration.json")),
        about=read_json(folder / "settings.json"),
    )


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """What goes wrong while reading a folder's files is damage, in one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except MaeumError:
        raise
    except (KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise _damaged(folder, str(error)) from error


def embedded(path: str | Path) -> Path:
    """The folder of MODEL: ``mini`` is the one in the package, unless there is a model folder of that name.

    Raises:
        UsageError: this version has no embedded model.
    """
    folder = Path(path)
    if str(path) != "mini" or (folder / "manifest.json").is_file():
        return folder
    inside = Path(__file__).parent / "mini"
    if not (inside / "manifest.json").exists():
        raise UsageError(
            "내장 모델 mini는 이 버전에 아직 들어 있지 않습니다. 'maeum train'으로 만든 모델 폴더를 --model로 주세요.",
            "the embedded model 'mini' does not come with this version yet; give --model a folder made by 'maeum train'",
        )
    return inside


def embedded_base() -> Path:
    """The embedded model's trunk as a Hugging Face folder in fp32, made once and kept in the user's cache.

    Errors as of ``embedded`` and ``check``; the extra ``torch`` is needed.
    """
    from maeum.bases.exported import convert_trunk

    inside = embedded("mini")
    manifest = check(inside)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(home) / "maeum" / f"mini-{manifest['files']['trunk/model.onnx'][:16]}"
    if not (place / "manifest.json").is_file():
        convert_trunk(inside / "trunk", place, name="mini", overwrite=True)
    return place


def check(folder: Path) -> dict[str, Any]:
    """Verify a folder against its manifest and return the manifest.

    Raises:
        UsageError: there is no such folder, or it is not a model folder.
        FormatError: a file is missing or changed, or the format is newer than this package.
    """
    manifest = read_manifest(folder)
    files = manifest.get("files")
    heads = manifest.get("heads", ["?"] if manifest.get("model") != HEADS_KIND else ())
    if not isinstance(files, dict) or not isinstance(manifest.get("model"), str) or not heads:
        raise _damaged(folder, "manifest.json")
    present = {path.relative_to(folder).as_posix(): path for path in _own_files(folder)}
    for name, checksum in files.items():
        path = present.get(name)
        if path is None:
            raise _damaged(folder, name)
        if sha256_file(path) != checksum:
            raise FormatError(
                f"'{folder}/{name}'이(가) 저장된 뒤에 바뀌었습니다. 고친 파일은 믿을 수 없으니 다시 학습하거나 원본을 복사해 오세요. "
                "기준값은 'maeum thresholds --set'으로 바꿉니다.",
                f"'{folder}/{name}' was changed after it was saved; retrain or copy the original again "
                "(thresholds are changed with 'maeum thresholds --set')",
            )
    for fold in sorted((folder / "folds").glob("*")):
        check(fold)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder this version can read, without verifying the files."""
    if not folder.is_dir():
        raise UsageError(
            f"모델 폴더 '{folder}'이(가) 없습니다. 'maeum train DATA -o {folder}'로 만들 수 있습니다.",
            f"there is no model folder '{folder}'; 'maeum train DATA -o {folder}' makes one",
        )
    path = folder / "manifest.json"
    if not path.exists():
        raise FormatError(
            f"'{folder}'은(는) 모델 폴더가 아니거나 저장이 끝나지 않았습니다(manifest.json 없음).",
            f"'{folder}' is not a model folder, or saving it was cut short (no manifest.json)",
        )
    try:
        manifest = read_json(path)
        version = int(manifest["format"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, "manifest.json") from error
    if version > FORMAT_VERSION:
        raise FormatError(
            f"'{folder}'은(는) 더 새로운 maeum {manifest.get('maeum')}(이)가 만들었습니다(형식 {version}). maeum을 올려 주세요.",
            f"'{folder}' was made by a newer maeum {manifest.get('maeum')} (format {version}); upgrade maeum",
        )
    return dict(manifest)


def replace_files(path: Path, contents: Mapping[str, str]) -> None:
    """Change some text files of a model folder so that a kill leaves the old folder or the new one.

    The new folder shares the unchanged files by hard link (or copies them) and is swapped in whole.
    """
    manifest = check(path)
    with atomic_folder(path, overwrite=True) as folder:
        shutil.copytree(path, folder, copy_function=_link, dirs_exist_ok=True)
        for name, text in contents.items():
            (folder / name).unlink(missing_ok=True)
            write_text(folder / name, text)
        (folder / "manifest.json").unlink()
        task = folder / "task.json"
        if not task.exists():
            task = folder / "heads" / manifest["heads"][0] / "task.json"
        seal(folder, manifest["model"], Task.from_dict(read_json(task)), heads=manifest.get("heads", ()))


def is_model_folder(path: Path) -> bool:
    """Whether a path looks like a model folder (it may still be damaged)."""
    return path.is_dir() and (path / "manifest.json").is_file()


def _own_files(folder: Path) -> list[Path]:
    """Files the manifest vouches for, sorted; folders under ``folds/`` have manifests of their own."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in ("manifest.json", ".DS_Store")
        and path.relative_to(folder).parts[0] != "folds"
    )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _damaged(folder: Path, what: str) -> FormatError:
    return FormatError(
        f"모델 폴더 '{folder}'이(가) 손상되었습니다: {what}. 저장이 도중에 끊겼거나 파일이 지워졌습니다.",
        f"the model folder '{folder}' is damaged: {what}; it was cut short or a file was removed",
    )
