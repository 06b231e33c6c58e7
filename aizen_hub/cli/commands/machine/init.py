"""``aizen-hub init``: the initial configuration files."""

from __future__ import annotations

import ipaddress
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from aizen_hub.cli.exit_codes import ExitCode
from aizen_hub.cli.output import show_message
from aizen_hub.cli.replica_files import ReplicaOptions, create_shared_secrets, replica_settings
from aizen_hub.settings import Settings

_TEMPLATE = '''\
"""A hub with aizen-hub. Start it with `jupyterhub -f jupyterhub_config.py`."""

from aizen_hub.hub.configure import configure

c = get_config()  # noqa: F821 - given by JupyterHub

{origin}
{servers}
# Put your own settings above this line.
configure(c, "aizen.yaml")
'''
DEFAULT_HUB_URL = "http://hub.localhost:8000"
_OWN_HOSTS = """\
# Each user server gets a host of its own below this one, ann.{host}: with one host for all, a page of any user
# could act in the hub and the panel as the user who opens it.
# {needs}
c.JupyterHub.subdomain_host = "{url}"
"""
_ONE_HOST = """\
# User servers share the host of the hub and the panel, since {host} has no subdomains: a page of any user can act in
# the hub as the user who opens it. `insecure_same_origin` in aizen.yaml accepts that; for production write a name:
# c.JupyterHub.subdomain_host = "https://hub.example.org"
"""
_TRIAL_SERVERS = """\
# For a trial on this machine: user servers run under the account that starts the hub, with their files in `homes`.
# `insecure_same_uid` in aizen.yaml accepts that. For production choose a spawner that gives each user an account, a
# container or a pod, such as c.JupyterHub.spawner_class = "aizen-docker"
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = os.path.abspath("homes/{username}")
if os.geteuid() == 0:
    c.Spawner.args = ["--allow-root"]
"""
_OWN_SERVERS = """\
# Choose a spawner that gives each user an account, a container or a pod; the default one needs root, and an account of
# this machine with the name of each user.
# c.JupyterHub.spawner_class = "aizen-docker"
"""


def hub_config(url: str = DEFAULT_HUB_URL) -> str:
    """Return the ``jupyterhub_config.py`` of a hub with this address in browsers."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_local = host.endswith(".localhost")
    if not has_subdomains(url):
        origin = _ONE_HOST.format(host=host)
    elif is_local:
        needs = "Browsers find *.localhost on their own machine."
        origin = _OWN_HOSTS.format(host=host, url=url, needs=needs)
    else:
        needs = f"It needs DNS and a certificate for {host} and *.{host}."
        origin = _OWN_HOSTS.format(host=host, url=url, needs=needs)
    if parts.scheme == "http":
        bind = f"http://127.0.0.1:{parts.port or 80}" if is_local else url
        origin += f'c.JupyterHub.bind_url = "{bind}"\n'
    is_trial = is_on_this_machine(url)
    servers = _TRIAL_SERVERS if is_trial else _OWN_SERVERS
    text = _TEMPLATE.replace("{origin}", origin).replace("{servers}", servers)
    return text.replace("\nfrom aizen", "\nimport os\n\nfrom aizen", 1) if is_trial else text


def is_on_this_machine(url: str) -> bool:
    """Return whether only browsers on the hub's own machine can use this address: an installation for a trial."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def has_subdomains(url: str) -> bool:
    """Return whether user servers can have hosts below that of this address."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host  # browsers keep no cookies for all hosts below a single label
    return False


HUB_CONFIG = hub_config()


def example(url: str = DEFAULT_HUB_URL) -> str:
    """Return the commented ``aizen.yaml`` that ``init`` writes."""
    text = files("aizen_hub.cli").joinpath("example.yaml").read_text(encoding="utf-8")
    for name, is_needed in (
        ("insecure_same_origin", not has_subdomains(url)),
        ("insecure_same_uid", is_on_this_machine(url)),
    ):
        if is_needed:
            text = text.replace(f"# {name}: false\n", f"{name}: true\n")
    return text


def _check_replica_option(context: click.Context, option: click.Parameter, value: str) -> str:
    if not context.params.get("replica") and context.get_parameter_source(str(option.name)) != ParameterSource.DEFAULT:
        raise click.BadParameter("it needs --replica")
    return value


def _has_password(database: str) -> bool:
    from aizen_hub.store.database import database_url

    return bool(database_url(database).password)


def _check_url(_context: click.Context, _option: click.Parameter, value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise click.BadParameter("write it as https://hub.example.org")
    return value.rstrip("/")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option(
    "--hub-url",
    metavar="URL",
    default=DEFAULT_HUB_URL,
    show_default=True,
    callback=_check_url,
    help="The address of the hub in browsers; the default works on this machine only.",
)
@click.option("--replica", is_flag=True, is_eager=True, help="For a service that the hub does not start.")
@click.option(
    "--hub-api-url",
    metavar="URL",
    default="http://127.0.0.1:8081/hub/api",
    show_default=True,
    callback=_check_replica_option,
    help="With --replica: the address of the hub's API for the service.",
)
@click.option(
    "--service-url",
    metavar="URL",
    default="http://127.0.0.1:9095",
    show_default=True,
    callback=_check_replica_option,
    help="With --replica: the address of the service for the hub, kernels and the core.",
)
@click.option(
    "--database",
    metavar="URL",
    default="postgresql+psycopg://aizen@127.0.0.1/aizen",
    show_default=True,
    callback=_check_replica_option,
    help="With --replica: the database that all replicas share.",
)
def init(
    folder: Path, force: bool, hub_url: str, replica: bool, hub_api_url: str, service_url: str, database: str
) -> int:
    """Write a commented aizen.yaml and a jupyterhub_config.py into FOLDER (default: the current one).

    Each user server gets a host of its own below that of the hub, so that no page of a user can act in the hub as
    another. An address without subdomains, such as http://127.0.0.1:8000, needs `insecure_same_origin: true`, which is
    written then: do not use that in production. With an address of this machine, user servers run under the account
    that starts the hub (`insecure_same_uid: true`), which needs nothing else: for production choose a spawner.

    Existing files are kept unless you set --force. Then adapt aizen.yaml, check the installation with `aizen-hub
    doctor`, and start `jupyterhub`, which starts the service; `aizen-hub recover-admin admin` prints the link for the
    first admin. `aizen-hub doctor --production` also lists what is acceptable in a trial only.

    With --replica the service runs by itself, once or several times on PostgreSQL: this also writes the secrets that
    the hub and the replicas share, and says which file goes where. Start each replica with `aizen-hub serve`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = example(hub_url)
    if replica:
        options = ReplicaOptions(hub_url, hub_api_url, service_url.rstrip("/"), database)
        text = replica_settings(text, options, subdomains=has_subdomains(hub_url))
    contents = {folder / "aizen.yaml": text, folder / "jupyterhub_config.py": hub_config(hub_url)}
    present = [path for path in contents if path.exists()]
    if present and not force:
        show_message(f"aizen-hub: {present[0]} exists already; --force overwrites it")
        return ExitCode.CONFLICT
    if replica and _has_password(database):
        # Before the password is in it; a file that --force overwrites would keep its mode.
        (folder / "aizen.yaml").touch(0o600)
        (folder / "aizen.yaml").chmod(0o600)
    for path, text in contents.items():
        path.write_text(text, encoding="utf-8")
        show_message(f"wrote {path}")
    if replica:
        shared = create_shared_secrets(Settings.load(folder / "aizen.yaml", {}))
        show_message("copy aizen.yaml to the hub's machine and every replica, jupyterhub_config.py to the hub's, and")
        for file, destination in shared:
            show_message(f"  {file} to {destination}")
    return ExitCode.DONE
