"""What names and ids look like, and the same in words."""

from __future__ import annotations

from collections.abc import Mapping

NAME = r"^[A-Za-z0-9._-]{1,128}$"
RULE_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
LABEL_NAME = r"^[a-zA-Z_][a-zA-Z0-9_]{0,62}$"
JUDGED_NAME = r"^[a-z][a-z0-9_.-]{0,62}$"
TRACE_ID = r"^[0-9a-fA-F]{32}$"
TRACE_ID_OR_UUID = r"^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
SPAN_ID = r"^[0-9a-fA-F]{16}$"
ROLLBACK_ID = r"^rb_[0-9a-f]{1,29}$"
ALERT_ID = r"^al_[0-9a-f]{1,29}$"
SILENCE_ID = r"^si_[0-9a-f]{1,29}$"
REPORT_ID = r"^rp_[0-9a-f]{1,29}$"
REFERENCE_ID = r"^[0-9a-f]{32}$"
FEEDBACK_ID = r"^[ -~]{1,128}$"
IDEMPOTENCY_KEY = r"^[ -~]{1,256}$"
AUDIT_SUBJECT = r"^[ -~]{1,384}$"
GATEWAY_ID = r"^[!-~]{1,128}$"
# PostgreSQL keeps no NUL in text.
TEXT = r"^[^\x00]*$"

MEANINGS: Mapping[str, str] = {
    NAME: "1 to 128 letters, digits, '.', '_' and '-'",
    RULE_NAME: "1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit",
    LABEL_NAME: "1 to 63 letters, digits and '_', the first no digit",
    JUDGED_NAME: "1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter",
    TRACE_ID: "32 hexadecimal digits",
    TRACE_ID_OR_UUID: "32 hexadecimal digits, or a UUID",
    SPAN_ID: "16 hexadecimal digits",
    ROLLBACK_ID: "the id of a rollback, as GET /v1/rollbacks gives it",
    ALERT_ID: "the id of an alert, as GET /v1/alerts gives it",
    SILENCE_ID: "the id of a silence, as GET /v1/silences gives it",
    REPORT_ID: "the id of a report, as GET /v1/reports gives it",
    REFERENCE_ID: "the id of a reference, as GET /v1/drift/references gives it",
    FEEDBACK_ID: "1 to 128 printable ASCII characters",
    IDEMPOTENCY_KEY: "1 to 256 printable ASCII characters",
    AUDIT_SUBJECT: "1 to 384 printable ASCII characters",
    GATEWAY_ID: "1 to 128 printable ASCII characters without spaces",
    TEXT: "text without NUL characters",
}
