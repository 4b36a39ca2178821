"""Minimal, cited cloud firewall rules for Citrix.

A declared deployment goes through a cited catalogue of ports and becomes a policy: for every tier a group
with the fewest rules that permit exactly its flows.

    from citrix_netpolicy import Deployment, compile_deployment, render, write_folder
    compilation = compile_deployment(Deployment.load("contoso.yaml"))
    write_folder("network-policy", render(compilation, "terraform"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from citrix_netpolicy.version import __version__ as __version__

if TYPE_CHECKING:
    from citrix_netpolicy.compiler import Compilation, compile_deployment
    from citrix_netpolicy.errors import InputError, Mark, NetpolicyError, OutputError, Problem, TargetError
    from citrix_netpolicy.findings import Finding, Severity
    from citrix_netpolicy.folder import Module, Update, update_folder, write_folder
    from citrix_netpolicy.generate import render
    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.policy import Cause, Direction, Group, GroupKey, Policy, Rule
    from citrix_netpolicy.reports.stats import GroupStats, Stats, stats_of
    from citrix_netpolicy.traffic import Traffic, traffic_of

__all__ = [
    "Catalog",
    "Cause",
    "Compilation",
    "Deployment",
    "Direction",
    "Finding",
    "Group",
    "GroupKey",
    "GroupStats",
    "InputError",
    "Mark",
    "Module",
    "NetpolicyError",
    "OutputError",
    "Policy",
    "Problem",
    "Rule",
    "Severity",
    "Stats",
    "TargetError",
    "Traffic",
    "Update",
    "compile_deployment",
    "render",
    "stats_of",
    "traffic_of",
    "update_folder",
    "write_folder",
]


# Each public name and the module that defines it. A name loads its module when it is first used, so that a
# build script pays for what it needs.
_HOMES = {
    "Catalog": "inputs.catalog",
    "Cause": "policy",
    "Compilation": "compiler",
    "Deployment": "inputs.deployment",
    "Direction": "policy",
    "Finding": "findings",
    "Group": "policy",
    "GroupKey": "policy",
    "GroupStats": "reports.stats",
    "InputError": "errors",
    "Mark": "errors",
    "Module": "folder",
    "NetpolicyError": "errors",
    "OutputError": "errors",
    "Policy": "policy",
    "Problem": "errors",
    "Rule": "policy",
    "Severity": "findings",
    "Stats": "reports.stats",
    "TargetError": "errors",
    "Traffic": "traffic",
    "Update": "folder",
    "compile_deployment": "compiler",
    "render": "generate",
    "stats_of": "reports.stats",
    "traffic_of": "traffic",
    "update_folder": "folder",
    "write_folder": "folder",
}
# Names of before, and what replaces them.
_RENAMED = {"write": "`render` returns the files, and `write_folder` puts them on disk"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        raise AttributeError(f"`{__name__}.{name}` is gone: {_RENAMED[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
