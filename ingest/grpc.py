"""The OTLP/gRPC receiver: TraceService/Export on the same path into the log as OTLP/HTTP."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ingest.admission import Admission, OverloadedError
from ingest.authentication import AuthenticationError, Authenticator
from ingest.otlp import MalformedRequestError, Validation, decode_protobuf
from ingest.receiver import Receiver
from ingest.trace_log import RefusedRecordError, TraceLogError
from schemas.instruments import Instruments
from schemas.sections import IngestSettings
from storage.control import ControlError

TRANSPORT = "grpc"
SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
Context = grpc.aio.ServicerContext[bytes, ExportTraceServiceResponse]
_GRACE_S = 5
_CONTROL_RETRY_S = 5


class OtlpGrpcReceiver:
    """A component of its own: a gRPC server binds its address itself.

    It is handed requests as bytes, so that who sends is known before anything is parsed.
    """

    def __init__(
        self,
        receiver: Receiver,
        authenticator: Authenticator,
        admission: Admission,
        settings: IngestSettings,
        instruments: Instruments,
        address: str,
    ) -> None:
        self._receiver = receiver
        self._authenticator = authenticator
        self._admission = admission
        self._settings = settings
        self._instruments = instruments
        self._address = address
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; `port` is the one bound.

        Raises:
            OSError: the port is in use.
        """
        options = [("grpc.max_receive_message_length", self._settings.max_expanded_bytes), ("grpc.so_reuseport", 0)]
        self._server = grpc.aio.server(options=options)
        method = grpc.unary_unary_rpc_method_handler(
            self._export_or_refuse, response_serializer=ExportTraceServiceResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": method}),))
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"{self._address} is in use: stop the other process or pass --otlp-grpc-port") from error
        await self._server.start()

    async def stop(self) -> None:
        """Answer what is under way, then close. Safe to call twice, and without start."""
        if self._server is not None:
            await self._server.stop(_GRACE_S)
            self._server = None

    async def _export_or_refuse(self, request: bytes, context: Context) -> ExportTraceServiceResponse:
        """Store one request; OK means durable."""
        try:
            validation = await self._export(request, _metadata(context))
        except AuthenticationError as error:
            code = grpc.StatusCode.UNAUTHENTICATED if error.status == 401 else grpc.StatusCode.PERMISSION_DENIED
            return await self._refuse(context, code, "unauthenticated", str(error))
        except OverloadedError as error:
            return await self._refuse(
                context, grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded", str(error), error.retry_after_s
            )
        except TraceLogError as error:
            return await self._refuse(context, grpc.StatusCode.UNAVAILABLE, "log_unavailable", str(error), error.retry_after_s)
        except ControlError as error:
            return await self._refuse(context, grpc.StatusCode.UNAVAILABLE, "keys_unavailable", str(error), _CONTROL_RETRY_S)
        except MalformedRequestError as error:
            return await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "malformed", str(error))
        except RefusedRecordError as error:
            return await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "refused", str(error))
        response = ExportTraceServiceResponse()
        if validation.message:
            response.partial_success.rejected_spans = validation.rejected.total()
            response.partial_success.error_message = validation.message
        return response

    async def _export(self, request: bytes, metadata: Mapping[str, str]) -> Validation:
        principal = await self._authenticator.principal(metadata)
        with self._admission.request() as reservation:
            reservation.grow(len(request))
            return await self._receiver.receive(principal.project, decode_protobuf(request), TRANSPORT)

    async def _refuse(
        self, context: Context, code: grpc.StatusCode, reason: str, message: str, retry_after_s: int | None = None
    ) -> ExportTraceServiceResponse:
        self._instruments.requests_rejected.labels(TRANSPORT, reason).inc()
        await context.abort(code, message, () if retry_after_s is None else _retry_info(code, message, retry_after_s))
        raise AssertionError("abort raises")


def _retry_info(code: grpc.StatusCode, message: str, after_s: int) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata that says when to send again. OTLP's clients drop what RESOURCE_EXHAUSTED refuses without it."""
    status = Status(code=code.value[0], message=message)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=after_s)))
    return (("grpc-status-details-bin", status.SerializeToString()),)


def _metadata(context: Context) -> dict[str, str]:
    """The call's metadata as headers; gRPC has the host in `:authority`, which is not handed to servers."""
    pairs = context.invocation_metadata() or ()
    return {str(key).lower(): value for key, value in pairs if isinstance(value, str)}
