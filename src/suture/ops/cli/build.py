"""
``suture build``: from two versions of the source to a patch file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from suture.ops.cli import render
from suture.ops.cli.explain import add_explain
from suture.ops.cli.source import add_source, asked_of, built, rebuilt
from suture.patch import dump, is_name

__all__ = ["Build"]

OK, NO, USAGE = 0, 1, 64


def _patch_path(text: str) -> Path:
    """A refused build removes what is there, so it takes no other file's name."""
    path = Path(text)
    if path.suffix != ".suture" or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} isn't the name of a .suture file")
    return path


def _patch_name(text: str) -> str:
    """The name becomes a part of the id, and the id of file names."""
    if not is_name(text):
        words = "letters, digits, _, - and . can be used, up to 100 bytes"
        raise argparse.ArgumentTypeError(f"{text[:100]!r} can't be the name of a patch: {words}")
    return text


class Build:
    """
    Make a patch from two versions of the source: folders, files, revisions, a diff, releases.

    Only what differs is carried, definition by definition, before and after.  Exit 1 if something can't be carried: then no
    file is written, and an older one of that name is removed.
    """

    name = "build"

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add what the verb takes."""
        add_source(parser)
        add_explain(parser)
        parser.add_argument("-o", "--output", type=_patch_path, required=True, metavar="FILE", help="the patch; its stem names it")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of words")
        parser.add_argument("--partial", action="store_true", help="write the patch although it leaves something out")
        parser.add_argument("--name", type=_patch_name, help="first part of the patch's id; default: the stem of FILE")
        for key in ("reason", "author", "expires"):
            parser.add_argument(f"--{key}", default="", help=f"{key}, kept in the patch; not in its id")

    def run(self, args: argparse.Namespace) -> int:
        """Build; write the file if all is carried."""
        if args.name is None and not is_name(args.output.stem):
            print(f"error: {args.output.stem[:100]!r} can't be the name of a patch; give one with --name", file=sys.stderr)
            return USAGE
        asked = asked_of(args)
        elsewhere = rebuilt(args, asked, args.words)
        if elsewhere is not None:
            return elsewhere
        meta = {k: getattr(args, k) for k in ("reason", "author", "expires") if getattr(args, k)}
        with built(args, asked, name=args.name or args.output.stem, meta=meta) as (patch, _):
            pass
        carried = not patch.left_out or (args.partial and bool(patch.changes))
        if carried:
            _write(args.output, dump(patch))
        else:
            args.output.unlink(missing_ok=True)
        if args.json:
            json.dump(render.build_json(patch, args.output if carried else None), sys.stdout, indent=1)
            print()
        else:
            print(render.build_words(patch), end="")
            words = render.outcome_words(patch, args.output if carried else None)
            print(words, end="", file=sys.stdout if carried else sys.stderr)
        return OK if carried else NO


def _write(path: Path, data: bytes) -> None:
    """The whole file or none of it: somebody may be reading an older one of that name."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
