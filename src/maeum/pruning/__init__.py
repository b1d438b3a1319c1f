"""A model with less in it: ``maeum prune MODEL -o DIR`` takes out vocabulary, layers, feed-forward neurons, heads.

The matrices get smaller, so that the model is smaller and faster everywhere, and ``hf/`` still opens in transformers.
An encoder model folder may learn anew what it lost (``--recover``); a base folder loses pieces and layers only.

::

    settings    what is cut                     trimming     a corpus → which pieces, and what that changes
    importance  which neurons and heads matter  bases        base folders
    models      model folders                   running      prune
"""

from __future__ import annotations

from maeum.pruning.running import Pruned, prune
from maeum.pruning.settings import PruneSettings

__all__ = ["PruneSettings", "Pruned", "prune"]
