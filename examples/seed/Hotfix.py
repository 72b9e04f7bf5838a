from suture import replace_func, do_hotfix
