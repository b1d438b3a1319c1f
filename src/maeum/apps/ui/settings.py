"""What ``maeum ui`` was started with. It reaches the pages through one environment variable, and Streamlit through flags."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

from maeum._lang import Language
from maeum._svg import FONTS
from maeum.apps.ui.look import DARK, LIGHT, Colours

VARIABLE = "MAEUM_UI"
SCRIPT = Path(__file__).with_name("script.py")


@dataclass(frozen=True)
class Settings:
    """What the person at the command line decides; visitors of the page cannot."""

    models: tuple[str, ...] = ("mini",)
    """Model folders to choose among; the first is open at the start."""
    allow_save: bool = False
    """Whether the threshold page may write into the model folders."""
    max_mb: int = 20
    """Largest upload in MB."""
    max_rows: int = 20_000
    """Rows that are read of an upload."""
    max_chars: int = 2_000
    """Characters of a text that is typed."""
    folder: str | None = None
    """Where audits and labelling files lie, which the pages open and write; None: those pages write nothing."""
    language: Language | None = None
    """Language at the start; None: that of the environment."""

    def to_json(self) -> str:
        """As the environment holds it."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def current(cls) -> Settings:
        """Those of this process."""
        data = json.loads(os.environ.get(VARIABLE) or "{}")
        return cls(**{**data, "models": tuple(data.get("models", cls.models))})


def streamlit_flags(settings: Settings, *, host: str, port: int, debug: bool) -> list[str]:
    """Flags of ``streamlit run``: the theme and the limits go this way, so that no file is left in anybody's folder."""
    options: dict[str, object] = {
        "server.address": host,
        "server.port": port,
        "server.headless": True,  # else it asks for an e-mail address; the command opens the browser itself
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.maxUploadSize": settings.max_mb,
        "server.enableXsrfProtection": True,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "developer" if debug else "minimal",
        "client.showErrorDetails": "full" if debug else "none",
        "client.showErrorLinks": False,
        "global.developmentMode": False,
        "runner.magicEnabled": False,
        "logger.level": "debug" if debug else "warning",
        "theme.font": FONTS.replace('"', ""),
        "theme.headingFont": FONTS.replace('"', ""),
        "theme.baseRadius": "10px",
        "theme.buttonRadius": "10px",
        "theme.showWidgetBorder": True,
    }
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        options |= {f"theme.{name}.{key}": value for key, value in _theme(colours).items()}
        options[f"theme.{name}.sidebar.backgroundColor"] = colours.side
        options[f"theme.{name}.sidebar.borderColor"] = colours.line
    return [f"--{name}={_flag(value)}" for name, value in options.items()]


def _theme(colours: Colours) -> dict[str, str]:
    return {
        "primaryColor": colours.button,
        "backgroundColor": colours.page,
        "secondaryBackgroundColor": colours.soft,
        "textColor": colours.ink,
        "borderColor": colours.line,
        "linkColor": colours.accent,
    }


def _flag(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
