"""IPython startup file, installed as ``etc/ipython/startup/10-aizen.py``: loads the extension in servers of the hub."""


# No import at the top: this file runs in the user's name space and must leave nothing there.
def _load_aizen() -> None:
    import os

    if not os.environ.get("AIZEN_URL"):
        return
    try:
        from IPython import get_ipython

        import aizen_hub.notebook

        shell = get_ipython()
        if shell is not None:
            aizen_hub.notebook.load_ipython_extension(shell)
    except Exception as error:  # noqa: BLE001  a kernel without the commands is better than no kernel
        print(f"aizen: the commands could not be loaded ({type(error).__name__}: {' '.join(str(error).split())[:200]})")


_load_aizen()
del _load_aizen
