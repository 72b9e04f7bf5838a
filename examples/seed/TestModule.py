a = 1

class A(object):
    def class_func(self):
        print('object A')

def module_func():
    print('module_func')
    print(a)
