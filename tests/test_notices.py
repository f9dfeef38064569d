"""Notices point at the caller outside of pyvda."""

import warnings

import pytest

from pyvda.notices import Notice, begun, notice, when_begun


def test_a_notice_points_at_the_first_caller_outside_of_pyvda():
    with pytest.warns(Notice, match="three values") as caught:
        notice("three values were masked")
    assert caught[0].filename == __file__


def test_a_notice_can_be_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        with pytest.raises(Notice, match="masked"):
            notice("masked")


def test_who_waits_for_the_work_to_begin_is_called_once():
    called = []
    when_begun(lambda: called.append(1))
    assert called == []
    begun()
    begun()
    assert called == [1]
