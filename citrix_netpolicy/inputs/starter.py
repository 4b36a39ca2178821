"""The deployment that `citrix-netpolicy init` writes to start from."""

from typing import Final

__all__ = ["starter"]

_STARTER: Final = """\
# A deployment for citrix-netpolicy: which Citrix roles stand in which subnets.
#   citrix-netpolicy compile deployment.yaml --target terraform --out network-policy
#   citrix-netpolicy schema > deployment.schema.json    (completion in editors)

# Names the site; every security group's name begins with it.
name: my-site

# One network in one cloud. Several: `networks: {main: {cloud: aws}, other: {cloud: aws}}`, and a
# `network:` in every tier.
cloud: aws

# The catalogue and its defaults as they were then; a newer release opens nothing more.
edition: EDITION

# Tiers get a security group each. A tier named after its role needs no more than its subnets.
tiers:
  # The addresses of one ADC, here in subnets of their own: management, client side, server side.
  netscaler-mgmt: [10.0.0.0/28]
  netscaler-vip: [10.0.0.16/28]
  netscaler-snip: [10.0.0.32/28]
  storefront: [10.0.1.0/28]
  ddc: [10.0.2.0/28]
  # Machines that have several roles list them.
  vda:
    roles: [vda, pvs-target]
    subnets: [10.0.64.0/20]
  pvs: [10.0.3.0/28]
  sql: [10.0.4.0/28]
  license-server: [10.0.5.0/28]

# Peers that get no group: people, and services outside the network.
external:
  user-device: [0.0.0.0/0]
  admin-workstation: [10.99.0.0/24]
  active-directory:
    roles: [domain-controller, dns]
    addresses: [10.98.0.10, 10.98.0.11]
  # An AWS prefix list, or a security group that exists already:
  # ntp: {prefix-list: {id: pl-0123456789abcdef0, max-entries: 4}}
  # syslog: {security-group: 123456789012/sg-0123456789abcdef0}

# Features on or off; what is left out has the catalogue's default.
features:
  edt: true
  html5: false

# Ports that the site has chosen. A StoreFront server group needs one pinned, here and in StoreFront.
parameters:
  storefront-peer-port: 8090

# Connections of the site's own, each with its reason.
# flows:
#   monitoring:
#     source: admin-workstation
#     destination: [ddc, vda]
#     services: [{protocol: tcp, ports: [9182]}]
#     reason: Metrics are read by the operations team

# Catalogue entries that the site does without, each with its reason.
# exclude: [{entry: ddc-vda-local-host-cache, reason: No Local Host Cache here}]

# What has only a name, such as the service that activates licences, passes a firewall that filters names.
# Other ways: {through: proxy, end: web-proxy, port: 8080}, open, or listed (default: groups stay shut to it).
names: {through: firewall}

# Citrix Cloud has names of its own in each region; without this the names of all regions are listed.
# citrix-cloud-region: eu

# egress: open          # leave outbound connections alone (default: restricted)
# cidrs: stable         # keep prefixes as declared (default: exact, the fewest rules)
"""


def starter(edition: str) -> str:
    """Return a commented deployment that pins this edition of the catalogue."""
    return _STARTER.replace("EDITION", edition)
