class Base:
    def hello(self):
        return "base"


class A(Base):
    def hello(self):
        return super().hello() + "+a", __class__.__name__
