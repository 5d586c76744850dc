"""A small town whose stories have an exactly known probability.

People walk about, find things, want them and give them away; at the end one of
them has a mood that follows from what happened. Every choice has a known weight,
so the probability of each word is known, and with it the loss that no model can
pass. Left out: Chinese, which
`nextword.town_chinese` makes from the same events, and ids.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nextword.telling import Option, Teller
from nextword.town_words import MOODS, PEOPLE, PLACES, THEMES, THINGS, article

FAMILIAR = 0.85  # the share of a theme's own places and things in its stories


@dataclass(frozen=True)
class TownConfig:
    """How long the stories are. Raises ValueError for what cannot be told."""

    people: int = 3  # in a story
    things: int = 3  # in a story
    min_events: int = 5
    max_events: int = 10
    recaps: int = 0  # sentences at the end that say how things stand

    def __post_init__(self):
        most = {"people": len(PEOPLE), "things": len(THINGS)}
        for name, largest in most.items():
            if not 1 <= getattr(self, name) <= largest:
                raise ValueError(
                    f"{name} is {getattr(self, name)}. The town has from 1 to "
                    f"{largest}."
                )
        if not 0 <= self.min_events <= self.max_events or self.recaps < 0:
            raise ValueError(
                f"Events from {self.min_events} to {self.max_events} and "
                f"{self.recaps} recaps cannot be told. Choose 0 <= min_events "
                "<= max_events, and recaps of 0 or more."
            )


class Event(NamedTuple):
    """What someone did; the fields that an action needs."""

    action: str  # "went", "took", "gave", …
    who: str
    named: bool  # by name, not by a pronoun
    thing: str = ""
    place: str = ""
    other: str = ""  # to whom, or with whom


@dataclass
class Scene:
    """Where everyone and everything is, and who wants what."""

    at: dict[str, str] = field(default_factory=dict)  # person or thing: place
    holder: dict[str, str] = field(default_factory=dict)  # thing: person
    wants: dict[str, str] = field(default_factory=dict)  # person: thing
    people: list[str] = field(default_factory=list)
    things: list[str] = field(default_factory=list)

    def held_by(self, person: str) -> list[str]:
        """The things that a person has."""
        return [t for t in self.things if self.holder.get(t) == person]

    def free_at(self, place: str) -> list[str]:
        """The things that lie at a place and nobody has."""
        return [
            t
            for t in self.things
            if self.at[t] == place and t not in self.holder
        ]

    def near(self, person: str) -> list[str]:
        """The other people at the same place."""
        place = self.at[person]
        return [p for p in self.people if p != person and self.at[p] == place]

    def mood(self, person: str) -> str:
        """It follows from who has what the person wanted."""
        if person not in self.wants:
            return "calm"
        holder = self.holder.get(self.wants[person])
        return {person: "happy", None: "sad"}.get(holder, "angry")


@dataclass
class Story:
    """What was told, and what it means."""

    tokens: list[str]  # English
    log_p: list[float]  # ln P of each token, given the theme
    theme: str
    scene: Scene  # at the end
    start: list[tuple[str, str]]  # who or what was where, in the order told
    events: list[Event]
    ending: tuple[str, str, int]  # person, mood, and which way to say it

    @property
    def mood(self) -> str:
        """The label of the story."""
        return self.ending[1]


def familiar(names: Sequence[str], own: Sequence[str]) -> dict[str, float]:
    """Weights of all names; those of the theme share `FAMILIAR`."""
    others = len(names) - len(own)
    return {
        name: FAMILIAR / len(own) if name in own else (1 - FAMILIAR) / others
        for name in names
    }


def evenly(names: Sequence[str], weight: float = 1.0) -> list[Option]:
    """Names that are equally likely, with ``weight`` in all."""
    return [Option(weight / len(names), name, name) for name in names]


def place_person(teller: Teller, scene: Scene, theme: str) -> None:
    """Say where a new person is; changes the scene."""
    new = [name for name in PEOPLE if name not in scene.at]
    person = teller.choose(evenly(new))
    teller.say("was at the")
    likely = familiar(list(PLACES), THEMES[theme][0])
    places = [Option(weight, p, p) for p, weight in likely.items()]
    scene.people.append(person)
    scene.at[person] = teller.choose(places)
    teller.say(".")


def place_thing(teller: Teller, scene: Scene, theme: str) -> None:
    """Say where a new thing lies, mostly near someone; changes the scene."""
    places, things = THEMES[theme]
    here = {scene.at[person] for person in scene.people}
    teller.say("There was")
    likely = familiar(list(THINGS), things)
    thing = teller.choose(
        [
            Option(weight, t, f"{article(t)} {t}")
            for t, weight in likely.items()
            if t not in scene.at
        ]
    )
    teller.say("at the")
    scene.things.append(thing)
    scene.at[thing] = teller.choose(
        [
            Option(0.3 * weight + 0.7 * (p in here) / len(here), p, p)
            for p, weight in familiar(list(PLACES), places).items()
        ]
    )
    teller.say(".")


def possible_actions(scene: Scene, person: str) -> list[Option]:
    """What a person can do now: the weight, the action and its words."""
    options = [
        Option(2.0, "went", "went to the"),
        Option(1.0, "walked", "walked to the"),
        Option(0.6, "ran", "ran to the"),
    ]
    if scene.free_at(scene.at[person]):
        options.append(Option(3.0, "took", "took the"))
        options.append(Option(1.5, "picked up", "picked up the"))
    if scene.held_by(person):
        options.append(Option(0.8, "put down", "put down the"))
        if scene.near(person):
            options.append(Option(3.0, "gave", "gave"))
    if scene.near(person):
        options.append(Option(1.0, "talked", "talked to"))
    if person not in scene.wants:
        options.append(Option(1.2, "wanted", "wanted the"))
    return options


def act(teller: Teller, scene: Scene, person: str, named: bool) -> Event:
    """One sentence after its subject; changes the scene."""
    action = teller.choose(possible_actions(scene, person))
    thing = place = other = ""
    if action in ("went", "walked", "ran"):
        place = move(teller, scene, person)
    elif action in ("took", "picked up"):
        thing = teller.choose(evenly(scene.free_at(scene.at[person])))
        scene.holder[thing] = person
    elif action == "put down":
        thing = teller.choose(evenly(scene.held_by(person)))
        del scene.holder[thing]
    elif action == "gave":
        thing, other = give(teller, scene, person)
    elif action == "talked":
        other = teller.choose(evenly(scene.near(person)))
    else:
        thing = teller.choose(evenly(scene.things))
        scene.wants[person] = thing
    teller.say(".")
    return Event(action, person, named, thing, place, other)


def move(teller: Teller, scene: Scene, person: str) -> str:
    """Go to another place, mostly where something or someone is."""
    busy = set(scene.at.values())
    place = teller.choose(
        [
            Option(3.0 if p in busy else 0.1, p, p)
            for p in PLACES
            if p != scene.at[person]
        ]
    )
    for mover in (person, *scene.held_by(person)):
        scene.at[mover] = place
    return place


def give(teller: Teller, scene: Scene, person: str) -> tuple[str, str]:
    """Two word orders: gave the cup to Ben, gave Ben the cup."""
    mine, others = scene.held_by(person), scene.near(person)
    other = teller.choose([Option(0.5, "", "the"), *evenly(others, 0.5)])
    if other:
        teller.say("the")
    thing = teller.choose(evenly(mine))
    if not other:
        teller.say("to")
        other = teller.choose(evenly(others))
    scene.holder[thing] = other
    return thing, other


def happen(teller: Teller, scene: Scene, config: TownConfig) -> list[Event]:
    """Events, until they are enough; then the words "At last"."""
    events: list[Event] = []
    while True:
        n = len(events)
        end = 0.0 if n < config.min_events else 0.25
        end = 1.0 if n >= config.max_events else end
        options = [Option(end, None, "At last")]
        names = 1 - end
        if events:
            last = events[-1].who
            pronoun = PEOPLE[last].pronoun.capitalize()
            options.append(Option(0.35 * names, "pronoun", pronoun))
            names *= 0.65
        who = teller.choose(options + evenly(scene.people, names))
        if who is None:
            return events
        named = who != "pronoun"
        events.append(act(teller, scene, who if named else last, named))


def finish(teller: Teller, scene: Scene) -> tuple[str, str, int]:
    """How one of the people feels at last."""
    person = teller.choose(evenly(scene.people))
    mood = scene.mood(person)
    ways = [Option(0.5, n, en) for n, (en, _) in enumerate(MOODS[mood])]
    way = teller.choose(ways)
    teller.say(".")
    return person, mood, way


def recap(teller: Teller, scene: Scene) -> None:
    """One sentence that says how things stand."""
    teller.say("Now")
    options = [Option(1.0, ("thing", t), f"the {t} is") for t in scene.things]
    for p in scene.people:
        options.append(Option(1.0, ("person", p), f"{p} is"))
        options.append(Option(1.0, ("holder", p), f"{p} has"))
    kind, name = teller.choose(options)
    if kind != "holder":
        teller.say(f"at the {scene.at[name]} .")
    elif mine := scene.held_by(name):
        teller.say("the")
        teller.choose(evenly(mine))
        teller.say(".")
    else:
        teller.say("nothing .")


def tell(teller: Teller, theme: str, config: TownConfig) -> Story:
    """The whole story of one theme, drawn or followed by the teller."""
    scene = Scene()
    for _ in range(config.people):
        place_person(teller, scene, theme)
    for _ in range(config.things):
        place_thing(teller, scene, theme)
    start = list(scene.at.items())
    events = happen(teller, scene, config)
    ending = finish(teller, scene)
    for _ in range(config.recaps):
        recap(teller, scene)
    return Story(
        teller.tokens, teller.log_p, theme, scene, start, events, ending
    )


class Question(NamedTuple):
    """A question about the end of a story, with its only right answer."""

    kind: str  # "where", "who" or "want"
    text: str
    answer: str  # one word: a place, a person, a thing, nobody, nothing


def questions(story: Story) -> list[Question]:
    """Everything that can be asked about how things stand at the end."""
    scene, asked = story.scene, []
    for name in (*scene.things, *scene.people):
        the = "the " if name in scene.things else ""
        where = f"Where is {the}{name} ?"
        asked.append(Question("where", where, scene.at[name]))
    for thing in scene.things:
        holder = scene.holder.get(thing, "nobody")
        asked.append(Question("who", f"Who has the {thing} ?", holder))
    for person in scene.people:
        wanted = scene.wants.get(person, "nothing")
        asked.append(Question("want", f"What did {person} want ?", wanted))
    return asked


def make_story(seed: int, config: TownConfig = TownConfig()) -> Story:
    """Story number ``seed``; every seed has one, always the same."""
    rng = random.Random(seed)
    theme = rng.choice(list(THEMES))
    return tell(Teller(rng), theme, config)
