"""Schedules: their values, their state, what they refuse."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnn.errors import ConfigError, XpnnError
from xpnn.optim import Constant, Cosine, Plateau, Schedule, Step, WarmUp, schedule

EPOCH = 10  # steps


def factors(schedule, steps, steps_per_epoch=EPOCH):
    return [schedule.factor(step, steps_per_epoch) for step in range(steps)]


def test_constant():
    assert factors(Constant(), 5) == [1.0] * 5


def test_step_drops_at_the_first_step_of_a_period():
    assert factors(Step(2, 0.5), 5, steps_per_epoch=1) == [1, 1, 0.5, 0.5, 0.25]
    by_epoch = factors(Step(3, 0.1), 61)
    assert by_epoch[:30] == [1.0] * 30
    assert by_epoch[30:60] == [0.1] * 30
    assert by_epoch[60] == pytest.approx(0.01)
    assert factors(Step(3, 0.1, unit="step"), 7) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])


def test_step_counts_fractions_of_an_epoch():
    assert factors(Step(0.5, 0.5), 11) == [1] * 5 + [0.5] * 5 + [0.25]


def test_cosine_falls_along_half_a_wave_and_stays_down():
    found = factors(Cosine(4, floor=0.2), 50)
    expected = [0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * t / 40)) for t in range(41)]
    assert found[:41] == pytest.approx(expected, abs=1e-15)
    assert found[0] == 1.0
    assert found[20] == pytest.approx(0.6)
    assert found[40:] == pytest.approx([0.2] * 10, abs=1e-15)
    assert factors(Cosine(40, floor=0.2, unit="step"), 50) == found


def test_warm_up_rises_to_one_and_hands_over():
    assert factors(WarmUp(4), 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert factors(WarmUp(0.4, unit="epoch"), 6) == factors(WarmUp(4), 6)
    after = factors(WarmUp(4, then=Cosine(2)), 30)[4:]
    assert after == factors(Cosine(2), 26)


def test_warm_ups_nest():
    assert factors(WarmUp(2, then=WarmUp(2)), 5) == [0.5, 1.0, 0.5, 1.0, 1.0]


@given(
    st.sampled_from(["step", "epoch"]),
    st.floats(0.05, 50),
    st.floats(0, 1),
    st.integers(1, 1000),
    st.integers(0, 10**9),
)
def test_factors_stay_between_floor_and_one(unit, length, floor, steps_per_epoch, step):
    candidates = [
        (Cosine(length, floor, unit), floor),
        (Step(length, 0.5, unit), 0.0),
        (WarmUp(length, Cosine(length, floor, unit), unit), 0.0),
    ]
    for candidate, least in candidates:
        value = candidate.factor(step, steps_per_epoch)
        assert least - 1e-12 <= value <= 1
        assert value == candidate.factor(step, steps_per_epoch)


# Plateau ------------------------------------------------------------------------------------------------------------


def observed(plateau, values):
    """The factor after each of these."""
    found = []
    for value in values:
        plateau.observe(value)
        found.append(plateau.factor(0, EPOCH))
    return found


def test_plateau_waits_for_its_patience():
    assert observed(Plateau(2, 0.5), [1.0, 0.9, 0.9, 0.9, 0.9, 0.9]) == [1, 1, 1, 0.5, 0.5, 0.25]
    assert observed(Plateau(1, 0.5), [1.0, 1.0, 0.5, 0.5]) == [1, 0.5, 0.5, 0.25]


def test_plateau_asks_for_more_than_the_threshold():
    assert observed(Plateau(1, 0.5, threshold=0.1), [10.0, 9.5, 8.9]) == [1, 0.5, 0.5]
    assert observed(Plateau(1, 0.5, threshold=0.1), [-10.0, -10.5, -11.1]) == [1, 0.5, 0.5]
    assert observed(Plateau(1, 0.5, threshold=0.0), [0.0, 0.0, -1e-30]) == [1, 0.5, 0.5]


def test_small_gains_below_the_threshold_add_up():
    """The best value is that of the last real improvement, so a slow descent is seen in the end."""
    assert observed(Plateau(3, 0.5, threshold=0.1), [1.0, 0.95, 0.92, 0.89, 0.85]) == [1] * 5


def test_plateau_of_something_that_should_grow():
    assert observed(Plateau(1, 0.5, mode="max"), [0.5, 0.6, 0.6, 0.7]) == [1, 1, 0.5, 0.5]


def test_plateau_stops_at_its_floor():
    assert observed(Plateau(1, 0.1, floor=0.05), [1.0] * 5) == [1, 0.1, 0.05, 0.05, 0.05]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_better(bad, mode):
    assert observed(Plateau(2, 0.5, mode=mode), [bad, bad, 1.0, bad, bad]) == [1, 0.5, 0.5, 0.5, 0.25]


@given(st.lists(st.floats(0, 1, width=16), max_size=30), st.integers(0, 30))
def test_plateau_goes_on_from_its_state(values, cut):
    first, second = Plateau(2), Plateau(2)
    expected = observed(first, values)
    observed(second, values[:cut])
    resumed = WarmUp(5, then=Plateau(2))
    resumed.load_state(json.loads(json.dumps(WarmUp(5, then=second).state(), allow_nan=False)))
    assert observed(resumed.then, values[cut:]) == expected[cut:]
    assert resumed.state() == first.state()


def test_warm_up_passes_on_what_is_observed():
    schedule = WarmUp(2, then=Plateau(1, 0.5))
    for _ in range(2):
        schedule.observe(1.0)
    assert factors(schedule, 4) == [0.5, 1.0, 0.5, 0.5]


def test_schedules_without_memory_have_an_empty_state():
    for candidate in (Constant(), Step(3), Cosine(3), WarmUp(3)):
        candidate.observe(1.0)
        assert candidate.state() == {}
        candidate.load_state({})
        with pytest.raises(ConfigError, match="expected a state with"):
            candidate.load_state({"best": 1.0})


@pytest.mark.parametrize(
    "damage",
    [
        {"factor": 2.0},
        {"factor": math.nan},
        {"waited": -1},
        {"best": "low"},
        {"extra": 1},
    ],
)
def test_plateau_refuses_a_damaged_state(damage):
    plateau = Plateau()
    before = plateau.state()
    with pytest.raises(ConfigError, match="Plateau: expected"):
        plateau.load_state({**before, **damage})
    assert plateau.state() == before


# Settings and names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Step(0), "Step: expected every > 0; got 0"),
        (lambda: Step(math.inf), "Step: expected every > 0; got inf"),
        (lambda: Step(math.nan), "Step: expected every > 0; got nan"),
        (lambda: Step(3, 0.0), "Step: expected factor above 0, up to 1; got 0.0"),
        (lambda: Step(3, unit="batch"), "Step: expected unit 'epoch' or 'step'; got 'batch'"),
        (lambda: Cosine(-1), "Cosine: expected total > 0; got -1"),
        (lambda: Cosine(1, 1.5), "Cosine: expected floor from 0 to 1; got 1.5"),
        (lambda: WarmUp(0), "WarmUp: expected steps > 0; got 0"),
        (lambda: WarmUp(3, then="cosine"), "WarmUp: expected a schedule to follow, or None; got str"),
        (lambda: Plateau(0), "Plateau: expected a whole number patience >= 1; got 0"),
        (lambda: Plateau(1.5), "Plateau: expected a whole number patience >= 1; got 1.5"),
        (lambda: Plateau(factor=1.0), "Plateau: expected factor between 0 and 1; got 1.0"),
        (lambda: Plateau(threshold=-1), "Plateau: expected threshold >= 0; got -1"),
        (lambda: Plateau(floor=2), "Plateau: expected floor from 0 to 1; got 2"),
        (lambda: Plateau(mode="up"), "Plateau: expected mode 'min' or 'max'; got 'up'"),
        (lambda: schedule.get("cosin", total=3), "schedule 'cosin' is unknown; .* Did you mean 'cosine'?"),
        (lambda: schedule.get(3), "schedule 3 is unknown"),
        (lambda: schedule.get("cosine"), "schedule 'cosine': missing a required argument: 'total'"),
        (lambda: schedule.get("cosine", totl=3), "schedule 'cosine':"),
    ],
)
def test_settings_out_of_range(make, text):
    with pytest.raises(ConfigError, match=text) as caught:
        make()
    assert isinstance(caught.value, XpnnError)
    assert "\n" not in str(caught.value)


def test_get():
    assert isinstance(schedule.get(None), Constant)
    mine = Cosine(3)
    assert schedule.get(mine) is mine
    assert schedule.get("step", every=2).factor(20, EPOCH) == 0.1
    for name, needed in {"warm_up": {"steps": 3}, "plateau": {}, "constant": {}}.items():
        assert isinstance(schedule.get(name, **needed), schedule.SCHEDULES[name])


def test_a_schedule_of_ones_own():
    class Halves(Schedule):
        def factor(self, step, steps_per_epoch):
            return 0.5

    assert schedule.get(Halves()).factor(0, 1) == 0.5
    with pytest.raises(NotImplementedError, match=r"Schedule\.factor is not written"):
        Schedule().factor(0, 1)
