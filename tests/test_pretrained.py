"""Folders with models: exact round trips, and no file but the right one."""

import json
import random
import shutil
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from nextword import pretrained, storage
from nextword.blocks import TransformerConfig
from nextword.pretrained import (
    KINDS,
    SHIPPED,
    ModelCard,
    find_folder,
    load_pretrained,
    load_tokenizer,
    save_weights,
)
from nextword.tokenizer import CharacterTokenizer, Tokenizer, train_tokenizer
from nextword.transformer import BERT, GPT
from nextword.words import town_tokenizer

FILES = ("model.json", "tokenizer.json", "model.safetensors")
TEXT = "The cat sat on the mat. 猫坐在垫子上。\n"
MAKERS = {
    "characters": lambda: CharacterTokenizer(TEXT),
    "pieces": lambda: train_tokenizer(TEXT, 260, ("[END]",)),
    "words": town_tokenizer,
}
COPY = "Copy the whole folder again from where it came"


def model_of(kind, tokenizer, seed=0, **changes):
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 2, **changes}
    torch.manual_seed(seed)
    return KINDS[kind](TransformerConfig(tokenizer.vocab_size, 12, **sizes))


def card_of(kind, model, **changes):
    card = ModelCard(
        kind,
        asdict(model.config),
        {"steps": 10, "lr": 0.1 + 0.2, "precision": "float32"},
        {"name": "猫", "sha256": "0" * 64},
        "nextword pretrain text 猫.txt --lr 1e-3",
        {"nextword": "0.1", "torch": torch.__version__},
    )
    return replace(card, **changes)


def store(folder, kind="gpt", tokenizer="characters", seed=0, **changes):
    """A folder as a finished run leaves it, and the model in it."""
    tokenizer = MAKERS[tokenizer]()
    model = model_of(kind, tokenizer, seed, **changes)
    card = card_of(kind, model)
    tokenizer.save(folder / "tokenizer.json")
    card.save(folder / "model.json")
    save_weights(folder, model, card)
    return model, tokenizer, card


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "run"
    store(folder)
    return folder


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def some_ids(V):
    generator = torch.Generator().manual_seed(5)
    return torch.randint(V, (3, 12), generator=generator)


@pytest.mark.parametrize("tokenizer", MAKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_bit_for_bit(tmp_path, kind, tokenizer):
    model, tokens, card = store(tmp_path, kind, tokenizer)
    assert sorted(files(tmp_path)) == sorted(FILES)
    found = load_pretrained(tmp_path)
    assert type(found.model) is type(model) is KINDS[kind]
    assert (found.tokenizer, found.card) == (tokens, card)
    assert type(found.tokenizer) is type(tokens)
    ids = some_ids(tokens.vocab_size)
    assert torch.equal(found.model(ids), model.eval()(ids))
    text = "Anna was at the pond ." if tokenizer == "words" else TEXT
    assert found.tokenizer.encode(text) == tokens.encode(text)
    ours, theirs = (dict(m.named_parameters()) for m in (model, found.model))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
        assert theirs[name].dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_with_every_option_comes_back(tmp_path, kind):
    model, tokens, _ = store(
        tmp_path,
        kind,
        dropout=0.5,
        positions="rotary",
        norm_first=False,
        activation="relu",
        d_ff=20,
        norm_eps=1e-3,
    )
    found = load_pretrained(tmp_path).model
    assert found.config == model.config
    ids = some_ids(tokens.vocab_size)
    assert torch.equal(found(ids), model.eval()(ids))


def test_a_loaded_model_is_ready_to_use_and_to_train_on(saved):
    model = load_pretrained(saved).model
    assert not any(module.training for module in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    assert model.lm_head.weight is model.embedding.tokens.weight
    model(some_ids(model.config.vocab_size)).sum().backward()


def test_the_device_is_the_one_asked_for(saved):
    """The meta device is everywhere, though it holds no numbers."""
    model = load_pretrained(saved, torch.device("meta")).model
    assert {p.device.type for p in model.parameters()} == {"meta"}
    model = load_pretrained(str(saved), "cpu").model
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_loading_draws_no_random_numbers(saved):
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    random.seed(3)
    state = random.getstate()
    load_pretrained(saved)
    assert torch.equal(torch.rand(5), expected)
    assert random.getstate() == state


def test_saving_changes_neither_model_nor_random_numbers(tmp_path):
    model, tokens, card = store(tmp_path / "a")
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    state = torch.get_rng_state()
    tokens.save(tmp_path / "b" / "tokenizer.json")
    save_weights(tmp_path / "b", model, card)
    assert torch.equal(torch.get_rng_state(), state)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
    tensors = load_file(tmp_path / "b" / "model.safetensors")
    assert all(torch.equal(tensors[name], before[name]) for name in before)


def test_the_weights_are_safetensors_that_others_can_read(tmp_path):
    model, _, card = store(tmp_path, "bert")
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    assert tensors.keys() == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        assert torch.equal(tensors[name], parameter)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata.keys() == {"model.json", "tokenizer.json", "sha256"}
    assert metadata["model.json"] == card.digest()


def test_a_file_of_pickles_is_never_opened(saved):
    """A pickle may run any program; PyTorch's own files are pickles."""

    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("A pickle was loaded.",))

    torch.save(Trap(), saved / "model.safetensors")
    assert_refused(saved, "model.safetensors", "is not intact")
    source = pretrained.Path(pretrained.__file__).read_text("utf-8")
    assert "torch.load(" not in source and "pickle" not in source


def test_weights_of_any_precision_are_kept_in_float32(tmp_path):
    tokens = MAKERS["characters"]()
    for dtype in (torch.float64, torch.bfloat16):
        model = model_of("gpt", tokens).to(dtype)
        tokens.save(tmp_path / "tokenizer.json")
        card = card_of("gpt", model)
        card.save(tmp_path / "model.json")
        save_weights(tmp_path, model, card)
        found = load_pretrained(tmp_path).model
        for a, b in zip(found.parameters(), model.parameters(), strict=True):
            assert a.dtype == torch.float32
            assert torch.equal(a, b.float())


def test_the_digest_of_a_card_changes_with_every_field():
    card = card_of("gpt", model_of("gpt", MAKERS["characters"]()))
    changed = [
        replace(card, kind="bert"),
        replace(card, sizes={**card.sizes, "n_heads": 4}),
        replace(card, training={**card.training, "lr": 0.3}),
        replace(card, data={**card.data, "name": "dog"}),
        replace(card, command="nextword"),
        replace(card, versions={}),
    ]
    assert len({c.digest() for c in (card, *changed)}) == 7
    assert replace(card, kind="gpt").digest() == card.digest()


# Names and folders.


@pytest.mark.parametrize("name", SHIPPED)
def test_the_name_of_a_shipped_model_is_a_folder_of_the_library(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = find_folder(name)
    assert folder.parts[-4:] == ("nextword", "data", "checkpoints", name)
    (tmp_path / name).mkdir()  # a folder here of that name comes first
    assert find_folder(name).resolve() == (tmp_path / name).resolve()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not find_folder(name).exists(), reason="not shipped yet"
            ),
        )
        for name in SHIPPED
    ],
)
def test_a_shipped_model_loads_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, tokens, card = load_pretrained(name)
    assert type(model) is {"town-gpt": GPT, "town-bert": BERT}[name]
    assert tokens == town_tokenizer()
    assert card.command.startswith(f"nextword pretrain {name}")


@pytest.mark.parametrize("name", ["nothing", "town-gpt2", ""])
def test_another_name_is_a_folder_and_a_missing_one_is_named(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="There is no model in") as refusal:
        load_pretrained(name)
    assert str(refusal.value).endswith(
        f"Train one with `nextword pretrain`, or name a shipped one: "
        f"{', '.join(SHIPPED)}."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(saved):
    with pytest.raises(ValueError, match="There is no model in"):
        load_pretrained(saved / "model.json")


# Damage. Each refusal names the file and says what to do.


def assert_refused(folder, file, message, remedy=COPY):
    before, state = files(folder), torch.get_rng_state()
    with pytest.raises(ValueError, match=message) as refusal:
        load_pretrained(folder)
    assert str(folder / file if file else folder) in str(refusal.value)
    assert remedy in str(refusal.value)
    assert files(folder) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_a_missing_card_is_named(saved):
    (saved / "model.json").unlink()
    assert_refused(saved, "", "There is no model in", "Train one with")


def test_a_missing_tokenizer_is_named(saved):
    (saved / "tokenizer.json").unlink()
    assert_refused(saved, "tokenizer.json", "holds no tokenizer")


def test_missing_weights_are_those_of_a_run_that_is_not_finished(saved):
    (saved / "model.safetensors").unlink()
    assert_refused(saved, "", "is not finished", "Run its command again")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_refused(saved, file, share):
    content = (saved / file).read_bytes()
    (saved / file).write_bytes(content[: int(share * (len(content) - 2))])
    remedy = "again from where it came"
    assert_refused(saved, file, "is not|holds no", remedy)


def outcome(folder):
    """What a folder gives: a refusal, or a model and its outputs."""
    try:
        model, tokens, card = load_pretrained(folder)
    except ValueError as error:
        return str(error)
    logits = model(some_ids(model.config.vocab_size))
    return tokens, card, logits.tolist()


@pytest.mark.parametrize("file", FILES)
def test_a_file_altered_anywhere_is_refused_by_name(saved, file):
    """Or it means the same: between two signs of JSON stands any space."""
    content = (saved / file).read_bytes()
    intact, rng, same = outcome(saved), random.Random(0), 0
    places = rng.sample(range(len(content)), 150)
    for place in [0, 7, 8, 9, len(content) - 2, len(content) - 1, *places]:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        (saved / file).write_bytes(changed)
        found = outcome(saved)
        if isinstance(found, str):
            assert found.startswith(str(saved / file)), found
            assert "again from where it came" in found
        else:
            assert found == intact, place
            same += 1
    assert same <= (0 if file == "model.safetensors" else 8)
    (saved / file).write_bytes(content)
    assert outcome(saved) == intact


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "other", [b"", b"\n", b"\0" * 100, b"\xff\xfe", b"[1]", b"{}", b"null"]
)
def test_another_kind_of_file_is_refused(saved, file, other):
    (saved / file).write_bytes(other)
    remedy = "again from where it came"
    assert_refused(saved, file, "is not|holds no", remedy)


@pytest.mark.parametrize("file", FILES)
def test_files_of_two_runs_do_not_mix(saved, tmp_path, file):
    """Even of equal sizes, and of tokenizers with equally many tokens."""
    other = tmp_path / "other"
    tokens = CharacterTokenizer(TEXT.replace("c", "C"))
    assert tokens.vocab_size == MAKERS["characters"]().vocab_size
    model = model_of("gpt", tokens, seed=1)
    card = card_of("gpt", model, command="nextword pretrain another")
    tokens.save(other / "tokenizer.json")
    card.save(other / "model.json")
    save_weights(other, model, card)
    load_pretrained(other)
    shutil.copy(other / file, saved / file)
    named = "model.json" if file == "model.safetensors" else file
    assert_refused(saved, "model.safetensors", f"it belongs to another {named}")


def test_the_tokenizer_of_another_class_is_refused(saved):
    train_tokenizer(TEXT, 300).save(saved / "tokenizer.json")
    assert_refused(saved, "model.safetensors", "another tokenizer.json")


def test_a_card_is_no_tokenizer_and_a_tokenizer_no_card(saved):
    contents = files(saved)
    (saved / "tokenizer.json").write_bytes(contents["model.json"])
    assert_refused(saved, "tokenizer.json", "holds no tokenizer")
    (saved / "tokenizer.json").write_bytes(contents["tokenizer.json"])
    (saved / "model.json").write_bytes(contents["tokenizer.json"])
    message = "it holds a CharacterTokenizer"
    assert_refused(saved, "model.json", message, "again from where it came")


@pytest.mark.parametrize("change", ["narrow", "missing", "more", "renamed"])
def test_weights_of_other_sizes_than_the_card_says_are_refused(saved, change):
    """With digests that are right: a mistake of whoever wrote them."""
    card = ModelCard.load(saved / "model.json")
    tokens = load_tokenizer(saved / "tokenizer.json")
    tensors = load_file(saved / "model.safetensors")
    name = "decoder.norm.weight"
    if change == "narrow":
        tensors[name] = tensors[name][:-1].clone()
    if change in ("missing", "renamed"):
        one = tensors.pop(name)
    if change == "renamed":
        tensors["decoder.norm.gain"] = one
    if change == "more":
        tensors["decoder.norm2.weight"] = tensors[name].clone()
    metadata = {
        "model.json": card.digest(),
        "tokenizer.json": tokens.digest(),
        "sha256": storage.BLANK,
    }
    content = storage.seal(save(tensors, metadata))
    (saved / "model.safetensors").write_bytes(content)
    assert_refused(saved, "", "weights of other sizes than its model.json")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_weights_without_digests_are_refused(saved, metadata):
    tensors = load_file(saved / "model.safetensors")
    (saved / "model.safetensors").write_bytes(save(tensors, metadata))
    assert_refused(saved, "model.safetensors", "altered|another")


@pytest.mark.parametrize(
    "changes", [{"kind": "rnn"}, {"sizes": {"n_experts": 8}}, {"sizes": {}}]
)
def test_a_model_of_another_version_is_refused(saved, changes):
    """The card is intact, but this version cannot build what it describes."""
    model = load_pretrained(saved).model
    card = replace(ModelCard.load(saved / "model.json"), **changes)
    card.save(saved / "model.json")
    save_weights(saved, model, card)
    assert_refused(
        saved, "model.json", "cannot build", "Install nextword 0.1, which made"
    )


def test_weights_are_not_written_without_a_tokenizer(tmp_path):
    model = model_of("gpt", MAKERS["characters"]())
    with pytest.raises(ValueError, match=r"tokenizer\.json holds no tokenizer"):
        save_weights(tmp_path / "new", model, card_of("gpt", model))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", MAKERS)
def test_each_tokenizer_is_found_by_what_its_file_says(tmp_path, name):
    tokens, path = MAKERS[name](), tmp_path / "tokenizer.json"
    tokens.save(path)
    found = load_tokenizer(path)
    assert (type(found), found) == (type(tokens), tokens)
    stored = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**stored, "format": "Other"}), "utf-8")
    with pytest.raises(ValueError, match="holds no tokenizer"):
        load_tokenizer(path)


def test_the_three_tokenizers_have_three_digests():
    digests = {make().digest() for make in MAKERS.values()}
    assert len(digests) == 3
    assert Tokenizer(()).digest() != Tokenizer((), ("[END]",)).digest()
