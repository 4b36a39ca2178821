"""How much of everything is taken. `docs/limits.md` says why, and what to do beyond.

The figures are far above real sites, and low enough that an input at any of them is done in seconds.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACCEPTANCES",
    "CATALOGS",
    "CATALOG_BYTES",
    "CATALOG_ENTRIES",
    "CELLS",
    "CONNECTIONS",
    "DEPTH",
    "END_PREFIXES",
    "EXCLUSIONS",
    "EXTERNALS",
    "FLOWS",
    "FLOW_SERVICES",
    "GENERATED_BYTES",
    "GENERATED_VALUES",
    "INCLUDES",
    "INPUT_BYTES",
    "LINKS",
    "NAME",
    "NETWORKS",
    "PLACES",
    "PORT_RANGES",
    "PREFIXES",
    "ROLES",
    "RULES",
    "SHOWN",
    "SIDE_CELLS",
    "TEXT",
    "TIERS",
    "VALUES",
]

# Files
INPUT_BYTES: Final = 4 * 1024 * 1024
GENERATED_BYTES: Final = 64 * 1024 * 1024
DEPTH: Final = 40
VALUES: Final = 200_000
GENERATED_VALUES: Final = 1_000_000

# A deployment
NETWORKS: Final = 200
PLACES: Final = 1_000
LINKS: Final = 1_000
TIERS: Final = 1_000
EXTERNALS: Final = 2_000
ROLES: Final = 100
END_PREFIXES: Final = 4_000
PREFIXES: Final = 60_000
FLOWS: Final = 10_000
FLOW_SERVICES: Final = 10_000
PORT_RANGES: Final = 10_000
EXCLUSIONS: Final = 1_000
ACCEPTANCES: Final = 1_000
TEXT: Final = 2_000
NAME: Final = 255
INCLUDES: Final = 50

# Catalogue files of a site's own
CATALOGS: Final = 20
CATALOG_BYTES: Final = 4 * 1024 * 1024
CATALOG_ENTRIES: Final = 5_000

# What comes of them
CONNECTIONS: Final = 200_000
CELLS: Final = 300_000
SIDE_CELLS: Final = 50_000
RULES: Final = 200_000

# What is shown
SHOWN: Final = 100
