def f():
    return 2


if __name__ == "__main__":
    print(f())
