"""Models as a REST service (extra ``serve``). Read along a request's path:

``running``    the process: socket, signals, the HTTP server and its ``connections``
``app``        the application, its OpenAPI and ``/docs`` (``docs_page``)
``routes``     the dialects: ours, TEI/Hugging Face, Open Inference Protocol, JSONL streams
``limits``     the gate in front: keys, size, time, how many at once
``service``    a request as what it means, an answer as bytes
``schemas``    what requests look like
``lines``      JSONL out of a body that comes in pieces
``store``      models by name, replaced while they work
``answers``    what models say, in the shapes of the dialects
``batcher``    many requests as one batch; ``pace``: how long what waits will take
``lifecycle``  from the first request to the last
``settings``, ``logs``, ``metrics``, ``refusals``, ``strictjson``
"""

from __future__ import annotations

from maeum.serving.settings import KEYS_VARIABLE, MODELS_VARIABLE, ServeSettings, api_keys

__all__ = ["KEYS_VARIABLE", "MODELS_VARIABLE", "ServeSettings", "api_keys"]
