import abc


class P(abc.ABC):
    @abc.abstractmethod
    def stop(self): ...
