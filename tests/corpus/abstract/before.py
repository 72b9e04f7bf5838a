import abc


class P(abc.ABC):
    pass
