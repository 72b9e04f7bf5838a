from posixpath import join as f
