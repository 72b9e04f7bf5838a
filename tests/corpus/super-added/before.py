class Base:
    def hello(self):
        return "base"


class A(Base):
    def hello(self):
        return "a"
