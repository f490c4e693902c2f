"""New code under running batches, on the production server: the very same tests."""

# ruff: noqa: F401 - pytest finds them here

from tests.program.test_worker_versioning import (
    deployment,
    pytestmark,
    test_a_build_that_is_stopped_hands_its_slices_to_the_current_one,
    test_a_running_batch_moves_to_the_build_that_is_made_current,
    test_slices_that_no_worker_carries_wait_where_autoscalers_count_them,
)
