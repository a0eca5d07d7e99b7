# A thin alias over dev.py, for fingers used to make: `make demo` is `python3 dev.py demo`.
# More words for the command stand in ARGS: make test ARGS="-k condition -x"
PYTHON ?= python3

help setup demo test up stop bench lint lock clean:
	@exec $(PYTHON) dev.py $@ $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test up stop bench lint lock clean
