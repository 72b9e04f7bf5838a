import typing


@typing.runtime_checkable
class Closer(typing.Protocol):
    def close(self): ...
    def flush(self): ...
