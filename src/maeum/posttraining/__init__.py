"""Continued masked-language-model training of an encoder on raw text: ``maeum posttrain BASE TEXTS -o DIR``.

An encoder that has read the texts it will judge later (labels not needed) judges them better (Gururangan et al. 2020,
"Don't Stop Pretraining"). Texts are read once, prepared, tokenised and put into flat files; then words are hidden and
guessed (Devlin et al. 2019, BERT), whole eojeols at a time.

Whatever is random is drawn from (seed, pass, row) and nothing else: a text is masked anew in each pass (Liu et al.
2019, RoBERTa), and a run that was killed goes on exactly as it would have.

While it runs everything lies in ``DIR.partial/``::

    run.json        what this run is: settings, files, base     tokens.bin, rows.bin, texts.bin, data.json   the texts
    stages.json     judgements so far, log of the head           head.safetensors                            the new head
    vectors.npy     sentence vectors of the base                 head/, model/                               checkpoints

::

    settings    what decides the result          corpus      files → distinct texts → rows of tokens on disk
    masking     rows → hidden words → batches    work        DIR.partial: whose it is, what was done before
    learning    head, model, held-out rows       saving      the folder, its card, the summary
    running     posttrain
"""

from __future__ import annotations

from maeum.posttraining.running import posttrain
from maeum.posttraining.saving import Posttrained
from maeum.posttraining.settings import PosttrainSettings

__all__ = ["PosttrainSettings", "Posttrained", "posttrain"]
