"""The tests; a package of its own, since one of our test requirements installs another by this name."""
