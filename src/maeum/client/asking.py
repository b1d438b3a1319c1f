"""The client: which questions there are, when to ask again, how long lists are cut."""

from __future__ import annotations

import collections
import itertools
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from maeum._optional import require
from maeum.client.answers import BatchRow, Emotions, Evidence, Review
from maeum.client.errors import CutShort, ServiceError, no_maeum
from maeum.client.wire import cut, dumps, line, line_parts, loads, no_str, parts, question, refuse, refuse_line
from maeum.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

    from maeum.client.wire import Text

KEY_VARIABLE = "MAEUM_API_KEY"
LONGEST_WAIT = 30.0
"""Seconds between two attempts, whatever the service asks for."""
_TRY_AGAIN = (429, 503)


class Client:
    """A service and how to ask it; may be shared by threads.

    Every call only asks and changes nothing, so what may pass is tried again: 429 and 503 (after ``Retry-After``), refused
    and broken connections. Other refusals are raised at once, since asking again gets the same answer.

    Args:
        url: where the service is: ``http://127.0.0.1:8000``.
        api_key: sent as ``Authorization: Bearer``; the environment variable ``MAEUM_API_KEY`` if not given.
        timeout: seconds to wait for a connection, and for each piece of an answer.
        retries: how often to ask again before giving up.
        transport: for tests and special networks; httpx's own if not given.

    Raises:
        MissingExtra: httpx is not installed.
        UsageError: the URL is none, the key cannot be sent, or a number makes no sense.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")) or not timeout > 0 or retries < 0:
            raise UsageError(
                f"url은 http://나 https://로 시작하고 timeout은 0보다 크고 retries는 0 이상이어야 합니다: {url!r}, {timeout}, {retries}",
                f"a URL with http:// or https://, timeout above 0 and retries from 0 are expected, got {url!r}, {timeout}, {retries}",
            )
        key = os.environ.get(KEY_VARIABLE) if api_key is None else api_key
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise UsageError(
                "API 키에는 빈칸 없는 ASCII 글자만 쓸 수 있습니다.",
                "an API key consists of ASCII characters without blanks",
            )
        self.url = url.rstrip("/")
        self.retries = retries
        self._httpx: Any = require("httpx")
        self._http: httpx.Client = self._httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=timeout, transport=transport
        )
        self._limits: Mapping[str, int] | None = None
        self._sleep = time.sleep

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # ---- questions --------------------------------------------------------------------------------------------------
    def health(self) -> bool:
        """Whether the service takes requests now: asked once, False where it cannot be reached."""
        try:
            return self._http.get(f"{self.url}/health").status_code == 200
        except self._httpx.TransportError:
            return False

    def info(self) -> dict[str, Any]:
        """Models, tasks, labels, thresholds, limits and version of the service."""
        return self._ask("GET", "/info")

    def emotions(
        self,
        texts: Iterable[Text],
        *,
        task: str | None = None,
        model: str | None = None,
        target: str | None = None,
    ) -> list[Emotions]:
        """Labels and probabilities of every text, in order; long lists are sent in parts.

        Args:
            texts: texts, mappings with ``text`` and ``target``, inputs or examples.
            task: one task of the model; all if not given.
            model: one of the service's models; its first if not given.
            target: what the emotion is about, for all texts that do not say so themselves.

        Raises:
            ServiceError: the service refused or could not be asked.
        """
        rows = [question(text, target) for text in no_str(texts)]
        return [Emotions.read(row) for row in self._in_parts("/v1/emotions", rows, _given(task=task, model=model))]

    def reviews(self, texts: Iterable[Text], *, model: str | None = None, evidence: bool | int = False) -> list[Review]:
        """Aspects and sentiments of every review.

        Args:
            texts, model: as of ``emotions``.
            evidence: also the words that speak for them: True, or how many.
        """
        rows = [question(text) for text in no_str(texts)]
        said = _given(model=model, evidence=evidence or None)
        limit = "max_explain_texts" if evidence else "max_texts"
        return [Review.read(row) for row in self._in_parts("/v1/reviews", rows, said, limit)]

    def explain(
        self, texts: Iterable[Text], *, task: str | None = None, model: str | None = None, **options: Any
    ) -> list[Evidence]:
        """Which words made the labels.

        Args:
            texts, task, model: as of ``emotions``.
            options: as of ``maeum.explain``: ``labels``, ``aspects``, ``unit``, ``mask``, ``method``, ``leave_out``,
                ``quick``, ``mask_target``, ``faithfulness``, ``top``; the service refuses what it does not know.
        """
        rows = [question(text) for text in no_str(texts)]
        said = _given(task=task, model=model, **options)
        return [Evidence.read(row) for row in self._in_parts("/v1/explain", rows, said, "max_explain_texts")]

    def batch(
        self,
        rows: Iterable[Text],
        *,
        task: str | None = None,
        model: str | None = None,
        start: int = 0,
        parallel: int = 2,
    ) -> Iterator[BatchRow]:
        """Predictions of any number of rows, in order and in constant memory: rows are taken as answers are used.

        A bad row is answered by a row with ``error``. An answer that was cut is noticed, and the rows that have none yet
        are asked for again.

        Args:
            rows: as ``texts`` of ``emotions``; mappings may have an ``id``, which comes back.
            task: one task of the model; its first if not given.
            model: as of ``emotions``.
            start: rows to skip: those that an earlier call answered.
            parallel: requests under way at a time.

        Raises:
            CutShort: the rest could not be had, or was refused; all rows before have been given.
        """
        taken = line_parts(itertools.islice(enumerate(no_str(rows), 1), start, None))
        parameters = _given(task=task, model=model)
        waiting: collections.deque[Future[tuple[list[BatchRow], ServiceError | None]]] = collections.deque()
        done = start
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            try:
                while True:
                    for part in itertools.islice(taken, parallel - len(waiting)):
                        waiting.append(pool.submit(self._part, part, parameters))
                    if not waiting:
                        return
                    answers, error = waiting.popleft().result()
                    for answer in answers:
                        done += 1
                        yield answer
                    if error is not None:
                        raise CutShort(done, error) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    # ---- asking -----------------------------------------------------------------------------------------------------
    def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One answer as JSON, asked as often as it makes sense."""
        sent = None if body is None else dumps(body)
        head = {} if body is None else {"Content-Type": "application/json"}
        for attempt in itertools.count():
            try:
                answer = self._http.request(method, f"{self.url}{path}", content=sent, headers=head)
                refuse(answer)
                found: dict[str, Any] = loads(answer)
                return found
            except self._httpx.TransportError as error:
                self._wait(attempt, self._unreachable(error))
            except ServiceError as error:
                self._wait(attempt, error)
        raise AssertionError  # count() has no end

    def _in_parts(
        self, path: str, rows: list[dict[str, Any]], said: Mapping[str, Any], limit: str = "max_texts"
    ) -> Iterator[dict[str, Any]]:
        """Results of a list, in requests the service takes."""
        if len(rows) > 1 and self._limits is None:
            found = self.info().get("limits")
            if not isinstance(found, dict):
                raise no_maeum("no limits in /info")
            self._limits = found
        limits = self._limits or {}
        size = min(limits.get("max_texts", 1), limits.get(limit, 1))
        # half of it: what else the request says needs room as well
        for part in parts(rows, size, limits.get("max_payload_bytes", 2) // 2):
            results = self._ask("POST", path, {"texts": part, **said}).get("results")
            if not isinstance(results, list) or len(results) != len(part):
                raise no_maeum("not a result for every text")
            yield from results

    def _part(
        self, part: Sequence[tuple[int, bytes]], parameters: Mapping[str, str]
    ) -> tuple[list[BatchRow], ServiceError | None]:
        """Answers to some rows of a batch, and what kept the rest from being answered."""
        answers: list[BatchRow] = []
        attempt = 0
        while True:
            before = len(answers)
            try:
                self._stream(part[before:], parameters, answers)
                return answers, None
            except self._httpx.TransportError as raised:
                error = self._unreachable(raised)
            except ServiceError as raised:
                error = raised
            # as long as it gets on, it may be cut as often as it likes
            attempt = 0 if len(answers) > before else attempt
            try:
                self._wait(attempt, error)
            except ServiceError:
                return answers, error
            attempt += 1

    def _stream(
        self, part: Sequence[tuple[int, bytes]], parameters: Mapping[str, str], answers: list[BatchRow]
    ) -> None:
        """Ask for rows and append their answers as they come; raise where the last line does not come."""
        if not part:
            return
        body = b"".join(sent for _, sent in part)
        head = {"Content-Type": "application/x-ndjson"}
        url = f"{self.url}/v1/batch"
        with self._http.stream("POST", url, content=body, params=dict(parameters), headers=head) as answer:
            if answer.status_code != 200:
                answer.read()
                refuse(answer)
            for got, text in enumerate(answer.iter_lines()):
                found = line(text)
                refuse_line(found)
                if found.get("done"):
                    if got != len(part):
                        raise no_maeum(f"{got} lines for {len(part)} rows")
                    return
                if got == len(part) or found.get("line", got + 1) != got + 1:
                    raise no_maeum("a line that belongs to no row")
                answers.append(BatchRow.read(part[got][0], found))
        raise cut()

    def _unreachable(self, error: Exception) -> ServiceError:
        said = f"{type(error).__name__}: {error}"
        return ServiceError(
            f"{self.url}에 물어볼 수 없습니다({said}). 서비스가 켜져 있는지, 주소가 맞는지 보세요.",
            f"{self.url} could not be asked ({said}); is the service running, and is the address right?",
            code="unreachable",
        )

    def _wait(self, attempt: int, error: ServiceError) -> None:
        """Wait before the next attempt; raise where there is none left, or where it would not help."""
        if attempt >= self.retries or error.status not in (None, *_TRY_AGAIN) or error.code == "no_maeum":
            raise error
        # spread out, so that all those who were refused together do not come back together
        pause = min(0.1 * 2.0**attempt, 5.0) * random.uniform(0.5, 1.5)
        self._sleep(min(error.retry_after * random.uniform(1.0, 1.25) + pause, LONGEST_WAIT))


def _given(**said: Any) -> dict[str, Any]:
    """What was given at all."""
    return {name: value for name, value in said.items() if value is not None}
