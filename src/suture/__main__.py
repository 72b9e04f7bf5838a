"""``python -m suture`` is the command."""

from suture.ops.cli.main import console

if __name__ == "__main__":
    console()
