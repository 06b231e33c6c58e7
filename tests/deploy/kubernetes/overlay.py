"""What ``kubectl kustomize`` makes of an overlay of ``deploy/kubernetes``, as far as those files use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_KNOWN = {"apiVersion", "kind", "resources", "images", "generatorOptions", "configMapGenerator"}


def render_overlay(folder: Path) -> list[dict[str, Any]]:
    """Return the objects of a folder with a ``kustomization.yaml``, and of those that it names.

    Raises
    ------
    ValueError
        The file has a key that is not known here.
    """
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    unknown = kustomization.keys() - _KNOWN
    if unknown:
        raise ValueError(f"{folder}/kustomization.yaml: {', '.join(sorted(unknown))}")
    objects: list[dict[str, Any]] = []
    for name in kustomization["resources"]:
        path = folder / name
        objects += render_overlay(path) if path.is_dir() else [yaml.safe_load(path.read_text(encoding="utf-8"))]
    for generator in kustomization.get("configMapGenerator", []):
        _generate(objects, folder, generator)
    for image in kustomization.get("images", []):
        _replace_image(objects, image)
    return objects


def _generate(objects: list[dict[str, Any]], folder: Path, generator: dict[str, Any]) -> None:
    data = {Path(name).name: (folder / name).read_text(encoding="utf-8") for name in generator["files"]}
    if generator.get("behavior") == "replace":
        (former,) = (
            value for value in objects if (value["kind"], value["metadata"]["name"]) == ("ConfigMap", generator["name"])
        )
        former["data"] = data
    else:
        metadata = {"name": generator["name"]}
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _replace_image(objects: list[dict[str, Any]], image: dict[str, str]) -> None:
    for value in objects:
        template = value.get("spec", {}).get("template", {}).get("spec", {})
        for container in template.get("containers", []):
            name, _, tag = (
                container["image"].rpartition(":") if ":" in container["image"] else (container["image"], "", "")
            )
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"
