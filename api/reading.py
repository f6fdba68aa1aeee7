"""What the read routes share: the reader of the caller's project, and the range that was asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Depends

from api.auth import authorise
from api.services import Services, services
from schemas.api.queries import DEFAULT_RANGE, RangeParameters
from storage.keys import Principal
from storage.scope import ProjectReader, QueryError, Range

Parts = Annotated[Services, Depends(services)]
Reading = Annotated[Principal, Depends(authorise("read"))]


def project_reader(parts: Parts, caller: Reading) -> ProjectReader:
    """A reader of the caller's project, and of no other."""
    return ProjectReader(parts.store, caller.project, parts.settings.query)


Reader = Annotated[ProjectReader, Depends(project_reader)]


def range_of(asked: RangeParameters, parts: Services, ahead: timedelta = timedelta(0)) -> Range:
    """The range of event time that was asked for: unless given, it ends `ahead` of now and begins a day before `to`.

    Raises:
        QueryError: bad-range or range-too-long.
    """
    end = asked.end or parts.clock() + ahead
    try:
        start = asked.start or end - DEFAULT_RANGE
    except OverflowError as error:
        raise QueryError("bad-range", "`to` lies too far back") from error
    span = Range(start, end)
    span.check(parts.settings.query)
    return span
