"""Families of metrics, declared once in a class body and made for every registry; those by campaign are bounded in number."""

from __future__ import annotations

from itertools import product
from typing import Final, Generic, Self, TypeVar, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MOST_CAMPAIGNS: Final = 200
OTHER: Final = "other"
_PREFIX: Final = "livepromo_"

Made = TypeVar("Made")


class Campaigns:
    """Which campaigns have a label value of their own: the first 200 that are asked for; all others share `other`."""

    def __init__(self) -> None:
        self._own: set[str] = set()

    def label(self, campaign: str) -> str:
        """Return the label value of a campaign; always the same for the same one."""
        if campaign in self._own:
            return campaign
        if len(self._own) < MOST_CAMPAIGNS:
            self._own.add(campaign)
            return campaign
        return OTHER


class CampaignCounter:
    """A counter by campaign and further labels."""

    def __init__(self, family: Counter, campaigns: Campaigns) -> None:
        self._family, self._campaigns = family, campaigns
        self._children: dict[tuple[str, ...], Counter] = {}

    def labels(self, campaign: str, *more: str) -> Counter:
        """Return the counter of a campaign; further labels stand in the order of the table."""
        key = (campaign, *more)
        child = self._children.get(key)
        if child is None:
            label = self._campaigns.label(campaign)
            child = self._family.labels(label, *more)
            if label != OTHER:  # the others may be many: they are looked up each time
                self._children[key] = child
        return child


class CampaignGauge:
    """A gauge by campaign; `other` is the sum over all the others."""

    def __init__(self, family: Gauge, campaigns: Campaigns) -> None:
        self._family, self._campaigns = family, campaigns
        self._others: dict[str, float] = {}

    def set(self, campaign: str, value: float) -> None:
        """Say what the value of a campaign is now."""
        label = self._campaigns.label(campaign)
        if label == OTHER:
            self._others[campaign] = value
            value = sum(self._others.values())
        self._family.labels(label).set(value)


class _Family(Generic[Made]):
    """A declaration; on a `Metrics` its attribute is what was made of it."""

    kind: str

    def __init__(self, means: str, **labels: tuple[str, ...]) -> None:
        self.means, self.labels = means, labels
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Made: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Made:
        if instance is None:
            return self
        raise AttributeError(f"{self.name} was not made: what was made stands in the instance and is found there first")

    def known(self) -> list[tuple[str, ...]]:
        """Return the label values of all series that can be named before anything happened."""
        return list(product(*self.labels.values())) if self.labels else []


class CounterOf(_Family[Counter]):
    """A counter; labels with the values that are known."""

    kind = "counter"

    def make(self, registry: CollectorRegistry, campaigns: Campaigns) -> Counter:
        """Return the counter, registered, with every series that is known at 0."""
        del campaigns
        family = Counter(_PREFIX + self.name, self.means, tuple(self.labels), registry=registry)
        for values in self.known():
            family.labels(*values)
        return family


class GaugeOf(_Family[Gauge]):
    """A gauge; labels with the values that are known."""

    kind = "gauge"

    def make(self, registry: CollectorRegistry, campaigns: Campaigns) -> Gauge:
        """Return the gauge, registered, with every series that is known at 0."""
        del campaigns
        family = Gauge(_PREFIX + self.name, self.means, tuple(self.labels), registry=registry)
        for values in self.known():
            family.labels(*values)
        return family


class HistogramOf(_Family[Histogram]):
    """A histogram over bucket bounds; labels with the values that are known."""

    kind = "histogram"

    def __init__(self, means: str, buckets: tuple[float, ...], **labels: tuple[str, ...]) -> None:
        super().__init__(means, **labels)
        self.buckets = buckets

    def make(self, registry: CollectorRegistry, campaigns: Campaigns) -> Histogram:
        """Return the histogram, registered, with every series that is known at 0."""
        del campaigns
        family = Histogram(_PREFIX + self.name, self.means, tuple(self.labels), buckets=self.buckets, registry=registry)
        for values in self.known():
            family.labels(*values)
        return family


class CampaignCounterOf(_Family[CampaignCounter]):
    """A counter whose first label is the campaign."""

    kind = "counter"

    def make(self, registry: CollectorRegistry, campaigns: Campaigns) -> CampaignCounter:
        """Return the counter, registered."""
        return CampaignCounter(Counter(_PREFIX + self.name, self.means, tuple(self.labels), registry=registry), campaigns)


class CampaignGaugeOf(_Family[CampaignGauge]):
    """A gauge whose only label is the campaign."""

    kind = "gauge"

    def make(self, registry: CollectorRegistry, campaigns: Campaigns) -> CampaignGauge:
        """Return the gauge, registered."""
        return CampaignGauge(Gauge(_PREFIX + self.name, self.means, tuple(self.labels), registry=registry), campaigns)


Family = CounterOf | GaugeOf | HistogramOf | CampaignCounterOf | CampaignGaugeOf
