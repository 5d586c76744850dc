"""Questions about the town as rows of ids, and the text of the spans found.

Home: chapter 19, notebooks/19_questions.ipynb. Left out: the model.
"""

from collections.abc import Sequence

from torch import nn

from nextword.spans import SpanRow, find_spans, span_batch
from nextword.town_questions import Span, TownQuestion
from nextword.words import CLS, PAD, SEP, town_tokenizer

LONGEST = 2  # words of an answer: "the garden", "Anna"


def span_row(question: TownQuestion) -> SpanRow:
    """CLS, story, SEP, question, SEP; places are one more than in the story."""
    words = [CLS, *question.story, SEP, *question.question, SEP]
    ids = town_tokenizer().ids
    length = len(question.story)
    segments = [0] * (length + 2) + [1] * (len(question.question) + 1)
    span = question.span
    places = (span.first + 1, span.last + 1) if span else (0, 0)
    return SpanRow([ids[w] for w in words], segments, (1, length), places)


def ask_spans(
    model: nn.Module, questions: Sequence[TownQuestion]
) -> tuple[list[str], list[float]]:
    """The text of the best span of each question, and its margin.

    The margin is its score minus that of no answer.
    """
    pad_id = town_tokenizer().ids[PAD]
    batch = span_batch([span_row(q) for q in questions], pad_id)
    found = find_spans(model, batch, LONGEST)
    ends = zip(found.first.tolist(), found.last.tolist(), strict=True)
    texts = [
        Span(first - 1, last - 1).of(q.story)
        for q, (first, last) in zip(questions, ends, strict=True)
    ]
    return texts, (found.score - found.no_answer).tolist()
