"""Minimal, cited cloud firewall rules for Citrix.

A declared deployment goes through a cited catalogue of ports and becomes a policy: for every tier a group
with the fewest rules that permit exactly the flows of the site.

    from citrix_netpolicy import Deployment, compile_deployment
    policy = compile_deployment(Deployment.load("contoso.yaml"))
"""

from citrix_netpolicy.catalog import Catalog
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.deployment import Deployment
from citrix_netpolicy.errors import InputError, NetpolicyError, OutputError, Problem, TargetError
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
