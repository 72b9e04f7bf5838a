from dataclasses import dataclass


class Key:
    def __init__(self, a):
        self.a = a
