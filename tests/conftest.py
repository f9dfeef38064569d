"""Set-up of all tests: no screen, no deadlines, and no silently skipped Julia in CI.

A test marked `julia` is skipped where no julia command is found, one marked `juliacall` where
juliacall could not start without a download.

With PYVDA_REQUIRE_JULIA=1 in the environment (`.ci/run` sets it) a Julia that the engine cannot
start ends the session at once, and a skipped test that carries the marker `julia`, or a test file
skipped as a whole, counts as a failure.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from pyvda.engine.julia import start_juliacall, start_libjulia

# Plots are drawn into files only; a display would make the outcome depend on the machine.
os.environ.setdefault("MPLBACKEND", "Agg")

# A system image that `make test` has made is used; none is made when a test's process ends.
os.environ.setdefault("PYVDA_SYSIMAGE", "use")

# The time that an example takes is meaningless on a shared machine.
hypothesis.settings.register_profile("pyvda", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("pyvda")

# A shell ignores Ctrl-C in what it starts in the background, and children inherit that: those that
# the tests interrupt must hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE_JULIA = os.environ.get("PYVDA_REQUIRE_JULIA", "") not in ("", "0")

# Trainings, tables, figures, commands and workers in processes of their own, and what runs on
# every method: `make test-fast` leaves these files and tests out, as it does those with the marker
# `slow`. By the beginning of their names.
SLOW = (
    "checks/test_on_operator.py",
    "checks/test_run.py",
    "cli/test_diagnose.py",
    "cli/test_main.py::test_closed_standard_streams_do_not_hinder",
    "cli/test_main.py::test_the_commands_of_the_readme",
    "cli/test_odd_places.py",
    "climate/test_cache.py::test_two_processes_at_once_leave_one_whole_file",
    "engine/test_own_model.py",
    "fields/learned/test_method.py::test_two_seas_with_land_between_them",
    "fields/learned/test_method.py::test_where_no_datum_is_near",
    "fields/learned/test_train.py",
    "fields/test_combination.py::test_a_wrong_covariance_is_corrected",
    "fields/test_in_blocks.py::test_workers_share_the_blocks",
    "fields/test_optimal_interpolation.py::test_a_local_variance_makes_estimates",
    "io/test_netcdf.py::test_killed_writer_leaves_nothing_readable",
    "io/test_round_trip.py",
    "io/writing/test_model_attributes.py::test_the_command_line_assimilates_fields",
    "judgements/test_lazy_report.py::test_named_variables_are_judged_alike",
    "learned/test_model.py",
    *(f"methods/test_{name}.py" for name in (
        "annealed", "channels", "degenerate", "ensemble_smoother", "fsgd", "gauss_newton",
        "given_climatology", "kalman", "learned", "parameters", "posterior_mean",
        "strong_constraint", "warm_start",
    )),
    "models/test_from_jax.py::test_values_and_derivatives_are_those_of_torch",
    "models/test_malformed_torch.py",
    "models/test_registry.py::test_python_names_no_",
    "models/zoo/test_kuramoto_sivashinsky.py::test_the_reference_score",
    "models/zoo/test_lorenz84.py::test_the_reference_score",
    "models/zoo/test_lorenz96_two_scale.py::test_the_reference_score_of_four_dvar",
    "models/zoo/test_lorenz96.py::test_the_reference_score_of_a_filter",
    "paper/test_figures.py",
    "paper/test_held_out.py",
    "paper/test_reproduce.py",
    "paper/test_retraining.py",
    "priors/test_autoencoder.py",
    "priors/test_genn.py",
    "priors/test_ode.py",
    "solvers/test_solver.py",
    "state/test_chunking.py::test_large_observations_in_memory_are_divided",
    "test_assimilate.py::test_a_file_in_chunks_is_read_at_most_twice",
    "test_cluster.py",
    "test_cycle_results.py",
    "test_devices.py",
    "test_init.py::test_a_function_named_like_its_module",
    "test_invalid_input.py",
    "test_land.py",
    "test_layering.py::test_module_loads_nothing_forbidden",
    "test_progress.py::test_no_cost_is_evaluated_for_a_bar",
    "test_reference.py",
    "test_rerun.py",
    "test_two_languages.py",
    "test_wheel.py",
    "training/test_files.py",
    "training/test_lightning_trainer.py",
    "training/test_module.py",
    "training/test_own_models.py",
    "training/test_run_folder.py",
    "training/test_starting_weights.py",
    "training/test_state.py",
    "training/test_train.py",
)  # fmt: skip

# Further cases of what another test covers, and scores over many windows: `make test` leaves them
# out, `make test-exhaustive` runs them. By the beginning of their names.
EXHAUSTIVE = (
    "checks/test_on_large.py::test_right_derivatives_pass[torch]",
    "checks/test_run.py::test_a_broken_derivative_in_julia_fails[sign-of-adjoint]",
    "checks/test_run.py::test_a_broken_derivative_in_julia_fails[term-of-adjoint]",
    "checks/test_run.py::test_a_broken_derivative_in_julia_fails[terms-of-large-models]",
    "checks/test_run.py::test_a_broken_derivative_in_julia_fails[terms-of-small-models]",
    "cli/test_odd_places.py::test_an_analysis_is_made_anywhere[home missing]",
    "cli/test_odd_places.py::test_an_analysis_is_made_anywhere[home not readable]",
    "climate/test_library.py::test_of_a_model_on_its_attractor",
    "engine/julia/test_nonlinear.py::test_both_engines_find_the_same[smooth abs-fsgd",
    "engine/julia/test_nonlinear.py::test_both_engines_find_the_same[smooth abs-strong-constraint",
    "engine/test_agreement.py::test_methods_agree[advection-annealed]",
    "engine/test_agreement.py::test_methods_agree[advection-local smoother]",
    "engine/test_agreement.py::test_methods_agree[advection-many minima]",
    "engine/test_agreement.py::test_methods_agree[advection-plain smoother]",
    "engine/test_agreement.py::test_methods_agree[advection-smoother that goes back]",
    "engine/test_agreement.py::test_methods_agree[advection-with draws]",
    "engine/test_agreement.py::test_methods_agree[lorenz96-grown]",
    "engine/test_agreement.py::test_methods_agree[lorenz96-many minima]",
    "engine/test_agreement.py::test_methods_agree[lorenz96-own parameters]",
    "engine/test_agreement.py::test_methods_agree[lorenz96-shared parameters]",
    "engine/test_agreement.py::test_methods_agree[rossler-annealed]",
    "engine/test_agreement.py::test_methods_agree[rossler-local smoother]",
    "engine/test_agreement.py::test_methods_agree[rossler-many minima]",
    "engine/test_agreement.py::test_methods_agree[rossler-own parameters]",
    "engine/test_agreement.py::test_methods_agree[rossler-plain smoother]",
    "engine/test_agreement.py::test_methods_agree[rossler-shared parameters]",
    "engine/test_agreement.py::test_methods_agree[rossler-smoother that goes back]",
    "engine/test_agreement.py::test_methods_agree[rossler-with draws]",
    "fields/test_combination.py::test_a_wrong_covariance_is_corrected_and_a_right_one_stays[1.0",
    "fields/learned/test_train.py::test_a_network_learns_what_the_covariance_does_not_know[unet]",
    "io/writing/test_model_attributes.py::test_an_analysis_of_a_field_has_no_model[command1]",
    "methods/test_annealed.py::test_eager_and_chunked_runs_agree[4]",
    "methods/test_channels.py::test_a_linear_function_is_a_linear_operator[strong-constraint",
    "methods/test_fsgd.py::test_a_killed_command_resumes_from_its_state[9]",
    "methods/test_incremental_spread.py::test_equal_eigenvalues_do_not_hide_what_is_observed[400-few",
    "methods/test_incremental_spread.py::test_equal_eigenvalues_do_not_hide_what_is_observed[400-grad",
    "methods/test_incremental_spread.py::test_equal_eigenvalues_do_not_hide_what_is_observed[60-",
    "methods/test_incremental_spread.py::test_the_spread_of_an_ocean_is_that_of_the_dense_inverse[few",
    "methods/test_incremental_spread.py::test_the_spread_of_an_ocean_is_that_of_the_dense_inverse[gradients-m",
    "methods/test_parameters.py::test_a_wrong_forcing_is_found",
    "methods/test_particles.py::test_a_cycle_keeps_what_earlier_data_say[torch]",
    "methods/test_posterior_mean.py::test_a_model_on_a_circle_of_few_components_in_both_engines[10",
    "methods/test_posterior_mean.py::test_many_members_and_few_with_a_second_stage_agree",
    "methods/test_posterior_mean.py::test_reaches_the_limit_of_the_observations",
    "methods/test_strong_constraint.py::test_growing_by_one_observation_time",
    "methods/test_stable_step.py::test_a_steep_step_descends[40.0]",
    "models/test_from_julia.py::test_a_wrong_sign_is_refused_with_its_entry[text3",
    "models/test_from_julia.py::test_a_wrong_sign_is_refused_with_its_entry[text5",
    "models/test_from_julia.py::test_a_wrong_sign_is_refused_with_its_entry[text6",
    "models/test_malformed_julia.py::test_the_file_without_a_change_is_compared[parts0]",
    "operators/test_from_file.py::test_the_command_makes_the_analysis_of_the_matrix_and_is_repeated[observe.py:linear]",
    "operators/test_from_file.py::test_the_command_makes_the_analysis_of_the_matrix_and_is_repeated[observe.py:module]",
    "operators/test_from_file.py::test_the_command_makes_the_analysis_of_the_matrix_and_is_repeated[rows.nc]",
    "paper/test_held_out.py::test_a_classical_row_scores_what_is_stored[ensemble-smoother",
    "state/test_chunking.py::test_a_command_takes_less_than_four_bytes_for_a_byte_of_state[nc-20000",
    "state/test_chunking.py::test_a_command_takes_less_than_four_bytes_for_a_byte_of_state[zarr",
    "state/test_chunking.py::test_observations_in_memory_take_less_than_four_times_theirs",
    "test_benchmarks.py::test_models_in_users_files_are_the_built_in_ones[lorenz96]",
    "test_cluster.py::test_a_killed_worker_loses_nothing[analysis.nc]",
    "test_cost.py::test_a_compiled_gradient_is_the_same",
    "test_reference.py::test_descent_passes_the_reference[lorenz63-512",
    "test_reference.py::test_descent_passes_the_reference[lorenz96-256",
    "test_rerun.py::test_a_command_is_repeated_to_the_bit[configuration]",
    "test_rerun.py::test_a_record_that_says_nothing_of_a_state_is_repeated",
    "test_robust.py::test_an_exact_model_that_does_not_fit_rejects_nothing[10.0-0.0]",
    "test_robust.py::test_an_exact_model_that_does_not_fit_rejects_nothing[0.0",
    "test_robust.py::test_data_are_rejected_by_the_strong_constraint[fsgd",
    "test_wheel.py::test_commands_that_test_the_conda_package_succeed",
    "training/test_state.py::test_a_killed_training_resumes_to_the_same_curve[True]",
    "training/test_train.py::test_every_architecture_trains[autoencoder-conv-32.0",
    "training/test_train.py::test_every_architecture_trains[bilinear-rk4-lstm",
    "training/test_train.py::test_every_architecture_trains[euler-lstm",
    "training/test_train.py::test_every_architecture_trains[rk4-lstm",
    "training/test_train.py::test_every_architecture_trains[two-scale-genn-conv-25.0",
    "training/test_train.py::test_supervised_training_beats_a_converged_descent",
    "training/test_train.py::test_the_equation_is_found_from_data_alone",
    "training/test_train.py::test_unsupervised_training_lowers_the_cost_itself[conv]",
)

# In a process of its own: a process can start Julia once, and the tests want to choose how. It also
# fills the cache of climatologies, which the workers would each make, on the torch engine slowly.
START = """
import sys
from pyvda.climate.climatology import climatology
from pyvda.engine import get_engine
from pyvda.models.registry import get_preset, presets

engine = get_engine(sys.argv[1])
for name in presets():
    climatology(get_preset(name).model, engine)
"""


@pytest.fixture
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Fix the kernels, which would otherwise be Julia's after a test that has started it."""
    chosen: str = getattr(request, "param", "torch")
    monkeypatch.setenv("PYVDA_KERNELS", chosen)
    return chosen


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    """Close the figures of a test; pyplot, which the drawn ones belong to, keeps them all."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_sessionstart(session: pytest.Session) -> None:
    workers = getattr(session.config.option, "numprocesses", None)
    if session.config.option.collectonly or not (REQUIRE_JULIA or workers):
        return
    if hasattr(session.config, "workerinput"):  # a worker of pytest-xdist; its controller has tried
        return
    started = subprocess.run(
        [sys.executable, "-c", START, "libjulia" if REQUIRE_JULIA else "auto"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if started.returncode and REQUIRE_JULIA:
        last = (started.stderr.strip() or "no message").splitlines()[-1]
        pytest.exit(
            f"PYVDA_REQUIRE_JULIA is set, but the libjulia engine does not start: {last}",
            returncode=1,
        )


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if name.startswith(SLOW):
            item.add_marker("slow")
        if name.startswith(EXHAUSTIVE):
            item.add_marker("exhaustive")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("julia") and start_libjulia.julia_command() is None:
        pytest.skip("no julia on PATH or in PYVDA_JULIA")
    if item.get_closest_marker("juliacall") and (why := start_juliacall.ready_without_download()):
        pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("julia"):
        _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _forbid_skip(report)
    return report


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_JULIA:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"PYVDA_REQUIRE_JULIA is set, so this must not be skipped. {reason}"
