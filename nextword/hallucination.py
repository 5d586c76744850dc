"""Which sentences of a generated story are false in the story's own state.

Home: chapter 24, notebooks/24_limits.ipynb. Each sentence is read by a pattern,
held against the state that the text has told so far, and then believed: so an
error is counted once. Left out: the model.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nextword.town import Scene
from nextword.town_words import MOODS, PEOPLE

# What a sentence says, and how. The first two kinds only introduce.
PATTERNS = {
    "person": "WHO was at the PLACE",
    "thing": "There was an? THING at the PLACE",
    "move": "WHO (?:went|walked|ran) to the PLACE",
    "take": "WHO (?:took|picked up) the THING",
    "put down": "WHO put down the THING",
    "give": "WHO gave the THING to OTHER",
    "give it": "WHO gave OTHER the THING",
    "talk": "WHO talked to OTHER",
    "want": "WHO wanted the THING",
    "feel": r"At last WHO (?P<mood>was \w+|\w+)",
}


class Claim(NamedTuple):
    """A sentence of a story, and whether it is true where it stands."""

    kind: str  # a key of PATTERNS, or "unreadable"
    text: str
    true: bool

    @property
    def bound(self) -> bool:
        """Whether it depends on the state, and does not introduce only."""
        return self.kind not in ("person", "thing")


def understand(sentence: str, last: str) -> tuple[str, dict[str, str]]:
    """The kind of a sentence, and who, thing, place, other in it.

    A pronoun stands for ``last``, where it fits; else it stands for nobody.
    """
    for kind, pattern in PATTERNS.items():
        pattern = re.sub(
            "WHO|THING|PLACE|OTHER",
            lambda name: rf"(?P<{name[0].lower()}>\w+)",
            pattern,
        )
        if match := re.fullmatch(pattern, sentence):
            said = match.groupdict()
            if said.get("who") in ("She", "He"):
                fits = last and PEOPLE[last].pronoun == said["who"].lower()
                said["who"] = last if fits else ""
            return kind.removesuffix(" it"), said
    return "unreadable", {}


def is_true(kind: str, said: dict[str, str], scene: Scene) -> bool:
    """Whether the state allows what a sentence says."""
    who, thing, other = (said.get(k, "") for k in ("who", "thing", "other"))
    place = said.get("place")
    if kind in ("person", "thing"):  # nothing is told twice
        return (who or thing) not in scene.at
    if who not in scene.people or (thing and thing not in scene.things):
        return False
    mine, here = scene.held_by(who), scene.at[who]
    tests: dict[str, Callable[[], bool]] = {
        "move": lambda: place != here,
        "take": lambda: thing in scene.free_at(here),
        "put down": lambda: thing in mine,
        "give": lambda: thing in mine and other in scene.near(who),
        "talk": lambda: other in scene.near(who),
        "want": lambda: True,
        "feel": lambda: said["mood"] in dict(MOODS[scene.mood(who)]),
    }
    return tests[kind]()


def believe(kind: str, said: dict[str, str], scene: Scene) -> None:
    """Change the state as a sentence says, true or not."""
    who, thing, other = (said.get(k, "") for k in ("who", "thing", "other"))
    for name, known in ((who, scene.people), (thing, scene.things)):
        if name and name not in known:
            known.append(name)
            scene.at[name] = said.get("place") or scene.at.get(who, "nowhere")
    if kind in ("take", "give"):
        scene.holder[thing] = other or who
        scene.at[thing] = scene.at.get(other or who, scene.at[thing])
    elif kind == "put down":
        scene.holder.pop(thing, None)
        scene.at[thing] = scene.at[who]
    elif kind == "want":
        scene.wants[who] = thing
    elif kind == "move":
        for mover in (who, *scene.held_by(who)):
            scene.at[mover] = said["place"]


def claims(tokens: Sequence[str]) -> list[Claim]:
    """Every sentence of a story, judged where it stands.

    A sentence without its full stop at the end of the text is left out.
    """
    scene, last, judged = Scene(), "", []
    for sentence in " ".join(tokens).split(" .")[:-1]:
        kind, said = understand(sentence.strip(), last)
        if kind == "unreadable" or said.get("who") == "":
            judged.append(Claim("unreadable", sentence.strip(), False))
            continue
        true = is_true(kind, said, scene)
        judged.append(Claim(kind, sentence.strip(), true))
        if said.get("who", "") in PEOPLE or kind == "thing":
            believe(kind, said, scene)
            last = said.get("who", last)
    return judged


def false_share(told: Sequence[Sequence[Claim]]) -> float:
    """The share of false claims among those that could be false."""
    bound = [claim for story in told for claim in story if claim.bound]
    return sum(not claim.true for claim in bound) / max(1, len(bound))
