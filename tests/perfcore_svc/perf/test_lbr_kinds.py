"""Host perf on machines without an LBR, and on those whose LBR is architectural."""

from __future__ import annotations

from contract.trace import LbrRestore, Retired
from contract.x86 import MSR_ARCH_LBR_FROM, MSR_ARCH_LBR_INFO
from perfcore_svc.machine.msr import rdmsr
from tests.cases import cases
from tests.perfcore_svc.hosts import Host, make_host


def test_without_an_lbr_a_branch_stack_is_refused_and_counting_is_not() -> None:
    host = make_host(lbr="none", depth=0)
    assert host.open("b", "any") == "EOPNOTSUPP"
    assert host.open("c") == ""
    host.retire(7)
    assert host.read("c").count == 7
    assert not any(record.recorded for record in host.news() if isinstance(record, Retired))


@cases("config", ["bts", "pt"])
def test_without_an_lbr_the_tracers_are_as_ever(config: str) -> None:
    host = make_host(lbr="none", depth=0)
    assert host.open("t", config=config) == ""


def arch() -> Host:
    return make_host(lbr="arch", depth=8)


def test_the_newest_entry_of_an_architectural_lbr_is_register_0() -> None:
    host = arch()
    host.open("b", "any")
    host.retire(11)
    cpu = host.machine.cpus[0]
    registers = [rdmsr(cpu, MSR_ARCH_LBR_FROM + i) for i in range(8)]
    assert registers == host.sample("b").from_ip == sorted(registers, reverse=True)
    assert [rdmsr(cpu, MSR_ARCH_LBR_INFO + i) for i in range(8)] == [1] * 8


def test_it_is_turned_on_and_off_without_debugctl() -> None:
    host = arch()
    cpu = host.machine.cpus[0]
    host.open("b", "any")
    assert (cpu.lbr.enabled, cpu.debugctl) == (True, 0x800)
    host.close("b")
    assert (cpu.lbr.enabled, cpu.debugctl) == (False, 0)
    host.retire(3)
    assert cpu.lbr.from_ip == [0] * 8


@cases(("lbr", "errno"), [("skylake", "EBUSY"), ("arch", "")])
@cases("first", ["pt", "lbr"])
def test_pt_shuts_the_lbr_out_where_they_do_not_coexist(lbr: str, errno: str, first: str) -> None:
    host = make_host(lbr=lbr)
    opens = [lambda: host.open("p", config="pt"), lambda: host.open("b", "any")]
    results = [opener() for opener in (opens if first == "pt" else reversed(opens))]
    assert results == ["", errno]


@cases("other", ["lbr", "pt"])
def test_bts_shuts_the_lbr_out_everywhere(other: str) -> None:
    host = arch()
    assert host.open("bts", config="bts") == ""
    assert (host.open("b", "any") if other == "lbr" else host.open("p", config="pt")) == ("EBUSY", "")[other == "pt"]


def test_a_tasks_call_stack_is_saved_and_restored() -> None:
    host = arch()
    host.open("b", "call_stack", task="t", privilege=["user"])
    host.open("other", "any", task="u")
    host.run("t")
    host.retire(3, "call")
    before = host.sample("b").from_ip
    host.run("u")
    host.retire(20)
    host.run("t")
    assert host.sample("b").from_ip == before
    assert len(before) == 3
    assert any(isinstance(record, LbrRestore) for record in host.news())


def test_pt_that_coexists_is_closed_and_counts_for_nothing() -> None:
    host = arch()
    assert host.open("p", config="pt") == ""
    host.close("p")
    assert host.open("bts", config="bts") == ""
