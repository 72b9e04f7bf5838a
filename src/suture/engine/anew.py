"""
Statements that ran when their module was imported, or their like, run once more: values, tables, bodies of classes, blocks.

Nothing that is live is written, and nobody sees what comes of it before the commit.  As the new source has it, a statement runs in
a *shadow* of its module, where all that the patch changes is as it will be; as the old one has it, it runs with what is live
behind it, for what the program's own values are held against.  docs/adr/0015.
"""

from __future__ import annotations

import ast
import contextlib
import types
from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from typing import Any

from suture.engine import swap
from suture.engine.facts import Definition, code_at, inner_body, wrap
from suture.engine.frames import class_space
from suture.engine.plan import Work
from suture.engine.rerun import Behind, with_imports
from suture.engine.resolve import mangled
from suture.engine.shadow import Shadow, Shadows, reading_anew
from suture.engine.values import TABLES, is_quiet
from suture.errors import Refused

__all__ = ["CLASS_NOISE", "Anew", "ClassSpace", "failed", "statement"]

_UNSET = object()


class ClassSpace(dict[str, Any]):
    """Namespace of a class body that sees the members of the live class behind the new ones."""

    def __init__(self, pending: Mapping[str, Any], live: Mapping[str, Any], module: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._behind = (pending, live)
        self._module = module

    def __missing__(self, key: str) -> Any:
        for space in self._behind:
            if key in space:
                return space[key]
        if self._module is not None:  # the interpreter itself doesn't ask a shadow here
            return self._module[key]
        raise KeyError(key)


class Anew:
    """
    Of one patch.

    Args:
        pending: New values by name, by id of their module.
        members: New class attributes by name, by id of their class.
        ran: Gets what was run, in words.
        rest: Called between steps.
    """

    def __init__(
        self, pending: dict[int, dict[str, Any]], members: dict[int, dict[str, Any]], ran: list[str], rest: Callable[[], None]
    ) -> None:
        self.pending, self.members, self.ran = pending, members, ran
        self.shadows = Shadows(pending, members)
        self._rest = rest

    @contextlib.contextmanager
    def _trying(self, work: Work) -> Iterator[Shadow]:
        """The shadow of a change's module; empty again afterwards.  What is raised inside is evaluation-failed."""
        shadow = self.shadows.of(work.module, work.space)
        try:
            yield shadow
        except Exception as error:
            raise failed(work, error) from error
        finally:
            shadow.clear()
        self._rest()

    def _inside(self, work: Work, module: Mapping[str, Any] | None, *, anew: bool) -> ClassSpace:
        """A namespace for what stands where a change stands: its class's, with the module's behind it."""
        live = class_space(work.owner) if work.owner is not None else {}
        return ClassSpace(self.members.get(id(work.owner), {}) if anew else {}, live, module)

    # ------------------------------------------------------------ values

    def value(self, work: Work) -> Any:
        """
        What the new text of an assignment makes, with all that the patch changes as it will be.

        Raises:
            Refused: evaluation-failed, evaluation-entangled.  Nothing was changed.
        """
        with self._trying(work) as shadow:
            code = _assignment(work.after, anew=True)
            space = self._inside(work, shadow, anew=True)
            exec(code, shadow, space)
        self.ran.append(work.target)
        return self.shadows.real(space[_VALUE], code, work.target)

    def was(self, work: Work) -> Any:
        """What the old text of an assignment makes in the live module; ABSENT if working that out could do more than that."""
        assert work.before is not None
        space = work.space
        live = list(space.items())
        # A table has to be known; the builder has seen that the functions which made it do nothing else.
        merges = work.change.decision is not None and work.change.decision.rule == "merge"
        own = {n for n, f in live if type(f) is types.FunctionType and f.__globals__ is space} if merges else ()
        modules = {n for n, m in live if isinstance(m, types.ModuleType)}
        if not is_quiet(getattr(work.before.parse(), "value", None), own, modules):
            return swap.ABSENT
        made = self._inside(work, None, anew=False)
        try:
            exec(_assignment(work.before, anew=False), space, made)
        except Exception:  # noqa: BLE001  it doesn't run any more: then nothing is known of it
            return swap.ABSENT
        self._rest()
        return made[_VALUE]

    def fill(self, work: Work, name: str, table: Any, *, anew: bool) -> Any:
        """
        Run a statement that fills a table, on a table of ours.

        Raises:
            Refused: evaluation-failed.
        """
        with self._trying(work) as shadow:
            space = self._inside(work, shadow if anew else None, anew=anew)
            space[name] = table
            code = statement(work.after, partial(reading_anew, classes=work.change.scope.classes) if anew else None)
            exec(code, shadow if anew else work.space, space)
        return self.shadows.real(space[name], code, work.target) if anew else space[name]

    def rerun(self, work: Work, made: dict[str, Any], known: Container[str], *, anew: bool) -> None:
        """
        Run a statement of a module's top level on names of ours.

        Args:
            work: It, as *after*.
            made: What statements before it have bound; gets what this one binds, and loses what it deletes.
            known: Imports, dumped, that ran when the module was imported: they go as they went.
            anew: In the shadow; else with what is live, nothing of which is written.

        Raises:
            Refused: evaluation-failed, evaluation-entangled.
        """
        mine = {n: work.space[n] for n in _OF_MODULES if n in work.space}
        given: dict[str, Any] = {}

        def edit(node: Any) -> ast.stmt:
            made, found = with_imports(reading_anew(node, ()) if anew else node, work.space, known, self.pending if anew else {})
            given.update(found)
            return made

        with self._trying(work) as shadow:
            space: dict[str, Any] = shadow if anew else Behind(work.space)
            code = statement(work.after, edit)
            space.update({**mine, **made, **given})
            exec(code, space)
            bound = {n: v for n, v in dict.items(space) if n not in mine and n not in given and n not in _NOISE}
        before = dict(made)
        made.clear()
        for name, value in bound.items():
            known_value = before.get(name, _UNSET) is value and type(value) not in TABLES
            made[name] = self.shadows.inside(value, code, work.target) if anew and not known_value else value
        if anew:
            self.ran.append(work.target)

    # ------------------------------------------------------------ classes

    def body(
        self, work: Work, source: Definition, edit: Callable[[Any], ast.stmt], behind: Mapping[str, Any], *, anew: bool
    ) -> tuple[dict[str, Any], types.CodeType]:
        """
        Run the body of a class statement by itself: no class is made.

        Args:
            source: The statement.
            edit: What is left of it.
            behind: Names of the class that it may read and doesn't bind.
            anew: With all that the patch changes as it will be; else as it is.

        Raises:
            Refused: evaluation-failed.  Nothing was changed.
        """
        with self._trying(work) as shadow:
            module = shadow if anew else work.space
            space = ClassSpace(behind, {}, module)
            space["__annotations__"] = {}  # else the body may find its module's
            code = code_at(statement(source, edit), (work.change.target.name,))
            exec(code, module, space)
        made = dict(space)
        if not made["__annotations__"]:
            del made["__annotations__"]
        return made, code

    def decorators(self, work: Work, source: Definition, *, anew: bool) -> tuple[Any, ...]:
        """
        What the decorators of a class statement are, outermost first; none is called.

        Raises:
            Refused: evaluation-failed.  Nothing was changed.
        """

        def bound(node: Any) -> ast.stmt:
            value = ast.Tuple([reading_anew(d, source.classes) if anew else d for d in node.decorator_list], ast.Load())
            made = ast.Assign([ast.Name(_VALUE, ast.Store())], value)
            return ast.fix_missing_locations(ast.copy_location(made, node))

        with self._trying(work) as shadow:
            module = shadow if anew else work.space
            space = self._inside(work, module, anew=anew)
            exec(statement(source, bound), module, space)
        if anew:
            self.ran.append(work.target)
        return space[_VALUE]  # type: ignore[no-any-return]

    def class_of(self, work: Work, *, anew: bool) -> Any:
        """
        The class that a statement makes, for what is in it: a class of nobody's.

        Args:
            anew: The new statement, with all that the patch changes as it will be; else the old one, as things are.

        Raises:
            Refused: evaluation-failed.
        """
        source = work.after if anew else work.before
        assert source is not None
        with self._trying(work) as shadow:
            space = self._inside(work, shadow if anew else None, anew=anew)
            code = statement(source, partial(reading_anew, classes=source.classes) if anew else None)
            if anew:
                shadow.at_hand({n.id for n in ast.walk(source.parse()) if isinstance(n, ast.Name)})
            exec(code, shadow if anew else work.space, space)
        if anew:
            self.ran.append(work.target)
        return space[mangled(work.change.target.name, work.change.scope.classes)]


CLASS_NOISE = frozenset(
    (
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__classdict__",
        "__classdictcell__",
        "__conditional_annotations__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__qualname__",
        "__static_attributes__",
        "__type_params__",
    )
)


# What an import asks of the module that it stands in; what the interpreter puts into a namespace by itself.
_OF_MODULES = ("__name__", "__package__", "__spec__", "__path__", "__file__", "__loader__")
_NOISE = CLASS_NOISE | {"__builtins__"}
_VALUE = "__suture_value__"


def _assignment(source: Definition, *, anew: bool) -> types.CodeType:
    """Code that binds an assignment's value to a name of ours, where the statement stands."""

    def bound(node: Any) -> ast.stmt:
        value = reading_anew(node.value, source.classes) if anew else node.value
        return ast.copy_location(ast.Assign([ast.copy_location(ast.Name(_VALUE, ast.Store()), node)], value), node)

    return statement(source, bound)


def statement(source: Definition, edit: Callable[[Any], ast.stmt] | None = None) -> types.CodeType:
    """
    Code of a statement where it stands, edited; of its class's body, if it's in one.

    The imports that stand before it for the compiler's sake are there, and don't run.
    """
    text = wrap(source.text, source.classes, source.imports)[1]
    tree = compile(text, source.filename, "exec", source.flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    if source.imports:
        never = ast.If(ast.Constant(value=False), [tree.body[0]], [])
        tree.body[0] = ast.fix_missing_locations(ast.copy_location(never, tree.body[0]))
    body = inner_body(tree, source.wrapped, source.imports)
    if edit is not None:
        made = edit(body[0])
        if source.wrapped == bool(source.imports):
            tree.body[source.wrapped] = made
        else:
            body[0] = made
    return code_at(source.code_of(tree), source.classes)


def failed(work: Work, error: BaseException) -> Refused:
    """The refusal for what an expression raised."""
    return Refused(
        "evaluation-failed",
        f"{type(error).__name__}: {error}",
        target=work.target,
        hint="it runs in the live module's namespace at apply: mend it, or put what it needs into the patch",
        evidence={"raised": type(error).__name__},
    )
