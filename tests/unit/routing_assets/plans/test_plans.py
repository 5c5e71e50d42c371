"""Routing and training plans: content, identity through text, reading that fails closed, ids, filters and files."""

import json
from pathlib import Path

import jsonschema
import orjson
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sections.routing import RoutingConfig
from config.sections.training import TrainingConfig
from routing_assets.contracts import RoutingPlan
from routing_assets.decisions.plan_documents import PLAN_DEPTH, PlanError, json_text, lay_out, read_routing_plan, write_routing_plan, yaml_text
from routing_assets.evidence.candidates_table import candidates_from_table, read_candidates, write_candidates
from routing_assets.plans.plan_consistency import plan_against_routes
from routing_assets.plans.training_plan import filter_jobs, job_id, make_training_plan, training_plan_document
from routing_assets.plans.training_plan_files import MASTER, find_training_plan, load_training_plan, write_training_plan
from tests.candidate_rows import STATE_CHANGES, candidates, local, pooled
from tests.plan_samples import DATA, FAMILIES, FORMATS, TRAINING, five_routes, plan_of, schema, training_of
from training_assets.contracts import TrainingType
from training_assets.plan_reader import content_hash


def test_a_routing_plan_states_route_states_reasons_and_each_number_with_its_bound():
    plan = plan_of()
    pairs = plan.targets["fwd_ret_12b"]["symbols"]
    assert {name: pair["route"] for name, pair in pairs.items()} == {
        "BOTH": "ROUTE_BOTH",
        "CS": "ROUTE_CROSS_SECTIONAL",
        "BLOCKED": "ROUTE_BLOCKED",
        "LOCAL": "ROUTE_SYMBOL_SPECIFIC",
        "TRY": "ROUTE_EXPERIMENTAL_ONLY",
    }
    assert pairs["CS"]["reason"] == ["SYMBOL_SPECIFIC:SAMPLE_SIZE"]
    assert pairs["CS"]["evidence"]["sample_size"] == {"bound": 400, "passed": False, "value": 10}
    assert pairs["TRY"]["evidence"]["experimental_p_value"]["passed"]
    assert "experimental_p_value" not in pairs["CS"]["evidence"]
    assert pairs["BLOCKED"]["reason"][0] == "PAIR_LEAKS"
    assert plan.metadata["data_hash"] == DATA
    assert sum(plan.metadata["route_counts"].values()) == plan.metadata["n_pairs"] == 5


@pytest.mark.parametrize(("low", "high", "passed"), [(-0.01, 0.02, False), (0.01, 0.02, True), (-0.02, -0.01, True)])
def test_the_difference_that_decides_stands_beside_the_bound_it_met(low, high, passed):
    row = {"local_minus_pooled": 0.0, "local_minus_pooled_ci_low": low, "local_minus_pooled_ci_high": high}
    plan = plan_of(candidates(pooled(), local("A", **row), local("B", **row, **STATE_CHANGES["DISALLOWED"])))
    pairs = plan.targets["fwd_ret_12b"]["symbols"]
    assert pairs["A"]["evidence"]["local_minus_pooled"] == {"bound": 0.0, "ci_high": high, "ci_low": low, "passed": passed, "value": 0.0}
    assert "bound" not in pairs["B"]["evidence"]["local_minus_pooled"]
    jsonschema.validate(plan.document(), schema("routing_plan"))


def test_a_pooled_side_that_nobody_uses_is_disabled():
    plan = plan_of(candidates(pooled(), pooled(target="empty"), local(pooled_score_on_symbol_ci_high=0.4)))
    assert (plan.targets["empty"]["cross_sectional"]["route"], plan.targets["empty"]["cross_sectional"]["reason"]) == ("DISABLED", "NO_SYMBOL_POOLED")
    assert plan.targets["empty"]["symbols"] == {}


def test_both_plans_validate_against_their_schemas():
    for name, document in (("routing_plan", plan_of().document()), ("master_training_plan", training_of())):
        document = document if name == "routing_plan" else training_plan_document(document)
        text = json_text(lay_out(document, {}))
        jsonschema.validate(json.loads(text), schema(name))
        broken = json.loads(text)
        broken["metadata"]["clock"] = "now"
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema(name))


def test_a_plan_made_in_dev_mode_says_so():
    plan = plan_of(config=RoutingConfig(dev_mode=True))
    assert plan.metadata["dev_mode"] is True
    assert not plan_of().metadata["dev_mode"]


def test_replaying_a_stored_table_in_any_order_gives_the_same_plan_byte_for_byte(tmp_path):
    table = five_routes()
    shuffled = candidates_from_table(table.table.take(pa.array([3, 0, 5, 1, 4, 2])), data_hash=DATA)
    write_candidates(shuffled, tmp_path / "c.parquet")
    texts = [json_text(lay_out(plan_of(each).document(), PLAN_DEPTH)) for each in (table, read_candidates(tmp_path / "c.parquet"))]
    assert texts[0] == texts[1]


def test_a_routing_plan_survives_json_and_yaml(tmp_path):
    plan = plan_of()
    write_routing_plan(plan, tmp_path / "p", FORMATS, 100)
    assert read_routing_plan(tmp_path / "p", DATA) == plan
    assert yaml.safe_load((tmp_path / "p" / "routing_plan.yaml").read_text()) == plan.document()
    assert "| ROUTE_BOTH | 1 |" in (tmp_path / "p" / "routing_plan.md").read_text()


def test_a_large_yaml_is_split_by_target_and_joins_back(tmp_path):
    plan = plan_of(candidates(local(target="a/b"), local(target="..")))
    write_routing_plan(plan, tmp_path, ("yaml",), 1)
    index = yaml.safe_load((tmp_path / "routing_plan.yaml").read_text())
    joined = {}
    for target, file in index["target_files"].items():
        joined[target] = yaml.safe_load((tmp_path / file).read_text())["targets"][target]
    assert {"metadata": index["metadata"], "targets": joined} == plan.document()
    assert not (tmp_path / "routing_plan.json").exists()


LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
DOCUMENTS = st.dictionaries(
    st.text(max_size=6), st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3))
)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, st.integers(0, 4))
def test_any_document_survives_both_texts_at_any_depth(document, depth):
    lines = lay_out(document, dict.fromkeys(document, depth))
    assert orjson.loads(json_text(lines)) == document
    if document:
        assert yaml.load(yaml_text(lines), Loader=yaml.CSafeLoader) == document


@pytest.mark.parametrize("value", [1e-7, -3e-9, 1e20, 5e-324, 0.1, "1e-7", "a:1e-7", "yes", "\u0085\u2028\x7f\ufeff", "x" * 2_000, "- a", "#"])
def test_what_yaml_spells_otherwise_reads_back_as_it_was(value):
    document = {"top": {str(value): {"inner": [value, {"deep": value}]}}}
    assert yaml.safe_load(yaml_text(lay_out(document, {"top": 2}))) == document


def write_master(folder: Path, plan) -> Path:
    write_training_plan(plan, folder, FORMATS)
    return folder / MASTER


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda file: file.unlink(), "missing"),
        (lambda file: file.write_bytes(b" \n"), "empty"),
        (lambda file: file.write_bytes(file.read_bytes()[:-40]), "not JSON"),
        (lambda file: file.write_bytes(b"[]"), "not such a plan"),
        (lambda file: file.write_bytes(b"{}"), "not such a plan"),
        (lambda file: file.write_bytes(b'{"metadata": {}, "jobs": [], "targets": {}, "summary": {}}'), "schema_version None"),
        (lambda file: file.write_bytes(file.read_bytes().replace(b"LOCAL", b"OTHER", 1)), "tampered"),
        (lambda file: file.write_bytes(file.read_bytes().replace(DATA.encode(), b"f" * 16)), "tampered"),
        (lambda file: (file.unlink(), file.mkdir()), "cannot be read|missing"),
    ],
)
def test_a_harmed_plan_is_an_error_that_says_which(tmp_path, harm, words):
    write_routing_plan(plan_of(), tmp_path / "r", FORMATS, 100)
    for file, read in ((tmp_path / "r" / "routing_plan.json", read_routing_plan), (write_master(tmp_path / "t", training_of()), load_training_plan)):
        assert read(file.parent, DATA)
        harm(file)
        with pytest.raises(PlanError, match=words):
            read(file.parent, DATA)


def test_a_plan_made_from_other_data_is_refused(tmp_path):
    write_master(tmp_path, training_of())
    with pytest.raises(PlanError, match="made from other data"):
        load_training_plan(tmp_path, "f" * 16)


def test_a_routing_plan_without_targets_that_are_mappings_is_refused(tmp_path):
    document = {"metadata": {"schema_version": "1"}, "targets": []}
    document["metadata"]["plan_id"] = content_hash(document)
    (tmp_path / "routing_plan.json").write_bytes(orjson.dumps(document))
    with pytest.raises(PlanError, match="not a mapping"):
        read_routing_plan(tmp_path)


def test_a_plan_that_blocks_everything_trains_nothing_only_where_that_is_allowed(tmp_path):
    plan = training_of(candidates(pooled(score=None), local(score=None)))
    write_master(tmp_path, plan)
    with pytest.raises(PlanError, match="no jobs"):
        load_training_plan(tmp_path)
    assert load_training_plan(tmp_path, allow_no_jobs=True) == plan


def test_jobs_follow_the_routes():
    plan = training_of()
    jobs = {(job.training_type, job.symbol): job for job in plan.jobs}
    pool = jobs[TrainingType.CROSS_SECTIONAL, None]
    assert pool.symbols == ("BOTH", "CS")
    assert pool.model_families == ("Ridge", "LightGBM", "Pool", "LSTM")
    assert {symbol for _, symbol in jobs} == {None, "BOTH", "LOCAL", "TRY"}
    both, trial = jobs[TrainingType.SYMBOL_SPECIFIC, "BOTH"], jobs[TrainingType.SYMBOL_SPECIFIC, "TRY"]
    assert both.metadata["needs_cs_ensemble"]
    assert not trial.metadata["needs_cs_ensemble"]
    assert both.model_families == ("Ridge", "LightGBM", "LSTM")
    assert trial.model_families == ("Ridge",)
    assert [job.priority for job in plan.jobs] == [3, 2, 2, 1]
    assert pool.estimated_samples == 20_010
    assert plan.summary == {
        "by_route": {"ROUTE_BOTH": 1, "ROUTE_CROSS_SECTIONAL": 1, "ROUTE_EXPERIMENTAL_ONLY": 1, "ROUTE_SYMBOL_SPECIFIC": 1},
        "by_type": {"cross_sectional": 1, "symbol_specific": 3},
        "by_priority": {"1": 1, "2": 2, "3": 1},
        "total_cs_jobs": 1,
        "total_symbol_jobs": 3,
        "total_blocked": 1,
        "total_without_family": 0,
        "left_out": [],
    }


@pytest.mark.parametrize("refused", [{"sample_size": 20}, {"leakage_status": "UNKNOWN"}])
def test_a_refused_local_side_is_never_trained_in_the_experimental_lane_and_the_plan_says_why(tmp_path, refused):
    table = candidates(pooled(stability="DIVERGED"), local("SHORT", **refused), local("TRY", stability="UNKNOWN", p_value=0.9))
    plan = training_of(table)
    assert [job.symbol for job in plan.jobs] == ["TRY"]
    (left_out,) = plan.summary["left_out"]
    assert (left_out["code"], left_out["target"], left_out["symbol"]) == ("NO_LOCAL_JOB", "fwd_ret_12b", "SHORT")
    assert f"SYMBOL_SPECIFIC:{'SAMPLE_SIZE' if 'sample_size' in refused else 'LEAKAGE'}" in left_out["reason"]
    jsonschema.validate(training_plan_document(plan), schema("master_training_plan"))
    write_training_plan(plan, tmp_path / "plan", ("md",))
    assert "only the pooled side is EXPERIMENTAL" in (tmp_path / "plan" / "training_plan.md").read_text()
    assert not plan_against_routes(plan, plan_of(table))


def test_targets_and_symbols_that_the_data_lack_have_no_job_and_are_named():
    table = candidates(pooled(), local("A"), local("B"), local("GONE"), pooled(target="other"), local("A", target="other"))
    plan = make_training_plan(plan_of(table), table, {"fwd_ret_12b": ("f",)}, FAMILIES, TRAINING, symbols=("A", "B"))
    assert {(job.target, job.symbol) for job in plan.jobs} == {("fwd_ret_12b", symbol) for symbol in (None, "A", "B")}
    assert next(job.symbols for job in plan.jobs if job.symbol is None) == ("A", "B")
    assert [(item["target"], item["symbol"]) for item in plan.summary["left_out"]] == [("other", None), (None, "GONE")]
    assert not plan_against_routes(plan, plan_of(table))


def test_a_job_that_no_family_can_take_is_left_out_and_counted():
    plan = training_of(config=TrainingConfig(families=("LSTM",)))
    assert "TRY" not in {job.symbol for job in plan.jobs}
    assert plan.summary["total_without_family"] == 1


def test_cross_sectional_model_types_plan_pooled_jobs_only():
    plan = training_of(config=TrainingConfig(families=("Ridge",), model_types="cross-sectional"))
    assert [job.symbol for job in plan.jobs] == [None]


def test_an_unknown_family_and_a_target_without_features_are_refused():
    with pytest.raises(PlanError, match="'LightGMB' is no model family"):
        training_of(config=TrainingConfig(families=("LightGMB",)))
    with pytest.raises(PlanError, match="has no feature set"):
        training_of(features=())


def test_a_routing_plan_of_other_candidates_is_refused():
    with pytest.raises(PlanError, match="route these candidates again"):
        make_training_plan(plan_of(), candidates(pooled(), local("BOTH")), {"fwd_ret_12b": ("f",)}, FAMILIES, TRAINING)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=2, max_size=2, unique=True))
def test_job_ids_are_unique_for_any_names(pairs):
    ids = {job_id(TrainingType.SYMBOL_SPECIFIC, target, symbol) for target, symbol in pairs}
    pooled_ids = {job_id(TrainingType.CROSS_SECTIONAL, target, None) for target, _ in pairs}
    assert len(ids) == 2
    assert len(pooled_ids) == len({target for target, _ in pairs})
    assert not ids & pooled_ids


def test_hostile_names_stay_inside_the_folder_and_apart(tmp_path):
    names = ["../up", "a/b", "a%2Fb", "A", "a", "..", ".", "con:", "é", "x" * 300]
    table = candidates(*(local(name, target=name) for name in names))
    plan = training_of(table)
    write_training_plan(plan, tmp_path / "out" / "plan", FORMATS)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    views = list((tmp_path / "out" / "plan" / "by_symbol").iterdir())
    assert len({path.name.lower() for path in views}) == len(names)
    assert sorted(json.loads(path.read_text())["metadata"]["name"] for path in views) == sorted(names)
    assert len({job.job_id for job in plan.jobs}) == len(plan.jobs) == len(names)


def test_the_training_plan_survives_its_files_and_its_views_agree(tmp_path):
    plan = training_of()
    master = write_master(tmp_path, plan)
    assert load_training_plan(tmp_path, DATA) == plan
    document = json.loads(master.read_text())
    assert json.loads((tmp_path / "training_plan.json").read_text()) == document
    assert yaml.safe_load((tmp_path / "training_plan.yaml").read_text()) == document
    assert plan.metadata["plan_id"] in (tmp_path / "training_plan.md").read_text()
    by_symbol = json.loads((tmp_path / "by_symbol" / "BOTH.json").read_text())
    assert [job["training_type"] for job in by_symbol["jobs"]] == ["symbol_specific", "cross_sectional"]
    by_route = [job for file in (tmp_path / "by_route").iterdir() for job in json.loads(file.read_text())["jobs"]]
    assert len(by_route) == len(plan.jobs)


def test_a_new_plan_leaves_no_view_of_the_old_one(tmp_path):
    write_master(tmp_path / "p", training_of())
    write_master(tmp_path / "p", training_of(candidates(local("ONLY"))))
    assert [path.name for path in (tmp_path / "p" / "by_symbol").iterdir()] == ["ONLY.json"]


def test_plans_are_found_in_the_order_of_the_contract(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "a" / "out"
    order = [
        output / "globals/training_plan",
        output.parent / "globals/training_plan",
        output / "METRICS/training_plan",
        output.parent / "METRICS/training_plan",
    ]
    order.append(Path("results/METRICS/training_plan"))
    with pytest.raises(PlanError, match="switchyard plan"):
        find_training_plan(output)
    for place in reversed(order):
        place.mkdir(parents=True)
        (place / MASTER).write_text("{}")
        assert find_training_plan(output) == place
    with pytest.raises(PlanError, match="missing"):
        find_training_plan(output, tmp_path / "named")


def test_consumers_filter_jobs_and_hear_of_names_that_are_not_there():
    plan = training_of()
    assert {job.symbol for job in filter_jobs(plan, symbols=["BOTH"])} == {"BOTH", None}
    assert filter_jobs(plan, symbols=["CS"])[0].symbols == ("BOTH", "CS")
    assert {job.model_families for job in filter_jobs(plan, families=["RIDGE"], targets=["FWD_RET_12B"])} == {("Ridge",)}
    assert [job.symbol for job in filter_jobs(plan, model_types="cross-sectional")] == [None]
    assert {(str(job.route), job.symbol) for job in filter_jobs(plan, routes=["both"])} == {("ROUTE_BOTH", "BOTH"), ("ROUTE_CROSS_SECTIONAL", None)}
    assert [job.symbol for job in filter_jobs(plan, routes=["both"], symbols=["CS"])] == []
    assert [job.symbol for job in filter_jobs(plan, routes=["symbol_specific"])] == ["LOCAL"]
    with pytest.raises(PlanError, match="ROUTE_SIDEWAYS"):
        filter_jobs(plan, routes=["sideways"])
    with pytest.raises(PlanError, match="symbol 'NOPE'"):
        filter_jobs(plan, symbols=["NOPE"])


def test_the_same_inputs_make_the_same_training_plan_and_another_setting_another():
    assert training_of() == training_of()
    assert training_of().metadata["plan_id"] != training_of(features=("f2", "f1")).metadata["plan_id"]
    assert isinstance(plan_of(), RoutingPlan)
