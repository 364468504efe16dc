"""Each handler of each monitor has a test that fails without it, and tests with two different results.

``TESTED`` names them; a handler that is not there is tested by the mutations of its monitor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from client.check import judge as judge_module
from client.check.judge import MONITORS, dispatch, judge
from client.check.monitor import Monitor
from client.check.world import World
from contract.trace import (
    Access,
    AnyRecord,
    ClaimChange,
    ClockSet,
    CounterEvent,
    Crash,
    Discard,
    EventChange,
    EventClose,
    EventFailed,
    EventOpen,
    EventWaits,
    Granted,
    GuestEvent,
    GuestMsr,
    GuestPmi,
    HostLbr,
    HostMsr,
    HostWait,
    HostWake,
    Killed,
    LbrReset,
    LbrRestore,
    PeerSilent,
    Pmi,
    Rest,
    Retired,
    SessionChange,
    Statement,
    Switch,
    UserMsr,
    VcpuMoved,
    VcpuReset,
    VmEntry,
)
from tests.cases import cases, rows_of
from tests.client.check import (
    runs,
    test_agreement,
    test_capability_kept,
    test_crashes,
    test_grants_kept,
    test_host_served,
    test_msr_legality,
    test_mutations,
    test_no_counter,
    test_no_leak,
    test_no_loss,
    test_no_silent_denial,
    test_no_starvation,
    test_one_owner,
    test_precedence,
    test_recovers,
    test_revoke_completes,
    test_revoked,
    test_stream_kept,
)

Test = Callable[..., None]
TESTED: dict[tuple[str, type], tuple[Test, ...]] = {
    ("one-owner", Crash): (test_crashes.test_a_host_without_power_has_no_lbr_on,),
    ("host-served", Crash): (test_crashes.test_a_sample_of_a_restarted_host_needs_no_old_branches,),
    ("no-loss", Crash): (
        test_crashes.test_after_a_crash_of_its_host_a_guest_finds_its_lbr_whole_or_empty,
        test_crashes.test_it_does_not_find_some_of_its_branches_and_lack_others,
    ),
    ("no-silent-denial", Crash): (test_crashes.test_a_new_kvm_has_no_guest_that_no_event_could_be_made_for,),
    ("msr-legality", Crash): (test_crashes.test_a_guest_whose_kvm_or_host_crashed_may_be_denied,),
    ("capability-kept", Crash): (test_crashes.test_promises_and_failures_end_with_the_kvm,),
    ("revoked-means-revoked", Crash): (test_crashes.test_a_revoke_says_nothing_about_the_next_life,),
    ("precedence", Crash): (test_crashes.test_an_open_that_slept_ends_with_its_host,),
    ("no-counter", Crash): (test_crashes.test_a_guest_at_reset_has_programmed_no_counter,),
    ("debugctl-restored", Crash): (test_crashes.test_debugctl_is_not_restored_by_a_host_without_power,),
    ("agreement", Crash): (test_crashes.test_the_view_of_a_kvm_goes_with_it,),
    ("revoke-completes", Crash): (test_crashes.test_nobody_gives_up_a_grant_of_an_earlier_life,),
    ("no-starvation", Crash): (test_crashes.test_a_thread_that_is_gone_does_not_starve,),
    ("no-starvation", Killed): (test_crashes.test_a_thread_that_is_gone_does_not_starve,),
    ("recovers", Crash): (test_crashes.test_a_guest_may_be_denied_once_more_after_a_crash,),
    ("one-owner", GuestMsr): (
        test_one_owner.test_violated_by_reading_passed_through,
        test_one_owner.test_held,
    ),
    ("one-owner", HostMsr): (
        test_one_owner.test_violated_by_kvm_for_the_guest,
        test_one_owner.test_not_exercised,
    ),
    ("one-owner", LbrRestore): (test_one_owner.test_kvm_that_loads_a_guests_lbr_uses_it,),
    ("one-owner", Retired): (test_one_owner.test_host_branches_in_a_live_ring,),
    ("host-served", EventChange): (test_host_served.test_only_branches_of_this_spell_are_due,),
    ("host-served", Pmi): (
        test_host_served.test_what_the_interrupts_own_calls_push_out_is_not_due,
        test_host_served.test_violated_by_a_debugctl_not_restored,
    ),
    ("host-served", LbrReset): (
        test_host_served.test_what_a_ring_of_the_hosts_own_would_not_have_is_not_due,
        test_host_served.test_not_exercised,
    ),
    ("host-served", LbrRestore): (
        test_host_served.test_what_a_ring_of_the_hosts_own_would_not_have_is_not_due,
        test_host_served.test_violated_by_a_debugctl_not_restored,
    ),
    ("host-served", HostLbr): (
        test_host_served.test_what_a_ring_of_the_hosts_own_would_not_have_is_not_due,
        test_host_served.test_not_exercised,
    ),
    ("no-leak", GuestMsr): (test_no_leak.test_a_read_that_is_passed_through,),
    ("no-leak", Access): (
        test_no_leak.test_violated_by_an_intercepted_read,
        test_no_leak.test_held_between_vms,
    ),
    ("no-loss", LbrReset): (
        test_no_loss.test_violated_by_the_newcomers_reset,
        test_no_loss.test_held_across_a_switch_to_another_user,
    ),
    ("no-loss", UserMsr): (test_no_loss.test_user_space_writes_into_the_image_that_an_entry_loads,),
    ("no-loss", GuestPmi): (test_no_loss.test_branches_after_a_pmi_that_froze_the_lbr_are_not_missed,),
    ("no-loss", VcpuReset): (test_no_loss.test_branches_after_a_reset_are_not_missed,),
    ("no-silent-denial", GuestMsr): (
        test_no_silent_denial.test_violated_by_passthrough,
        test_no_silent_denial.test_held,
    ),
    ("msr-legality", UserMsr): (test_msr_legality.test_an_lbr_that_was_promised_not_to_be_there,),
    ("msr-legality", EventChange): (test_msr_legality.test_a_denial_needs_a_loss,),
    ("msr-legality", EventClose): (test_msr_legality.test_other_losses,),
    ("msr-legality", Granted): (test_msr_legality.test_a_denial_needs_a_loss,),
    ("msr-legality", ClaimChange): (test_msr_legality.test_other_losses,),
    ("msr-legality", VcpuMoved): (test_msr_legality.test_other_losses,),
    ("capability-kept", UserMsr): (test_capability_kept.test_what_user_space_set_is_a_promise,),
    ("capability-kept", GuestMsr): (test_capability_kept.test_passed_through,),
    ("capability-kept", EventFailed): (
        test_capability_kept.test_an_lbr_for_which_perf_makes_no_event,
        test_capability_kept.test_a_refusal_for_the_sake_of_others_breaks_no_promise,
    ),
    ("capability-kept", GuestEvent): (
        test_capability_kept.test_an_event_that_could_be_made_later,
        test_capability_kept.test_not_exercised,
    ),
    ("revoked-means-revoked", Discard): (test_revoked.test_a_revoke_that_kvm_throws_away_binds_nobody,),
    ("revoked-means-revoked", VmEntry): (test_revoked.test_a_revoke_that_kvm_throws_away_binds_nobody,),
    ("revoked-means-revoked", GuestMsr): (test_revoked.test_each_use_after_a_revoke_and_its_neighbour,),
    ("revoked-means-revoked", HostMsr): (test_revoked.test_each_use_after_a_revoke_and_its_neighbour,),
    ("revoked-means-revoked", Retired): (test_revoked.test_violated_by_a_guest_that_goes_on_recording,),
    ("precedence", EventOpen): (test_precedence.test_an_open_that_nothing_follows,),
    ("precedence", EventWaits): (test_precedence.test_a_wait_for_something_else_becomes_one_for_the_lbr,),
    ("precedence", HostWake): (test_precedence.test_an_opener_that_woke_waits_no_more,),
    ("precedence", HostLbr): (test_precedence.test_an_active_event_that_is_shut_out_later,),
    ("precedence", Switch): (test_precedence.test_a_thread_that_comes_and_is_not_served,),
    ("precedence", EventFailed): (
        test_precedence.test_violated_by_a_refusal_for_a_lower_ones_sake,
        test_precedence.test_not_exercised_by_a_refusal_for_vms_that_have_not_the_lbr,
    ),
    ("precedence", Statement): (test_precedence.test_nobody_of_a_lower_class_gets_the_lbr_meanwhile,),
    ("precedence", Retired): (test_precedence.test_what_branches_were_recorded_for_counts,),
    ("precedence", VmEntry): (
        test_precedence.test_what_the_guest_brought_about_is_judged_where_it_goes_on,
        test_precedence.test_held_where_the_guests_event_stands_in_perfs_order,
    ),
    ("no-counter", VmEntry): (
        test_no_counter.test_held_by_an_entry_alone_where_no_event_stands_for_the_guest,
        test_no_counter.test_not_exercised,
    ),
    ("no-counter", Pmi): (
        test_no_counter.test_violated_by_an_event_that_overflows,
        test_no_counter.test_held_beside_the_pmis_of_others,
    ),
    ("no-counter", CounterEvent): (test_no_counter.test_a_counter_that_could_not_be_made_explains_nothing,),
    ("no-counter", GuestPmi): (test_no_counter.test_a_counter_that_could_not_be_made_explains_nothing,),
    **{
        ("stream-kept", kind): (test_stream_kept.test_held, test_stream_kept.test_violated)
        for kind in (Discard, SessionChange, PeerSilent, Crash, Rest)
    },
    ("grants-kept", HostWait): (test_grants_kept.test_a_host_task_waits_for_ack_or_for_the_end_of_the_lease,),
    ("grants-kept", HostWake): (test_grants_kept.test_a_host_task_waits_for_ack_or_for_the_end_of_the_lease,),
    ("grants-kept", EventClose): (
        test_grants_kept.test_a_restarted_host_and_a_closed_event_leave_their_grants,
        test_grants_kept.test_a_number_is_of_one_event,
    ),
    ("grants-kept", Crash): (
        test_grants_kept.test_a_restarted_host_and_a_closed_event_leave_their_grants,
        test_grants_kept.test_a_number_is_of_one_event,
    ),
    **{
        ("grants-kept", kind): (
            test_grants_kept.test_kvm_enters_no_guest_with_the_lbr_after_its_lease,
            test_grants_kept.test_a_kvm_that_holds_another_grant_or_has_a_clock_of_its_own_is_not_judged,
        )
        for kind in (Granted, VmEntry, ClockSet)
    },
    ("agreement", CounterEvent): (test_agreement.test_violated_by_an_event_of_a_counter_that_the_host_has_not,),
    ("agreement", VcpuMoved): (
        test_agreement.test_violated_by_an_event_of_a_counter_that_kvm_forgets,
        test_agreement.test_a_saved_vcpu_is_not_forgotten,
    ),
    ("revoke-completes", Granted): (
        test_revoke_completes.test_a_grant_that_was_given_up_is_not_due,
        test_revoke_completes.test_held,
    ),
    ("revoke-completes", HostWake): (
        test_revoke_completes.test_a_host_that_waits_is_due_until_it_wakes,
        test_revoke_completes.test_held,
    ),
    ("no-starvation", VmEntry): (test_no_starvation.test_violated_where_nobody_says_that_the_host_has_gone,),
    ("recovers", GuestMsr): (test_recovers.test_an_access_that_the_hardware_serves_ends_a_loss,),
    ("recovers", EventOpen): (test_recovers.test_a_thread_that_runs_nowhere_wanted_it_since,),
    ("recovers", EventChange): (test_recovers.test_who_wanted_it_since_is_a_reason,),
    ("recovers", EventWaits): (test_recovers.test_what_a_flexible_guest_waits_for,),
    ("recovers", Switch): (test_recovers.test_who_wanted_it_where_the_guest_was_is_a_reason,),
    ("recovers", ClaimChange): (test_recovers.test_one_guest_answers_for_itself_alone,),
    ("recovers", GuestEvent): (
        test_recovers.test_a_guest_that_no_event_could_be_made_for_is_not_judged,
        test_recovers.test_held,
    ),
}


def witnesses(monitor: type[Monitor], record: type) -> Iterator[tuple[Test, dict[str, Any]]]:
    """The tests of a handler, each with the arguments of one case."""
    of_table = TESTED.get((monitor.name, record), ())
    for test in of_table:
        yield from rows_of(test)
    if not of_table:
        for test, row in rows_of(test_mutations.test_noticed):
            if row["invariant"] == monitor.name:
                yield test, row


def passes(test: Test, row: dict[str, Any]) -> bool:
    with pytest.MonkeyPatch.context() as patched:
        more = {"monkeypatch": patched} if "monkeypatch" in inspect.signature(test).parameters else {}
        try:
            test(**row, **more)
        except AssertionError:
            return False
    return True


HANDLERS = [(monitor, record) for monitor in MONITORS for record in monitor.HANDLERS]


@cases(("monitor", "record"), HANDLERS)
def test_some_test_fails_without_it(monitor: type[Monitor], record: type, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {kind: handler for kind, handler in monitor.HANDLERS.items() if kind is not record}
    monkeypatch.setattr(monitor, "HANDLERS", others)
    monkeypatch.setattr(judge_module, "DISPATCH", dispatch((World, *MONITORS)))
    assert not all(passes(test, row) for test, row in witnesses(monitor, record))


@cases(("monitor", "record"), HANDLERS)
def test_its_tests_have_two_results(monitor: type[Monitor], record: type, monkeypatch: pytest.MonkeyPatch) -> None:
    results: set[str] = set()

    def recorded(records: list[AnyRecord]) -> list[runs.Finding]:
        findings = judge(records)
        results.update(finding.verdict for finding in findings if finding.invariant == monitor.name)
        return findings

    monkeypatch.setattr(runs, "judge", recorded)
    for test, row in witnesses(monitor, record):
        passes(test, row)
        if len(results) > 1:
            return
    raise AssertionError(f"only {results}")


def test_the_table_names_handlers_only() -> None:
    assert set(TESTED) <= {(monitor.name, record) for monitor in MONITORS for record in monitor.HANDLERS}
