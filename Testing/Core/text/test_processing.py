"""Reports through a language model on loopback: every way in which it can fail has its own outcome."""

import json
import logging

import pytest

from RenalCLIPCore.errors import Cancelled, ConfigurationError
from RenalCLIPCore.text.answer_cache import AnswerCache
from RenalCLIPCore.text.completion import EndpointUnusableError, Questioner
from RenalCLIPCore.text.endpoint import Endpoint
from RenalCLIPCore.text.partition import SideText
from RenalCLIPCore.text.processing import Status, extract, partition, process, translate
from RenalCLIPCore.text.questionnaire import questionnaire
from Testing.Core.text.loopback import Loopback

GOOD = json.dumps({str(number): "A" for number in range(1, 15)})
MASS = SideText("A 4.5 cm mass is seen in the left kidney.", "Left renal mass.")
WHOLE = SideText("The liver is normal. A 4.5 cm mass is seen in the left kidney.", "Left renal mass.")
CHINESE = SideText("左肾上极见肿块，大小约45×32mm。", "左肾癌可能。")
PARTED = json.dumps(
    {
        "findings": {"left": "A 4.5 cm mass is seen in the left kidney.", "right": ""},
        "impression": {"left": "Left renal mass.", "right": ""},
    }
)


def questioner(server, cache=None, waits=None, timeout_s=20.0):
    waits = [] if waits is None else waits
    return Questioner(Endpoint(server.address, "toy", timeout_s=timeout_s), cache, sleep=waits.append)


def test_answers_come_from_the_endpoint_and_the_prompt_holds_the_report_and_all_questions():
    with Loopback(f"Sure:\n```json\n{GOOD}\n```") as server:
        outcome = extract(MASS, "left", questioner(server))
    assert outcome.value == (0,) * 14
    assert MASS.findings in server.prompts[0]
    assert all(question.text in server.prompts[0] for question in questionnaire().questions)


def test_dont_know_and_written_out_options_are_understood():
    answers = json.loads(GOOD) | {"1": "DK", "9": "C) Moderate enhancement.", "13": "e."}
    answers["13"] = "E"
    with Loopback(json.dumps(answers)) as server:
        value = extract(MASS, "left", questioner(server)).value
    assert (value[0], value[8], value[12]) == (None, 2, 4)


@pytest.mark.parametrize(
    "broken",
    [
        "no object at all",
        '{"1": "A"',
        '{"1": "A"}',
        json.dumps(json.loads(GOOD) | {"4": "C"}),
        json.dumps(json.loads(GOOD) | {"4": 1}),
        json.dumps(json.loads(GOOD) | {"15": "A"}),
        ("raw", "not even JSON"),
        ("raw", '{"choices": []}'),
        ("message", {"content": None}),
    ],
)
def test_a_broken_answer_is_asked_for_again_with_the_reason_and_then_given_up(broken):
    with Loopback(broken) as server:
        outcome = extract(MASS, "left", questioner(server))
    assert outcome.status is Status.BROKEN
    assert outcome.value is None
    assert len(server.prompts) == 4
    assert "could not be used" in server.prompts[1]
    with Loopback(broken, GOOD) as server:
        assert extract(MASS, "left", questioner(server)).status is Status.DONE


def test_a_busy_endpoint_is_asked_again_after_growing_waits():
    waits = []
    with Loopback(503, 429, GOOD) as server:
        assert extract(MASS, "left", questioner(server, waits=waits)).status is Status.DONE
    assert len(waits) == 2
    assert 1.0 <= waits[0] <= 1.25
    assert 2.0 <= waits[1] <= 2.5


def test_an_endpoint_that_times_out_is_told_apart():
    with Loopback(("slow", 0.6, GOOD)) as server:
        asker = Questioner(Endpoint(server.address, "toy", timeout_s=0.1), attempts=2, sleep=lambda seconds: None)
        outcome = extract(MASS, "left", asker)
    assert (outcome.status, len(server.prompts)) == (Status.TIMED_OUT, 2)


@pytest.mark.parametrize("refusal", ["I'm sorry, but I cannot help with that.", ("message", {"refusal": "No."})])
def test_a_refusal_is_not_asked_again(refusal):
    with Loopback(refusal) as server:
        outcome = extract(MASS, "left", questioner(server))
    assert (outcome.status, len(server.prompts)) == (Status.REFUSED, 1)


def test_a_question_that_the_endpoint_does_not_take_fails_alone():
    with Loopback(400, GOOD) as server:
        step = questioner(server)
        outcomes = process([MASS, CHINESE], lambda report: extract(report, "left", step))
    assert [outcome.status for outcome in outcomes] == [Status.FAILED, Status.DONE]


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_an_endpoint_that_answers_nobody_stops_the_run(status):
    with Loopback(status) as server, pytest.raises(EndpointUnusableError):
        process([MASS], lambda report: extract(report, "left", questioner(server)))


def test_an_address_where_nothing_listens_stops_the_run():
    with Loopback(GOOD) as server:
        address = server.address
    with pytest.raises(EndpointUnusableError, match="running"):
        extract(MASS, "left", Questioner(Endpoint(address, "toy"), sleep=lambda seconds: None))


def test_reports_go_unencrypted_to_this_machine_alone():
    for address in ("http://10.0.0.1/v1", "http://user:secret@127.0.0.1/v1", "ftp://127.0.0.1", "127.0.0.1/v1"):
        with pytest.raises(ConfigurationError):
            Endpoint(address, "toy")
    Endpoint("http://10.0.0.1/v1", "toy", allow_http=True)
    Endpoint("https://example.org/v1", "toy")


def test_the_key_is_sent_and_an_environment_proxy_is_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with Loopback(GOOD) as server:
        asker = Questioner(Endpoint(server.address, "toy", key="secret"))
        assert extract(MASS, "left", asker).status is Status.DONE
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_what_was_answered_is_not_asked_again_and_damaged_cache_files_are(tmp_path):
    cache = AnswerCache(tmp_path / "answers")
    with Loopback(GOOD) as server:
        for _ in range(2):
            assert extract(MASS, "left", questioner(server, cache)).value == (0,) * 14
        assert len(server.prompts) == 1
        (path,) = (tmp_path / "answers").rglob("*.json")
        path.write_text('{"answer": "half')
        assert extract(MASS, "left", questioner(server, cache)).value == (0,) * 14
        path.write_text(json.dumps({"answer": "{}"}))
        assert extract(MASS, "left", questioner(server, cache)).value == (0,) * 14
        assert len(server.prompts) == 3
        extract(MASS, "right", questioner(server, cache))
        assert len(server.prompts) == 4


def test_broken_answers_are_not_kept(tmp_path):
    with Loopback("broken") as server:
        extract(MASS, "left", questioner(server, AnswerCache(tmp_path)))
    assert not list(tmp_path.rglob("*.json"))


def test_a_cancelled_run_continues_where_it_stopped(tmp_path):
    reports = [SideText(f"A {size} cm mass is seen in the left kidney.", "") for size in range(1, 6)]

    def stop(fraction, words):
        if fraction > 0.5:
            raise Cancelled("stopped")

    with Loopback(GOOD) as server:
        asker = questioner(server, AnswerCache(tmp_path))
        with pytest.raises(Cancelled):
            process(reports, lambda report: extract(report, "left", asker), progress=stop)
        before = len(server.prompts)
        assert before < 5
        outcomes = process(reports, lambda report: extract(report, "left", asker), workers=3)
        assert len(server.prompts) == 5
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 5


def test_nothing_of_a_report_is_logged_or_told(caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    report = SideText("Patient JANE-DOE-77: a 4.5 cm mass in the left kidney.", "")
    with Loopback("broken") as server:
        outcome = extract(report, "left", questioner(server, AnswerCache(tmp_path)))
    with Loopback(GOOD) as server:
        extract(report, "left", questioner(server, AnswerCache(tmp_path)))
    assert "JANE" not in outcome.message
    assert "JANE" not in caplog.text
    assert not [path for path in tmp_path.rglob("*") if "JANE" in path.name]


def test_a_report_is_parted_by_the_endpoint():
    with Loopback(PARTED) as server:
        outcome = partition(WHOLE, questioner(server))
    assert outcome.status is Status.DONE
    assert outcome.value.left == MASS
    assert outcome.value.right.empty


def test_parted_text_that_is_not_in_the_report_is_no_answer():
    invented = json.loads(PARTED)
    invented["findings"]["right"] = "A 3 cm cyst is seen in the right kidney."
    with Loopback(json.dumps(invented)) as server:
        assert partition(WHOLE, questioner(server)).status is Status.BROKEN


def test_a_translation_keeps_the_measurements_and_is_english():
    good = json.dumps({"findings": "A mass of 45 x 32 mm at the upper pole of the left kidney.", "impression": "RCC?"})
    with Loopback(good) as server:
        outcome = translate(CHINESE, questioner(server))
    assert outcome.value == SideText("A mass of 45 x 32 mm at the upper pole of the left kidney.", "RCC?")
    for bad in (
        good.replace("32", "23"),
        good.replace("RCC?", ""),
        good.replace("A mass of", "左肾上极肿块大小约为左肾上极"),
    ):
        with Loopback(bad) as server:
            assert translate(CHINESE, questioner(server)).status is Status.BROKEN


def test_english_text_is_not_translated():
    with Loopback(GOOD) as server:
        assert translate(MASS, questioner(server)).value == MASS
        assert not server.prompts


@pytest.mark.parametrize("model", [False, True])
def test_unusable_reports_have_their_outcomes_and_are_never_sent(model):
    with Loopback(GOOD) as server:
        asker = questioner(server) if model else None
        long = SideText("kidney " * 7143, "")
        assert partition(SideText("", ""), asker).status is Status.EMPTY
        assert partition(long, asker).status is Status.TOO_LONG
        assert extract(long, "left", asker).status is Status.TOO_LONG
        empty = extract(SideText("", " "), "left", asker)
        assert (empty.status, set(empty.value)) == (Status.EMPTY, {None})
        assert not server.prompts


def test_without_a_model_a_report_without_a_kidney_or_in_another_language_is_told_apart():
    assert partition(SideText("The liver is normal.", "")).status is Status.NO_KIDNEY
    german = SideText("In der linken Niere zeigt sich eine große Raumforderung mit Anreicherung.", "")
    assert partition(german).status is Status.LANGUAGE
    assert extract(german, "left").status is Status.LANGUAGE
    assert extract(CHINESE, "left").status is Status.LANGUAGE


def test_a_model_that_finds_no_kidney_says_so():
    nothing = json.dumps({part: {"left": "", "right": ""} for part in ("findings", "impression")})
    with Loopback(nothing) as server:
        assert partition(SideText("The liver is normal.", ""), questioner(server)).status is Status.NO_KIDNEY
