"""
One minute: a live game server, 300 players, wrong damage and wrong payouts, and the ways to fix it without a restart.

Everything shown is measured, and what isn't as it should be ends the demo with exit code 1:

    PYTHONPATH=src python examples/arena/demo.py [--players 300] [--quick]
"""

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the folder that holds the package arena

from arena.stage import HERE, Arena, Terminal, fixed, tree

START = time.monotonic()
held = []  # facts so far


def heading(text):
    """A new step, with its second."""
    line = f"--- {time.monotonic() - START:4.1f} s  {text} "
    print(f"\n{line:-<80}", flush=True)


def must(holds, text):
    """Show a fact, and hold us to it."""
    held.append(text)
    print(f"{'ok ' if holds else 'NOT'} {text}", flush=True)
    if not holds:
        raise SystemExit(f"demo: not so: {text}")


def must_go(answer):
    """An answer that says ok."""
    if not answer["ok"]:
        raise SystemExit(f"demo: it did not go in\n{answer['words']}")
    return answer


@dataclass(frozen=True)
class Row:
    """One server of the table: wrong hits a second, and the median of each round's worst tick."""

    held: int
    right: int
    wrong_hits: int
    worst_ms: float

    def words(self, control):
        """As it stands in the table."""
        over = "-" if self is control else f"{self.worst_ms - control.worst_ms:+.1f}"
        return f"{f'{self.right} of {self.held}':>20}{self.wrong_hits:13}{self.worst_ms:14.1f}{over:>11}"


class Story:
    """The steps, on one set of source trees."""

    def __init__(self, folder, players, *, quick):
        self.folder = Path(folder)
        self.players = players
        self.window_s = 0.5 if quick else 1.5
        self.rounds = 1 if quick else 3
        self.old = tree(self.folder / "old")
        self.new = tree(self.folder / "new", fixed())
        self.patch = "q1731.suture"
        self.terminal = Terminal(folder)

    def arena(self, name, *changes, players=None):
        """A fresh server with its players."""
        return Arena(tree(self.folder / name, *changes), players or self.players, self.terminal.run_dir)

    def see(self, arena, *, wrong):
        """Look through the players' eyes for a while; *wrong*: whether the bug should be there."""
        seen = arena.players.window(self.window_s)
        rates = [seen.rate(n) for n in (seen.wrong_hits, seen.hits, seen.wrong_payouts, seen.payouts)]
        text = "{} of {} hits a second are wrong, {} of {} payouts".format(*rates)
        must((seen.wrong_hits > 0) == wrong and (seen.wrong_payouts > 0) == wrong and seen.hits > 0 and seen.payouts > 0, text)

    def connected(self, arena):
        """Nobody has gone."""
        must(
            arena.players.lost() == 0 and arena.ask("status")["players"] == self.players,
            f"{self.players} of {self.players} players are connected, none was dropped",
        )

    def hurt(self, arena):
        """The bug, and what is held."""
        heading(f"a live server hurts its {self.players} players")
        self.see(arena, wrong=True)
        kinds, count, right = arena.held()
        for kind, numbers in kinds.items():
            print(f"    {kind:24}{numbers['held']:5} held, {numbers['right']} work right")
        must(right == 0, f"callbacks that the server holds: {count}, none works right")

    def by_hand(self, arena):
        """The hotfix file, and back."""
        heading("first aid: a hotfix file, written by hand")
        before = arena.fingerprint()
        answer = arena.ask("hotfix", HERE / "HotfixCode.py")
        print(answer["words"])
        must(answer["ok"], "executed in the live server, one transaction")
        self.see(arena, wrong=False)
        back = arena.ask("revert", answer["patch_id"])
        must(back["ok"] and arena.fingerprint() == before, f"taken back; fingerprint {before}, as before")

    def build(self):
        """The patch, from two trees of source."""
        heading("a patch, from two versions of the source")
        said = self.terminal.suture("build", "old", "new", "-o", self.patch, "--reason", "armour hurts", "--author", "ops")
        said.show()
        shown = self.terminal.suture("show", self.patch).text.splitlines()
        print("\n".join(line for line in shown if line.startswith(("arena.", "-", "+"))))
        must(said.code == 0 and shown, "built")

    def plan(self, arena):
        """What would happen."""
        heading("the operator's terminal: who is there, and what would happen")
        self.terminal.suture("ps").show()
        before = arena.fingerprint()
        said = self.terminal.suture("plan", self.patch, "--service", "arena")
        said.show()
        must(said.code == 0 and arena.fingerprint() == before, f"nothing was changed: fingerprint {before} before and after")

    def apply(self, arena):
        """The fix, while players act."""
        heading("apply, while they play")
        asked = time.monotonic()
        said = self.terminal.suture("apply", self.patch, "--service", "arena")
        said.show()
        report = self.terminal.report()
        must(
            said.code == 0 and report["state"] == "committed",
            f"the switch took {report['commit_us']:.0f} us, all of it with the report {sum(report['phase_ms'].values()):.0f} ms",
        )
        inside = said.text.count("inside old code: pid ")
        limit = time.monotonic() + 30
        while (left := self.terminal.report()["inside_old"]) and time.monotonic() < limit:
            time.sleep(0.1)
        must(inside and left == 0, f"calls inside old code: {inside} after the switch, {left} now")
        self.see(arena, wrong=False)
        first, last = arena.players.first_right_ms(asked), arena.players.last_wrong_ms(asked)
        must(first is not None, f"first right hit {first or 0:.0f} ms after the command, last wrong hit {last:.0f} ms")
        _, count, right = arena.held()
        must(right == count, f"held callbacks that work right: {right} of {count}")
        self.connected(arena)
        said = self.terminal.suture("status")
        said.show()
        must(said.code == 0, "status: as asked")

    def refusal(self):
        """A server that runs other code."""
        heading("a refusal: the same patch, on a server that runs other code")
        text = (HERE / "combat.py").read_text().replace("return attack + armour", "return attack + 2 * armour")
        with self.arena("other", {"combat.py": text}, players=min(20, self.players)) as arena:
            before = arena.fingerprint()
            said = self.terminal.suture("apply", self.patch, "--service", "arena")
            said.show()
            (seat,) = self.terminal.reads("plan", self.patch, "--service", "arena")["processes"]
            misfits = {f["target"] for f in seat["report"]["findings"] if f["severity"] == "error"}
            must(
                said.code == 1 and misfits,
                f"refused: {len(misfits)} of {len(seat['report']['changed'])} targets doesn't fit, so none was changed",
            )
            must(arena.fingerprint() == before, f"nothing was changed: fingerprint {before} before and after")

    def table(self):
        """Four fresh servers, four ways; the last one's fix is taken back."""
        heading("four fresh servers, four ways")
        print(f"{'':9}{'held callbacks':>20}{'wrong hits':>13}{'worst tick':>14}{'over the':>11}")
        print(f"{'':9}{'on new code':>20}{'a second':>13}{'late by ms':>14}{'control':>11}")
        source = self.new / "arena"
        ways = {
            "nothing": (),
            "reload": ("reload", source),
            "setattr": ("setattr", source),
            "suture": ("apply", self.folder / self.patch),
        }
        rows = {}
        for name, command in ways.items():
            with self.arena(name) as arena:
                rows[name], patch_id = self.way(arena, command)
                print(f"{name:9}{rows[name].words(rows['nothing'])}", flush=True)
                if name == "suture":
                    self.compare(**rows)
                    self.revert(arena, patch_id)

    def way(self, arena, command):
        """Fix a server in one of the ways, a few times over for the ticks; what became of it."""
        worst, patch_id = [], None
        for _ in range(self.rounds):
            if patch_id:
                must_go(arena.ask("revert", patch_id))
            arena.ask("ticks")
            patch_id = must_go(arena.ask(*command)).get("patch_id") if command else None
            seen = arena.players.window(0.5)
            worst.append(arena.ask("ticks")["worst_ms"])
        _, held, right = arena.held()
        return Row(held, right, seen.rate(seen.wrong_hits), statistics.median(worst)), patch_id

    def compare(self, *, nothing, reload, setattr, suture):  # noqa: A002 - named as the rows are
        """What the table says."""
        must(nothing.right == 0, "nothing: all stays wrong")
        must(
            all(row.right < row.held and row.wrong_hits > 0 for row in (reload, setattr)),
            "reload and setattr: callbacks stay on old code, players are hurt",
        )
        must(suture.right == suture.held and suture.wrong_hits == 0, "suture: every held callback, no wrong hit")

    def revert(self, arena, patch_id):
        """Out again."""
        heading("revert, on the last of them: the bug is back")
        said = self.terminal.suture("revert", patch_id, "--service", "arena")
        said.show()
        must(said.code == 0 and not arena.ask("patches")["patches"], "taken back: no patch is live")
        self.see(arena, wrong=True)
        _, count, right = arena.held()
        must(right == 0, f"held callbacks that work right: {right} of {count}")
        self.connected(arena)


def main():
    """All of it."""
    parser = argparse.ArgumentParser(description="a live game server, fixed while players act")
    parser.add_argument("--players", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="look more briefly, once")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="arena-") as folder:
        story = Story(folder, asked.players, quick=asked.quick)
        with Arena(story.old, story.players, story.terminal.run_dir) as arena:
            story.hurt(arena)
            story.by_hand(arena)
            story.build()
            story.plan(arena)
            story.apply(arena)
        story.refusal()
        story.table()
    heading("done")
    print(f"{len(held)} of {len(held)} facts held, all measured just now on Python {sys.version.split()[0]}; once more:")
    print(shlex.join([Path(sys.executable).name, *sys.argv]))


if __name__ == "__main__":
    main()
