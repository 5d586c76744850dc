"""The words of the town, English and Chinese: people, places, things, moods.

See the data card ``nextword/data/town.md``. Chinese words are separated by
spaces, as tokens are.
"""

from typing import NamedTuple


class Person(NamedTuple):
    """The English name is the key of `PEOPLE`."""

    pronoun: str  # "she" or "he"
    chinese: str


class Thing(NamedTuple):
    """The English noun is the key of `THINGS`."""

    measure: str  # the Chinese measure word: 个, 本, 把, …
    chinese: str


PEOPLE = {
    "Anna": Person("she", "安娜"),
    "Ben": Person("he", "本"),
    "Clara": Person("she", "克拉拉"),
    "David": Person("he", "大卫"),
    "Emma": Person("she", "艾玛"),
    "Felix": Person("he", "费利克斯"),
    "Grace": Person("she", "格蕾丝"),
    "Hugo": Person("he", "雨果"),
    "Iris": Person("she", "艾丽丝"),
    "Jack": Person("he", "杰克"),
    "Kate": Person("she", "凯特"),
    "Leo": Person("he", "里奥"),
}

# The places and the things that belong to a theme.
THEMES = {
    "home": (
        ("kitchen", "garden", "bedroom", "hall"),
        ("cup", "book", "key", "cake"),
    ),
    "school": (
        ("classroom", "library", "playground", "gym"),
        ("pencil", "ball", "bag", "map"),
    ),
    "farm": (
        ("barn", "field", "stable", "pond"),
        ("apple", "egg", "bucket", "rope"),
    ),
    "harbour": (
        ("beach", "boat", "pier", "lighthouse"),
        ("shell", "net", "lamp", "fish"),
    ),
}

PLACES = {
    "kitchen": "厨房",
    "garden": "花园",
    "bedroom": "卧室",
    "hall": "大厅",
    "classroom": "教室",
    "library": "图书馆",
    "playground": "操场",
    "gym": "体育馆",
    "barn": "谷仓",
    "field": "田野",
    "stable": "马厩",
    "pond": "池塘",
    "beach": "海滩",
    "boat": "船上",
    "pier": "码头",
    "lighthouse": "灯塔",
}

THINGS = {
    "cup": Thing("个", "杯子"),
    "book": Thing("本", "书"),
    "key": Thing("把", "钥匙"),
    "cake": Thing("块", "蛋糕"),
    "pencil": Thing("支", "铅笔"),
    "ball": Thing("个", "球"),
    "bag": Thing("个", "书包"),
    "map": Thing("张", "地图"),
    "apple": Thing("个", "苹果"),
    "egg": Thing("个", "鸡蛋"),
    "bucket": Thing("个", "水桶"),
    "rope": Thing("根", "绳子"),
    "shell": Thing("枚", "贝壳"),
    "net": Thing("张", "渔网"),
    "lamp": Thing("盏", "灯"),
    "fish": Thing("条", "鱼"),
}

# What a person feels at the end, and two ways to say it in each language.
MOODS = {
    "happy": (("was happy", "很 高兴"), ("smiled", "笑 了")),
    "sad": (("was sad", "很 难过"), ("cried", "哭 了")),
    "angry": (("was angry", "很 生气"), ("frowned", "皱起 了 眉头")),
    "calm": (("was calm", "很 平静"), ("yawned", "打 了 个 哈欠")),
}


def article(noun: str) -> str:
    """An or a."""
    return "an" if noun[0] in "aeiou" else "a"
