import Hotfix

def zhangsan():
    import TestModule
    TestModule.a = 100

    @Hotfix.replace_func(TestModule)
    def module_func():
        print('hotfix ..... module_func')
        print(TestModule.a)

    @Hotfix.replace_func(TestModule.A)
    def class_func1(self):
        pass

    @Hotfix.replace_func(TestModule.A)
    def class_func(self):
        self.class_func1()
        print('hotfix ..... object A')

def lisi():
    pass

def run_all():
    zhangsan()
    lisi()

run_all()
