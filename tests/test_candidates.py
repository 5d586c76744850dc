"""Answers without a network: a rule by hand, and what a linear model sees."""

import pytest

from nextword.candidates import (
    best_candidate,
    candidates,
    fit_candidates,
    kind_of,
    last_mention,
    last_or_none,
    most_frequent,
    span_features,
)
from nextword.squad_metrics import exact_match
from nextword.town_questions import (
    Span,
    TownQuestion,
    held_out_questions,
    training_questions,
)

TEXT = """Anna was at the garden . There was a cup at the pond . Anna went to
the pond . Anna took the cup . Ben wanted the cup ."""
STORY = TEXT.split()


def question(text, kind, answer=None):
    return TownQuestion(kind, STORY, text.split(), answer, 1)


def test_kinds_and_candidates():
    kinds = [kind_of(w) for w in ("Anna", "pond", "cup", "the")]
    assert kinds == ["person", "place", "thing", ""]
    spans = candidates(question("Where is Anna ?", "where"))
    assert [s.of(STORY) for s in spans[:5]] == [
        "Anna",
        "the garden",
        "cup",
        "the pond",
        "Anna",
    ]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("Where is Anna ?", "where", "the pond"),
        ("Where is the cup ?", "where", "the pond"),
        ("What did Ben want ?", "want", "the cup"),
        ("Who has the cup ?", "who", "Ben"),  # wrong: Ben only wanted it
    ],
)
def test_the_rule_by_hand(text, kind, expected):
    assert last_mention(question(text, kind)).of(STORY) == expected


def test_the_rule_falls_back_where_nothing_is_named():
    lost = question("Where is the fish ?", "where")
    assert last_mention(lost).of(STORY) == "the pond"


def test_the_commonest_answer_of_each_kind():
    pond = Span(STORY.index("pond") - 1, STORY.index("pond"))
    train = [question("Where is Anna ?", "where", pond)] * 2
    train += [question("Where is Anna ?", "where", Span(3, 4))]
    asked = [question("Where is Ben ?", "where"), question("x", "who")]
    assert most_frequent(train, asked) == ["the pond", ""]


def test_features_do_not_know_names():
    """Another person, place and thing in the same story: the same features."""
    other = {"Anna": "Kate", "garden": "hall", "pond": "barn", "cup": "egg"}
    q = question("Where is the cup ?", "where")
    renamed = TownQuestion(
        "where",
        [other.get(w, w) for w in q.story],
        [other.get(w, w) for w in q.question],
        None,
        1,
    )
    for span in candidates(q):
        assert span_features(q, span) == span_features(renamed, span)


def test_features_by_hand():
    q = question("Where is the cup ?", "where")
    found = span_features(
        q, Span(11, 12)
    )  # at the pond, in the second sentence
    assert q.story[12] == "pond"
    told = "where: place, was, object"
    assert found == {
        told: 1.0,
        f"{told}, shared 1": 1.0,
        f"{told}, asked about 2 later": 1.0,
        f"{told}, 1 of its kind later": 1.0,
        "where: is asked about": 0.0,
        "where: sentences later": 0.4,
    }


def test_the_linear_model_learns():
    asked = held_out_questions(150)
    model = fit_candidates(training_questions(200, 0))
    texts = [best_candidate(model, q).of(q.story) for q in asked]
    right = [
        exact_match(t, q.answer) for t, q in zip(texts, asked, strict=True)
    ]
    assert sum(right) / len(right) > 0.6


def test_the_rule_refuses_what_the_story_does_not_name():
    for text, kind, said in (
        ("Where is Anna ?", "where", "the pond"),
        ("Where is Kate ?", "where", ""),
        ("Who has the cup ?", "who", "Ben"),
        ("Who has the bag ?", "who", ""),
        ("Who gave the cup to Kate ?", "gave", ""),
    ):
        assert last_or_none(question(text, kind)) == said
    mixed = held_out_questions(200, unanswerable=0.5)
    absent = [q for q in mixed if q.absent]
    assert len(absent) > 20 and not any(map(last_or_none, absent))
    assert all(map(last_or_none, (q for q in mixed if not q.absent)))
