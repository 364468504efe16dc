"""The page that plays runs: who may ask, what it plays, and a reader who uses it in a browser."""

from __future__ import annotations

import json

import msgspec
import pytest

from client.cli.web import bound
from client.drive.pair import Child
from client.page.model import PageModel
from client.web.app import BODY_LIMIT, REPORTS_LIMIT, Server
from client.web.play import Asked, lists, report_of
from contract.errors import InputError, SystemFailedError
from tests.client.page.browser import CONTRAST, barriers, chromium
from tests.client.web.asking import ask


def test_only_its_own_page_may_ask(server: Server) -> None:
    here = f"http://127.0.0.1:{server.port}"
    guarded: list[tuple[object, dict[str, str], int]] = [
        ({}, {"Origin": "http://evil.example"}, 403),
        ({}, {"Origin": ""}, 403),
        ({}, {"Origin": f"https://127.0.0.1:{server.port}"}, 403),
        ({}, {"Origin": here, "X-Lbrlab-Token": "guess"}, 403),
        ({}, {"X-Lbrlab-Token": ""}, 403),
        (b"x" * (BODY_LIMIT + 1), {}, 413),
        (b"[" * 5000, {}, 400),
        (b'{"scenario": "central-story", "tape": []}', {}, 400),
        (None, {}, 405),
    ]
    cases: list[tuple[str, object, dict[str, str], int]] = [
        *((path, *case) for path in ("/play", "/walk", "/walk/file") for case in guarded),
        ("/", None, {"Host": "evil.example"}, 421),
        ("/", None, {"Host": f"evil.example:{server.port}"}, 421),
        ("/", None, {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/scenario/..%2f..%2fetc%2fpasswd", None, {}, 404),
        ("/scenario/none", None, {}, 404),
        ("/report/none", None, {}, 404),
    ]
    for path, body, headers, status in cases:
        assert ask(server, path, body, **headers)[0] == status, (path, body, headers)
    assert ask(server, "/", Host=f"localhost:{server.port}")[0] == 200
    with pytest.raises(SystemFailedError, match="cannot listen"):
        bound(server.port)


def test_an_answer_forbids_what_it_does_not_need(server: Server) -> None:
    _, headers, content = ask(server, "/")
    policy = headers["Content-Security-Policy"]
    assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'none'"} <= {*policy.split("; ")}
    assert "unsafe" not in policy
    assert (headers["X-Content-Type-Options"], headers["Server"]) == ("nosniff", None)
    assert "Access-Control-Allow-Origin" not in headers
    assert server.token.encode() in content


def test_it_plays_and_keeps_the_last_reports(server: Server) -> None:
    status, _, content = ask(server, "/play", {"scenario": "central-story", "design": "v8"})
    path = json.loads(content)["report"]
    status, headers, page = ask(server, path)
    assert (status, headers["Content-Security-Policy"]) == (200, "frame-ancestors 'self'")
    data = page.decode().split('id="model">')[1].split("</script>")[0]
    run = msgspec.json.decode(data, type=PageModel).runs[0]
    assert (run.scenario, run.design, run.verdict) == ("central-story", "v8", "violated")
    for number in range(REPORTS_LIMIT):
        server.reports[f"n{number}"] = "x"
    ask(server, "/play", {"scenario": "central-story"})
    assert ask(server, path)[0] == 404
    assert len(server.reports) == REPORTS_LIMIT


def model_of(asked: Asked) -> PageModel:
    return msgspec.json.decode(report_of(asked).split('id="model">')[1].split("</script>")[0], type=PageModel)


def test_what_it_plays() -> None:
    told = model_of(Asked("central-story", design="revoke-gp", faults=["drop Revoke 1", " "], bare=True))
    assert [(run.verdict, len(run.faults)) for run in told.runs] == [("violated", 1), ("held", 0)]
    told = model_of(Asked("central-story", design="revoke-gp+denial=read-zero", against="revoke-gp"))
    assert [run.design for run in told.runs] == ["revoke-gp+denial=read-zero", "revoke-gp"]
    rule = next(m.rule for m in told.runs[1].messages if m.kind == "Revoke")
    lost = model_of(Asked("central-story", design="revoke-gp", faults=[rule]))
    assert [m.fate for m in lost.runs[0].messages if m.kind == "Revoke"] == ["dropped"]

    for asked, error in (
        (Asked("central-story", design="/etc/mine.toml"), "design: expected NAME or NAME"),
        (Asked("central-story", design="mine.toml"), "design: expected NAME or NAME"),
        (Asked("central-story", design="v77"), "unknown design 'v77'"),
        (Asked("no-such"), "'no-such' is no scenario of the library"),
        (Asked(text="LBR x\n!"), "scenario:2"),
        (Asked(text="/" * 70_000), "at most 65536 characters"),
        (Asked("central-story", faults=["drop Nothing"]), "faults 'drop Nothing'"),
        (Asked("central-story", wire="ssh"), "expected sim or grpc"),
    ):
        with pytest.raises(InputError) as found:
            report_of(asked)
        assert error in str(found.value)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The module of each service that is started, in order."""
    modules: list[str] = []
    begin = Child._start

    def counted(child: Child) -> object:
        modules.append(child.module)
        return begin(child)

    monkeypatch.setattr(Child, "_start", counted)
    return modules


def test_two_processes_play_on_request(started: list[str]) -> None:
    asked = Asked("central-story", design="revoke-gp", faults=["drop Revoke 1"], bare=True)
    simulated = model_of(asked)
    assert started == []
    real = model_of(msgspec.structs.replace(asked, wire="grpc"))
    assert started == ["perfcore_svc.service.main", "kvm_svc.service.main"], "one pair plays both runs"
    assert [run.wire for run in real.runs] == ["grpc", "grpc"]
    assert [msgspec.structs.replace(run, wire="sim", command="") for run in real.runs] == [
        msgspec.structs.replace(run, command="") for run in simulated.runs
    ]


def test_every_axis_can_be_flipped() -> None:
    offered = lists()
    assert len(offered.scenarios) > 100
    for axis in offered.axes:
        assert {design.axes[axis.name] for design in offered.designs} <= {value.name for value in axis.values}, axis
        assert len(axis.values) > 1
        assert axis.about


def test_a_reader_flips_an_axis_and_drops_a_message(server: Server) -> None:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(10_000)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        url = f"http://127.0.0.1:{server.port}/"
        page.goto(url)
        page.wait_for_selector("html[data-ready]")
        report = page.frame_locator("#report")
        report.locator("html[data-ready]").wait_for()
        assert report.locator("#verdict").inner_text() == "held"

        # A click on a message drops it; the run without the fault stands beside.
        report.locator("#search").fill("Revoke")
        report.locator(".row.send .x").click()
        report.locator("#drop").click()
        report.locator(".differs").first.wait_for()
        assert page.input_value("#faults") == "drop Revoke host>kvm0 1"
        assert report.locator("#verdict").inner_text() == "violated"
        assert report.locator(".differs .x").all_inner_texts() == [
            "host>kvm0 #4 Revoke: LOST, fault f1.1",
            "host>kvm0 #4 Revoke: taken",
        ]

        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(CONTRAST) == []
        page.click("text=Edit the scenario")
        assert barriers(page) == []
        assert barriers(page.frames[1]) == []
        page.click("text=Edit the scenario")

        # The link plays the same again.
        other = browser.new_page()
        other.goto(page.url)
        other.wait_for_selector("html[data-ready]")
        assert other.input_value("#faults") == "drop Revoke host>kvm0 1"
        other.frame_locator("#report").locator("text=one-owner @ 52").wait_for()

        # Another value of an axis is played beside the design; a mistake in the text is told with its place.
        page.fill("#faults", "")
        page.select_option("#axis", "denial")
        page.select_option("#value", "read-zero")
        report.locator("#title", has_text="central-story under revoke-gp+denial=read-zero").wait_for()
        page.click("text=Edit the scenario")
        page.fill("#text", page.input_value("#text").replace("branch 40", "branch forty"))
        page.click("#go")
        page.wait_for_selector("#status.wrong")
        assert page.inner_text("#status").startswith("scenario:")
        # A link to what is not there plays nothing.
        for place, said in (
            ("scenario=nope&design=zzz", "the link names an unknown scenario 'nope', design 'zzz'; nothing is played"),
            ("scenario=exits&design=v7&flip=deniel=gp", "the link names an unknown axis 'deniel'; nothing is played"),
            ("design=v7&flip=denial=no", "the link names an unknown value of denial 'no'; nothing is played"),
            ("design=v9&walk=n 3", "the link names an unknown design 'v9'; nothing is played"),
        ):
            page.goto(f"{url}#{place}")
            page.wait_for_selector("#status.wrong:has-text('nothing is played')")
            page.wait_for_function(f"document.getElementById('status').textContent === {said!r}".replace("\\'", "'"))
            assert page.frames[1].url == "about:blank"
            page.goto(f"{url}#design=v7")
            page.wait_for_selector("#status:has-text('played in')")
        assert [text for text in wrong if "400" not in text] == []
