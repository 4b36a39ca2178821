"""Checks of what a deployment says without any effect, or no longer means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citrix_netpolicy.findings import LOSSES, Finding
from citrix_netpolicy.meeting import feature_states

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
        without = feature_states(deployment.model_copy(update={"features": others}), compiled.catalog)
        if deployment.features[name] is without[name]:
            continue
        if compiled.is_unmoved_by(features=flipped):
            yield _idle_feature(compiled, name, ("features", name), "here", is_on=deployment.features[name])
    for kind in ("tiers", "external"):
        ends: Mapping[str, Tier | External] = getattr(deployment, kind)
        for end in sorted(ends):
            features = ends[end].features
            for name in sorted(features):
                others = {other: state for other, state in features.items() if other != name}
                changed = {**ends, end: ends[end]._with(features=others)}
                if compiled.is_unmoved_by(**{kind: changed}):
                    path = (kind, end, "features", name)
                    yield _idle_feature(compiled, name, path, f"for `{end}`", is_on=features[name])


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
        if compiled.is_unmoved_by(parameters=others):
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
    for index, exclusion in enumerate(exclude):
        others = (*exclude[:index], *exclude[index + 1 :])
        if compiled.is_unmoved_by(exclude=others):
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
