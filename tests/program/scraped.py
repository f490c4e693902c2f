"""What a worker's metrics endpoint says, read as Prometheus reads it."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from batchmail.settings import Listen


class Scraped:
    """One look at the endpoint."""

    def __init__(self, address: Listen) -> None:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            self.text: str = answer.read().decode()
        self._samples = [
            sample for family in text_string_to_metric_families(self.text) for sample in family.samples
        ]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name and these labels."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {sample.name for sample in self._samples}

    @property
    def types(self) -> dict[str, str]:
        """The types by name, as Prometheus is told them."""
        return dict(line.split()[2:4] for line in self.text.splitlines() if line.startswith("# TYPE "))

    def labels(self, name: str) -> set[str]:
        """The names of the labels of this sample."""
        return {label for sample in self._samples if sample.name == name for label in sample.labels}

    def values(self, name: str, label: str) -> set[str]:
        """The values of this label of this sample."""
        return {sample.labels[label] for sample in self._samples if sample.name == name}
