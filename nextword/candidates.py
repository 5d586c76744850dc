"""Answers without a network: a rule, and a linear model of candidate spans.

Used by chapter 19. Rajpurkar et al., 2016, section 5,
also put a logistic regression on features of candidates. Only the rule has a
form that refuses.
"""

from collections import Counter
from collections.abc import Sequence

from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from nextword.town_questions import Span, TownQuestion
from nextword.town_words import PEOPLE, PLACES, THINGS

WANTED = {"where": "place", "who": "person", "want": "thing", "gave": "person"}


def kind_of(word: str) -> str:
    """person, place, thing, or "" for every other word."""
    kinds = {"person": PEOPLE, "place": PLACES, "thing": THINGS}
    return next((k for k, words in kinds.items() if word in words), "")


def candidates(question: TownQuestion) -> list[Span]:
    """Each name of the story as a span, with "the" before it if there is one."""
    story = question.story
    return [
        Span(n - (story[n - 1] == "the"), n)
        for n, word in enumerate(story)
        if kind_of(word)
    ]


def most_frequent(
    training: Sequence[TownQuestion], asked: Sequence[TownQuestion]
) -> list[str]:
    """The commonest answer of the training set to each kind of question."""
    counts: dict[str, Counter] = {}
    for q in training:
        counts.setdefault(q.kind, Counter())[q.answer] += 1
    best = {kind: max(sorted(c), key=c.get) for kind, c in counts.items()}
    return [best.get(q.kind, "") for q in asked]


def last_mention(question: TownQuestion) -> Span:
    """A rule: the right kind of name, nearest after the last mention.

    The last mention of what the question asks about is looked up; the answer is
    the next name of the wanted kind in the same sentence, else the last one
    before. If all fails, it is the last candidate.
    """
    story, spans = question.story, candidates(question)
    names = [word for word in question.question if kind_of(word)]
    wanted = WANTED[question.kind]
    fit = [
        s
        for s in spans
        if kind_of(story[s.last]) == wanted and story[s.last] not in names
    ]
    places = [n for n, word in enumerate(story) if word == names[-1]]
    if not fit or not places:
        return (fit or spans)[-1]
    end = story.index(".", places[-1])
    after = [s for s in fit if places[-1] < s.first <= end]
    before = [s for s in fit if s.last < places[-1]]
    return after[0] if after else (before or fit)[-1]


def last_or_none(question: TownQuestion) -> str:
    """The answer of the rule, or "" if the story lacks a name of the question."""
    names = [word for word in question.question if kind_of(word)]
    if any(name not in question.story for name in names):
        return ""
    return last_mention(question).of(question.story)


def span_features(question: TownQuestion, span: Span) -> dict[str, float]:
    """What the linear model sees of one candidate; which names does not count.

    The question asks about some names. Does the sentence of the candidate have
    them, and what is told there? What comes later?
    """
    story, kind = question.story, question.kind
    begin = max(
        [n + 1 for n in range(span.first) if story[n] == "."], default=0
    )
    end = story.index(".", span.last)
    asked = {word for word in question.question if kind_of(word)}
    verb = next(w for w in story[begin + 1 : end] if not kind_of(w))
    role = "object" if span.first > begin else "subject"
    told = f"{kind}: {kind_of(story[span.last])}, {verb}, {role}"
    shared = len(asked & set(story[begin:end]))
    later = story[end:]
    same = sum(kind_of(w) == kind_of(story[span.last]) for w in later)
    return {
        told: 1.0,
        f"{told}, shared {shared}": 1.0,
        f"{told}, asked about {min(sum(w in asked for w in later), 2)} later": 1.0,
        f"{told}, {min(same, 3)} of its kind later": 1.0,
        f"{kind}: is asked about": float(story[span.last] in asked),
        f"{kind}: sentences later": later.count(".") / 10,
    }


def fit_candidates(
    training: Sequence[TownQuestion], c: float = 1.0
) -> Pipeline:
    """Logistic regression: is this candidate the answer? ``c``: less penalty."""
    seen, labels = [], []
    for q in training:
        for span in candidates(q):
            seen.append(span_features(q, span))
            labels.append(span == q.span)
    model = make_pipeline(
        DictVectorizer(), LogisticRegression(C=c, max_iter=2_000)
    )
    return model.fit(seen, labels)


def best_candidate(model: Pipeline, question: TownQuestion) -> Span:
    """The candidate that the model finds likeliest."""
    spans = candidates(question)
    scores = model.decision_function(
        [span_features(question, s) for s in spans]
    )
    return spans[int(scores.argmax())]
