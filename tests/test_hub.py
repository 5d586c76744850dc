"""Folders of Hugging Face: ours read by their tools, theirs read by ours."""

import json

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError
from tokenizers import Tokenizer as HubTokenizer

from nextword import hub_reading
from nextword.blocks import TransformerConfig
from nextword.generation import generate
from nextword.hub import hub_config, model_card, to_hub, tokenizer_config
from nextword.hub_forms import (
    esm_settings,
    find_form,
    load_starcoder2,
    starcoder2_settings,
    to_esm,
    to_starcoder2,
)
from nextword.hub_reading import PINNED, config_of, fetch_hub, from_hub
from nextword.hub_tokenizers import (
    bpe_to_hub,
    characters_to_hub,
    frames,
    from_hub_tokenizer,
    from_merges,
    in_signs,
    pieces_to_hub,
    to_hub_tokenizer,
    words_to_hub,
)
from nextword.pretrained import load_pretrained
from nextword.tokenizer import CharacterTokenizer, Tokenizer, train_tokenizer
from nextword.transformer import BERT, GPT, Transformer
from nextword.wordpiece import SPECIAL, WordPieceTokenizer
from nextword.words import CLS, SEP, town_tokenizer

CARD = "---\nlicense: mit\n---\n"
TEXT = "Größe naïve “x” 北京 \n\n  it's 12,345 tokens😀\ttab"
PIECES = WordPieceTokenizer([*SPECIAL, *"abcdefgh", *(f"##{c}" for c in "abc")])


def config(**changes):
    sizes = {"d_ff": 40, "positions": "rotary", "norm_eps": 1e-4}
    return TransformerConfig(92, 20, 24, 3, 2, **sizes | changes)


def model(kind, **changes):
    """A small model, no parameter 0 or 1."""
    torch.manual_seed(0)
    made = kind(config(**changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


GPTS = [
    {"positions": positions, "activation": activation}
    for positions in ("rotary", "learned")
    for activation in ("gelu", "gelu_tanh", "relu")
]


@pytest.mark.parametrize("changes", GPTS, ids=str)
def test_a_gpt_is_the_same_model_there_and_back(changes, tmp_path):
    ours = model(GPT, **changes)
    to_hub(tmp_path, ours, town_tokenizer(), CARD)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.randint(92, (3, 20))
    with torch.no_grad():
        close(theirs(ids).logits, ours(ids))
    prompt = ids[:1, :5]
    said = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=10,
        do_sample=False,
        eos_token_id=None,
    )
    assert said[0, 5:].tolist() == generate(ours, prompt.tolist(), 10)[0]
    again, tokenizer = from_hub(tmp_path)
    assert again.config == ours.config and tokenizer == town_tokenizer()
    for a, b in zip(again.parameters(), ours.parameters(), strict=True):
        assert torch.equal(a, b)


def test_left_padding_changes_nothing_there(tmp_path):
    ours = model(GPT)
    to_hub(tmp_path, ours, town_tokenizer(), CARD)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.randint(1, 92, (1, 7))
    padded = torch.cat([torch.zeros(1, 3).long(), ids], 1)
    real = padded != 0
    with torch.no_grad():
        positions = (real.cumsum(1) - 1).clamp(min=0)
        out = theirs(padded, real.long(), position_ids=positions).logits
        close(out[real], ours(padded, real)[real])


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_bert_is_the_same_model_there(positions, tmp_path):
    ours = model(
        BERT, positions=positions, norm_first=positions == "rotary", dropout=0.0
    )
    to_hub(tmp_path, ours, town_tokenizer(), CARD)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)
    ids = torch.randint(1, 92, (2, 20))
    real = torch.arange(20) < torch.tensor([[20], [9]])
    with torch.no_grad():
        close(theirs(ids, real.long()).logits[real], ours(ids, real)[real])
    read = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = town_tokenizer().ids
    assert read("Ben was")["input_ids"] == [
        ids[word] for word in (CLS, "Ben", "was", SEP)
    ]
    if positions == "learned":
        again, _ = from_hub(tmp_path)
        for a, b in zip(again.parameters(), ours.parameters(), strict=True):
            assert torch.equal(a, b)


def test_esm_needs_segment_0_in_its_table():
    ours = model(BERT)
    state = to_esm(ours)
    apart = (
        state["esm.embeddings.word_embeddings.weight"]
        - state["lm_head.decoder.weight"]
    )
    segment = ours.segment_embedding.weight[0].detach()
    torch.testing.assert_close(apart, segment.expand_as(apart))
    assert segment.abs().max() > 0.05


def test_the_shipped_models(tmp_path):
    for name, auto in (
        ("town-gpt", transformers.AutoModelForCausalLM),
        ("town-bert", transformers.AutoModelForMaskedLM),
    ):
        one = load_pretrained(name)
        card = model_card(name, one.card, "measured", "limits")
        to_hub(tmp_path / name, one.model, one.tokenizer, card)
        theirs = auto.from_pretrained(tmp_path / name)
        ids = torch.randint(5, 92, (2, 60))
        with torch.no_grad():
            close(theirs(ids).logits, one.model(ids))
        assert one.card.command in (tmp_path / name / "README.md").read_text()


def test_only_five_files_and_none_is_code(tmp_path):
    to_hub(tmp_path, model(GPT), town_tokenizer(), CARD)
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


@pytest.mark.parametrize(
    "made",
    [
        lambda: model(GPT, norm_first=False),
        lambda: model(GPT, positions="sinusoidal"),
        lambda: model(BERT, positions="learned"),
        lambda: model(Transformer),
    ],
)
def test_what_cannot_be_expressed_is_refused(made, tmp_path):
    with pytest.raises(ValueError, match="no architecture is known here"):
        to_hub(tmp_path, made(), town_tokenizer(), CARD)
    assert not list(tmp_path.iterdir())


def test_esm_has_one_activation():
    with pytest.raises(ValueError, match="always gelu"):
        esm_settings(config(activation="relu"))


def test_configs_are_what_their_classes_keep():
    ours = model(GPT)
    content = hub_config(ours, town_tokenizer())
    kept = transformers.Starcoder2Config(**starcoder2_settings(ours.config))
    for name, value in starcoder2_settings(ours.config).items():
        assert getattr(kept, name) == value
    assert content["model_type"] == "starcoder2"
    assert tokenizer_config(ours, town_tokenizer())["pad_token"] == "[PAD]"
    assert find_form(ours)[0] == content["architectures"][0]


def test_starcoder2_in_and_out():
    ours = model(GPT)
    again = load_starcoder2(to_starcoder2(ours), ours.config)
    ids = torch.randint(92, (1, 9))
    assert torch.equal(again(ids), ours(ids))


# Tokenizers


@pytest.mark.parametrize(
    "ours",
    [
        train_tokenizer(TEXT * 3, 300, ("<|endoftext|>",)),
        Tokenizer([]),
        CharacterTokenizer(TEXT),
        PIECES,
    ],
    ids=lambda one: type(one).__name__,
)
def test_tokenizers_there_and_back(ours):
    theirs = to_hub_tokenizer(ours)
    for text in (TEXT, "abc  a", "a\nb", ""):
        if isinstance(ours, CharacterTokenizer) and set(text) - set(TEXT):
            continue
        assert theirs.encode(text).ids == ours.encode(text)
        ids = ours.encode(text)
        if not isinstance(ours, WordPieceTokenizer):
            back = theirs.decode(ids, skip_special_tokens=False)
            assert back == ours.decode(ids)
    assert from_hub_tokenizer(theirs.to_str()) == ours


def test_the_same_table_as_the_library_trains():
    ours = train_tokenizer(TEXT * 3, 300)
    assert HubTokenizer.from_str(
        to_hub_tokenizer(ours).to_str()
    ).get_vocab_size() == (ours.vocab_size)


def test_two_tokens_with_the_same_bytes_are_refused():
    with pytest.raises(ValueError, match="same bytes"):
        in_signs([b"a", b"b", b"a"])


def test_a_bpe_of_another_order_is_refused():
    text = to_hub_tokenizer(train_tokenizer(TEXT, 260)).to_str()
    part = json.loads(text)["model"]
    first, second, *_ = part["vocab"]
    part["vocab"][first], part["vocab"][second] = 1, 0
    with pytest.raises(ValueError, match="order bytes, merges"):
        from_merges(part, [])


def test_other_tokenizers_are_refused():
    with pytest.raises(ValueError, match="no form for a int"):
        to_hub_tokenizer(3)
    content = json.loads(to_hub_tokenizer(PIECES).to_str())
    content["normalizer"]["lowercase"] = False
    with pytest.raises(ValueError, match="no tokenizer of nextword does"):
        from_hub_tokenizer(json.dumps(content))


# Reading


def written(tmp_path, **changes):
    """A GPT-2 as they write it, with these changes of its config.json."""
    torch.manual_seed(0)
    settings = transformers.GPT2Config(
        vocab_size=92, n_positions=20, n_embd=24, n_layer=2, n_head=3
    )
    theirs = transformers.GPT2LMHeadModel(settings).eval()
    theirs.save_pretrained(tmp_path)
    to_hub_tokenizer(town_tokenizer()).save(str(tmp_path / "tokenizer.json"))
    path = tmp_path / "config.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content))
    return theirs


def test_their_folder_is_read(tmp_path):
    theirs = written(tmp_path)
    ours, tokenizer = from_hub(tmp_path)
    ids = torch.tensor([tokenizer.encode("Ben was at the kitchen .")])
    with torch.no_grad():
        close(theirs(ids).logits, ours(ids))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model of type llama"),
        ({"activation_function": "silu"}, "Choose one of"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"scale_attn_by_inverse_layer_idx": True}, "by_inverse_layer_idx"),
        ({"n_embd": 48}, "do not fit"),
    ],
)
def test_what_ours_cannot_be_is_refused(tmp_path, changes, message):
    written(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        from_hub(tmp_path)


def test_grouped_heads_are_refused():
    content = hub_config(model(GPT), town_tokenizer())
    with pytest.raises(ValueError, match="num_key_value_heads is 1"):
        config_of(content | {"num_key_value_heads": 1})


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path, name):
    written(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"no {name}"):
        from_hub(tmp_path)


def test_a_pickle_is_not_read(tmp_path):
    theirs = written(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="can run any program"):
        from_hub(tmp_path)
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="not an intact safetensors"):
        from_hub(tmp_path)


# Public models, without the network


def test_a_public_model_is_fetched_at_its_commit(tmp_path, monkeypatch):
    written(tmp_path)
    asked = {}

    def snapshot_download(repository, **options):
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    ours, _ = from_hub(fetch_hub("gpt2"))
    assert ours.config.d_model == 24
    assert (asked["repository"], asked["revision"]) == PINNED["gpt2"]
    assert not any("bin" in name for name in asked["allow_patterns"])


def test_without_the_network_the_remedy_is_named(monkeypatch):
    def snapshot_download(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    for name in PINNED:
        with pytest.raises(ValueError, match="HF_HUB_OFFLINE=0"):
            fetch_hub(name)
    with pytest.raises(ValueError, match="is not one of gpt2"):
        fetch_hub("bert-large")


def test_commits_are_whole():
    assert all(len(commit) == 40 for _, commit in PINNED.values())
    assert hub_reading.READERS.keys() == hub_reading.FIELDS.keys()


@pytest.mark.parametrize(
    ("ours", "convert", "text"),
    [
        (train_tokenizer("it is, it was", 260), bpe_to_hub, TEXT),
        (CharacterTokenizer(TEXT), characters_to_hub, TEXT[3:9]),
        (town_tokenizer(), words_to_hub, "the cup is at the pond ."),
        (PIECES, pieces_to_hub, "abc Dea"),
    ],
)
def test_each_kind_has_its_own_form(ours, convert, text):
    assert convert(ours).encode(text, add_special_tokens=False).ids == (
        ours.encode(text)
    )


def test_frames_of_one_text_and_of_two():
    theirs = pieces_to_hub(PIECES)
    theirs.post_processor = frames(theirs)
    pair = theirs.encode("a", "b c")
    assert pair.tokens == [CLS, "a", SEP, "b", "c", SEP]
    assert pair.type_ids == [0, 0, 0, 1, 1, 1]
    assert theirs.encode("a").tokens == [CLS, "a", SEP]
