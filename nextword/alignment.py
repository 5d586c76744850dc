"""Which word is translated by which: IBM Model 1, and what attention shows.

Home: chapter 18, notebooks/18_translation.ipynb. It holds two opponents of the
Transformer too, which stand on such links: a dictionary, and a translation
memory that repairs what it finds. Texts are words with spaces between. Left
out: models with positions or fertilities, and phrases with gaps.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import ne

import torch
from torch import Tensor

from nextword.attention import attention_weights, split_heads
from nextword.generation import evaluating
from nextword.town_words import PEOPLE, PLACES, THINGS
from nextword.translation import Pair, Translator, sentence_pairs

NULL = ""  # the source word of target words that translate nothing
Table = dict[str, dict[str, float]]  # t[source word][target word]
Links = list[int | None]  # for each target word, the place of its source word


def model1(pairs: Iterable[Pair], rounds: int = 10) -> Table:
    """t(f | e): how likely source word e is translated by target word f.

    IBM Model 1 by expectation maximisation (Brown et al., 1993). Each target
    word comes from one source word of its pair, or from NULL.
    """
    counted = Counter((s, t) for s, t in pairs)  # equal pairs: once, weighted
    split = [
        ([NULL, *s.split()], t.split(), n) for (s, t), n in counted.items()
    ]
    met = defaultdict(dict)  # in the order in which they came
    for source, target, _ in split:
        for e in source:
            met[e].update(dict.fromkeys(target))
    table = {e: dict.fromkeys(fs, 1 / len(fs)) for e, fs in met.items()}
    for _ in range(rounds):
        table = model1_round(table, split)
    return table


def model1_round(
    table: Table, split: Sequence[tuple[list[str], list[str], int]]
) -> Table:
    """One round: share each target word among the source words, then count.

    ``split`` holds source words with NULL, target words, and a weight.
    """
    counts = {e: dict.fromkeys(row, 0.0) for e, row in table.items()}
    for source, target, n in split:
        rows = [table[e] for e in source]
        for f in target:
            total = sum(row[f] for row in rows)
            for e, row in zip(source, rows, strict=True):
                counts[e][f] += n * row[f] / total
    return {e: normalised(row) for e, row in counts.items()}


def normalised(row: dict[str, float], least: float = 1e-12) -> dict[str, float]:
    """Shares of a sum of 1; what is nearly 0 stays at ``least``."""
    total = sum(row.values())
    return {f: max(count / total, least) for f, count in row.items()}


def best_links(
    table: Table,
    source: Sequence[str],
    target: Sequence[str],
    diagonal: float = 4.0,
) -> Links:
    """For each target word the place of its likeliest source word, or None.

    None stands for NULL. Places far from the diagonal of the two texts lose a
    part of their weight, as in Dyer et al., 2013; ``diagonal`` 0 is Model 1.
    """
    links: Links = []
    for j, f in enumerate(target):
        best, weight = None, table.get(NULL, {}).get(f, 0.0)
        for i, e in enumerate(source):
            off = abs((i + 0.5) / len(source) - (j + 0.5) / len(target))
            t = table.get(e, {}).get(f, 0.0) * math.exp(-diagonal * off)
            if t > weight:
                best, weight = i, t
        links.append(best)
    return links


def dictionary(table: Table, pairs: Iterable[Pair]) -> dict[str, str]:
    """For each source word the target words that it is most often linked to.

    There may be several, such as a measure word and its noun, or none.
    """
    found = defaultdict(Counter)
    for (s, t), n in Counter(pairs).items():
        source, target = s.split(), t.split()
        links = best_links(table, source, target)
        for i, e in enumerate(source):
            linked = [
                f for f, link in zip(target, links, strict=True) if link == i
            ]
            found[e][" ".join(linked)] += n
    return {e: counts.most_common(1)[0][0] for e, counts in found.items()}


def word_by_word(words: dict[str, str], text: str) -> str:
    """Each word replaced by its entry, in the order of the source."""
    return " ".join(filter(None, (words.get(e, "") for e in text.split())))


def repaired(
    old: list[str],
    target: list[str],
    links: Links,
    new: list[str],
    words: dict[str, str],
) -> str:
    """The target of the ``old`` words, changed where the ``new`` ones differ.

    What is linked to a word that differs gives way to the entry for the new
    word, which stands where the first of it stood.
    """
    said, done = [], set()
    for f, i in zip(target, links, strict=True):
        if i is None or old[i] == new[i]:
            said.append(f)
        elif i not in done:
            said.append(words.get(new[i], ""))
            done.add(i)
    return " ".join(filter(None, said))


class Memory:
    """Sentences seen in training, of which the most similar one is repaired.

    Nagao, 1984. Similar is a sentence of as many words that differs at the
    fewest places. If none is as long, the answer is word by word.
    """

    def __init__(self, pairs: Sequence[Pair], table: Table):
        self.table, self.words = table, dictionary(table, pairs)
        self.known = defaultdict(list)  # by number of words, frequent first
        for (source, target), _ in Counter(pairs).most_common():
            old = source.split()
            self.known[len(old)].append((old, target.split()))

    def translate(self, text: str) -> str:
        """The translation of one sentence."""
        new = text.split()
        if len(new) not in self.known:
            return word_by_word(self.words, text)
        old, target = min(
            self.known[len(new)], key=lambda pair: sum(map(ne, pair[0], new))
        )
        links = best_links(self.table, old, target)
        return repaired(old, target, links, new, self.words)


def source_attention(
    translator: Translator, source: str, target: str
) -> Tensor:
    """Where each layer and head looks in the source (layers, H, T, S).

    Row t belongs to the decoder's place that says target token t; the last row
    says the end.
    """
    caught, rows = [], []
    layers = translator.model.decoder.layers
    modules = [layer.cross_attention for layer in layers]
    hooks = [
        m.register_forward_pre_hook(lambda _, x: caught.append(x[:2]))
        for m in modules
    ]
    batch = translator.batch([(source, target)])
    with evaluating(translator.model):
        translator.model(batch.source, batch.target_in)
        for hook in hooks:
            hook.remove()
        for module, (x, memory) in zip(modules, caught, strict=True):
            q = split_heads(module.q_proj(x), module.n_heads)  # (1, H, T, D)
            k = split_heads(module.k_proj(memory), module.n_heads)
            rows.append(attention_weights(q, k)[0])  # (H, T, S)
    return torch.stack(rows).cpu()


def town_links(source: str, target: str) -> dict[int, int]:
    """The true links (target place: source place) of a text of the town.

    Of names, pronouns, places and things alone: a sentence has each of them
    once, and 本 after 那 or 一 is no name but a measure word.
    """
    chinese = {"She": "她", "He": "他", **PLACES}
    chinese |= {name: person.chinese for name, person in PEOPLE.items()}
    chinese |= {name: thing.chinese for name, thing in THINGS.items()}
    known, before, said = {}, 0, 0  # words of earlier sentences
    for english, other in sentence_pairs([(source, target)]):
        words, parts = english.split(), other.split()
        for i, word in enumerate(words):
            for j, part in enumerate(parts):
                measure = j > 0 and parts[j - 1] in ("那", "一")
                if part == chinese.get(word) and not measure:
                    known[said + j] = before + i
        before, said = before + len(words), said + len(parts)
    return known


def right_links(links: Sequence[int | None], known: dict[int, int]) -> float:
    """The share of the known links (target: source) that were found."""
    return sum(links[j] == i for j, i in known.items()) / len(known)
