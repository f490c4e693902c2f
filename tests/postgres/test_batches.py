"""What holds on the embedded server holds on Postgres: the very same tests, on the production server."""

# ruff: noqa: F401 - pytest finds them here

from tests.program.test_batch_deaths import (
    test_a_batch_cancelled_between_two_attempts_mails_nobody_new,
    test_a_frozen_worker_begins_nothing_once_it_is_thawed,
    test_a_killed_worker_leaves_at_most_one_recipient_in_doubt_per_connection,
    test_a_running_batch_that_is_cancelled_settles_reports_and_notifies,
    test_a_stopped_worker_leaves_nobody_in_doubt,
    test_a_terminated_batch_started_again_goes_on_and_says_who_is_in_doubt,
    test_a_worker_killed_again_and_again_still_finishes,
    test_a_worker_whose_heartbeats_answers_are_lost_hands_its_ledger_on,
    test_the_relay_comes_back_and_the_batch_goes_on,
)
from tests.program.test_batch_outcomes import test_every_outcome_of_the_table
from tests.program.test_batch_straight import (
    test_a_slice_much_longer_than_its_heartbeat_timeout_takes_one_attempt,
    test_everybody_is_mailed_once,
    test_the_admins_are_told_once_with_the_counts,
    test_two_workers_share_the_budget_of_a_batch,
)
from tests.program.test_server_timers import (
    test_a_poll_that_finds_nothing_ends_long_before_a_minute,
    test_all_slices_of_a_dead_worker_are_given_up_together,
)
from tests.program.test_starter_server import (
    test_a_cancelled_batch_ends_with_its_result,
    test_a_terminated_batch_goes_on_by_the_same_command,
    test_detached_left_and_attached_to_again_it_is_one_batch,
)
