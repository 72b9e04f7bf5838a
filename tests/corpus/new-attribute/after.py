class Conn:
    def __init__(self, host, sent=0):
        self.host = host
        self.sent = sent
        self.log: list = []

    def send(self):
        self.sent += 1
        self.log.append(self.host)
        return self.host, self.sent, self.log
