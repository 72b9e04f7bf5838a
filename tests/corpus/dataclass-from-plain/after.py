from dataclasses import dataclass

_LATER = object()


class Event:
    """Base."""


@dataclass
class Opened(Event):
    """A stream is there."""

    stream: int
    error: object = _LATER

    def __repr__(self):
        return f"<Opened {self.stream}, {self.error}>"


def opened():
    event = Opened(stream=3)
    event.error = None
    return event
