"""
Where the two sides of a patch come from: folders, a git repository, a diff, releases of a distribution.

Whatever was asked for becomes two folders.  Those that are made for it are temporary and gone when the build is over;
nothing of the program is imported or run (a source release is built if a person allows it, and that runs its build code).
"""

from suture.ops.build.sources.asked import Asked, Sides, opened
from suture.ops.build.sources.interpreter import Interpreter, interpreter_of, this_interpreter

__all__ = ["Asked", "Interpreter", "Sides", "interpreter_of", "opened", "this_interpreter"]
