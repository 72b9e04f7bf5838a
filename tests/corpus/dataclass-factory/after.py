from dataclasses import dataclass, field


@dataclass
class Order:
    id: int
    tags: list = field(default_factory=list)

    def add(self, tag):
        self.tags.append(tag)
        return self.tags
