class Conn:
    def __init__(self):
        self.host = "h"

    def send(self):
        return self.host
