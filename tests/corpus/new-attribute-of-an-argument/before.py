class Conn:
    def __init__(self, host):
        pass

    def send(self):
        return 1
