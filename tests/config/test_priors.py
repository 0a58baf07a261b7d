from pathlib import Path

import pytest
import yaml

from predictscale.config.priors import (
    CapacityPrior,
    Evidence,
    FigureName,
    load_priors,
    prior_figure,
)
from predictscale.core.law import MOST_USABLE
from predictscale.core.lawcapacity import IMBALANCE, KV_USABLE, TTFT_K0, TTFT_K1
from predictscale.core.lawfit import INPUT_COST
from predictscale.core.leadtime import CONFIGURED_S, GIVE_UP_S
from predictscale.errors import FileUnusable, SettingsError

PRIORS = load_priors()

FIGURE = {"value": 0.35, "evidence": "assumed", "source": "made up for a test"}
SOUND = {"name": "thing", "title": "A thing", "kind": "prior", "figures": {"input_cost": FIGURE}}


def written(folder: Path, prior: object, *, name: str = "thing") -> Path:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(prior))
    return folder


def with_figure(**changes: object) -> dict[str, object]:
    return {**SOUND, "figures": {"input_cost": {**FIGURE, **changes}}}


@pytest.mark.parametrize("prior", PRIORS.values(), ids=list(PRIORS))
def test_every_figure_says_where_it_comes_from(prior: CapacityPrior) -> None:
    assert prior.kind == "prior"
    for figure in prior.figures.values():
        assert len(figure.source) > 15
        assert figure.evidence in set(Evidence)


def test_the_core_assumes_what_the_priors_say() -> None:
    llm = PRIORS["llm"].figures
    assert llm[FigureName.INPUT_COST].value == INPUT_COST
    assert llm[FigureName.IMBALANCE].value == IMBALANCE
    assert (llm[FigureName.TTFT_K0].value, llm[FigureName.TTFT_K1].value) == (TTFT_K0, TTFT_K1)
    assert llm[FigureName.USABLE_UTILIZATION].value == MOST_USABLE
    assert llm[FigureName.USABLE_KV_SHARE].value == KV_USABLE
    assert llm[FigureName.START_S].value == CONFIGURED_S


def test_no_start_that_was_published_counts_as_failed() -> None:
    times_s = [
        figure.value
        for prior in PRIORS.values()
        for name, figure in prior.figures.items()
        if name in (FigureName.START_S, FigureName.COMPILE_WORST_S)
    ]
    assert max(times_s) < GIVE_UP_S


def test_the_prior_that_names_most_of_a_workload_is_asked_first() -> None:
    def start_s(**known: str) -> float:
        figure = prior_figure(PRIORS, FigureName.START_S, **known)
        assert figure is not None
        return figure.value

    assert start_s() == 300
    assert start_s(engine="sglang") == 300
    assert start_s(engine="vllm") == 277
    assert start_s(engine="vllm", model="llama-70b", accelerator="tp8") == 215
    assert start_s(engine="vllm", model="llama-70b", accelerator="tp4") == 277
    assert start_s(model="llama-70b", accelerator="tp8") == 300


def test_what_no_prior_tells_is_not_made_up() -> None:
    assert prior_figure(PRIORS, FigureName.LEAST_REQUESTS_RPS, engine="vllm") is None
    assert prior_figure(PRIORS, FigureName.WAKE_S) is None


def test_a_special_prior_without_the_figure_leaves_it_to_the_general_one() -> None:
    figure = prior_figure(PRIORS, FigureName.INPUT_COST, engine="vllm")
    assert figure == PRIORS["llm"].figures[FigureName.INPUT_COST]


def test_a_sound_prior_of_ones_own_is_loaded(tmp_path: Path) -> None:
    assert list(load_priors(written(tmp_path, SOUND))) == ["thing"]


@pytest.mark.parametrize(
    ("prior", "complaint"),
    [
        ({**SOUND, "kind": "measured"}, "kind"),
        ({**SOUND, "name": "other"}, "must be the file's: 'thing'"),
        ({**SOUND, "figures": {}}, "figures"),
        ({**SOUND, "figures": {"input_costs": FIGURE}}, "did you mean 'input_cost'|must be one of"),
        ({**SOUND, "figurse": {}}, "did you mean 'figures'"),
        (with_figure(source=""), "source"),
        (with_figure(evidence="measured"), "must be one of"),
        (with_figure(value=0), "must be above 0"),
        (with_figure(value=True), "must be a number"),
        (with_figure(low=0.4), "0.35 lies outside 0.4 to 0.35"),
        (with_figure(high=0.3), "0.35 lies outside 0.35 to 0.3"),
        ({**SOUND, "figures": {"least_requests_rps": FIGURE}}, "request: is missing"),
        ([], "must be a mapping"),
    ],
)
def test_a_prior_that_claims_too_much_is_refused(tmp_path: Path, prior: object, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load_priors(written(tmp_path, prior))


def test_the_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    written(tmp_path, with_figure(value=-1))
    written(tmp_path, {**SOUND, "name": "b", "figures": {}}, name="b")
    with pytest.raises(SettingsError) as caught:
        load_priors(tmp_path)
    assert {problem.where.split(":")[0] for problem in caught.value.problems} == {"thing.yaml", "b.yaml"}


def test_a_folder_without_priors_is_an_incomplete_installation(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="holds no priors"):
        load_priors(tmp_path)
