"""Lists the recipes, and draws the pictures of the documents again."""

import ast
import subprocess
import sys
from pathlib import Path

USAGE = """python -m recipes.NAME runs one of these; with --help, it says more.
python -m recipes draw [NAME ...] draws the pictures of the documents, docs/images, again: of these
recipes, or of all; what is trained already in outputs/ is not trained again.
"""


def main(argv=None):
    """List the recipes with the first line of what each says, or draw; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["draw"]:
        return draw(arguments[1:])
    if arguments and arguments[0] not in ("-h", "--help"):
        command = f"python -m recipes.{arguments[0]}"
        return refuse(f"a recipe is run by {command}.")
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    lines = {file.stem: ast.get_docstring(ast.parse(file.read_bytes())) for file in files}
    print(USAGE)
    for name, text in lines.items():
        print(f"  {name:<{max(map(len, lines))}}  {text.splitlines()[0]}")
    return 0


def refuse(why):
    """Say what is wrong in one line; returns the exit code."""
    print(f"recipes: error: {why}", file=sys.stderr)
    return 2


def draw(names):
    """Draw the pictures of some recipes, or of all; returns the exit code."""
    from recipes import _pictures

    if unknown := sorted(set(names) - set(_pictures.PICTURES)):
        return refuse(f"there are pictures of {', '.join(_pictures.PICTURES)}; got {unknown[0]!r}.")
    try:
        for name in names or _pictures.PICTURES:
            _pictures.draw(name)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
