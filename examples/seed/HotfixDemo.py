import TestModule
import Hotfix

if __name__ == '__main__':
    TestModule.module_func()
    obj = TestModule.A()
    obj.class_func()
    while 1:
        try:
            a = input()
        except EOFError:
            break
        Hotfix.do_hotfix()
        TestModule.module_func()
        obj.class_func()
