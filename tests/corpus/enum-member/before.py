import enum


class Color(enum.Enum):
    RED = 1
    GREEN = 2

    def label(self):
        return "old " + self.name


HELD = {Color.RED: "rouge"}
ALL = [c.name for c in Color]


def of(value):
    return Color(value)
