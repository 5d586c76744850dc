"""Named texts: Python's own manual, which every Python carries.

The manual is real English, a little over 50,000 words of it. It differs a
little between Python versions, so no exact count of it is ever asserted.
"""

import hashlib
import re


def python_manual() -> list[str]:
    """The prose paragraphs of Python's language reference, each once, in order.

    They come from `pydoc_data.topics`, the text behind ``help("for")``. Headings,
    tables, grammar rules and code are left out, spaces and line breaks become
    one space. A paragraph that several topics share stands only where it comes
    first: a copy in the test part would let a model be graded on what it has
    seen.
    """
    from pydoc_data.topics import topics

    blocks = [
        block
        for topic in sorted(topics)
        for block in re.split(r"\n\s*\n", topics[topic])
    ]
    prose = [" ".join(block.split()) for block in blocks if _is_prose(block)]
    return list(dict.fromkeys(prose))


def split(paragraphs: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Training, validation and test part: 80, 10 and 10 of 100 paragraphs.

    A hash of the paragraph's own text decides where it goes. So a paragraph is
    in the same part whatever else the text holds, and equal paragraphs can not
    end up in two parts.
    """
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for paragraph in paragraphs:
        digest = hashlib.sha256(paragraph.encode("utf-8")).digest()
        tenth = digest[0] * 256 + digest[1]
        parts[0 if tenth < 52429 else 1 if tenth < 58982 else 2].append(paragraph)
    return parts


def _is_prose(block: str) -> bool:
    """A sentence or more: it starts with a letter and ends like a sentence."""
    text = block.strip()
    return (
        len(text.split()) >= 5
        and "::=" not in text
        and not re.search(r"[=*\-+~^]{5}", text)
        and re.search(r"[.:?!)]$", text) is not None
        and sum(c.isalpha() or c.isspace() for c in text) > 0.85 * len(text)
    )
