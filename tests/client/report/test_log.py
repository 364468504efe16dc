"""The log in short: records that are alike, and values in words."""

from __future__ import annotations

from client.litmus import parse
from client.report.describe.link import body_text
from client.report.log import Log
from client.run.inputs import Inputs
from client.run.run import run
from contract.messages import Hello, Welcome
from tests.designs import V7

READS = """LBR reads
vm vm0 { vcpus = 1; }
host, vm0/0 {
    host: run vm0/0 on cpu0;
    vm0/0: wrmsr DEBUGCTL, LBR;
    vm0/0: e = rdmsr LBR_STACK;
    host: h0 = open cpu0 pinned branch any;
}
"""


def test_records_that_are_alike_are_one_line_of_an_excerpt() -> None:
    records = run(Inputs(parse(READS, "reads"), V7)).records
    log = Log(records, [])
    reads = {r.seq for r in records if "reads LBR_FROM[" in log.describer.text(r)}
    assert len(reads) == 32
    _, statement, *lines = log.excerpt(reads)
    assert "rdmsr LBR_STACK" in statement
    assert [" ".join(line.split()) for line in lines if "reads" not in line] == [
        "...",
        f"... 31 more like it, to record {max(reads)}",
    ]
    assert sum("reads LBR_FROM[0]" in line for line in lines) == 1
    assert sum("reads" in line for line in log.excerpt({*sorted(reads)[:3]})) == 3


def test_a_message_has_words_for_yes_and_no() -> None:
    assert [body_text(Welcome(accepted)).split()[1] for accepted in (True, False)] == ["accepted=yes", "accepted=no"]
    assert "continues=yes" in body_text(Hello("kvm0", continues=True)).split()
    assert "continues" not in body_text(Hello("kvm0"))
