"""The batch script of a server on Slurm, and the values that it requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

SCRIPT: Final = """#!/bin/bash
#SBATCH --job-name=jupyterhub
#SBATCH --output={{homedir}}/.aizen/server-%j.log
#SBATCH --chdir={{homedir}}
#SBATCH --export={{keepvars}}
#SBATCH --no-requeue
{% for name, option in sbatch_options.items() if requests[name] %}#SBATCH --{{option}}={{requests[name]}}
{% endfor %}{% if options %}#SBATCH {{options}}
{% endif %}
set -euo pipefail
JUPYTERHUB_API_TOKEN=$(cat {{token_file}})
export JUPYTERHUB_API_TOKEN
rm -f {{token_file}}
JUPYTER_RUNTIME_DIR=$(mktemp -d "${TMPDIR:-/tmp}/jupyter-XXXXXXXX")
export JUPYTER_RUNTIME_DIR
trap 'rm -rf "$JUPYTER_RUNTIME_DIR"' EXIT
trap : TERM
{{prologue}}
{{cmd}}
{{epilogue}}
"""
"""Without ``srun``, which passes on only what ``--export`` names; the batch step has the same memory and cores."""

OPTIONS: Final = {
    "account": "account",
    "cluster": "clusters",
    "gres": "gres",
    "memory": "mem",
    "nprocs": "cpus-per-task",
    "partition": "partition",
    "qos": "qos",
    "reservation": "reservation",
    "runtime": "time",
}
"""What a server requests, without the prefix ``req_``, and its option of sbatch."""

CHOOSABLE: Final = ("gres", "memory", "nprocs", "partition", "reservation", "runtime")
"""What the options of a user may set, where ``spawn.user_options`` permits it; account and QOS are the project's."""

_VALUE = re.compile(r"[A-Za-z0-9_.,:/@+=\[\]-]{1,200}")
_MEMORY = re.compile(r"(\d{1,12})([KMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 2**20, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class RequestError(ValueError):
    """A value cannot be requested; the message is a sentence for the user."""


def bounded_requests(requests: Mapping[str, Any], memory: int | None, cpu: float | None) -> dict[str, str]:
    """Return what a server requests, by the names of `OPTIONS`, within the limits of the roles.

    Parameters
    ----------
    requests : mapping
        What is configured and chosen, by the same names; an empty value requests nothing.
    memory, cpu : optional
        Upper bounds in bytes and cores. Slurm reserves whole cores, at least one.

    Raises
    ------
    RequestError
        A value is no plain word, or no amount.
    """
    values = {name: str(requests.get(name) or "").strip() for name in OPTIONS}
    values["memory"] = _bounded_memory(values["memory"], memory)
    values["nprocs"] = _bounded_cores(values["nprocs"], cpu)
    for name, value in values.items():
        if value and not _VALUE.fullmatch(value):
            raise RequestError(f"`{name}` has a value that cannot be requested from Slurm")
    return values


def _bounded_memory(text: str, limit: int | None) -> str:
    match = _MEMORY.fullmatch(text or "0")
    if match is None:
        raise RequestError("`memory` is no amount such as `4G`")
    amount = int(match[1]) * _UNITS[match[2].upper()]
    # For Slurm 0 is all memory of a node.
    return text if limit is None or 0 < amount <= limit else f"{max(1, limit // 2**20)}M"


def _bounded_cores(text: str, limit: float | None) -> str:
    if text and not (text.isascii() and text.isdigit()):
        raise RequestError("`nprocs` is no number of cores")
    largest = None if limit is None else max(1, int(limit))
    return text if largest is None or 0 < int(text or 0) <= largest else str(largest)
