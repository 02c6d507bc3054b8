"""Token n-gram models as ARPA text, which KenLM, NeMo and others read: base-10 logarithms, tokens as they are spelled.

The probability of `<unk>` is that of all tokens without a line of their own together.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, log

from asr_tv.decoding.biasing.ngram import BEGIN, END, Gram, Ngram
from asr_tv.errors import DataError

_LN10 = log(10.0)
_NAMES = {BEGIN: "<s>", END: "</s>"}
_UNKNOWN = "<unk>"
_NEVER = -99.0
"""What ARPA files have for ln 0."""
_SHOWN = 3


def write_arpa(model: Ngram, tokens: Sequence[str]) -> str:
    """The text of an ARPA file; `tokens` are the spellings of the vocabulary, by id.

    Raises:
        ValueError: a token that is used cannot stand in the file.
    """
    by_order: dict[int, list[Gram]] = {n: [] for n in range(1, model.order + 1)}
    for gram in sorted(model.probabilities):
        by_order[len(gram)].append(gram)
    by_order = {n: grams for n, grams in by_order.items() if grams}
    head = [f"ngram {n}={len(grams) + 2 * (n == 1)}" for n, grams in by_order.items()]
    sections = (f"\\{n}-grams:\n{''.join(_lines(model, grams, tokens, n))}" for n, grams in by_order.items())
    return "\n".join(["\\data\\", *head, "", *sections, "\\end\\", ""])


def _lines(model: Ngram, grams: Sequence[Gram], tokens: Sequence[str], order: int) -> Iterator[str]:
    if order == 1:
        unseen = model.vocabulary + 1 - len(grams)
        rest = (model.rest + log(unseen)) / _LN10 if unseen else _NEVER
        yield f"{rest:.7f}\t{_UNKNOWN}\n"
        yield f"{_NEVER:g}\t{_NAMES[BEGIN]}\t{model.backoffs.get((BEGIN,), 0.0) / _LN10:.7f}\n"
    for gram in grams:
        spelled = " ".join(_spelled(token, tokens) for token in gram)
        weight = f"\t{model.backoffs[gram] / _LN10:.7f}" if gram in model.backoffs else ""
        yield f"{model.probabilities[gram] / _LN10:.7f}\t{spelled}{weight}\n"


def _spelled(token: int, tokens: Sequence[str]) -> str:
    if token < 0:
        return _NAMES[token]
    name = tokens[token]
    if not name or name in {*_NAMES.values(), _UNKNOWN} or any(c.isspace() for c in name):
        raise ValueError(f"token {token} is spelled {name!r}, which an ARPA file cannot hold")
    return name


def read_arpa(text: str, name: str, tokens: Sequence[str]) -> Ngram:
    """The model of an ARPA file over the tokens of a recogniser, by id.

    Raises:
        DataError: it is no whole ARPA file, or its words are not this recogniser's tokens.
    """
    reader = _Reader(name, {spelled: number for number, spelled in enumerate(tokens)})
    reader.read(text.split("\n"))
    return reader.model(len(tokens))


class _Reader:
    """Reads line by line, and keeps every problem."""

    def __init__(self, name: str, ids: Mapping[str, int]) -> None:
        self._name, self._ids = name, {**ids, **{word: number for number, word in _NAMES.items()}}
        self._announced: dict[int, int] = {}
        self._found: dict[int, int] = {}
        self._probabilities: dict[Gram, float] = {}
        self._backoffs: dict[Gram, float] = {(): 0.0}
        self._unknown: float | None = None
        self._strange: list[str] = []
        self._problems: list[str] = []
        self._ended = False

    def read(self, lines: Sequence[str]) -> None:
        order = 0
        for number, line in enumerate(map(str.strip, lines), 1):
            if self._ended or not line:
                continue
            if line.startswith("ngram ") and not order:
                self._announce(number, line)
            elif line == "\\end\\":
                self._ended = True
            elif line.startswith("\\") and line.endswith("-grams:"):
                order = int(digits) if (digits := line[1:-7]).isdecimal() else 0
            elif order:
                self._entry(number, line, order)

    def _announce(self, number: int, line: str) -> None:
        order, _, count = line.removeprefix("ngram ").partition("=")
        if not (order.strip().isdecimal() and count.strip().isdecimal()):
            self._problems.append(f"{self._name}:{number}: expected `ngram N=count`")
            return
        self._announced[int(order)] = int(count)

    def _entry(self, number: int, line: str, order: int) -> None:
        self._found[order] = self._found.get(order, 0) + 1
        fields = line.split()
        words = fields[1 : order + 1]
        try:
            values = [float(field) * _LN10 for field in (fields[0], *fields[order + 1 :])]
        except ValueError:
            values = []
        if not (len(words) == order and len(values) in (1, 2) and all(map(isfinite, values)) and values[0] <= 0):
            self._problems.append(f"{self._name}:{number}: no {order}-gram after a logarithm: {line:.60}")
        elif words == [_UNKNOWN]:
            self._unknown = values[0]
        elif strange := [word for word in words if word not in self._ids]:
            self._strange += strange if order == 1 else []
        else:
            self._keep(tuple(self._ids[word] for word in words), *values)

    def _keep(self, gram: Gram, probability: float, weight: float | None = None) -> None:
        if gram != (BEGIN,):
            self._probabilities[gram] = probability
        if weight is not None:
            self._backoffs[gram] = weight

    def model(self, vocabulary: int) -> Ngram:
        if problems := [*self._unreadable(), *self._incomplete(), *self._foreign()]:
            raise DataError(problems)
        singles = [p for gram, p in self._probabilities.items() if len(gram) == 1]
        unseen = log(max(1, vocabulary + 1 - len(singles)))
        # Without `<unk>`, as likely as the least likely token.
        rest = min(singles, default=0.0) if self._unknown is None else self._unknown - unseen
        order = max(map(len, self._probabilities), default=1)
        return Ngram(order, vocabulary, self._probabilities, self._backoffs, rest)

    def _unreadable(self) -> list[str]:
        more = len(self._problems) - _SHOWN
        return self._problems[:_SHOWN] + ([f"{self._name}: {more} more such lines"] if more > 0 else [])

    def _foreign(self) -> list[str]:
        if not self._strange:
            return []
        some = ", ".join(self._strange[:_SHOWN])
        count = f"{len(self._strange)} of its words"
        return [f"{self._name}: in another vocabulary: {count} are no tokens of this recogniser, such as {some}"]

    def _incomplete(self) -> list[str]:
        if not self._announced:
            return [f"{self._name}: no ARPA file: it has no `ngram 1=` line"]
        lacking = [
            f"{self._name}: {self._found.get(order, 0)} {order}-grams of {count}: cut short"
            for order, count in self._announced.items()
            if self._found.get(order, 0) != count
        ]
        return lacking or ([] if self._ended else [f"{self._name}: cut short: no \\end\\"])
