"""Errors carry one printable line, an exit code, and survive travel between processes."""

import pickle

import pytest

from tasks.errors import BatchError, InputError, LineageError, ParamsError, RawmillError, StoreError, fault


def test_fault_is_one_printable_line_with_its_four_parts() -> None:
    line = fault("a\nb.tif", "8-bit", "16-bit", "export it again")
    assert line == "a\\nb.tif: 8-bit; expected 16-bit; export it again"


def test_exit_codes_tell_whose_fault_it_is() -> None:
    codes = {e: e.exit_code for e in (RawmillError, ParamsError, InputError, BatchError, LineageError, StoreError)}
    assert codes == {RawmillError: 1, ParamsError: 2, InputError: 3, BatchError: 3, LineageError: 4, StoreError: 5}


@pytest.mark.parametrize("error", [InputError("x: bad"), BatchError(["a: bad", "b: bad"], done=3)])
def test_errors_travel_between_processes(error: RawmillError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_batch_error_lists_one_line_each_and_a_count() -> None:
    assert str(BatchError(["a: bad", "b: bad"], done=3)).splitlines() == ["a: bad", "b: bad", "2 bad, 3 done"]
