"""Evidence: which words made a decision, for any model and label, and how far such an answer can be trusted.

A word is hidden, the model is asked again, and what its probability loses is the word's score (occlusion: Zeiler &
Fergus 2014; Li, Monroe & Jurafsky 2016). Read along the data's path:

``units``         the words of a raw text: eojeols, morphemes, or tokens of the model
``masking``       a text without some of them, its target still in place
``seams``         a linear model's probabilities for texts of which stretches are replaced
``splicing``      masks through a linear model, by what each of them changes
``scoring``       the masked texts of many texts, through the model in one stream
``faithfulness``  how much of the decision the words carry, beside words picked at random
``searching``     what to mask, one text at a time
``exact``         for linear models: what each word adds to the logit
``gradients``     for encoders: integrated gradients, for comparison
``page``          the answer as HTML
``explanation``   the answer
``answering``     what was found, as answers
``running``       ``explain``
"""

from __future__ import annotations

from maeum.explaining.explanation import Explanation, Explanations, GradeEvidence, Group, LabelEvidence, Word
from maeum.explaining.faithfulness import Faithfulness
from maeum.explaining.running import aspect_words, explain

__all__ = [
    "Explanation",
    "Explanations",
    "Faithfulness",
    "GradeEvidence",
    "Group",
    "LabelEvidence",
    "Word",
    "aspect_words",
    "explain",
]
