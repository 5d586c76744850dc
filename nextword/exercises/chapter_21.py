"""Exercises of chapter 21, "Hugging Face and the ecosystem"."""

import json

import numpy as np

from nextword.exercises.engine import Mistake, compare, exercise


def _mistakes(*pairs):
    """Pairs of a wrong function and its message."""
    return [Mistake(wrong, message) for wrong, message in pairs]


@exercise("21.1", "A name for a name")
def their_key(answer, rng):
    """A name in a file for a name of ours."""
    table = {
        "layers.#.norm": "h.#.ln",
        "layers.#.attention.q_proj": "h.#.attn.q",
        "norm": "ln_f",
        "embedding.tokens": "wte",
    }
    one, two = rng.randint(0, 9), rng.randint(10, 47)
    cases = [
        (name, table)
        for name in (
            f"layers.{one}.norm.bias",
            f"layers.{two}.attention.q_proj.weight",
            "norm.weight",
            "embedding.tokens.weight",
            f"layers.{one}.attention.q_proj.A.weight",
            "bias.weight",
        )
    ]

    def made(digits=None, number=True, kind=True, missing=None, strict=True):
        def key(name, table):
            layer, _, end = name.rpartition(".")
            parts, numbers = [], []
            for part in layer.split("."):
                if part.isdecimal():
                    numbers.append(part[:digits])
                    part = "#" + (part[digits:] if digits else "")
                parts.append(part)
            found = table.get(".".join(parts))
            if found is None:
                return name if missing == "same" else missing
            for n in numbers:
                found = found.replace("#", n if number else "#")
            return f"{found}.{end}" if kind else found

        return key

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(digits=1),
                "You read one digit of the number. Layers have numbers such as "
                "12 too.",
            ),
            (
                made(number=False),
                "The sign # is still in the name. Put the number in its place.",
            ),
            (
                made(kind=False),
                "The last part is missing: weight or bias.",
            ),
            (
                made(missing="same"),
                "A layer that the table lacks keeps our name. Return None, so "
                "that nobody takes it for one of theirs.",
            ),
            (
                made(missing=""),
                "A layer that the table lacks gives an empty text. Return None.",
            ),
        ),
    )


@exercise("21.2", "Three matrices out of one")
def split_qkv(answer, rng):
    """Queries, keys and values from c_attn."""
    draw = np.random.default_rng(rng.randrange(10**6)).normal
    cases = [(draw(size=(C, 3 * C)),) for C in (2, 3, 6)]

    def made(turned=True, order=(0, 1, 2), stride=False):
        def split(W):
            strided = [W[:, n::3] for n in range(3)]
            parts = strided if stride else np.split(W, 3, axis=1)
            return tuple(parts[n].T if turned else parts[n] for n in order)

        return split

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(turned=False),
                "The parts are right but not transposed. They are to be used "
                "as x W^T. The shape (C, C) does not show the mistake.",
            ),
            (
                made(stride=True),
                "You take every third column. The queries are the first C "
                "columns, side by side.",
            ),
            (
                made(order=(2, 1, 0)),
                "The order is reversed: queries come first, values last.",
            ),
            (
                made(order=(1, 0, 2)),
                "Queries and keys are exchanged.",
            ),
            (
                lambda W: tuple(np.split(W, 3, axis=0)),
                "You split the rows. Queries, keys and values stand side by "
                "side: split the columns.",
            ),
            (
                lambda W: np.stack(made()(W)),
                "This is one array. Return a tuple of three.",
            ),
        ),
        tolerance=1e-12,
    )


@exercise("21.3", "Read a safetensors header")
def tensor_shapes(answer, rng):
    """Names and shapes from the bytes of a file."""

    def file(shapes, metadata):
        header, place = {}, 0
        if metadata:
            header["__metadata__"] = {"format": "pt"}
        for name, shape in shapes.items():
            size = 4 * int(np.prod(shape))
            offsets = [place, place + size]
            header[name] = {
                "dtype": "F32",
                "shape": list(shape),
                "data_offsets": offsets,
            }
            place += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + bytes(place)

    cases = [(file({"a": (2, 3)}, False),)]
    for metadata in (True, False):
        shapes = {
            f"layer.{n}.weight": tuple(
                rng.randint(1, 9) for _ in range(rng.randint(1, 3))
            )
            for n in range(rng.randint(3, 12))
        }
        cases.append((file(shapes, metadata),))
    cases.append((file({"step": (), "w": (4,)}, True),))

    def header_of(content):
        length = int.from_bytes(content[:8], "little")
        return json.loads(content[8 : 8 + length])

    def made(shape=tuple, skip=True, field="shape"):
        def shapes(content):
            return {
                name: shape(entry.get(field, ()))
                for name, entry in header_of(content).items()
                if not (skip and name == "__metadata__")
            }

        return shapes

    compare(
        answer,
        made(),
        cases,
        _mistakes(
            (
                made(skip=False),
                "__metadata__ is no tensor. Leave it out.",
            ),
            (
                made(list),
                "The shapes are lists. Make tuples of them.",
            ),
            (
                made(field="data_offsets"),
                "These are the places of the numbers, data_offsets. The shape "
                "has a key of its own.",
            ),
            (
                lambda content: list(made()(content)),
                "This is the list of the names. Return a dict from names to "
                "shapes.",
            ),
            (
                made(lambda shape: int(np.prod(shape))),
                "You return how many numbers a tensor has. Return its shape.",
            ),
        ),
    )


@exercise("21.4", "From pairs to halves")
def pairs_to_halves(answer, rng):
    """Rows of queries, from neighbours to halves, in each head."""
    draw = np.random.default_rng(rng.randrange(10**6)).normal
    cases = [(np.arange(4.0)[:, None], 1)]
    for heads, D in ((2, 4), (3, 6), (rng.randint(2, 4), 8)):
        cases.append((draw(size=(heads * D, rng.randint(3, 7))), heads))

    def right(W, n_heads):
        C, n = W.shape
        parts = W.reshape(n_heads, C // n_heads // 2, 2, n)
        return parts.swapaxes(1, 2).reshape(C, n)

    def inverse(W, n_heads):
        C, n = W.shape
        parts = W.reshape(n_heads, 2, C // n_heads // 2, n)
        return parts.swapaxes(1, 2).reshape(C, n)

    compare(
        answer,
        right,
        cases,
        _mistakes(
            (
                lambda W, n_heads: right(W, 1),
                "You put all rows in one order, across the heads. Each head "
                "keeps its own rows.",
            ),
            (
                inverse,
                "This is the way back, from halves to pairs.",
            ),
            (
                lambda W, n_heads: W.copy(),
                "The rows are where they were.",
            ),
            (
                lambda W, n_heads: np.concatenate(
                    [
                        part[::-1]
                        for part in np.split(right(W, n_heads), n_heads)
                    ]
                ),
                "Within each head the rows are in reverse order.",
            ),
        ),
        tolerance=1e-12,
    )
