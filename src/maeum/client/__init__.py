"""Asks a service that ``maeum serve`` runs; needs the extra ``client`` (httpx) and no model.

>>> from maeum.client import Client
>>> client = Client("http://127.0.0.1:8000")  # doctest: +SKIP
>>> client.emotions(["드디어 표를 구했다!!"])[0].labels  # doctest: +SKIP
('joy', 'anticipation')

::

    asking      the client: which questions there are, trying again, cutting long lists
    wire        what goes out and comes in, as bytes
    answers     what comes back, as objects
    errors      what can go wrong
"""

from __future__ import annotations

from maeum.client.answers import AspectFound, BatchRow, Emotions, Evidence, GradeWords, LabelWords, Review, WordScore
from maeum.client.asking import Client
from maeum.client.errors import CutShort, ServiceError

__all__ = [
    "AspectFound",
    "BatchRow",
    "Client",
    "CutShort",
    "Emotions",
    "Evidence",
    "GradeWords",
    "LabelWords",
    "Review",
    "ServiceError",
    "WordScore",
]
