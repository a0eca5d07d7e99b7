"""The intake that a team would write by hand with Django REST framework: what ours is compared with."""
