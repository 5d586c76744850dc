import datetime
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword import corpora


@pytest.fixture(scope="module")
def paragraphs():
    return corpora.python_manual()


@pytest.fixture(scope="module")
def models():
    return corpora.landmark_models()


def test_no_paragraph_of_the_manual_comes_twice(paragraphs):
    assert len(set(paragraphs)) == len(paragraphs)


def test_the_manual_is_the_same_at_every_call(paragraphs):
    assert corpora.python_manual() == paragraphs


def test_the_manual_is_large_enough_to_learn_from(paragraphs):
    assert 1_000 < len(paragraphs) < 2_000
    assert 30_000 < sum(len(p.split()) for p in paragraphs) < 80_000


def test_the_manual_is_prose(paragraphs):
    for paragraph in paragraphs:
        assert "::=" not in paragraph, "a grammar rule"
        assert "====" not in paragraph, "a table or an underlined heading"
        assert ">>>" not in paragraph.split()[:1], "a session"
        assert paragraph == " ".join(paragraph.split())
        assert paragraph[-1] in ".:?!)"
        assert len(paragraph.split()) >= 5


@pytest.mark.parametrize(
    ("block", "kept"),
    [
        ("The value is an object.", True),
        ("This is a sentence\n   over two lines:", True),
        ("Too short.", False),
        ("A heading of five words", False),
        ("name ::= a b c d e f.", False),
        ("The title of the section\n*****************.", False),
        (">>> x = {1: 2, 3: 4}; y = [5, 6, 7, 8].", False),
    ],
)
def test_prose_is_told_from_the_rest(block, kept, monkeypatch):
    import pydoc_data.topics

    monkeypatch.setattr(pydoc_data.topics, "topics", {"a": f"\n{block}\n\n"})
    assert corpora.python_manual() == ([" ".join(block.split())] * kept)


def test_a_paragraph_of_two_topics_stands_where_it_comes_first(monkeypatch):
    import pydoc_data.topics

    both = "This paragraph stands in two topics."
    own = "This paragraph stands in one topic."
    topics = {"b": f"{own}\n\n{both}", "a": f"{both}\n\n{both}"}
    monkeypatch.setattr(pydoc_data.topics, "topics", topics)
    assert corpora.python_manual() == [both, own]


def test_the_parts_are_disjoint_and_lose_nothing(paragraphs):
    parts = corpora.split(paragraphs)
    assert sum(map(len, parts)) == len(paragraphs)
    assert set().union(*parts) == set(paragraphs)


def test_the_parts_have_about_the_sizes_promised(paragraphs):
    many = paragraphs + [f"paragraph {i}" for i in range(20_000)]
    sizes = [len(part) / len(many) for part in corpora.split(many)]
    assert sizes == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    sizes = [len(part) / len(paragraphs) for part in corpora.split(paragraphs)]
    assert sizes == pytest.approx([0.8, 0.1, 0.1], abs=0.04)


def test_the_split_is_that_of_the_digest():
    """Computed here in another way: the digest's first four digits, in hex."""
    texts = [f"text {i}" for i in range(1_000)]
    parts = corpora.split(texts)
    for text in texts:
        share = int(hashlib.sha256(text.encode()).hexdigest()[:4], 16) / 2**16
        part = 0 if share < 0.8 else 1 if share < 0.9 else 2
        assert text in parts[part]


@given(st.lists(st.text(), unique=True), st.lists(st.text()))
def test_a_paragraph_keeps_its_part_when_others_come(some, more):
    before, after = corpora.split(some), corpora.split(more + some)
    for part, larger in zip(before, after, strict=True):
        assert [t for t in larger if t in set(some) - set(more)] == [
            t for t in part if t not in set(more)
        ]


@given(st.lists(st.text()))
def test_equal_paragraphs_go_to_one_part_in_the_order_given(texts):
    parts = corpora.split(texts + texts)
    for part in parts:
        assert part[: len(part) // 2] == part[len(part) // 2 :]


def test_there_are_fifteen_models_oldest_first(models):
    assert len(models) == 15
    assert len({model.name for model in models}) == 15
    assert [m.date for m in models] == sorted(m.date for m in models)


def test_every_model_is_complete_and_cited(models):
    for model in models:
        datetime.date.fromisoformat(f"{model.date}-01")
        assert model.family in {
            "recurrent",
            "encoder-decoder",
            "encoder",
            "decoder",
        }
        assert model.authors and model.title and model.note.endswith(".")
        assert model.url.startswith("https://")
        for value, source in (
            (model.tokens, model.tokens_source),
            (model.flops, model.flops_source),
        ):
            assert (value is None) == (source is None)
            assert source in {None, "published", "derived"}
        if model.tokens_source == "derived":
            assert "Tokens:" in model.note, model.name
        if model.flops_source == "derived":
            assert "6ND" in model.note, model.name


def test_the_numbers_are_in_their_units(models):
    for model in models:
        assert isinstance(model.parameters, int)
        assert 1e8 < model.parameters < 1e12
        assert 0 < model.active_parameters <= model.parameters
        assert model.tokens is None or 1e9 < model.tokens < 1e14
        assert model.flops is None or 1e19 < model.flops < 1e26


def test_compute_agrees_with_parameters_and_tokens(models):
    """6 N D, from the numbers: exact where derived, near where published."""
    for model in models:
        if model.tokens is None or model.flops is None:
            continue
        estimate = 6 * model.active_parameters * model.tokens
        near = 0.005 if model.flops_source == "derived" else 0.25
        if model.name == "T5-11B":  # a token meets half of the parameters
            estimate /= 2
        assert model.flops == pytest.approx(estimate, rel=near), model.name


def test_a_date_becomes_a_number(models):
    years = {model.name: model.year for model in models}
    assert years["GPT"] == pytest.approx(2018 + 5 / 12)
    assert years["GPT-3"] - years["GPT"] == pytest.approx(23 / 12)


def test_the_numbers_are_those_of_the_papers(models):
    """Typed a second time, so that a slip in the file is seen."""
    found = {m.name: (m.parameters, m.tokens, m.flops) for m in models}
    assert found["GPT-3"] == (175e9, 300e9, 3.14e23)
    assert found["Chinchilla"] == (70e9, 1.4e12, 5.76e23)
    assert found["Llama 3.1"] == (405e9, 15.6e12, 3.8e25)
    assert found["GPT-2"] == (1.542e9, None, None)
    assert found["BERT-large"][1] == 256 * 512 * 1_000_000


def test_the_data_card_explains_every_field(models):
    import importlib.resources

    folder = importlib.resources.files("nextword") / "data"
    card = (folder / "landmarks.md").read_text(encoding="utf-8")
    for field in vars(models[0]):
        assert f"`{field}`" in card


FIRST, LAST = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
DAYS = 100 * 365 + 25
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = {
    "Monday": "一",
    "Tuesday": "二",
    "Wednesday": "三",
    "Thursday": "四",
    "Friday": "五",
    "Saturday": "六",
    "Sunday": "日",
}


@pytest.fixture(scope="module")
def every_day():
    return corpora.dates(DAYS)


def read_english(text):
    """The day that an English text means, and its weekday if it has one."""
    if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d\d)", text):
        month, day, year = map(int, found.groups())
        return datetime.date(
            year + (2000 if year < 50 else 1900), month, day
        ), None
    found = re.fullmatch(r"(?:(\w+), )?(\w+) (\d{1,2}), (\d{4})", text)
    weekday, month, day, year = found.groups()
    month = MONTHS.index(month) + 1
    return datetime.date(int(year), month, int(day)), weekday


def read_chinese(text):
    if found := re.fullmatch(r"(\d{4})/(\d{1,2})/(\d{1,2})", text):
        return datetime.date(*map(int, found.groups())), None
    found = re.fullmatch(r"(\d{4})年(\d{1,2})月(\d{1,2})日(?:星期(.))?", text)
    *numbers, weekday = found.groups()
    return datetime.date(*map(int, numbers)), weekday


def test_every_day_of_the_hundred_years_comes_once(every_day):
    days = sorted(date.day for date in every_day)
    assert (days[0], days[-1], len(set(days))) == (FIRST, LAST, DAYS)


def test_both_languages_say_the_day(every_day):
    """Read back by patterns of our own, weekdays included."""
    for date in every_day:
        english, weekday = read_english(date.english)
        chinese, sign = read_chinese(date.chinese)
        assert english == chinese == date.day
        assert (weekday is not None) == (date.style == "full")
        assert (sign is not None) == (date.style == "full")
        if weekday:
            assert WEEKDAYS[weekday] == sign
            assert list(WEEKDAYS)[date.day.weekday()] == weekday


def test_each_text_has_one_translation(every_day):
    assert len({date.english for date in every_day}) == DAYS
    assert len({date.chinese for date in every_day}) == DAYS


def test_one_day_by_hand(every_day):
    forms = {
        "full": ("Thursday, March 5, 1987", "1987年3月5日星期四"),
        "long": ("March 5, 1987", "1987年3月5日"),
        "short": ("3/5/87", "1987/3/5"),
    }
    assert set(corpora.DATE_STYLES) == forms.keys()
    day = datetime.date(1987, 3, 5)
    (date,) = (date for date in every_day if date.day == day)
    assert (date.english, date.chinese) == forms[date.style]


def test_the_styles_come_equally_often(every_day):
    styles = [date.style for date in every_day]
    for style in corpora.DATE_STYLES:
        assert styles.count(style) / DAYS == pytest.approx(1 / 3, abs=0.01)


def test_the_same_seed_gives_the_same_dates():
    assert corpora.dates(50, seed=3) == corpora.dates(50, seed=3)
    drawn = {tuple(corpora.dates(50, seed=seed)) for seed in range(5)}
    assert len(drawn) == 5


def test_dates_are_spread_over_the_hundred_years():
    years = [date.day.year for date in corpora.dates(2_000, seed=1)]
    for decade in range(1950, 2050, 10):
        share = sum(decade <= year < decade + 10 for year in years) / 2_000
        assert share == pytest.approx(0.1, abs=0.03)


def test_a_written_date_cannot_be_changed():
    with pytest.raises(AttributeError):
        corpora.dates(1)[0].english = "today"


@pytest.mark.parametrize("number", [0, -1, DAYS + 1])
def test_more_days_than_there_are_are_refused(number):
    with pytest.raises(ValueError, match=f"{number} .* Ask for 1 to 36525"):
        corpora.dates(number)
