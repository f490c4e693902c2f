"""Which build of the program a worker runs, for Temporal's Worker Versioning.

Temporal gives a versioned worker nothing until its build is made the current one of its deployment
(docs/deploy.md). Batches move to the current build: docs/decisions/0008-batches-move-to-the-current-build.md.
"""

from __future__ import annotations

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from batchmail.settings import Settings


def deployment_config(settings: Settings) -> WorkerDeploymentConfig | None:
    """The worker's place among the builds of its deployment; None where the settings name none."""
    if settings.batch_deployment is None or settings.batch_build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.batch_deployment, settings.batch_build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )
