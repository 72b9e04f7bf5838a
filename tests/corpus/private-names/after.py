class A:
    __rate = 2

    def __double(self, n):
        return n * self.__rate + 1

    def go(self, n):
        return self.__double(n), self.__rate
