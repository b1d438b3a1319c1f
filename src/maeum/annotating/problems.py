"""What is wrong with files that came back, place by place, gathered so that people can mend them all at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from maeum.annotating.marks import row_check, task_check
from maeum.data import Example
from maeum.errors import DataError
from maeum.task import Task


@dataclass
class Problems:
    """Errors and notices, in file order."""

    errors: list[DataError] = field(default_factory=list)
    notices: list[DataError] = field(default_factory=list)
    """Things worth knowing that stop nothing: a column nobody reads, a row left blank."""

    def add(self, ko: str, en: str, *, path: str, line: int | None = None) -> None:
        """An error at a place."""
        self.errors.append(DataError(ko, en, path=path, line=line))

    def notice(self, ko: str, en: str, *, path: str, line: int | None = None) -> None:
        """A notice at a place."""
        self.notices.append(DataError(ko, en, path=path, line=line))


@dataclass(frozen=True)
class Rows:
    """The rows that were given out, to tell one's own from others'."""

    task: Task
    by_id: dict[str, Example]
    by_check: dict[str, Example | None]
    """By ``row_check``; None where several rows share it."""

    @classmethod
    def of(cls, task: Task, examples: list[Example]) -> Rows:
        """Of the examples read from ROWS."""
        by_check: dict[str, Example | None] = {}
        for example in examples:
            check = row_check(task, example)
            by_check[check] = None if check in by_check else example
        return cls(task, {example.id: example for example in examples}, by_check)

    def find(self, name: str, check: str, problems: Problems, *, path: str, line: int) -> Example | None:
        """The row with this id and check; a problem is noted where there is none.

        An id that a spreadsheet changed (``007`` became ``7``) is found by its check.
        """
        found = self.by_id.get(name)
        if found is not None and row_check(self.task, found) == check:
            return found
        task, _, text = check.partition("-")
        if not task or not text:
            problems.add(
                f"확인값(check)이 '{check}'입니다. 내보낸 파일의 check 열을 지우거나 고치지 마세요. 내보낸 파일에서 복사해 오세요.",
                f"the check value is '{check}'; the column 'check' must stay as exported: copy it from the exported file",
                path=path,
                line=line,
            )
        elif task != task_check(self.task):
            problems.add(
                f"다른 과제의 라벨입니다(행 '{name}'). 과제 '{self.task.name}'(으)로 내보낸 파일이 필요합니다.",
                f"row '{name}' was labelled for another task; a file exported for task '{self.task.name}' is needed",
                path=path,
                line=line,
            )
        elif found is None and (other := self.by_check.get(check)) is not None:
            return other
        elif found is None:
            problems.add(
                f"행 '{name}'은(는) --rows 파일에 없습니다. 내보낼 때 쓴 파일을 주세요.",
                f"row '{name}' is not in the --rows file; give the file that was exported",
                path=path,
                line=line,
            )
        else:
            problems.add(
                f"행 '{name}'의 글이 내보낸 것과 다릅니다. --rows가 내보낸 그 파일인지, 엑셀에서 일부 열만 정렬하지 않았는지 보세요.",
                f"the text of row '{name}' is not the one exported; is --rows that very file, and were only some columns sorted?",
                path=path,
                line=line,
            )
        return None
