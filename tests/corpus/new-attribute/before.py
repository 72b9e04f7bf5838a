class Conn:
    def __init__(self, host):
        self.host = host

    def send(self):
        return self.host
