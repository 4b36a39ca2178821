"""Minimal, cited cloud firewall rules for Citrix.

A declared deployment goes through a cited catalogue of ports and becomes a policy: for every tier a group
with the fewest rules that permit exactly the flows of the site.

    from citrix_netpolicy import Deployment, compile_deployment
    policy = compile_deployment(Deployment.load("contoso.yaml"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from citrix_netpolicy.compiler import compile_deployment
    from citrix_netpolicy.errors import InputError, NetpolicyError, OutputError, Problem, TargetError
    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.minimize import minimize
    from citrix_netpolicy.policy import Direction, Finding, Group, Policy, Rule
    from citrix_netpolicy.targets import write
    from citrix_netpolicy.traffic import Traffic, traffic_of

__all__ = [
    "Catalog",
    "Deployment",
    "Direction",
    "Finding",
    "Group",
    "InputError",
    "NetpolicyError",
    "OutputError",
    "Policy",
    "Problem",
    "Rule",
    "TargetError",
    "Traffic",
    "compile_deployment",
    "minimize",
    "traffic_of",
    "write",
]

__version__ = "0.1.0"

# Each public name and the module that defines it. A name loads its module when it is first used, so that a
# build script pays for what it needs.
_HOMES = {
    "Catalog": "inputs.catalog",
    "Deployment": "inputs.deployment",
    "Direction": "policy",
    "Finding": "policy",
    "Group": "policy",
    "InputError": "errors",
    "NetpolicyError": "errors",
    "OutputError": "errors",
    "Policy": "policy",
    "Problem": "errors",
    "Rule": "policy",
    "TargetError": "errors",
    "Traffic": "traffic",
    "compile_deployment": "compiler",
    "minimize": "minimize",
    "traffic_of": "traffic",
    "write": "targets",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
