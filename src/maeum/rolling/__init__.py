"""Roll-ups: many reviews in, tables and one page out: label × grade × time × group, each number with its sentences.

Read along the data's path:

``settings``   what is asked for
``periods``    days out of cells, days as periods
``columns``    dates and groups out of rows of any file
``index``      day and group of every row by id, on disk
``stored``     predictions as they lie in a file
``counting``   counts per slice that can be added up; intervals
``examples``   a bounded sample of sentences for every number
``words``      the words that tell a cell from the rest
``rollup``     all that was counted, in one object
``gathering``  the passes over the predictions
``tables``     CSV, Parquet, JSON lines
``charts``     SVG; ``sheet`` style and script; ``page``, ``page_words`` the page
``outputs``    the folder
``running``    ``rollup``
"""

from __future__ import annotations

from maeum.rolling.running import Rollup, rollup
from maeum.rolling.settings import PeriodKind, Settings

__all__ = ["PeriodKind", "Rollup", "Settings", "rollup"]
