"""The recipes: which files each of them needs, and what it trains on them."""

from collections.abc import Callable
from dataclasses import dataclass

from nextword import downloads, public_data
from nextword.downloads import MINILM_VOCABULARY, MINILM_WEIGHTS, PublicFile
from nextword.recipes import answers, language, pairs, sentiment
from nextword.recipes.base import Outcome, Request, Size

MINILM = (MINILM_WEIGHTS, MINILM_VOCABULARY)
NARROW = {"d_model": 128, "n_heads": 4}
WIDE = {"d_model": 256, "n_heads": 4, "n_layers": 4}
WIDEST = {"d_model": 384, "n_heads": 6, "n_layers": 6}


@dataclass(frozen=True)
class Recipe:
    """One public data set, and what is trained on it."""

    name: str
    what: str
    model: str
    files: Callable[[str, bool], dict[str, PublicFile]]  # of language and full
    run: Callable[[Request], Outcome]
    small: Size  # for two processor cores
    full: Size  # for a GPU
    minutes: int  # that the small size takes on one thread, about
    published: tuple[str, ...]  # other models' numbers, each with its source
    needs: tuple[PublicFile, ...] = ()  # beside the data
    own: bool = False  # whether a file of the reader's can take its place
    languages: tuple[str, ...] = ()


def captions(spoken: str, full: bool) -> dict[str, PublicFile]:
    """The four files of one pair of languages."""
    files = public_data.MULTI30K
    return {
        "train.en": files["train.en"],
        "train": files[f"train.{spoken}"],
        "test.en": files["test_2016_flickr.en"],
        "test": files[f"test_2016_flickr.{spoken}"],
    }


def stories(spoken: str, full: bool) -> dict[str, PublicFile]:
    """Both files, or for the small size the one of 19 MB."""
    files = public_data.TINYSTORIES
    return files if full else {"valid": files["valid"]}


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "shakespeare",
            "a language model of plays",
            "GPT on characters",
            lambda spoken, full: {"text": downloads.SHAKESPEARE},
            language.shakespeare,
            Size(1000, 16, 3e-3, 128, n_layers=4, **NARROW),
            Size(5000, 64, 1e-3, 256, **WIDEST),
            5,
            (
                "nanoGPT, 4 layers, 128 wide, 2,000 steps on a CPU: 1.88 nats "
                "a character (README of github.com/karpathy/nanoGPT)",
                "nanoGPT, 6 layers, 384 wide, on a GPU: 1.4697, the best while "
                "it trained (the same README)",
            ),
        ),
        Recipe(
            "sst2",
            "good or bad, of sentences on films",
            "all-MiniLM-L6-v2 in our encoder, fine-tuned",
            lambda spoken, full: public_data.SST2,
            sentiment.sst2,
            Size(216, 32, 1e-4, 64),
            Size(1080, 32, 5e-5, 128),
            6,
            (
                "convolutions, trained on phrases too: 83.5 % without and 87.1 "
                "% with word2vec (README of github.com/harvardnlp/"
                "sent-conv-torch)",
                "MiniLM-L6-H384, trained on GLUE's 67,000 phrases: 91.5 % on "
                "GLUE's development set (README of github.com/microsoft/unilm, "
                "minilm)",
            ),
            MINILM,
        ),
        Recipe(
            "multi30k",
            "captions, English to French or German",
            "encoder-decoder on BPE",
            captions,
            pairs.multi30k,
            Size(1500, 32, 5e-3, 48, n_layers=2, vocab_size=4000, **NARROW),
            Size(10_000, 128, 2e-3, 96, vocab_size=8000, **WIDE),
            7,
            (
                "German, with beams of 5 on text cut in their way: BLEU 41.02 "
                "from the text alone, 41.96 with the picture too (READMEs of "
                "github.com/LividWo/Revisit-MMT, for Wu et al., 2021, "
                "arXiv:2105.14462)",
            ),
            languages=("fr", "de"),
        ),
        Recipe(
            "tatoeba",
            "everyday sentences, English to Chinese",
            "encoder-decoder on BPE",
            lambda spoken, full: {"pairs": public_data.TATOEBA},
            pairs.tatoeba,
            Size(
                1500,
                64,
                5e-3,
                32,
                test=1000,
                n_layers=2,
                vocab_size=6000,
                **NARROW,
            ),
            Size(10_000, 128, 2e-3, 96, test=1000, vocab_size=8000, **WIDE),
            7,
            (),
        ),
        Recipe(
            "squad",
            "answers marked in paragraphs",
            "all-MiniLM-L6-v2 in our encoder, fine-tuned",
            lambda spoken, full: public_data.SQUAD,
            answers.squad,
            Size(150, 8, 1e-4, 192, train=2000, test=300),
            Size(22_000, 8, 5e-5, 384),
            7,
            (
                "BERT-Base, trained on all of it: exact match 81.25, F1 88.41 "
                "(README of github.com/google-research/bert)",
            ),
            MINILM,
            own=True,
        ),
        Recipe(
            "tinystories",
            "a language model of children's stories",
            "GPT on BPE",
            stories,
            language.tinystories,
            Size(
                1000,
                16,
                3e-3,
                128,
                test=500,
                n_layers=4,
                vocab_size=2048,
                **NARROW,
            ),
            Size(
                20_000, 64, 1e-3, 256, train=500_000, vocab_size=8192, **WIDEST
            ),
            10,
            (
                "llama2.c, 260 thousand parameters: 1.297 nats a token, and 15 "
                "million: 1.072 (README of github.com/karpathy/llama2.c); its "
                "tokens are others, so compare bits a byte",
            ),
            own=True,
        ),
    )
}
