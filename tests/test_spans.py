"""The span model against Hugging Face's; best spans against every span."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from nextword.blocks import TransformerConfig
from nextword.finetuning import LabelledBatches
from nextword.spans import (
    SpanBatch,
    SpanModel,
    SpanRow,
    best_spans,
    find_spans,
    span_batch,
    span_loss,
)
from nextword.transformer import BERT, initialise
from nextword.weights import to_bert

EXACT = {"rtol": 1e-10, "atol": 1e-10}
V, T = 37, 12


def small(dropout=0.0, **changes):
    """A span model in float64, far from uniform, of sizes that BERT has."""
    torch.manual_seed(0)
    sizes = {"d_model": 24, "n_heads": 3, "n_layers": 2, "d_ff": 40}
    sizes |= {"activation": "gelu", "norm_first": False, "norm_eps": 1e-12}
    config = TransformerConfig(V, T, dropout=dropout, **sizes | changes)
    model = SpanModel(BERT(config)).double()
    initialise(model, 0.4)
    return model


def rows(lengths=(12, 12, 12), seed=0):
    """Random texts without id 0, which has no gradient in Hugging Face's."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high):
        return int(torch.randint(low, high, (), generator=generator))

    made = []
    for length in lengths:
        ids = [draw(1, V) for _ in range(length)]
        start = draw(1, length - 3)
        segments = [0] * (length - 3) + [1] * 3
        made.append(SpanRow(ids, segments, (1, length - 3), (start, start + 1)))
    return made


def their_model(config):
    """Hugging Face's BERT for questions; its arguments are written out."""
    theirs = transformers.BertForQuestionAnswering(
        transformers.BertConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.context_length,
            hidden_size=config.d_model,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            intermediate_size=config.d_ff,
            hidden_act="gelu",
            layer_norm_eps=config.norm_eps,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    return theirs.double()


def theirs_with_our_weights(model):
    theirs = their_model(model.body.config)
    state = {
        f"bert.{name.removeprefix('bert.')}": x
        for name, x in to_bert(model.body).items()
        if not name.startswith("cls.")
    }
    state |= {f"qa_outputs.{n}": x for n, x in model.head.state_dict().items()}
    left = theirs.load_state_dict(state, strict=False)
    assert not left.unexpected_keys
    assert all("pooler" in n or "position_ids" in n for n in left.missing_keys)
    return theirs


def test_logits_loss_and_gradients_are_those_of_hugging_face():
    """Rows of one length: theirs gives padding a logit, ours does not."""
    model = small()
    batch = span_batch(rows(), 0)
    theirs = theirs_with_our_weights(model)
    result = theirs(
        input_ids=batch.ids,
        attention_mask=batch.real.long(),
        token_type_ids=batch.segments,
        start_positions=batch.spans[:, 0],
        end_positions=batch.spans[:, 1],
    )
    logits = model(batch.ids, batch.real, batch.segments)
    torch.testing.assert_close(logits[..., 0], result.start_logits, **EXACT)
    torch.testing.assert_close(logits[..., 1], result.end_logits, **EXACT)
    loss, number = span_loss(model, batch)
    torch.testing.assert_close(loss / number, result.loss, **EXACT)
    (loss / number).backward()
    result.loss.backward()
    torch.testing.assert_close(
        model.head.weight.grad, theirs.qa_outputs.weight.grad, **EXACT
    )
    torch.testing.assert_close(
        model.body.embedding.tokens.weight.grad,
        theirs.bert.embeddings.word_embeddings.weight.grad,
        **EXACT,
    )


def test_padding_changes_nothing():
    model = small().eval()
    texts = rows((12, 9, 7))
    batch = span_batch(texts, 0)
    assert batch.real.sum(1).tolist() == [12, 9, 7]
    alone = [span_loss(model, span_batch([row], 0))[0] for row in texts]
    together, number = span_loss(model, batch)
    assert number == 3
    torch.testing.assert_close(together, torch.stack(alone).sum(), **EXACT)
    logits = model(batch.ids, batch.real, batch.segments)
    assert (logits[1, 9:] == -torch.inf).all()
    assert logits[1, :9].isfinite().all()


def test_loss_by_hand():
    """Five tokens: -ln P(start = 1) and -ln P(end = 2), and their mean."""

    class Fixed(torch.nn.Module):
        def forward(self, ids, real, segments):
            return torch.tensor([[[0.0, 0], [2, 0], [0, 2], [0, 0], [0, 0]]])

    batch = span_batch([SpanRow([5] * 5, [0] * 5, (1, 4), (1, 2))], 0)
    loss, _ = span_loss(Fixed(), batch)
    one = torch.tensor([0.0, 2, 0, 0, 0]).logsumexp(0) - 2
    torch.testing.assert_close(loss, one)


def test_batch_marks_the_text_and_the_span():
    row = SpanRow([9, 8, 7, 6], [0, 0, 1, 1], (1, 2), (1, 2))
    batch = span_batch([row, SpanRow([9, 8], [0, 0], (1, 1))], 3)
    assert batch.ids.tolist() == [[9, 8, 7, 6], [9, 8, 3, 3]]
    assert batch.text.long().tolist() == [[0, 1, 1, 0], [0, 1, 0, 0]]
    assert batch.segments.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]
    assert batch.spans.tolist() == [[1, 2], [0, 0]]


def test_every_row_comes_once_an_epoch():
    texts = [SpanRow([n, n], [0, 0], (1, 1)) for n in range(5)]
    batches = LabelledBatches(texts, 2, 0, 3, span_batch)
    for epoch in (0, 1):
        ids = [batches(3 * epoch + n).ids[:, 0].tolist() for n in range(3)]
        assert [len(part) for part in ids] == [2, 2, 1]
        assert sorted(n for part in ids for n in part) == list(range(5))
    assert not torch.equal(batches(0).ids, batches(3).ids)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_best_span_is_the_best_of_all_spans(length, longest, seed):
    """Logits are whole numbers, so that sums tie; then the first one wins."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(-4, 5, (2, length, 2), generator=generator).double()
    text = torch.rand(2, length, generator=generator) < 0.6
    text[:, -1] = True
    found = best_spans(logits, text, longest)
    for b in range(2):
        sums = {
            (i, j): float(logits[b, i, 0] + logits[b, j, 1])
            for i in range(length)
            for j in range(i, min(i + longest, length))
            if text[b, i] and text[b, j]
        }
        first, last = int(found.first[b]), int(found.last[b])
        assert sums[first, last] == max(sums.values()) == float(found.score[b])
        assert float(found.no_answer[b]) == float(logits[b, 0].sum())


def test_start_and_end_are_chosen_together():
    """The best start stands after the best end: neither can be kept alone."""
    logits = torch.tensor([[[0.0, 0], [1, 5], [4, 1], [0, 0]]])
    text = torch.tensor([[False, True, True, True]])
    found = best_spans(logits, text, 3)
    assert (int(found.first), int(found.last), float(found.score)) == (1, 1, 6)


@pytest.mark.parametrize(
    ("text", "longest"),
    [([[True, True]], 0), ([[True, True], [False, False]], 2)],
)
def test_no_allowed_span_is_refused(text, longest):
    text = torch.tensor(text)
    with pytest.raises(ValueError, match="No span is allowed"):
        best_spans(torch.zeros(*text.shape, 2), text, longest)


def test_spans_of_a_large_batch_are_those_of_its_rows():
    model = small(dropout=0.5).train()
    batch = span_batch(rows((12, 9, 7, 11, 6)), 0)
    parts = find_spans(model, batch, 2, rows=2)
    for n in range(5):
        one = SpanBatch(*(x[n : n + 1] for x in batch))
        alone = find_spans(model, one, 2)
        for mine, theirs in zip(alone, parts, strict=True):
            torch.testing.assert_close(mine[0], theirs[n], **EXACT)
    assert model.training


def test_one_batch_can_be_learned():
    model = small()
    batch = span_batch(rows((12, 9, 7)), 0)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        loss, _ = span_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = find_spans(model, batch, 2)
    assert torch.stack([found.first, found.last], 1).equal(batch.spans)
