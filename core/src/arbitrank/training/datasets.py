"""Data sets: from files of several formats to each domain's own examples on disk, one in memory at a time.

JSON Lines (a corpus, hypotheses with their truth, a log), gzipped or not, and Parquet with the same fields. A domain
receives its own hypotheses alone, and of requests in which it has none only its own requests. Examples without
hypotheses are for every domain, so they are written once. Lines that cannot be read are counted and reported.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from arbitrank.answerlog.reader import read_truths
from arbitrank.answerlog.segments import segments
from arbitrank.errors import DataError, InputError
from arbitrank.extras import required
from arbitrank.outcomes.lessons import LessonReport
from arbitrank.training.build import time_of
from arbitrank.training.example_file import Writer
from arbitrank.training.lessons import lessons_of
from arbitrank.training.locations import DAY, DataFile, files, files_for, is_url, opened
from arbitrank.training.read_report import COMMON, QUOTED, ReadReport, UnlabelledLine, counted
from arbitrank.values import Example
from arbitrank.wire.json_lines import BadLine, lines_in, place
from arbitrank.wire.notices import Notice, Notices
from arbitrank.wire.offsets import Offsets
from arbitrank.wire.requests import decode_example

_NAMED = 8  # fields of a line that are listed


class Dataset(msgspec.Struct, frozen=True, tag=True):
    """Data to read: their location, the earliest time (seconds since 1970), and the unit of a corpus's offsets.

    With `outcomes`, accepted, rejected and rephrased answers of a log teach too, as weighted examples.
    """

    location: str
    since: float | None = None
    offsets: Offsets = "characters"
    outcomes: bool = False


def is_partitioned(location: str) -> bool:
    """True where paths name the domains of files, so that each domain's training reads its own files."""
    return not _is_log(location) and any(one.domain is not None for one in files(location))


def unread(location: str, found: Sequence[DataFile], known: Collection[str]) -> tuple[str, ...]:
    """Remarks on partitions of unknown domains among the files of a location."""
    unknown = Counter(one.domain for one in found if one.domain is not None and one.domain not in known)
    if not unknown:
        return ()
    return (f"{location}: no plugin is loaded for {counted(unknown)}; their files are not read",)


def prepare(
    reading: Dataset,
    domains: Sequence[str],
    paths: Mapping[str, Path],
    *,
    known: Iterable[str] | None = None,
    common: Path | None = None,
) -> ReadReport:
    """Write each domain's examples into its file of `paths`, and those for all into `common`.

    Without `common` the latter are written for each domain. `known`: domains that truths may name without a remark.
    Raises `DataError` where nothing can be read, or only some examples bring hypotheses.
    """
    read = ReadReport(reading.location)
    known_names = None if known is None else {*known, *domains}
    targets = {**paths, COMMON: common} if common else paths
    with ExitStack() as stack:
        writers = {name: stack.enter_context(Writer(path)) for name, path in targets.items()}
        for owner, example in _examples(reading, domains, read):
            read.contexts.add(example.request.context)
            if known_names is not None:
                read.unknown.update(name for name in example.truth.owners if name not in known_names)
            every = [COMMON] if common and example.request.hypotheses is None else domains
            for receiver in every if owner is None else [owner]:
                if own := _own(example, receiver):
                    writers[receiver].add(own)
                    read.examples[receiver] += 1
                elif receiver not in example.request.refused:
                    read.silent[receiver] += 1
    read.repeated.update({name: writer.repeated for name, writer in writers.items()})
    _check(read)
    return read


def _check(read: ReadReport) -> None:
    common, where = read.examples[COMMON], read.location
    if common and read.examples.total() > common:
        raise DataError(f"{where}: {common} examples bring no hypotheses and others do, expected all or none")
    if read.lessons is not None and not read.lessons.labelled:
        raise DataError(
            f"{where}: no request of this log has a truth, by which what outcomes teach could be measured; see "
            "docs/explanation/outcomes.md"
        )
    if read.examples.total():
        return
    if _is_log(where):
        raise DataError(f"{where}: no request of this log has a truth ({read.n_bad} bad lines); see docs/how-to/log.md")
    counts = {"before --since": read.early, "without a time": read.undated, "unlabelled": read.n_unlabelled}
    named = {
        "hypotheses that cannot be read, of": read.refused,
        "requests of other domains, without a hypothesis of": read.silent,
        "no plugin is loaded for": read.unknown,
    }
    causes = [
        f"{read.n_bad} bad lines",
        *(f"{n} {cause}" for cause, n in counts.items() if n),
        *(f"{cause} {counted(names)}" for cause, names in named.items() if names),
    ]
    firsts = [f"{one.where}: {one.reason}" for one in (*read.bad[:1], read.first_unlabelled) if one]
    firsts += [read.first_refused] if read.first_refused else []
    why, first = ", ".join(causes), f"; the first: {'; '.join(firsts)}" if firsts else ""
    raise DataError(f"{where}: no example to train on ({why}{first}); see docs/reference/training-data.md")


def _own(example: Example, domain: str) -> Example | None:
    """The example with the domain's hypotheses alone; None where it is another's without one, or of no use."""
    if example.request.hypotheses is None:
        return example
    if domain in example.request.refused:
        return None
    own = [h for h in example.request.hypotheses if h.domain == domain]
    if not own and not example.truth.owned_by(domain):
        return None
    return Example(msgspec.structs.replace(example.request, hypotheses=tuple(own)), example.truth, example.extra)


def _examples(reading: Dataset, domains: Sequence[str], read: ReadReport) -> Iterator[tuple[str | None, Example]]:
    """The labelled examples in time, each with the domain of its file, if that is one domain's."""
    for file, line in _lines(reading, domains, read.notices):
        if isinstance(line, UnlabelledLine):
            read.n_unlabelled += 1
            read.first_unlabelled = read.first_unlabelled or line
        elif isinstance(line, BadLine):
            read.n_bad += 1
            read.bad += [line] if read.n_bad <= QUOTED else []
        elif reading.since is not None and (time := time_of(line)) is None and file.day is None:
            read.undated += 1
        elif reading.since is not None and time is not None and time < reading.since:
            read.early += 1
        else:
            for name, reason in line.request.refused.items():
                read.refused[name] += 1
                read.first_refused = read.first_refused or reason
            yield file.domain, line
    if reading.outcomes:
        read.lessons = LessonReport()
        taught = lessons_of(reading.location, reading.since, read.lessons)
        yield from (lesson for lesson in taught if lesson.domain is None or lesson.domain in domains)


def _lines(reading: Dataset, domains: Sequence[str], notices: Notices) -> Iterator[tuple[DataFile, Example | BadLine]]:
    if _is_log(reading.location):
        log = DataFile(reading.location, 0)
        yield from ((log, line) for line in read_truths(reading.location, notices))
        return
    for file in files_for(domains, reading.location):
        # A day that ends before the window does not have to be opened.
        if reading.since is None or file.day is None or file.day + DAY > reading.since:
            yield from ((file, line) for line in _read(file, reading.offsets, notices))


def _read(file: DataFile, offsets: Offsets, notices: Notices) -> Iterator[Example | BadLine]:
    try:
        with opened(file) as raw:
            if file.where.endswith(".parquet"):
                lines = _rows(raw, file.where)
            else:
                unzipped: Any = gzip.GzipFile(fileobj=raw) if file.where.endswith(".gz") else raw
                lines = lines_in(unzipped, file.where)
            for number, line in lines:
                where = place(file.where, number)
                yield line if isinstance(line, BadLine) else _decoded(line, where, notices.at(where), offsets)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file.where}: cannot be read: {error}") from error


def _decoded(line: bytes, where: str, notice: Notice, offsets: Offsets) -> Example | BadLine:
    """The example on a line, or the reason why it is none."""
    try:
        example = decode_example(line, notice, offsets=offsets)
    except InputError as error:
        if b'"truth"' not in line and b'"text"' not in line:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                fields = list(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
                names = ", ".join(fields[:_NAMED]) + (", …" if len(fields) > _NAMED else "")
                reason = f"its fields are {names or 'none'}; expected text (a corpus) or truth (hypotheses)"
                return UnlabelledLine(where, reason)
        return BadLine(where, str(error))
    weight = example.extra.get("weight")
    if weight is not None and (
        isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e12
    ):
        return BadLine(where, f"weight: {weight!r} is out of range, expected a number above 0")
    return example


def _is_log(location: str) -> bool:
    return not is_url(location) and Path(location).is_dir() and bool(segments(Path(location)))


def _rows(file: IO[bytes], where: str) -> Iterator[tuple[int, bytes | BadLine]]:
    """The rows of a Parquet file as numbered lines, in small batches; a null is an absent value.

    Raises `InputError` without pyarrow, `DataError` where the file cannot be read.
    """
    with required(where):
        import pyarrow
        from pyarrow import parquet
    try:
        batches = parquet.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=1024, use_threads=False)
        rows = (row for batch in batches for row in batch.to_pylist(maps_as_pydicts="lossy"))
        for number, row in enumerate(rows, 1):
            try:
                yield number, msgspec.json.encode(_bare(row))
            except ValueError as error:
                yield number, BadLine(place(where, number), str(error))
    except pyarrow.ArrowException as error:
        raise DataError(f"{where}: not a readable Parquet file: {' '.join(str(error).split())[:300]}") from error


def _bare(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the object on a line; context, truth and hypotheses may be JSON in a text."""
    found = {key: _value(value, key) for key, value in row.items() if value is not None}
    for key in ("context", "truth", "hypotheses"):
        if isinstance(found.get(key), str):
            found[key] = msgspec.Raw(found[key].encode())
    if "truth" in found and isinstance(found["truth"], dict):
        if "domains" not in found["truth"]:
            found["truth"].setdefault("domain", None)
    elif "text" in found and "domains" not in found:
        found.setdefault("domain", None)
    return found


def _value(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _value(inner, f"{path}.{key}") for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_value(inner, f"{path}[{i}]") for i, inner in enumerate(value)]
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: {value} is out of range, expected a finite number")
    return value
