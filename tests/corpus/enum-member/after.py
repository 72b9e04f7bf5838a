import enum


class Color(enum.Enum):
    RED = 1
    BLUE = 3
    GREEN = 2
    AZURE = 3

    def label(self):
        return "new " + self.name


HELD = {Color.RED: "rouge"}
ALL = [c.name for c in Color]
DEFAULT = Color.BLUE


def of(value, default=Color.BLUE):
    return Color(value)
