"""The pages of the app. A new one is a module with a function ``show()`` and a line in ``PAGES``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page in the navigation."""

    name: str
    """Its address, and unless ``module`` says otherwise its module in this package."""
    ko: str
    en: str
    icon: str
    """A Material symbol, ``:material/NAME:``."""
    module: str = ""
    """Where ``show`` is, for pages that live elsewhere."""

    @property
    def show(self) -> Callable[[], None]:
        """What draws it; imported when it is opened."""
        home = self.module or f"{__name__}.{self.name}"

        def page() -> None:
            importlib.import_module(home).show()

        return page


PAGES: tuple[Page, ...] = (
    Page("sentence", "한 문장", "One sentence", ":material/chat:"),
    Page("reviews", "리뷰", "Reviews", ":material/reviews:"),
    Page("files", "파일", "Files", ":material/table_view:"),
    Page("compare", "비교", "Compare", ":material/compare_arrows:"),
    Page("thresholds", "기준값", "Thresholds", ":material/tune:"),
    Page("sampling", "고르기", "Sampling", ":material/playlist_add_check:"),
    Page("labelling", "라벨 달기", "Labelling", ":material/keyboard:"),
    Page("auditing", "라벨 점검", "Audit", ":material/fact_check:"),
)
"""In the order of the navigation; the first opens at the start."""
