"""Checks of what a deployment says without any effect, or no longer means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citrix_netpolicy.findings import LOSSES, Finding
from citrix_netpolicy.meeting import feature_states, features_of
from citrix_netpolicy.omissions import Excluded
from citrix_netpolicy.resolve import resolve_entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.inputs.deployment import External, Justified, Tier
    from citrix_netpolicy.lint.compiled import Compiled

__all__ = [
    "expired",
    "idle_acceptances",
    "idle_exclusions",
    "idle_features",
    "idle_flows",
    "idle_parameters",
    "lonely_externals",
    "lonely_tiers",
]


def idle_features(compiled: Compiled) -> Iterator[Finding]:
    """Features that the site sets to another state than they would have, without any effect."""
    deployment = compiled.deployment
    for name in sorted(deployment.features):
        others = {other: state for other, state in deployment.features.items() if other != name}
        flipped = {**others, name: not deployment.features[name]}
        without = feature_states(deployment._with(features=others), compiled.catalog)
        if deployment.features[name] is without[name]:
            continue
        # What it needs, or needs it, goes with it.
        touched = {name, *_with_it(compiled, name)}
        entries = set[str]().union(*(compiled.touched_by.get(one, ()) for one in touched))
        if compiled.is_unmoved_by(entries, features=flipped):
            yield _idle_feature(compiled, name, ("features", name), "here", is_on=deployment.features[name])
    yield from _idle_features_of_ends(compiled)


def _with_it(compiled: Compiled, feature: str) -> Iterator[str]:
    for name, known in compiled.catalog.features.items():
        if feature in known.requires:
            yield name
            yield from _with_it(compiled, name)


def _idle_features_of_ends(compiled: Compiled) -> Iterator[Finding]:
    """Features that an end sets, where nothing about its roles depends on them, or all are of one mind."""
    deployment, catalog = compiled.deployment, compiled.catalog
    ends = deployment.ends
    roles: dict[str, set[str]] = {}
    for entry in catalog.entries if any(end.features for end in ends.values()) else ():
        both = {member for role in (*entry.source, *entry.destination) for member in catalog.members(role)}
        if entry.stand_in:
            both |= {name for name, role in catalog.roles.items() if role.stands_in_for}
        for feature in features_of(entry) if entry.treatment in ("enforce", "name") else ():
            roles.setdefault(feature, set()).update(both)
    minds = {(name, state) for end in ends.values() for name, state in end.features.items()}
    for kind in ("tiers", "external"):
        found: Mapping[str, Tier | External] = getattr(deployment, kind)
        for end in sorted(found):
            for name, is_on in sorted(found[end].features.items()):
                is_about_it = not roles.get(name, set()).isdisjoint(found[end].roles)
                is_said = compiled.features[name] is not is_on or (name, not is_on) in minds
                if not (is_about_it and is_said):
                    path = (kind, end, "features", name)
                    yield _idle_feature(compiled, name, path, f"for `{end}`", is_on=is_on)


def _idle_feature(compiled: Compiled, name: str, path: DataPath, where: str, *, is_on: bool) -> Finding:
    return Finding(
        "feature-without-effect",
        name,
        f"feature `{name}` is {'on' if is_on else 'off'}, which has no effect {where}",
        "remove it, or deploy the roles that it affects",
        locations=compiled.at(*path),
    )


def idle_parameters(compiled: Compiled) -> Iterator[Finding]:
    """Parameters that the site sets, without any effect."""
    for name in sorted(compiled.deployment.parameters):
        others = {other: value for other, value in compiled.deployment.parameters.items() if other != name}
        users = {
            entry.id
            for entry in compiled.catalog.entries
            if any(one.parameter == name for one in entry.services)
        }
        if compiled.is_unmoved_by(users, parameters=others):
            yield Finding(
                "parameter-without-effect",
                name,
                f"parameter `{name}` has no effect here",
                "remove it, or deploy the roles that it affects",
                locations=compiled.at("parameters", name),
            )


def idle_exclusions(compiled: Compiled) -> Iterator[Finding]:
    """Exclusions of entries that would give nothing anyway."""
    exclude = compiled.deployment.exclude
    everywhere = {
        entry
        for one in exclude
        if not (one.source or one.destination)
        for entry in compiled.catalog.entries_of(one.entry)
    }
    # What is excluded between two ends is told of each pair; what is everywhere was not looked at before.
    left = tuple(one for one in exclude if one.source or one.destination)
    would = resolve_entries(compiled.deployment._with(exclude=left), compiled.catalog, everywhere)
    missed = {item.cause.id for items in (would.flows, would.named) for item in items}
    kept_apart: dict[tuple[str, str], list[Excluded]] = {}
    for item in compiled.resolution.omissions:
        if isinstance(item, Excluded) and item.source:
            kept_apart.setdefault((item.entry, item.reason), []).append(item)
    for index, exclusion in enumerate(exclude):
        entries = compiled.catalog.entries_of(exclusion.entry)
        if exclusion.source or exclusion.destination:
            sides = [
                set(compiled.meetings.named(names)[0]) for names in (exclusion.source, exclusion.destination)
            ]
            has_effect = any(
                (not exclusion.source or item.source in sides[0])
                and (not exclusion.destination or item.destination in sides[1])
                for entry in entries
                for item in kept_apart.get((entry, exclusion.reason), ())
            )
        else:
            has_effect = not missed.isdisjoint(entries)
        if not has_effect:
            yield Finding(
                "exclusion-without-effect",
                exclusion.entry,
                f"entry `{exclusion.entry}` is excluded, but would produce no rules here anyway",
                f"remove it; see `citrix-netpolicy catalog show {exclusion.entry}`",
                locations=compiled.at("exclude", index),
            )


def idle_flows(compiled: Compiled) -> Iterator[Finding]:
    """Flows of the site's own that give less than they say."""
    for item in compiled.resolution.omissions:
        kind, _, name = item.entry.partition("flow:")
        if not kind and name in compiled.deployment.flows:
            yield Finding(
                "flow-without-effect",
                name,
                f"part of flow `{name}` produces no rule: {item}",
                "check its `source` and `destination`",
                locations=compiled.at("flows", name),
            )


def expired(compiled: Compiled) -> Iterator[Finding]:
    """Find acceptances, flows and exclusions whose last day has passed.

    They still hold: a date must not break a run.
    """
    deployment = compiled.deployment
    justified: list[tuple[str, str, str, DataPath, Justified]] = [
        *(
            ("acceptance", one.finding, f"`{one.finding}` is accepted", ("accept", index), one)
            for index, one in enumerate(deployment.accept)
        ),
        *(
            ("flow", name, f"flow `{name}` is wanted", ("flows", name), deployment.flows[name])
            for name in sorted(deployment.flows)
        ),
        *(
            ("exclusion", one.entry, f"entry `{one.entry}` is excluded", ("exclude", index), one)
            for index, one in enumerate(deployment.exclude)
        ),
    ]
    for kind, subject, what, path, item in justified:
        if compiled.today is not None and item.is_expired(compiled.today):
            owner = f" (owner: {item.owner})" if item.owner else ""
            yield Finding(
                f"{kind}-expired",
                subject,
                f"{what} until {item.until}, which has passed{owner}",
                f"decide again: move `until`, or remove the {kind} and what makes it necessary",
                locations=compiled.at(*path, "until"),
            )


def lonely_tiers(compiled: Compiled) -> Iterator[Finding]:
    """Tiers that have no flow with any peer."""
    busy = {end for flow in compiled.resolution.flows for end in (flow.source, flow.destination)}
    for group in compiled.policy.groups:
        if group.tier not in busy:
            yield Finding(
                "tier-without-peers",
                group.tier,
                f"tier `{group.tier}` has no flow with any peer",
                "check its roles, and that the roles it communicates with are deployed",
                locations=compiled.at("tiers", group.tier),
                network=group.network,
            )


def lonely_externals(compiled: Compiled) -> Iterator[Finding]:
    """Externals that have no flow with any tier."""
    busy = {end for flow in compiled.resolution.flows for end in (flow.source, flow.destination)}
    for name in sorted(compiled.deployment.external):
        if name not in busy:
            yield Finding(
                "external-without-peers",
                name,
                f"external `{name}` has no flow with any tier",
                "check its roles, and that the roles it communicates with are deployed and on",
                locations=compiled.at("external", name),
            )


def idle_acceptances(compiled: Compiled, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Find acceptances that match none of the findings; a target tells of those of losses."""
    for index, acceptance in enumerate(compiled.deployment.accept):
        if acceptance.finding in LOSSES:
            continue
        subjects = {finding.subject for finding in findings if finding.code == acceptance.finding}
        for subject in acceptance.subject or ("",):
            if subject not in subjects and (subject or not subjects):
                about = f" of `{subject}`" if subject else ""
                yield Finding(
                    "acceptance-without-effect",
                    subject or acceptance.finding,
                    f"`{acceptance.finding}`{about} is accepted, and there is no such finding",
                    "remove it",
                    locations=compiled.at("accept", index),
                )
