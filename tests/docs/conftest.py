from tests.fixtures.documentation import documentation

__all__ = ["documentation"]
