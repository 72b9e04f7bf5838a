class Conn:
    sent = 0

    def __init__(self):
        self.host = "h"
        self.sent = 0

    def send(self):
        self.sent += 1
        return self.host, self.sent
