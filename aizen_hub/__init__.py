"""aizen-hub: the access layer of a JupyterHub-based ML platform."""

__version__ = "0.1.0"
