"""What all tests share: one thread for linear algebra, modules compiled once, and how often large counts repeat."""

from __future__ import annotations

import gc
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# Processes that test side by side would wait for one another's threads. Set before NumPy is imported, and inherited.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

# A store or domains that a user's own shell names are none of the tests'.
for _setting in ("STORE", "DOMAINS"):
    os.environ.pop(f"ARBITRANK_{_setting}", None)

# Tests start thousands of processes, which would compile all that they import each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

LONG = (
    "test_benchmarks_context.py::test_rivals_are_under_confident_until_the_decision_settings_are_tuned",
    "test_cli_log.py::test_domains_are_trained_measured_and_judged_on_a_log",
    "test_evaluate_served.py::test_a_fallback_is_reported_as_it_is_served",
    "test_golden.py::test_answers_are_those_of_before[stores]",
    "test_golden.py::test_answers_are_those_of_before[verbs]",
    "test_impact.py::test_any_number_of_processes_finds_the_same",
    "test_live.py::test_under_load_every_answer_names_a_version_that_was_stable",
    "test_own_nlu.py::test_the_pages_command_prints_what_it_shows",
    "test_store_faults.py::test_killed_at_random_moments_the_store_verifies_clean_and_stable_loads",
    "test_tutorial.py::",
    "test_benchmarks_isolate.py::test_the_benchmark_measures_the_cost_of_isolation_and_of_a_hang",
    "test_benchmarks_environments.py::test_two_sides_take_turns_and_say_what_they_took",
    "test_benchmarks_claims.py::test_recognisers_that_agree_answer_better_than_the_best_of_them_alone",
    "test_benchmarks_code_swap.py::test_swaps_of_code_and_weights_fail_no_request",
    "test_benchmarks_console.py::test_a_look_shows",
    "test_benchmarks_soak.py::test_a_short_run_loses_no_call_",
    "test_benchmarks_context.py::test_with_device_and_own_catalogue_",
    "test_benchmarks_remote.py::test_remotes_workers_and_this_process_answer_in_turns",
    "test_benchmarks_retrain.py::test_the_figures_are_ratios_of_what_was_measured_in_one_run",
    "test_benchmarks_swap.py::test_the_benchmark_measures_latency_beside_swaps",
    "test_benchmarks_watch.py::test_weekends_alarm_nobody",
    "test_deploy.py::test_a_rolling_restart_behind_nginx_loses_no_request",
    "test_deploy.py::test_the_steps_of_the_dockerfile_make_a_service",
    *(
        f"test_console_pages.py::test_pages_fit_and_are_accessible_in_each_theme[{one}]"
        for one in ("360-light", "800-light", "800-dark", "1400-dark")
    ),
    *(
        f"test_console_pages.py::test_html_in_whatever_the_service_replies_is_shown_as_text[{one}]"
        for one in ("calibration", "impact", "health")
    ),
    "test_console_pages.py::test_a_token_stays_in_the_pages_memory",
    *(
        f"test_console_reports.py::test_reports_fit_and_are_accessible_in_each_theme[{one}]"
        for one in ("360-light", "800-light", "800-dark", "1400-light", "1400-dark")
    ),
    "test_console_reports.py::test_a_change_shows_its_report_before_it_acts_and_needs_a_token",
    "test_console_stages.py::",
    "test_console_reports.py::test_without_domains_log_and_history_every_page_says_what_is_missing",
    "test_context_learning.py::test_evaluate_learns_from_a_key_that_is_named[option]",
    "test_docs.py::test_the_tutorials_domain_is_installed_trained_asked_and_shipped",
    "test_environments.py::test_code_that_fails_is_refused_and_the_one_before_answers[exit]",
    "test_environments.py::test_code_that_fails_is_refused_and_the_one_before_answers[load]",
    "test_environments.py::test_code_that_fails_is_refused_and_the_one_before_answers[hung load]",
    "test_environments.py::test_code_that_fails_is_refused_and_the_one_before_answers[hung request]",
    "test_environments.py::test_code_that_fails_is_refused_and_the_one_before_answers[core]",
    "test_environment_service.py::test_a_replaced_worker_answers_with_the_code_of_its_siblings",
    "test_environment_verbs.py::test_a_candidate_goes_through_impact_gate_canary_and_rollback",
    "test_environment_verbs.py::test_evaluate_trains_and_measures_it_as_a_plugin",
    "test_context_learning.py::test_evaluate_learns_from_a_key_that_is_named[file]",
    "test_evaluate.py::test_many_domains_with_few_utterances_are_measured_and_the_page_stays_small",
    "test_evaluate.py::test_without_lightgbm_everything_else_is_measured_and_the_package_named[the package]",
    "test_evaluate_served.py::test_hypotheses_of_vendors_are_decided_as_in_a_service[{}-sofmattress]",
    "test_hyprank_store.py::test_the_service_promotes_follows_and_rolls_back_by_its_routes",
    "test_store_faults.py::test_killed_at_any_step_the_store_is_as_before_or_as_after[publish]",
    "test_store_faults.py::test_killed_at_any_step_the_store_is_as_before_or_as_after[prune]",
    "test_evaluate.py::test_the_number_of_jobs_and_a_second_run_change_no_figure",
    "test_evaluate.py::test_without_lightgbm_everything_else_is_measured_and_the_package_named[libgomp]",
    "test_evaluate_served.py::test_a_public_corpus_is_decided_as_in_a_service[snips]",
    "test_evaluate_served.py::test_hypotheses_of_vendors_are_decided_as_in_a_service[{'fallback': 'bert'}-curekart]",
    "test_exact_matcher.py::test_requests_of_others_that_it_is_silent_on_are_its_negatives[5]",
    "test_hyprank_store.py::test_the_gate_judges_its_order_on_the_audit_set",
    "test_joint_swaps.py::test_code_and_weights_that_need_each_other_are_exchanged_and_rolled_back_under_load",
    "test_install.py::test_what_fails_with_the_stable_weights_is_refused[promise]",
    "test_install.py::test_what_fails_with_the_stable_weights_is_refused[segfault]",
    "test_install.py::test_what_fails_with_the_stable_weights_is_refused[load]",
    "test_install.py::test_what_fails_with_the_stable_weights_is_refused[hung request]",
    "test_install.py::test_a_release_that_was_damaged_is_replaced_by_the_next_installation[.lease]",
    "test_install.py::test_a_release_that_was_damaged_is_replaced_by_the_next_installation[bin/kite]",
    "test_install.py::test_a_release_that_was_damaged_is_replaced_by_the_next_installation[environment.json]",
    "test_install.py::test_a_current_that_was_damaged_by_hand_is_repaired_by_a_rollback_and_by_an_installation[1",
    "test_install.py::test_a_current_that_was_damaged_by_hand_is_repaired_by_a_rollback_and_by_an_installation[]",
    "test_isolation.py::test_a_worker_that_fills_its_memory_is_replaced_before_it_is_full",
    "test_new.py::test_each_new_domain_passes_all_checks[games]",
    "test_live.py::test_under_load_each_of_many_promotions_and_rollbacks_answers_once_it_was_looked_at",
    "test_real_environments.py::",
    "test_registry.py::test_most_skills_are_found_by_a_paraphrase",
    "test_selftest.py::test_a_damaged_text_of_trees_ends_no_more_than_the_child",
    "test_solo_training.py::test_a_candidate_does_not_speak_and_another_seed_is_another_version",
    "test_training.py::test_folds_of_a_recogniser_are_shared_out_and_give_the_same_version",
    "test_training.py::test_the_same_version_for_any_number_of_jobs_and_any_order",
    "test_training_cluster.py::test_a_cluster_that_loses_a_worker_in_mid_training_completes",
    "test_train_refusals.py::test_weights_that_fail_the_self_test_are_not_published[options1]",
    "test_training_cluster.py::test_a_domain_over_the_cluster_is_as_good_as_on_one_machine_and_the_same_each_time[boos",
    "test_training_cluster.py::test_a_domain_over_the_cluster_is_as_good_as_on_one_machine_and_the_same_each_time[fact",
    "test_training_cluster.py::test_a_domain_over_the_cluster_is_as_good_as_on_one_machine_and_the_same_each_time[logl",
)
"""Tests of many seconds that others resemble: they run under `--full` alone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`."""
    parser.addoption("--full", action="store_true", help="run the long tests too, and large counts in full")


def pytest_configure(config: pytest.Config) -> None:
    """Try 20 examples of a property, 100 under `--full`, however long they take: that says how busy the machine is."""
    examples = 100 if config.getoption("--full") else 20
    calm = [HealthCheck.too_slow, HealthCheck.filter_too_much]  # of few examples, few are small and easily drawn
    settings.register_profile("arbitrank", deadline=None, max_examples=examples, suppress_health_check=calm)
    settings.load_profile("arbitrank")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of `LONG` without `--full`."""
    if config.getoption("--full"):
        return
    left_out = [item for item in items if any(f"/{name}" in item.nodeid for name in LONG)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """Have no garbage collection look at what is imported and collected, nor, in a fork, copy it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> float:
    """The share of a large count that a test runs: 1.0 under `--full`, else 0.1."""
    return 1.0 if request.config.getoption("--full") else 0.1
