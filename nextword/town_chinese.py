"""The stories of the town in Chinese, from the same events.

Words are separated by spaces. English chooses between names and pronouns, and
between two word orders of giving; Chinese follows the first choice and has one
word order.
"""

from nextword.town import Event, Story
from nextword.town_words import MOODS, PEOPLE, PLACES, THINGS

VERBS = {
    "went": "去 了",
    "walked": "走 到 了",
    "ran": "跑 到 了",
    "took": "拿 了",
    "picked up": "捡起 了",
    "put down": "放下 了",
}


def subject(event: Event) -> str:
    """The name, or the pronoun where English has one."""
    person = PEOPLE[event.who]
    if event.named:
        return person.chinese
    return {"she": "她", "he": "他"}[person.pronoun]


def the(thing: str) -> str:
    """A thing that was spoken of before: 那 个 杯子."""
    measure, chinese = THINGS[thing]
    return f"那 {measure} {chinese}"


def sentence(event: Event) -> str:
    """One event as one sentence."""
    who = subject(event)
    if event.action == "gave":
        other = PEOPLE[event.other].chinese
        return f"{who} 把 {the(event.thing)} 给 了 {other} 。"
    if event.action == "talked":
        return f"{who} 和 {PEOPLE[event.other].chinese} 说 了 话 。"
    if event.action == "wanted":
        return f"{who} 想要 {the(event.thing)} 。"
    what = PLACES[event.place] if event.place else the(event.thing)
    return f"{who} {VERBS[event.action]} {what} 。"


def chinese(story: Story) -> list[str]:
    """The tokens of the story in Chinese, without its recaps."""
    sentences = []
    for name, place in story.start:
        if name in PEOPLE:
            sentences.append(f"{PEOPLE[name].chinese} 在 {PLACES[place]} 。")
        else:
            measure, noun = THINGS[name]
            sentences.append(f"{PLACES[place]} 有 一 {measure} {noun} 。")
    sentences += [sentence(event) for event in story.events]
    person, mood, way = story.ending
    feeling = MOODS[mood][way][1]
    sentences.append(f"最后 {PEOPLE[person].chinese} {feeling} 。")
    return " ".join(sentences).split()
