"""Lists the recipes."""

import ast
import sys
from pathlib import Path


def main(argv=None):
    """Print each recipe and the first line of what it says; returns 2 for arguments."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments and arguments[0] not in ("-h", "--help"):
        command = f"python -m recipes.{arguments[0]}"
        print(f"recipes: error: a recipe is run by {command}.", file=sys.stderr)
        return 2
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    lines = {file.stem: ast.get_docstring(ast.parse(file.read_bytes())) for file in files}
    print("python -m recipes.NAME runs one of these; with --help, it says more.\n")
    for name, text in lines.items():
        print(f"  {name:<{max(map(len, lines))}}  {text.splitlines()[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
