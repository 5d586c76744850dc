"""The town: its probabilities against enumeration, simulation and its rules."""

import itertools
import math
import random
from collections import Counter

import pytest

from nextword import town, town_score
from nextword.gaps import WITH_RECAPS
from nextword.stories import SHORT
from nextword.telling import Option, Reader, Teller, next_tokens
from nextword.town import (
    Scene,
    TownConfig,
    make_story,
    questions,
    tell,
)
from nextword.town_chinese import chinese
from nextword.town_score import first_wrong, is_legal, next_token, score
from nextword.town_words import MOODS, PEOPLE, PLACES, THEMES, THINGS
from tools import notebooks

TINY = TownConfig(people=1, things=1, min_events=0, max_events=1)
CONFIGS = [TownConfig(), TownConfig(2, 2, 3, 5, recaps=3), TINY]


def text(story):
    return " ".join(story.tokens)


@pytest.fixture
def small_world(monkeypatch):
    """A town of two people and two themes of one place and one thing each."""
    themes = {
        "home": (("kitchen", "garden"), ("cup",)),
        "farm": (("barn",), ("egg",)),
    }
    people = {name: PEOPLE[name] for name in ("Anna", "Ben")}
    places = {p: PLACES[p] for p in ("kitchen", "garden", "barn")}
    things = {t: THINGS[t] for t in ("cup", "egg")}
    for module in (town, town_score):
        monkeypatch.setattr(module, "THEMES", themes)
    monkeypatch.setattr(town, "PEOPLE", people)
    monkeypatch.setattr(town, "PLACES", places)
    monkeypatch.setattr(town, "THINGS", things)
    return TownConfig(people=1, things=1, min_events=0, max_events=1)


def every_story(config):
    """All stories, with their probabilities, found token by token."""
    waiting = [((), 1.0)]
    while waiting:
        tokens, p = waiting.pop()
        following = next_token(tokens, config)
        if not following:
            yield tokens, p
        for token, share in following.items():
            waiting.append(((*tokens, token), p * share))


@pytest.mark.parametrize("config", CONFIGS)
def test_the_next_tokens_sum_to_one_at_every_step(config):
    for seed in range(4):
        tokens = make_story(seed, config).tokens
        for n in range(len(tokens)):
            following = next_token(tokens[:n], config)
            assert math.isclose(sum(following.values()), 1, abs_tol=1e-12)
            assert min(following.values()) > 0
        assert next_token(tokens, config) == {}


@pytest.mark.parametrize("config", CONFIGS)
def test_a_score_is_the_product_of_the_next_tokens(config):
    for seed in range(4):
        tokens = make_story(seed, config).tokens
        for n, log_p in enumerate(score(tokens, config)):
            p = next_token(tokens[:n], config)[tokens[n]]
            assert math.isclose(math.exp(log_p), p, rel_tol=1e-9)


def test_all_stories_of_a_small_world_have_probability_one(small_world):
    stories = dict(every_story(small_world))
    assert len(stories) > 300
    assert math.isclose(sum(stories.values()), 1, abs_tol=1e-9)
    for tokens, p in list(stories.items())[::40]:
        log_p = sum(score(tokens, small_world))
        assert math.isclose(math.exp(log_p), p, rel_tol=1e-9)


def test_stories_come_as_often_as_their_score_says(small_world):
    """A chi-square test over all stories that should come 20 times or more."""
    exact, n = dict(every_story(small_world)), 20_000
    seen = Counter(
        tuple(make_story(seed, small_world).tokens) for seed in range(n)
    )
    assert seen.keys() <= exact.keys()
    common = [tokens for tokens, p in exact.items() if p * n >= 20]
    statistic = sum(
        (seen[tokens] - n * exact[tokens]) ** 2 / (n * exact[tokens])
        for tokens in common
    )
    spread = math.sqrt(2 * len(common))
    assert abs(statistic - len(common)) < 4.5 * spread


@pytest.mark.parametrize("config", CONFIGS)
def test_every_story_is_legal(config):
    for seed in range(60):
        assert is_legal(make_story(seed, config).tokens, config)


def test_a_changed_story_is_wrong_where_it_was_changed():
    rng = random.Random(0)
    words = sorted({t for s in range(50) for t in make_story(s).tokens})
    wrong = 0
    for seed in range(100):
        tokens = make_story(seed).tokens
        place = rng.randrange(len(tokens))
        other = [*tokens[:place], rng.choice(words), *tokens[place + 1 :]]
        found = first_wrong(other)
        wrong += found is not None
        assert found is None or found >= place
    assert wrong > 90


def test_a_story_is_wrong_where_it_stops_too_early_or_goes_on():
    tokens = make_story(5).tokens
    assert first_wrong(tokens[:-1]) == len(tokens) - 1
    assert first_wrong([*tokens, "."]) == len(tokens)
    assert first_wrong([]) == 0
    with pytest.raises(ValueError, match=f"token {len(tokens) - 1} is wrong"):
        score(tokens[:-1])
    with pytest.raises(ValueError, match="token 0 is wrong"):
        next_token(["Moscow"])


def test_nobody_takes_what_another_holds_or_what_is_elsewhere():
    for seed in range(200):
        story = make_story(seed)
        scene = Scene(at=dict(story.start))
        for event in story.events:
            if event.action in ("took", "picked up"):
                assert event.thing not in scene.holder
                assert scene.at[event.thing] == scene.at[event.who]
                scene.holder[event.thing] = event.who
            elif event.action == "put down":
                assert scene.holder.pop(event.thing) == event.who
            elif event.action == "gave":
                assert scene.holder[event.thing] == event.who
                assert scene.at[event.other] == scene.at[event.who]
                scene.holder[event.thing] = event.other
            elif event.place:
                assert scene.at[event.who] != event.place
                moved = [t for t, p in scene.holder.items() if p == event.who]
                scene.at.update(dict.fromkeys([event.who, *moved], event.place))
        assert scene.at == story.scene.at
        assert scene.holder == story.scene.holder


def test_the_mood_follows_from_what_happened():
    moods = Counter()
    for seed in range(300):
        story = make_story(seed)
        person, mood, way = story.ending
        wanted = story.scene.wants.get(person)
        holder = story.scene.holder.get(wanted)
        expected = {None: "sad", person: "happy"}.get(holder, "angry")
        assert mood == ("calm" if wanted is None else expected)
        assert " ".join(story.tokens).endswith(
            f"At last {person} {MOODS[mood][way][0]} ."
        )
        moods[mood] += 1
    assert set(moods) == set(MOODS)


def test_recaps_are_true():
    config = TownConfig(recaps=4)
    for seed in range(60):
        story = make_story(seed, config)
        told = text(story).split(" Now ")[1:]
        assert len(told) == 4
        for sentence in told:
            words = sentence.removesuffix(" .").split()
            if "has" in words:
                held = story.scene.held_by(words[0])
                assert words[-1] in held or (
                    words[-1] == "nothing" and not held
                )
            else:
                name = words[1] if words[0] == "the" else words[0]
                assert story.scene.at[name] == words[-1]


def test_questions_have_their_only_answer():
    story = make_story(1)
    asked = {q.text: q.answer for q in questions(story)}
    assert len(asked) == len(questions(story)) == 3 + 3 + 3 + 3
    for name in story.scene.people:
        assert asked[f"Where is {name} ?"] == story.scene.at[name]
    for thing in story.scene.things:
        holder = story.scene.holder.get(thing, "nobody")
        assert asked[f"Who has the {thing} ?"] == holder


def test_chinese_tells_the_same_events():
    for seed in range(100):
        story = make_story(seed)
        sentences = " ".join(chinese(story)).split(" 。")[:-1]
        english = text(story).split(" .")[:-1]
        assert len(sentences) == len(english)
        for en, zh in zip(english, sentences, strict=True):
            for names in (PLACES, {t: x.chinese for t, x in THINGS.items()}):
                for name, sign in names.items():
                    assert (name in en.split()) == (sign in zh.split()), (
                        en,
                        zh,
                    )


def test_the_same_seed_tells_the_same_story():
    assert make_story(3) == make_story(3) != make_story(4)
    assert len({text(make_story(seed)) for seed in range(300)}) == 300


def test_a_choice_keeps_exact_probabilities():
    teller = Teller(random.Random(0))
    options = [
        Option(1, "a", "x y"),
        Option(2, "b", "x z"),
        Option(1, "c", "w"),
    ]
    value = teller.choose(options)
    expected = {"a": [0.75, 1 / 3], "b": [0.75, 2 / 3], "c": [0.25]}[value]
    got = [math.exp(p) for p in teller.log_p]
    assert all(itertools.starmap(math.isclose, zip(got, expected, strict=True)))
    split = [(o.weight, o.text.split()) for o in options]
    assert next_tokens(split, []) == {"x": 0.75, "w": 0.25}


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": 0},
        {"people": 13},
        {"things": 17},
        {"min_events": 11},
        {"recaps": -1},
    ],
)
def test_a_config_that_cannot_be_told_is_refused(wrong):
    with pytest.raises(ValueError, match=r"Choose|has from 1"):
        TownConfig(**wrong)


def test_a_reader_says_the_tokens_it_was_given():
    story = make_story(2)
    reader = Reader(story.tokens)
    assert tell(reader, story.theme, TownConfig()).events == story.events
    assert reader.log_p == story.log_p
    assert story.theme in THEMES


def test_the_page_of_the_book_tells_the_truth():
    page = (notebooks.ROOT / "book" / "town.md").read_text(encoding="utf-8")
    story = make_story(2, SHORT)
    assert text(story) in page and "".join(chinese(story)) in page
    assert f"nats, {-sum(score(story.tokens, SHORT)):.2f}" in page
    assert questions(story)[0].text in page
    for name, config in [
        ("SHORT", SHORT),
        ("TownConfig()", TownConfig()),
        ("WITH_RECAPS", WITH_RECAPS),
    ]:
        events = f"{config.min_events} to {config.max_events}"
        sizes = f"| {config.people} | {config.things} | {events} |"
        assert f"| `{name}` {sizes} {config.recaps} |" in page
