# Far from the top of its file, so that the lines of the classes in it matter.





def kind(rate):
    class Inner:
        """Made at each call."""

        factor = rate

        def twice(self):
            return self.factor * 2

    return Inner


class Shop:
    name = "old"

    # A comment.

    @staticmethod
    def maker():
        class Inner(Shop):
            name = "inner"

            def said(self):
                return f"{super().name} {self.name}"

        return Inner

    def same(self):
        class Same:
            pass

        return Same


def outer(n):
    def make():
        class Deep:
            value = n

        return Deep

    return make
