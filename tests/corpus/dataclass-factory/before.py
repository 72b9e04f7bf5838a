from dataclasses import dataclass


@dataclass
class Order:
    id: int

    def add(self, tag):
        return [tag]
