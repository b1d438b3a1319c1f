"""Pages of the web app drawn in this process, by Streamlit's own test driver."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

PATIENCE = 60
"""Seconds a page may take."""


def draw(name: str) -> None:
    """A page by its name; the driver runs this function's source, so what it needs is imported inside."""
    from maeum.apps.ui.frame import one
    from maeum.apps.ui.views import PAGES

    one(next(page for page in PAGES if page.name == name))


def opened(name: str) -> AppTest:
    """The page after its first run, with the settings of the environment."""
    return AppTest.from_function(draw, kwargs={"name": name}, default_timeout=PATIENCE).run()


def sound(app: AppTest) -> AppTest:
    """The page, if nothing on it went wrong."""
    assert not app.exception
    assert not app.error, [item.value for item in app.error]
    return app


def html(app: AppTest) -> str:
    """All its own markup."""
    return "\n".join(item.value for item in app.html)
