"""What is known of a recipe before it runs: `nextword recipes list` and `show`."""

from pathlib import Path

from nextword import downloads, public_data
from nextword.downloads import PublicFile
from nextword.recipes.shelf import RECIPES, Recipe


def every_file(recipe: Recipe, language: str, full: bool) -> list[PublicFile]:
    """The files of the data, then those of the model."""
    return [*recipe.files(language, full).values(), *recipe.needs]


def megabytes(files: list[PublicFile]) -> str:
    """What files weigh, in units of a million bytes."""
    total = sum(public_data.SIZES[file.name] for file in files)
    return f"{total / 1e6:,.1f} MB"


def state(files: list[PublicFile]) -> str:
    """Whether intact copies of files are on this computer."""
    try:
        found = [downloads.at_hand(file) is not None for file in files]
    except ValueError:
        return "damaged"
    return "yes" if all(found) else "in part" if any(found) else "no"


def find_recipe(name: str | None) -> Recipe:
    """The recipe of that name. ValueError, with their names, for another."""
    if name not in RECIPES:
        raise ValueError(
            f"There is no recipe {name!r}. Choose one of {', '.join(RECIPES)}."
        )
    return RECIPES[name]


def table() -> str:
    """One line a recipe: its name, what it is, its download, if it is here."""
    rows = [("recipe", "download", "at hand", "what")]
    for recipe in RECIPES.values():
        files = every_file(recipe, "fr", full=False)
        rows.append((recipe.name, megabytes(files), state(files), recipe.what))
    widths = [max(len(row[n]) for row in rows) for n in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {size:>{widths[1]}}  {here:<{widths[2]}}  {what}"
        for name, size, here, what in rows
    )


def describe(recipe: Recipe, language: str | None = None) -> str:
    """All that is known of a recipe before it runs."""
    check(recipe, language, None)
    language = language or "fr"
    lines = [f"{recipe.name}: {recipe.what}", f"model: {recipe.model}"]
    for full in (False, True):
        files = every_file(recipe, language, full)
        size = recipe.full if full else recipe.small
        name, how_long = "by default", f"about {recipe.minutes} minutes"
        if full:
            name, how_long = "with --full", "for a GPU"
        weight = megabytes(files)
        lines.append(f"{name}: {size}; {weight} to download; {how_long}")
    for file in dict.fromkeys(
        file
        for full in (False, True)
        for file in every_file(recipe, language, full)
    ):
        size = public_data.SIZES[file.name]
        lines += [
            f"file: {file.name}, {size:,} bytes, at hand: {state([file])}",
            f"  {file.url}",
            f"  SHA-256 {file.sha256}",
            f"  {file.licence}",
        ]
    lines += [f"published: {number}" for number in recipe.published]
    return "\n".join(lines)


def check(recipe: Recipe, language: str | None, own: str | None) -> None:
    """Raise ValueError, with a remedy, for options that do not go together."""
    if language and language not in recipe.languages:
        known = " or ".join(recipe.languages)
        remedy = f"Choose {known}." if known else "Leave --language out."
        raise ValueError(
            f"{recipe.name} has no translations into {language}. {remedy}"
        )
    if own and not recipe.own:
        raise ValueError(
            f"{recipe.name} takes no file of your own; squad and tinystories "
            "do. Leave --file out."
        )
    if own and not Path(own).is_file():
        raise ValueError(
            f"There is no file {own}. Check the name and the folder."
        )
