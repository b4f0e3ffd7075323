"""What an S3 store or the way to it says when something fails, in one line that says what to do."""

import re


class StoreError(ValueError):
    """The store does not do what it is asked for; the message says what, where and why."""


class Conflict(StoreError):
    """A conditional request is refused: there is something else than was expected."""


class Failed(StoreError):
    """The store fails (5xx), so that nobody knows whether it has done what it was asked for."""


class Denied(StoreError):
    """The store does not let us do it."""


REASONS = {
    "NoSuchBucket": "the bucket does not exist; make it, or mend its name in pillar",
    "AccessDenied": "access is denied (403); the key's policy lacks the right for it",
    "403": "access is denied (403); the key or its policy lacks the right for it",
    "SignatureDoesNotMatch": "the secret does not belong to the key (403 SignatureDoesNotMatch); mend it in pillar",
    "InvalidAccessKeyId": "the key is not known there (403 InvalidAccessKeyId); mend it in pillar",
    "RequestTimeTooSkewed": "the clock of this server is off (403 RequestTimeTooSkewed)",
    "BadDigest": "it was damaged on its way (400 BadDigest); run it again",
    "XAmzContentSHA256Mismatch": "it was damaged on its way (400 XAmzContentSHA256Mismatch); run it again",
    "AccessControlListNotSupported": "the bucket allows no ACL (400); enable ACLs for it",
    "NoSuchKey": "there is no such object (404)",
    "404": "there is no such object or bucket (404)",
}
CONFLICTS = ("PreconditionFailed", "412", "ConditionalRequestConflict")
DENIED = ("AccessDenied", "403", "SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestTimeTooSkewed")
NETWORK = (
    # In the middle of what is sent the TLS layer is the first that notices.
    (r"EOF occurred in violation of protocol", "it cuts the connection"),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError|SSL:", "its certificate is not accepted (TLS)"),
    (r"Name or service not known|name resolution|Failed to resolve|No address assoc", "its name is not known (DNS)"),
    (r"Connection refused", "nothing answers there (connection refused)"),
    (r"(Connect|Read)TimeoutError|timed out", "it does not answer in time"),
    (r"ConnectionClosedError|IncompleteRead|ResponseStreamingError|Connection reset", "it cuts the connection"),
)


def named(exc, what):
    """
    Return the StoreError that says what ``exc`` (an exception of boto3) means.

    what (str): the request, such as ``PUT a/b to insync_apt at https://…``.
    """
    answer = answered(exc)
    if not answer:
        said = f"{type(exc).__name__}: {exc} {getattr(exc, 'kwargs', {}).get('error', '')}"
        why = next((text for pattern, text in NETWORK if re.search(pattern, said)), _line(said))
        return StoreError(f"{what}: {why}")
    error, status = answer.get("Error", {}), answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = error.get("Code", "")
    if code in CONFLICTS or status == 412:
        return Conflict(f"{what}: somebody else has changed it (412)")
    kind = Failed if status >= 500 else Denied if code in DENIED else StoreError
    why = REASONS.get(code) or _line(f"it answers {status} {code} {error.get('Message') or ''}")
    return kind(f"{what}: {why}")


def answered(exc):
    """Return what the store has answered (dict) if ``exc`` (an exception of boto3) is about that, {} if it is not."""
    answer = getattr(exc, "response", None)
    return answer if isinstance(answer, dict) else {}


def _line(text):
    return " ".join(text.split())[:200]
