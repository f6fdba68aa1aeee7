from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_info

from analyzers.resources import analysis_threads


def test_linear_algebra_has_one_thread_beside_the_models() -> None:
    np.linalg.eigh(np.eye(3))
    with analysis_threads():
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
