"""
The operator's console: a port on loopback, one command a line, one line of JSON back.

    status          players, ticks, what is held and whether it works right
    ticks           the worst tick since this was last asked, in ms
    fingerprint     a digest of the game's code
    patches         ids of the live patches                  (suture)
    apply FILE      take a patch live                        (suture)
    revert ID       take it back                             (suture)
    hotfix FILE     execute a hotfix file                    (suture)
    reload DIR      copy the source from there and importlib.reload it
    setattr DIR     put that source's functions under the old names
    stop            end

Whoever reaches this port may run anything in the server.  Here it's a demo's; yours needs a lock.
"""

import asyncio
import importlib
import json
import shutil
import types
from pathlib import Path

import suture
from arena import combat, probe, quest

FIXED = (combat, quest)


class Console:
    """Commands on one server."""

    def __init__(self, server):
        self.server = server

    async def serve(self, reader, writer):
        """Answer one operator until they leave, or stop the server."""
        while not self.server.stopping.is_set() and (line := await reader.readline()):
            writer.write(json.dumps(await self.answer(line.decode())).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def answer(self, line):
        """One command; an error is an answer too."""
        verb, _, rest = line.strip().partition(" ")
        command = getattr(self, f"do_{verb}", None)
        if command is None:
            return {"error": f"no such command: {verb}"}
        try:
            return await command(rest)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    async def do_status(self, _):
        server = self.server
        return {"players": len(server.sessions), "ticks": server.ticks, "held": probe.held(server.sessions, server.timers)}

    async def do_ticks(self, _):
        worst, self.server.worst_late_s = self.server.worst_late_s, 0.0
        return {"worst_ms": worst * 1e3}

    async def do_fingerprint(self, _):
        return {"fingerprint": probe.fingerprint()}

    async def do_patches(self, _):
        return {"patches": [report.patch_id for report in suture.status()]}

    async def do_apply(self, path):
        return _told(await asyncio.wrap_future(suture.apply_soon(path)))

    async def do_hotfix(self, path):
        return _told(await _aside(suture.do_hotfix, path))

    async def do_revert(self, patch_id):
        return _told(await _aside(suture.revert, patch_id))

    async def do_reload(self, folder):
        await _aside(_reload, folder)
        return {"ok": True}

    async def do_setattr(self, folder):
        await _aside(_setattr, folder)
        return {"ok": True}

    async def do_stop(self, _):
        self.server.stopping.set()
        return {"ok": True}


def _told(report):
    return {**report.to_json(), "words": report.words()}


async def _aside(function, *args):
    """Call in a thread: the loop goes on serving players."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


def _reload(folder):
    """What many do: new source in place, and import it again."""
    for module in FIXED:
        shutil.copyfile(Path(folder) / Path(module.__file__).name, module.__file__)
        importlib.reload(module)


def _setattr(folder):
    """What the seed of suture did: new functions under the old names, of modules and classes."""
    for module in FIXED:
        path = Path(folder) / Path(module.__file__).name
        space = {"__name__": module.__name__}
        exec(compile(path.read_text(), str(path), "exec"), space)
        for name, new in space.items():
            old = getattr(module, name, None)
            if isinstance(new, type):
                for key, value in vars(new).items():
                    if isinstance(value, types.FunctionType):
                        setattr(old, key, value)
            elif getattr(new, "__module__", None) == module.__name__:
                setattr(module, name, new)
