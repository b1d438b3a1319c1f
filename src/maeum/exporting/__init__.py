"""Trained models as ONNX graphs that run without torch: converted, compared with the original, judged, written.

Needs the extra ``onnx``; what it writes needs the base install only.
"""

from maeum.exporting.running import Exported, export
from maeum.exporting.verdict import EPSILON, PRECISIONS, Precision

__all__ = ["EPSILON", "PRECISIONS", "Exported", "Precision", "export"]
