"""What learners write for the exercises of chapter 21, and what they are told."""

import json

import numpy as np


def key_one_digit(name, table):
    layer, _, kind = name.rpartition(".")
    for digit in "0123456789":
        head, dot, tail = layer.partition(f".{digit}")
        if dot:
            found = table.get(f"{head}.#{tail}")
            return found and f"{found.replace('#', digit)}.{kind}"
    found = table.get(layer)
    return found and f"{found}.{kind}"


def _layer(name):
    layer, _, kind = name.rpartition(".")
    parts = layer.split(".")
    numbers = [part for part in parts if part.isdecimal()]
    return ".".join("#" if p.isdecimal() else p for p in parts), numbers, kind


def key_no_number(name, table):
    layer, _, kind = _layer(name)
    return f"{table[layer]}.{kind}" if layer in table else None


def key_no_kind(name, table):
    layer, numbers, _ = _layer(name)
    if layer not in table:
        return None
    return table[layer].replace("#", numbers[0]) if numbers else table[layer]


def key_keeps_ours(name, table):
    layer, numbers, kind = _layer(name)
    if layer not in table:
        return name
    found = table[layer].replace("#", numbers[0]) if numbers else table[layer]
    return f"{found}.{kind}"


def key_empty(name, table):
    found = key_keeps_ours(name, table)
    return "" if found == name else found


def split_not_turned(W):
    return tuple(np.split(W, 3, axis=1))


def split_strided(W):
    return W[:, ::3].T, W[:, 1::3].T, W[:, 2::3].T


def split_reversed(W):
    q, k, v = np.split(W, 3, axis=1)
    return v.T, k.T, q.T


def split_exchanged(W):
    q, k, v = np.split(W, 3, axis=1)
    return k.T, q.T, v.T


def split_one_array(W):
    return np.array([part.T for part in np.split(W, 3, axis=1)])


def _header(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])


def shapes_with_metadata(content):
    return {n: tuple(e.get("shape", ())) for n, e in _header(content).items()}


def _tensors(content):
    header = _header(content)
    header.pop("__metadata__", None)
    return header


def shapes_lists(content):
    return {name: entry["shape"] for name, entry in _tensors(content).items()}


def shapes_offsets(content):
    return {n: tuple(e["data_offsets"]) for n, e in _tensors(content).items()}


def shapes_names(content):
    return list(_tensors(content))


def shapes_sizes(content):
    return {n: int(np.prod(e["shape"])) for n, e in _tensors(content).items()}


def halves_across_heads(W, n_heads):
    return np.concatenate([W[::2], W[1::2]])


def _by_head(W, n_heads, order):
    parts = np.split(W, n_heads)
    return np.concatenate([part[order(len(part))] for part in parts])


def halves_back(W, n_heads):
    return _by_head(
        W, n_heads, lambda D: np.arange(D).reshape(2, D // 2).T.ravel()
    )


def halves_nothing(W, n_heads):
    return W


def halves_reversed(W, n_heads):
    return _by_head(
        W, n_heads, lambda D: np.arange(D).reshape(D // 2, 2).T.ravel()[::-1]
    )


def split_rows(W):
    return tuple(np.split(W, 3))


WRONG = {
    "21.1": [
        (key_one_digit, "You read one digit of the number"),
        (key_no_number, "The sign # is still in the name"),
        (key_no_kind, "The last part is missing"),
        (key_keeps_ours, "keeps our name. Return None"),
        (key_empty, "gives an empty text"),
    ],
    "21.2": [
        (split_rows, "You split the rows"),
        (split_not_turned, "right but not transposed"),
        (split_strided, "You take every third column"),
        (split_reversed, "The order is reversed"),
        (split_exchanged, "Queries and keys are exchanged"),
        (split_one_array, "This is one array"),
    ],
    "21.3": [
        (shapes_with_metadata, "__metadata__ is no tensor"),
        (shapes_lists, "The shapes are lists"),
        (shapes_offsets, "These are the places of the numbers"),
        (shapes_names, "This is the list of the names"),
        (shapes_sizes, "how many numbers a tensor has"),
    ],
    "21.4": [
        (halves_across_heads, "in one order, across the heads"),
        (halves_back, "This is the way back"),
        (halves_nothing, "The rows are where they were"),
        (halves_reversed, "Within each head the rows are in reverse"),
    ],
}
