"""
What the verbs on running processes show: 80 columns, no colour, counts, the next command spelled out.

Decides nothing but what "as asked" means for ``status``; each fact comes from an agent.
"""

from __future__ import annotations

import calendar
import os
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from suture import wire
from suture.ops.client import Choice, Trouble
from suture.ops.seats import Outcome, Seat
from suture.patch import Finding, Patch, Severity
from suture.report import WIDTH, words_of

__all__ = ["Services", "columns", "count", "joined", "nobody", "of_troubles", "outcome", "ps", "wrap"]

_MOST_TARGETS, _MOST_SEATS, _MOST_CALLS, _MOST_ERRORS = 12, 40, 4, 8
_ORDER = {"error": 0, "warning": 1, "note": 2}


def joined(lines: Iterable[str]) -> str:
    """Lines as one text."""
    return "".join(f"{line}\n" for line in lines)


def wrap(text: str, first: str = "", then: str = "  ") -> list[str]:
    """Lines of 80 columns, with nothing in them that could act on a terminal."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False) or [first.rstrip()]


def _command(text: str) -> Iterator[str]:
    """A command that goes over the end of the line as a shell takes it; what belongs together stays so."""
    lines = textwrap.wrap(text.replace("--pid ", "--pid="), WIDTH - 2, subsequent_indent="  ", break_on_hyphens=False)
    yield from (f"{line} \\" for line in lines[:-1])
    yield lines[-1]


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table: columns as wide as they need, the last one cut at 80."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        text = "  ".join([*(f"{c:{w}}" for c, w in zip(row, widths, strict=False)), row[-1]]).rstrip()
        yield text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def count(number: int, noun: str) -> str:
    """``2 processes``."""
    return f"{number} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def _since(at: str) -> float | None:
    try:
        return time.time() - calendar.timegm(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return None


# ---------------------------------------------------------------- who is there


def nobody(choice: Choice, troubles: Sequence[Trouble]) -> str:
    """No process matched."""
    chosen = choice.pids or choice.services
    out = wrap(f"error: no process with an agent is {choice}") if chosen else ["error: no process has an agent"]
    out += of_troubles(troubles)
    out.append("hint: suture.install(service=...) in the program, or suture run -- COMMAND;")
    out.append("      suture ps lists who is there; those of other users are root's to see")
    return joined(out)


def of_troubles(troubles: Sequence[Trouble]) -> Iterator[str]:
    """Who couldn't be asked, and what to do."""
    for trouble in troubles:
        who = f"pid {trouble.pid} {trouble.service}".rstrip() + ": " if trouble.pid else ""
        yield from wrap(f"! {who}{trouble.why} ({trouble.code})")
        yield from wrap(trouble.hint, "  -> ", "     ")


def ps(found: Sequence[wire.PsAnswer], troubles: Sequence[Trouble]) -> str:
    """One line a process, and what is to be known of it below."""
    rows = [(str(f.pid), f.service or "-", f.python, _age(f.since_s), ", ".join(f.patches) or "-") for f in found]
    out = columns([("pid", "service", "python", "for", "patches"), *rows]) if rows else iter(())
    lines = [next(out)] if rows else []
    for facts, line in zip(found, out, strict=True):
        notes = [f"child of {facts.ppid}"] if facts.ppid in {f.pid for f in found} else []
        notes += ["observe only"] if facts.observe else []
        notes += [f"held by {facts.holder}"] if facts.holder else []
        notes += [facts.failure] if facts.failure else []
        lines += [line, *(wrap("; ".join(notes), "  ", "  ") if notes else ())]
    return joined([*lines, *of_troubles(troubles)])


# ---------------------------------------------------------------- plan, apply, revert


def outcome(found: Outcome, troubles: Sequence[Trouble], patch: Patch | None, asked: str) -> str:
    """What came of a verb in many processes."""
    return joined(_outcome(found, troubles, patch, asked))


def _outcome(found: Outcome, troubles: Sequence[Trouble], patch: Patch | None, asked: str) -> Iterator[str]:
    yield from wrap(_headline(found, patch))
    if found.verb == "plan":
        yield from _targets(found)
    else:
        yield from _seats(found)
    yield from _findings(found)
    yield from _errors(found)
    yield from _calls(found)
    yield from of_troubles(troubles)
    yield from wrap(_ending(found, asked))
    if others := found.having("not asked"):
        again = "apply FILE" if found.verb == "apply" else f"revert {found.patch_id}"
        yield from _command(f"Without those: suture {again} " + " ".join(f"--pid {s.agent.pid}" for s in others))


def _name(found: Outcome, patch: Patch | None) -> str:
    reason = patch.meta.get("reason", "") if patch is not None else ""
    author = patch.meta.get("author", "") if patch is not None else ""
    return " ".join(filter(None, [found.patch_id or (patch.id if patch is not None else "?"), reason and f'"{reason}"', author]))


def _headline(found: Outcome, patch: Patch | None) -> str:
    name, all_of = _name(found, patch), len(found.seats)
    if found.verb == "plan":
        changes = count(len(patch.changes), "change") if patch is not None else ""
        return f"{name}  {changes}, {count(all_of, 'process')}"
    there = len(found.having("live", "live already"))
    if found.exit_code() == 0:
        if found.verb == "revert" and not found.having("reverted"):
            return f"dropped  {', '.join(sorted(set(found.dropped.values())))}  live in none of {all_of}"
        if found.verb == "revert":
            return f"reverted in {len(found.having('reverted'))} of {all_of}  {name}"
        armed = sum(_is_armed(s.report) for s in found.seats)
        where = f"live in {there - armed} of {all_of}" + (f", armed in {armed}" if armed else "")
        return f"{where}  {name}  prepared {found.prepared_s:.2f} s"
    if found.interrupted and found.exit_code() == 1:
        return f"error: Interrupted {name}"
    if found.exit_code() == 1:
        if found.having("not asked"):
            return f"error: Refused {name}: not all that are meant can be asked"
        no = len(found.having("refused"))
        if not no:
            return f"error: {name}: every process has ended"
        what = f"the revert of {name}" if found.verb == "revert" else name
        return f"error: Refused {what}: {no} of {count(all_of, 'process')} said no"
    states = Counter(s.state for s in found.seats)
    return f"error: {name}: {', '.join(f'{n} {state}' for state, n in states.items())}"


def _is_armed(report: Mapping[str, Any] | None) -> bool:
    """True if nothing of it is live there yet: it waits for its modules to be imported, there or in forked children."""
    changed = (report or {}).get("changed", ())
    return bool(changed) and all(row["status"] == "armed" for row in changed)


def _targets(found: Outcome) -> Iterator[str]:
    """A line a target, over all processes."""
    all_of = len(found.seats)
    rows: dict[str, Counter[str]] = {}
    for seat in found.seats:
        for row in (seat.report or {}).get("changed", ()):
            rows.setdefault(row["target"], Counter())[row["status"]] += 1
    table = [(f"  {t}", ", ".join(f"{s} in {n} of {all_of}" for s, n in states.items())) for t, states in rows.items()]
    yield from columns(table[:_MOST_TARGETS]) if table else ()
    if len(table) > _MOST_TARGETS:
        yield f"  ... and {len(table) - _MOST_TARGETS} more (--json has all)"


def _seats(found: Outcome) -> Iterator[str]:
    """A line a process."""
    table: list[tuple[str, ...]] = [("  pid", "state", "changed", "held by", "longest pause", "calls in old code")]
    for seat in found.seats[:_MOST_SEATS]:
        report = seat.report or {}
        changed = [r for r in report.get("changed", ()) if r["status"] in ("updated", "added", "armed", "reverted")]
        facts = [str(len(changed)), str(sum(r["holders"] for r in changed))] if changed else ["-", "-"]
        pause = f"{report['longest_slice_cpu_ms']:.1f} ms" if report else "-"
        inside = report.get("inside_old", 0) if report else "-"
        state = "armed" if seat.state == "live" and _is_armed(report) else seat.state
        table.append((f"  {seat.agent.pid}", state, *facts, pause, "unknown" if inside is None else str(inside)))
    yield from columns(table)
    if len(found.seats) > _MOST_SEATS:
        yield f"  ... and {len(found.seats) - _MOST_SEATS} more (--json has all)"


def _findings(found: Outcome) -> Iterator[str]:
    """Each finding once, with how many processes say it; errors with who."""
    said: dict[tuple[str, str, str, str, str], list[Seat]] = {}
    for seat in found.seats:
        for f in (seat.report or {}).get("findings", ()) if seat.state != "not live" else ():
            said.setdefault((f["severity"], f["code"], f["target"], f["message"], f.get("hint", "")), []).append(seat)
    order = sorted(said.items(), key=lambda item: _ORDER.get(item[0][0], 3))
    notes: Counter[str] = Counter()
    for (severity, code, target, message, hint), seats in order:
        if code == "live-nowhere" and len(seats) < len(found.seats):
            continue  # a parent that has only armed it: as it should be
        if severity == "note" and found.verb != "plan":
            notes[code] += 1
            continue
        yield from words_of(Finding(code, Severity(severity), target, message, hint))
        if len(seats) < len(found.seats):
            pids = ", ".join(str(s.agent.pid) for s in seats[:8]) + (" ..." if len(seats) > 8 else "")
            yield from wrap(f"in {len(seats)} of {len(found.seats)}: pid {pids}", "  ", "  ")
    if notes:
        yield from wrap("notes: " + ", ".join(f"{n} {code}" for code, n in notes.items()) + " (--json has them)")


def _errors(found: Outcome) -> Iterator[str]:
    """Why processes said no without a report; what several say alike, once."""
    said: dict[tuple[str, str, str, str], list[str]] = {}
    for seat in found.seats:
        if (error := seat.error) is not None:
            said.setdefault((error["target"], error["message"], error["code"], error["hint"]), []).append(str(seat.agent.pid))
    for (target, message, code, hint), pids in list(said.items())[:_MOST_ERRORS]:
        who = f"{', '.join(pids[:8])}{' ...' if len(pids) > 8 else ''}"
        yield from wrap(f"! pid {who}: {target + ': ' if target else ''}{message} ({code})")
        yield from wrap(hint, "  -> ", "     ") if hint else ()
    if len(said) > _MOST_ERRORS:
        yield f"  ... and {len(said) - _MOST_ERRORS} more (--json has all)"


def _calls(found: Outcome) -> Iterator[str]:
    """Who is still inside old code."""
    for seat in found.having("live"):
        listed = (seat.report or {}).get("listed", ())
        for call in listed[:_MOST_CALLS]:
            yield from wrap(f"inside old code: pid {seat.agent.pid}, {call}")
        if len(listed) > _MOST_CALLS:
            yield f"  ... and {len(listed) - _MOST_CALLS} more in pid {seat.agent.pid}"


def _ending(found: Outcome, asked: str) -> str:
    code, short = found.exit_code(), found.patch_id
    if found.verb == "plan":
        there = len(found.having("would go in"))
        return f"Nothing was changed.  Would go in: {there} of {count(len(found.seats), 'process')}"
    if code == 0 and found.verb == "apply":
        if not found.having("live"):
            return "Nothing was changed: it is live already"
        return f"Ends with these processes.  Undo: suture revert {short} {asked}"
    if code == 0:
        return "; ".join(_gone(found))
    if code == 1:
        if had := len(found.having("live again")):
            return f"It is live wherever it was: {had} had gone back, and have it again"
        back = len(found.having("put back"))
        return "Nothing was changed in any process" + (f": {back} had switched and went back" if back else "")
    ran = [str(s.agent.pid) for s in found.seats if s.ran and s.state not in ("live", "unknown")]
    if ran and not found.having("unknown", "still live", "live"):
        return f"No definition was changed, but a statement of the patch has run, and what it did stays: pid {', '.join(ran)}"
    if unknown := found.having("unknown"):
        return f"Look before you go on: suture status {' '.join(f'--pid {s.agent.pid}' for s in unknown)}"
    return f"See what is live: suture status {asked}"


def _gone(found: Outcome) -> Iterator[str]:
    """What a revert that went well has done."""
    without = found.having("not live")
    if found.having("reverted"):
        pids = ", ".join(str(s.agent.pid) for s in without[:_MOST_SEATS]) + (" ..." if len(without) > _MOST_SEATS else "")
        yield "The old code is back" + (f"; {count(len(without), 'process')} didn't have it: pid {pids}" if without else "")
    for service, patch_id in found.dropped.items():
        yield f"Service {service or '-'}: no process had {patch_id}, and its journal has now that it isn't wanted any more"


# ---------------------------------------------------------------- status


class Services:
    """
    What is live in the processes of each service, and who lacks it.

    As asked: no process of a service lacks a patch that others of it have, none fails, and no parent is without an agent.
    """

    def __init__(self, rows: Sequence[tuple[wire.PsAnswer, list[dict[str, Any]]]], troubles: Sequence[Trouble]) -> None:
        self._troubles = troubles
        self._rows = rows
        self._pids = {facts.pid for facts, _ in self._rows}
        self._services: dict[str, list[tuple[wire.PsAnswer, list[dict[str, Any]]]]] = {}
        for facts, reports in self._rows:
            self._services.setdefault(facts.service, []).append((facts, reports))
        self._patches = {name: self._of(members) for name, members in self._services.items()}
        self._deployed: frozenset[tuple[int, str]] = frozenset()
        self._outlived: Mapping[int, tuple[str, int]] = {}
        self._remarks = [r for name in self._services for r in self._said(name)]

    def lacking(self) -> list[tuple[int, int, str]]:
        """Who lacks a patch that others of its service have, one who has it, and which."""
        return [
            (facts.pid, having[0].pid, patch_id)
            for name, members in self._services.items()
            for patch_id in self._patches[name]
            if (having := [f for f, reports in members if patch_id in {r["patch_id"] for r in reports}])
            for facts, reports in members
            if patch_id not in {r["patch_id"] for r in reports}
        ]

    def tell(self, deployed: frozenset[tuple[int, str]], outlived: Mapping[int, tuple[str, int]]) -> None:
        """What ``together`` found out: who was started from source that holds the fix, and who came after all that had it."""
        self._deployed, self._outlived = deployed, outlived
        self._remarks = [r for name in self._services for r in self._said(name)]

    def _from_disk(self, service: str, patch_id: str) -> int:
        return sum((facts.pid, patch_id) in self._deployed for facts, _ in self._services[service])

    @staticmethod
    def _of(members: Sequence[tuple[wire.PsAnswer, list[dict[str, Any]]]]) -> dict[str, list[dict[str, Any]]]:
        """Reports by patch, in the order of their commits."""
        found: dict[str, list[dict[str, Any]]] = {}
        for _, reports in members:
            for report in reports:
                found.setdefault(report["patch_id"], []).append(report)
        return dict(sorted(found.items(), key=lambda item: min(r["at"] for r in item[1])))

    def as_asked(self) -> bool:
        """True if nothing differs."""
        return not self._remarks and not self._troubles

    def _said(self, service: str) -> Iterator[dict[str, Any]]:
        members, patches = self._services[service], self._patches[service]
        for facts, reports in members:
            for patch_id in patches.keys() - {r["patch_id"] for r in reports}:
                if (facts.pid, patch_id) in self._deployed:
                    continue
                words = f"{_from(facts)}: it runs without {patch_id}: OLD CODE"
                hint = f"suture apply FILE --service {service or '...'} (live ones are skipped)"
                yield _remark(service, facts.pid, "without-patch", words, hint)
            if facts.pid in self._outlived:
                patch_id, had = self._outlived[facts.pid]
                words = f"{_from(facts)}: {patch_id} was live in {count(had, 'process')}, all ended; without it: OLD CODE"
                hint = f"apply again; or not wanted: suture revert {patch_id} --service {service or '...'}"
                yield _remark(service, facts.pid, "without-patch", words, hint)
            if facts.failure:
                yield _remark(service, facts.pid, "agent-fault", facts.failure, "see the program's log (logger `suture`)")
            for report in reports:
                for finding in report["findings"]:
                    if finding["code"] == "conflict":
                        words = f"{finding['target']}: {finding['message']}"
                        yield _remark(service, facts.pid, "conflict", words, finding.get("hint", ""))
                yield from self._loops(service, facts.pid, report)
        for parent in sorted({f.ppid for f, _ in members} - self._pids) if patches else ():
            children = [f.pid for f, _ in members if f.ppid == parent]
            if any(all((pid, i) in self._deployed for i in patches) for pid in children):
                continue  # what the next ones start from holds the fix
            forked = any(_forked(parent, pid) for pid in children)
            if parent > 1 and (forked or any(map(_spawned, children))):
                words = f"parent {parent} has no agent: children that it makes from now on run OLD CODE"
                hint = "install() before it forks (gunicorn: --preload)"
                hint = hint if forked else "they start from the disk: apply again, or put the new source there"
                yield _remark(service, parent, "parent-without-agent", words, hint)
        for patch_id, reports in patches.items():
            if all(_is_armed(report) for report in reports):
                words = f"{patch_id} is armed in {len(reports)} and live nowhere: none of them has imported what it changes"
                yield _remark(service, 0, "live-nowhere", words, "check the import root; nothing to do if it comes later")

    @staticmethod
    def _loops(service: str, pid: int, report: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Code that never returns."""
        age = _since(report["at"])
        if report["inside_old"] and age is not None and age > 60:
            for finding in report["findings"]:
                if finding["code"] == "inside-old" and finding["severity"] == "warning":
                    words = f"{finding['message']}, for {_age(age)}: it never returns"
                    yield _remark(service, pid, "inside-old", words, finding.get("hint", ""))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        services = [
            {
                "service": name,
                "processes": [f.pid for f, _ in members],
                "patches": [
                    {
                        "patch_id": i,
                        "live": len(r) - _armed(r),
                        "armed": _armed(r),
                        "from_disk": self._from_disk(name, i),
                        "of": len(members),
                        "inside_old": _inside(r),
                        "since": min(x["at"] for x in r),
                    }
                    for i, r in self._patches[name].items()
                ],
            }
            for name, members in self._services.items()
        ]
        reports = [{"pid": f.pid, "reports": r} for f, r in self._rows]
        return {"services": services, "remarks": self._remarks, "processes": reports}

    def words(self) -> str:
        """A line a patch of a service, then what differs."""
        return joined(self._words())

    def _words(self) -> Iterator[str]:
        table = [("service", "patch", "live", "old calls", "since", "by", "expires")]
        for name, members in self._services.items():
            for patch_id, reports in self._patches[name].items() or [("-", [])]:
                meta = reports[0]["meta"] if reports else {}
                age = _since(min(r["at"] for r in reports)) if reports else None
                armed = _armed(reports)
                live = f"{len(reports) - armed} of {len(members)}" + (f", {armed} armed" if armed else "")
                disk = self._from_disk(name, patch_id)
                live += f", {disk} from disk" if disk else ""
                inside = _inside(reports)
                table.append(
                    (
                        name or "-",
                        patch_id,
                        live if reports else f"- of {len(members)}",
                        "-" if not reports else "unknown" if inside is None else str(inside),
                        "-" if age is None else _age(age),
                        meta.get("author", "-"),
                        meta.get("expires", "never") if reports else "-",
                    )
                )
        yield from columns(table)
        for remark in self._remarks:
            yield from wrap(f"! {remark['service']}  pid {remark['pid']}: {remark['message']}")
            yield from wrap(remark["hint"], "  -> ", "     ")
        yield from of_troubles(self._troubles)
        differing = {r["service"] for r in self._remarks} | {t.service for t in self._troubles if t.running}
        good, bad = len(self._services.keys() - differing), len(differing)
        yield f"{count(good, 'service')} as asked" + (f", {bad} differ{'s' * (bad == 1)}" if bad else "")


def _from(facts: wire.PsAnswer) -> str:
    """Since when, and of whom."""
    started = time.strftime("%H:%M", time.localtime(time.time() - facts.since_s))
    return f"its agent is from {started}, its parent is {facts.ppid}"


def _remark(service: str, pid: int, code: str, message: str, hint: str) -> dict[str, Any]:
    return {"service": service, "pid": pid, "code": code, "message": message, "hint": hint}


def _armed(reports: Sequence[dict[str, Any]]) -> int:
    return sum(_is_armed(report) for report in reports)


def _inside(reports: Sequence[dict[str, Any]]) -> int | None:
    counts = [r["inside_old"] for r in reports]
    return None if None in counts else sum(counts)


def _forked(parent: int, child: int) -> bool:
    """True if the child runs in its parent's image, so that it has the code that the parent had in memory: /proc tells."""
    one, other = _image(parent), _image(child)
    return one is not None and one == other


def _image(pid: int) -> tuple[str, bytes] | None:
    """The program's file and the start of its stack: a fork copies it, an exec chooses it anew; None if it can't be told."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stack = file.read().rpartition(b")")[2].split()[25]
        return os.readlink(f"/proc/{pid}/exe"), stack
    except (OSError, IndexError):
        return None


def _spawned(pid: int) -> bool:
    """True if multiprocessing has started it as a program of its own, so that it has what is on the disk."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"--multiprocessing-fork" in file.read().split(b"\0")
    except OSError:
        return False
