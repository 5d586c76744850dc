"""Sentence vectors: by plain loops, and against Hugging Face's model."""

import math

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch.nn import functional as F

from nextword.blocks import TransformerConfig
from nextword.sentences import mean_pool, sentence_vectors
from nextword.transformer import BERT, initialise
from nextword.weights import minilm
from nextword.wordpiece import SPECIAL, WordPieceTokenizer

WORDS = WordPieceTokenizer([*SPECIAL, *"abcdefgh", ".", "##a", "##b", "##c"])
TEXTS = ["a b c", "", "h g f e d c b a " * 4, "a", "abc cab. bac", "d e"]
NEAR = {"rtol": 0, "atol": 1e-10}


@pytest.fixture(scope="module")
def bert():
    """A BERT in float64 that is far from uniform and would drop out."""
    torch.manual_seed(0)
    model = BERT(
        TransformerConfig(
            WORDS.vocab_size, 40, 16, 2, 2, dropout=0.3, norm_first=False
        )
    )
    model = model.double().eval()
    initialise(model, 0.4)
    return model


def plain_vector(model, tokenizer, text):
    """The vector of one text, without padding and without a batch."""
    cls, sep = tokenizer.ids["[CLS]"], tokenizer.ids["[SEP]"]
    ids = torch.tensor([[cls, *tokenizer.encode(text), sep]])
    with torch.no_grad():
        rows = model.encode(ids)[0]
    mean = sum(rows) / len(rows)
    return mean / math.sqrt(float((mean**2).sum()))


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 64])
def test_vectors_are_those_of_a_plain_loop(bert, rows):
    vectors = sentence_vectors(bert, WORDS, TEXTS, rows)
    assert vectors.shape == (6, 16) and vectors.dtype == torch.float64
    for vector, text in zip(vectors, TEXTS, strict=True):
        expected = plain_vector(bert, WORDS, text)
        torch.testing.assert_close(vector, expected, **NEAR)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(6).double())
    others = vectors @ vectors.T - torch.eye(6)
    assert others.max() < 0.999  # seen: six texts have six vectors


def test_a_mean_by_hand():
    hidden = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
    hidden = hidden.repeat(2, 1, 1)
    real = torch.tensor([[True, True, False], [True, False, False]])
    expected = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
    torch.testing.assert_close(mean_pool(hidden, real), expected)


def test_gradients_of_a_mean_reach_real_tokens_alone():
    hidden = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    real = torch.tensor([[True, True, False], [True, True, True]])
    assert torch.autograd.gradcheck(lambda h: mean_pool(h, real), hidden)
    (mean_pool(hidden, real) * torch.arange(4.0)).sum().backward()
    assert (hidden.grad != 0).any(-1).equal(real)


def test_a_text_is_cut_at_the_length_that_is_asked_for(bert):
    long, short = "a b c d e f g h", "a b c"
    one, two = sentence_vectors(bert, WORDS, [long, short], 64, 5)
    torch.testing.assert_close(one, two, **NEAR)
    one, two = sentence_vectors(bert, WORDS, [long, short], 64, 6)
    assert not torch.allclose(one, two)


def test_vectors_can_be_learned_from(bert):
    """A probe on them has gradients; the model behind them has none."""
    vectors = sentence_vectors(bert, WORDS, TEXTS)
    probe = torch.nn.Linear(16, 2, dtype=torch.float64)
    probe(vectors).sum().backward()
    torch.testing.assert_close(probe.weight.grad[1], vectors.sum(0))
    assert all(p.grad is None for p in bert.parameters())


def test_a_model_in_training_is_asked_without_dropout_and_goes_on(bert):
    expected = sentence_vectors(bert, WORDS, TEXTS)
    bert.train()
    try:
        found = sentence_vectors(bert, WORDS, TEXTS)
        assert bert.training
    finally:
        bert.eval()
    assert torch.equal(found, expected)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_what_are_no_texts_is_refused(bert):
    for wrong in ([], "a b"):
        with pytest.raises(ValueError, match="a list of one or more texts"):
            sentence_vectors(bert, WORDS, wrong)
    with pytest.raises(ValueError, match="42 tokens do not fit in a context"):
        sentence_vectors(bert, WORDS, ["a " * 40])


# all-MiniLM-L6-v2

SENTENCES = [
    "A man is playing a guitar on the street.",
    "Someone plays an instrument outside.",
    "The stock market fell sharply on Monday.",
    "Shares lost much of their value at the start of the week.",
    "",
    "word " * 300,  # longer than 256 tokens
    "Crème brûlée & 今天天气很好!",
]


@pytest.fixture(scope="module")
def vectors(minilm_files):
    return sentence_vectors(*minilm(), SENTENCES, rows=3)


def test_vectors_of_minilm_are_those_of_hugging_face(minilm_files, vectors):
    """Their model and tokenizer, a mean over the mask, then length 1."""
    tokenizer = transformers.BertTokenizer(str(minilm_files[1]))
    theirs = transformers.BertModel(
        transformers.BertConfig(
            hidden_size=384,
            intermediate_size=1536,
            num_attention_heads=12,
            num_hidden_layers=6,
        ),
        add_pooling_layer=False,
    ).eval()
    state = load_file(minilm_files[0])
    assert not theirs.load_state_dict(state, strict=False).missing_keys
    for text, vector in zip(SENTENCES, vectors, strict=True):
        inputs = tokenizer(
            text, truncation=True, max_length=256, return_tensors="pt"
        )
        with torch.no_grad():
            mean = theirs(**inputs).last_hidden_state[0].mean(dim=0)
        expected = F.normalize(mean, dim=0)
        torch.testing.assert_close(vector, expected, rtol=0, atol=1e-6)


def test_sentences_of_one_meaning_are_near(vectors):
    """They share no word but 'a', 'the' and 'of'."""
    cosines = vectors[:4] @ vectors[:4].T
    assert cosines[0, 1] > 0.5 and cosines[2, 3] > 0.5
    assert cosines[:2, 2:].max() < 0.2
