import abc


class Plugin(abc.ABC):
    @abc.abstractmethod
    def run(self): ...


class Half(Plugin):
    def run(self):
        return 1


class Full(Plugin):
    def run(self):
        return 1

    def stop(self):
        return 2


class Open(Plugin):
    pass
