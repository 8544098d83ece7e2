"""Stories over real processes and real sockets."""

import pytest

pytest.register_assert_rewrite("tests.acceptance.town")
