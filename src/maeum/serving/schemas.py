"""What requests look like: strict types, no fields that are not known. How much of it is checked against the settings."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (  # noqa: TID253 -- comes with the extra serve; only imported where a service is made
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from maeum.serving.refusals import Refusal

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    """No coercion, nothing unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TargetSpan(Strict):
    """What an emotion is about, by its place in the text: ``text[begin:end] == form``."""

    form: str = Field(min_length=1)
    begin: int = Field(ge=0, le=10**9)
    end: int = Field(ge=1, le=10**9)


class TextWithTarget(Strict):
    """A text and what the emotion is about: a word of it (its first occurrence), or a place."""

    text: str = Field(min_length=1)
    target: Annotated[str, Field(min_length=1)] | TargetSpan | None = None


TextItem = Annotated[str, Field(min_length=1)] | TextWithTarget


class EmotionsRequest(Strict):
    """``POST /v1/emotions``."""

    texts: list[TextItem] = Field(min_length=1)
    model: Name | None = None
    task: Name | None = Field(None, description="One task of the model; all of them if absent.")


class ReviewsRequest(Strict):
    """``POST /v1/reviews``."""

    texts: list[TextItem] = Field(min_length=1)
    model: Name | None = None
    evidence: bool | Annotated[int, Field(ge=1, le=20)] = Field(
        False, description="The words behind each aspect and its grade: at most so many, 3 for true."
    )


class ExplainRequest(Strict):
    """``POST /v1/explain``; see ``maeum explain``."""

    texts: list[TextItem] = Field(min_length=1)
    model: Name | None = None
    task: Name | None = None
    labels: list[Name] | None = Field(None, max_length=64)
    aspects: list[Name] | None = Field(None, max_length=64)
    unit: Literal["eojeol", "morpheme", "token"] = "eojeol"
    mask: Literal["delete", "circles", "mask"] | None = None
    method: Literal["mask", "exact", "ig"] = "mask"
    leave_out: int = Field(1, ge=1, le=3)
    quick: bool | None = None
    mask_target: bool = False
    faithfulness: bool = True
    top: int | None = Field(None, ge=1, le=1000, description="Words a label, the best first.")


class PredictParameters(Strict):
    """``parameters`` of the Hugging Face dialect."""

    top_k: int | None = Field(None, ge=1, le=10**6)
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None


PredictText = Annotated[str, Field(min_length=1)]


class PredictRequest(Strict):
    """``POST /predict``: text-embeddings-inference and Hugging Face text-classification."""

    inputs: (
        PredictText
        | Annotated[list[PredictText], Field(min_length=1)]
        | Annotated[list[Annotated[list[PredictText], Field(min_length=1, max_length=2)]], Field(min_length=1)]
    ) = Field(description="A text, texts, or lists of one text or of a text and its target.")
    raw_scores: bool = Field(False, description="Log-odds (log-probabilities where labels exclude each other).")
    truncate: bool | None = Field(None, description="Taken and not needed: long texts are read in windows.")
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = None
    top_k: int | None = Field(None, ge=1, le=10**6)
    parameters: PredictParameters | None = None
    model: Name | None = None
    task: Name | None = None


class InferTensor(Strict):
    """An input tensor of the Open Inference Protocol: texts."""

    name: Literal["text", "target"]
    shape: list[Annotated[int, Field(ge=0, le=10**9)]] = Field(min_length=1, max_length=2)
    datatype: Literal["BYTES"]
    data: list[str] | list[list[str]]
    parameters: dict[str, Any] | None = None


class InferOutput(Strict):
    """An output that is asked for."""

    name: Literal["scores", "label_names", "labels"]
    parameters: dict[str, Any] | None = None


class InferRequest(Strict):
    """``POST /v2/models/NAME/infer``."""

    id: Annotated[str, Field(max_length=256)] | None = None
    inputs: list[InferTensor] = Field(min_length=1, max_length=2)
    outputs: list[InferOutput] | None = Field(None, min_length=1, max_length=3)
    parameters: dict[str, Any] | None = Field(None, description="``task``: the head that answers.")


REQUESTS = (EmotionsRequest, ReviewsRequest, ExplainRequest, PredictRequest, InferRequest)

_SENTENCES: dict[str, tuple[str, str]] = {
    "missing": ("필요한 항목이 없습니다", "is required"),
    "extra_forbidden": ("모르는 항목입니다", "is no field that is known"),
    "string_type": ("글자여야 합니다", "should be a string"),
    "int_type": ("정수여야 합니다", "should be a whole number"),
    "bool_type": ("true나 false여야 합니다", "should be true or false"),
    "list_type": ("목록이어야 합니다", "should be a list"),
    "dict_type": ("객체여야 합니다", "should be an object"),
    "model_type": ("객체여야 합니다", "should be an object"),
    "string_too_short": ("비어 있습니다", "is empty"),
    "string_too_long": ("너무 깁니다", "is too long"),
    "too_short": ("비어 있습니다", "is empty"),
    "too_long": ("항목이 너무 많습니다", "has too many items"),
    "greater_than_equal": ("너무 작습니다", "is too small"),
    "less_than_equal": ("너무 큽니다", "is too large"),
    "literal_error": ("쓸 수 없는 값입니다", "is none of the values that can be used"),
}

_FIELD = re.compile(
    "|".join(
        {
            field
            for model in (*REQUESTS, TextWithTarget, TargetSpan, PredictParameters, InferTensor, InferOutput)
            for field in model.model_fields
        }
    )
)


def refusal_of(error: ValidationError) -> Refusal:
    """The first thing that is wrong, in a sentence that says where and quotes no text."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    # of a union every member complains; the one that went deepest is the one that was meant
    first = max(found[:8], key=lambda item: len(item["loc"]))
    where = _place(first["loc"])
    ko, en = _SENTENCES.get(first["type"], ("형식이 틀립니다", "is not what it should be"))
    if first["type"] == "extra_forbidden":
        where += f" '{str(first['loc'][-1])[:40]}'"
    return Refusal(422, "invalid", f"{where}: {ko}.", f"{where} {en}")


def _place(loc: tuple[int | str, ...]) -> str:
    shown = ""
    for step in loc:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif _FIELD.fullmatch(step):  # names of union members and what a client invented are left out
            shown += f".{step}" if shown else step
    return shown or "body"
