"""The tests run by each Python; `make matrix` does it.  A Python that isn't installed is skipped by name."""

import nox

nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"])
def tests(session: nox.Session) -> None:
    """All tests, with this Python as the one that runs them."""
    packages = ("pytest", "pytest-xdist", "hypothesis", "coverage", "gevent", "tomli; python_version < '3.11'")
    session.install("-c", "requirements-dev.txt", *packages, "-e", ".")
    session.run("pytest", "-n", "2", *session.posargs)
