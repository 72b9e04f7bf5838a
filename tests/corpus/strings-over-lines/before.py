class A:
    def f(self):
        return """one
  two
"""
