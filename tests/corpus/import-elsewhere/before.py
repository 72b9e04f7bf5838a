from os.path import join as f
