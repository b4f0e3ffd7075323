"""What is said of a store to which the way is broken: the reason that is one."""

import insync_store_errors as errors
import pytest

CUT = "SSL validation failed for https://s3.example/b/a EOF occurred in violation of protocol (_ssl.c:2427)"
UNKNOWN = "SSL validation failed for https://s3.example/b/a [SSL: CERTIFICATE_VERIFY_FAILED] unable to get issuer"


class SSLError(Exception):
    """As botocore calls it."""


@pytest.mark.parametrize(
    "exc, why",
    [
        (SSLError(CUT), "it cuts the connection"),
        (SSLError(UNKNOWN), "its certificate is not accepted (TLS)"),
        (OSError("[Errno 111] Connection refused"), "nothing answers there (connection refused)"),
    ],
)
def test_the_reason_is_told(exc, why):
    assert str(errors.named(exc, "PUT a to b")) == f"PUT a to b: {why}"
