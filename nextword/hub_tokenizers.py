"""Our tokenizers in the form of Hugging Face's ``tokenizer.json``, and back.

Home: chapter 21, notebooks/21_ecosystem.ipynb. Left out: tokenizers of other
kinds, such as unigram, and BERT vocabularies with capital letters.
"""

import json
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from nextword.tokenizer import BYTE_ORDER, CharacterTokenizer, Tokenizer
from nextword.wordpiece import LONGEST_WORD, UNKNOWN, WordPieceTokenizer
from nextword.words import CLS, END, MASK, PAD, SEP, WordTokenizer

# A visible sign for each byte, as GPT-2's files write tokens: those that have
# none of their own get the signs from U+0100 on.
SIGNS = {
    byte: chr(byte if id < 188 else 256 + id - 188)
    for id, byte in enumerate(BYTE_ORDER)
}


def in_signs(tokens: Sequence[bytes]) -> list[str]:
    """Tokens as GPT-2's files write them; ValueError if two are the same."""
    names = ["".join(SIGNS[byte] for byte in token) for token in tokens]
    if len(set(names)) < len(names):
        raise ValueError(
            "Two tokens have the same bytes, but in a tokenizer.json a token "
            "is known by its bytes. Train with fewer merges."
        )
    return names


@singledispatch
def to_hub_tokenizer(ours: Any) -> tokenizers.Tokenizer:
    """The same ids by Hugging Face's library ``tokenizers``.

    One function for each class of ours. Raises ValueError for others.
    """
    raise ValueError(
        f"There is no form for a {type(ours).__name__}. Pass a tokenizer of "
        "nextword: Tokenizer, CharacterTokenizer, WordTokenizer or "
        "WordPieceTokenizer."
    )


@to_hub_tokenizer.register
def bpe_to_hub(ours: Tokenizer) -> tokenizers.Tokenizer:
    """Byte-level BPE. Names of special tokens in a text count as such."""
    plain = ours.token_bytes[: 256 + len(ours.merges)]
    names = in_signs(plain)
    merges = [(names[left], names[right]) for left, right in ours.merges]
    vocabulary = {name: id for id, name in enumerate(names)}
    theirs = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    theirs.add_special_tokens(list(ours.special_tokens))
    return theirs


@to_hub_tokenizer.register
def characters_to_hub(ours: CharacterTokenizer) -> tokenizers.Tokenizer:
    """One token a character."""
    theirs = tokenizers.Tokenizer(models.WordLevel(ours.ids, UNKNOWN))
    one = tokenizers.Regex(r"[\s\S]")
    theirs.pre_tokenizer = pre_tokenizers.Split(one, "isolated")
    theirs.decoder = decoders.Fuse()
    return theirs


@to_hub_tokenizer.register
def words_to_hub(ours: WordTokenizer) -> tokenizers.Tokenizer:
    """One token a word, between spaces; an unknown word raises."""
    theirs = tokenizers.Tokenizer(models.WordLevel(ours.ids, UNKNOWN))
    theirs.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    theirs.add_special_tokens(
        [s for s in (PAD, END, CLS, SEP, MASK) if s in ours.ids]
    )
    return theirs


@to_hub_tokenizer.register
def pieces_to_hub(ours: WordPieceTokenizer) -> tokenizers.Tokenizer:
    """BERT's: lower case, no accents, the longest pieces."""
    theirs = tokenizers.Tokenizer(
        models.WordPiece(
            vocab=ours.ids,
            unk_token=UNKNOWN,
            max_input_chars_per_word=LONGEST_WORD,
        )
    )
    theirs.normalizer = normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    theirs.decoder = decoders.WordPiece(cleanup=False)
    theirs.add_special_tokens([PAD, UNKNOWN, CLS, SEP, MASK])
    return theirs


def frames(theirs: tokenizers.Tokenizer) -> processors.TemplateProcessing:
    """What puts [CLS] and [SEP] around one text or two, as BERT reads them."""
    signs = [(sign, theirs.token_to_id(sign)) for sign in (CLS, SEP)]
    one = f"{CLS}:0 $A:0 {SEP}:0"
    return processors.TemplateProcessing(one, f"{one} $B:1 {SEP}:1", signs)


def from_merges(model: dict, special: Sequence[str]) -> Tokenizer:
    """Our byte-level BPE from the part ``model`` of a tokenizer.json.

    Raises ValueError where its ids are not in GPT-2's order.
    """
    ids = model["vocab"]
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    ours = Tokenizer(
        [(ids[left], ids[right]) for left, right in pairs], special
    )
    names = in_signs(ours.token_bytes[: 256 + len(pairs)])
    if any(ids.get(name) != id for id, name in enumerate(names)):
        raise ValueError(
            "The ids are not in the order bytes, merges, special tokens. Only "
            "a byte-level BPE that is numbered like GPT-2's fits."
        )
    return ours


def from_hub_tokenizer(text: str) -> Any:
    """Our tokenizer from the text of a tokenizer.json, with the same ids.

    Raises ValueError for a kind that we do not have.
    """
    content = json.loads(text)
    model, normal = content["model"], content.get("normalizer") or {}
    split = (content.get("pre_tokenizer") or {}).get("type")
    added = sorted(content["added_tokens"], key=lambda token: token["id"])
    kind = (model.get("type"), split)
    if kind == ("BPE", "ByteLevel"):
        return from_merges(model, [token["content"] for token in added])
    in_order = sorted(model.get("vocab", {}), key=dict(model["vocab"]).get)
    if kind == ("WordLevel", "WhitespaceSplit"):
        return WordTokenizer(in_order)
    if kind == ("WordLevel", "Split"):
        return CharacterTokenizer("".join(in_order))
    if kind == ("WordPiece", "BertPreTokenizer") and normal.get("lowercase"):
        return WordPieceTokenizer(in_order)
    raise ValueError(
        f"This tokenizer.json holds {kind[0]} with {kind[1]}, which no "
        "tokenizer of nextword does. GPT-2's and uncased BERT's can be read."
    )
