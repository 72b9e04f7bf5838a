class Event:
    """Base."""


class Opened(Event):
    """A stream is there."""

    def __init__(self):
        self.stream = None
        self.error = None

    def __repr__(self):
        return f"<Opened {self.stream}>"


def opened():
    event = Opened()
    event.stream = 3
    return event
