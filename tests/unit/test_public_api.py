import subprocess
import sys
import typing

import pytest

import goldseam


@pytest.mark.parametrize("name", goldseam.__all__)
def test_every_public_name_is_there_and_documented(name):
    found = getattr(goldseam, name)
    assert found.__doc__


def test_the_two_lists_agree():
    assert set(goldseam._HOMES) | {"audit"} == set(goldseam.__all__)


def test_every_importer_can_be_reached():
    from goldseam.dataset import formats

    readers = {name for name in formats.__all__ if name.startswith("import_")}
    assert readers <= set(goldseam.__all__)
    # each with the options that it takes
    for name in readers:
        options = typing.get_type_hints(getattr(formats, name))["config"]
        (kind,) = [one for one in (options, *typing.get_args(options)) if isinstance(one, type)][:1]
        assert getattr(goldseam, kind.__name__) is kind


def test_the_audit_is_a_room_whatever_was_imported_first():
    code = (
        "from goldseam import audit, validate\n"
        "import goldseam.audit.stage\n"
        "assert goldseam.audit is audit and callable(audit.audit) and callable(validate)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        _ = goldseam.tarin
