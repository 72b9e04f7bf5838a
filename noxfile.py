"""The tests on each Python; `make matrix` runs it."""

import nox

nox.options.reuse_existing_virtualenvs = True
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, this Python being the one that runs them."""
    session.install("pytest", "pytest-xdist", "hypothesis", "tomli", "-e", ".")
    session.run("pytest", "-n", "2", *session.posargs)
