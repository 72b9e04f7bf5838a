"""From two source trees to a patch."""

from suture.ops.build.builder import build

__all__ = ["build"]
